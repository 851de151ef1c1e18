use super::*;
use crate::record::testing::transfer;
use crate::record::{RecordLimits, Recorder};

pub(super) fn recorded(seed: u64, bytes: usize) -> Recording {
    let recorder = Recorder::new(RecordLimits::default());
    transfer(seed, bytes, Some(&recorder));
    recorder.recording()
}

pub(super) fn written(page: &Page) -> String {
    let mut out = Vec::new();
    write(page, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// A page as the matrix command makes it: every kind against every other, each with a short run.
pub(super) fn of_kinds() -> Page {
    let names: Vec<String> = crate::Kind::ALL.iter().map(ToString::to_string).collect();
    let (mut cells, mut runs) = (Vec::new(), Vec::new());
    let recordings: Vec<Recording> = (0..3).map(|seed| recorded(seed, 3_000)).collect();
    for (row, name) in names.iter().enumerate() {
        let cell = |column: usize| {
            let score = (row + column < 20).then_some(((row * 5 + column * 3) % 11) as f32 / 10.0);
            let label =
                score.map_or("–".to_owned(), |score| format!("{} ms", 60 + (300.0 * (1.0 - score)) as u32));
            let detail = "direct over UDP in 98 ms, 14 packets".to_owned();
            Cell { label, detail, score, run: Some(row * names.len() + column) }
        };
        cells.push((0..names.len()).map(cell).collect());
        for (column, other) in names.iter().enumerate() {
            runs.push((format!("{name} – {other}"), recordings[(row + column) % 3].clone()));
        }
    }
    Page {
        title: "Who reaches whom".into(),
        subtitle: "crust-sim matrix --seed 1: every kind of NAT against every other".into(),
        facts: [("pairs", "144"), ("reached", "81"), ("median time", "98 ms"), ("seed", "1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        matrix: Some(Matrix { names, cells }),
        runs,
    }
}

#[test]
fn every_link_leads_to_something_on_the_page() {
    for page in [
        of_kinds(),
        Page { runs: vec![("a".into(), recorded(1, 10)), ("b".into(), recorded(2, 10))], ..Page::default() },
    ] {
        let html = written(&page);
        let links: Vec<&str> =
            html.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert!(links.len() >= page.runs.len());
        let ids = html.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        let ids: std::collections::BTreeSet<&str> = ids.collect();
        for link in links {
            assert!(ids.contains(link), "{link}");
        }
    }
}

#[test]
fn a_page_needs_nothing_from_elsewhere() {
    let html = written(&of_kinds());
    for word in ["http:", "https:", "src=", "url(", "@import", "<link"] {
        // The one address there is names SVG's elements and is never asked for.
        let found = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!found.contains(word), "{word}");
    }
}

#[test]
fn no_name_becomes_markup() {
    let evil = "</title></script><script>alert(1)</script><img src=x onerror=\"alert(1)\">'\"\u{0}";
    let mut recording = recorded(1, 1_000);
    recording.hosts.iter_mut().for_each(|host| host.1 = evil.into());
    recording.connections.iter_mut().for_each(|name| *name = evil.into());
    recording.notes.iter_mut().for_each(|note| note.text = evil.into());
    let cell = Cell { label: evil.into(), detail: evil.into(), score: Some(f32::NAN), run: Some(0) };
    let page = Page {
        title: evil.into(),
        subtitle: evil.into(),
        facts: vec![(evil.into(), evil.into())],
        matrix: Some(Matrix { names: vec![evil.into()], cells: vec![vec![cell]] }),
        runs: vec![(evil.into(), recording)],
    };
    let html = written(&page);
    assert_eq!(html.matches("<script").count(), 1, "the page's own");
    assert!(!html.contains("<img") && !html.contains("alert(1)\"") && !html.contains('\0'));
}

#[test]
fn a_matrix_has_a_cell_for_each_pair_and_leads_only_to_runs_that_there_are() {
    let names = vec!["a".to_owned(), "b".to_owned()];
    let cell = |run| Cell { label: "x".into(), score: Some(2.0), run, ..Cell::default() };
    let cells = vec![vec![cell(Some(0)), cell(Some(7))], vec![cell(None), Cell::default()]];
    let page = Page {
        matrix: Some(Matrix { names, cells }),
        runs: vec![("r".into(), Recording::default())],
        ..Page::default()
    };
    let html = written(&page);
    let table = html.split("<table>").nth(1).unwrap().split("</table>").next().unwrap();
    assert_eq!((table.matches("<td class").count(), table.matches("<a ").count()), (4, 1));
    assert!(table.contains("class=\"s8\"") && table.contains("class=\"none\""));
}

#[test]
fn however_many_runs_there_are_the_page_stays_one_that_a_browser_bears() {
    let recording = recorded(1, 40_000);
    let page = |runs: usize| Page {
        runs: (0..runs).map(|nth| (format!("run {nth}"), recording.clone())).collect(),
        ..Page::default()
    };
    let arrows = |html: &str| html.matches("<path class=\"a").count();
    let (one, hundred, many) = (written(&page(1)), written(&page(100)), written(&page(460)));
    assert!((150..=MOST_ARROWS).contains(&arrows(&one)), "{}", arrows(&one));
    assert!(one.len() < 250_000, "{} bytes", one.len());
    assert!(
        (MOST_ARROWS_IN_ALL / 2..=MOST_ARROWS_IN_ALL).contains(&arrows(&hundred)),
        "{}",
        arrows(&hundred)
    );
    assert!(arrows(&many) <= MOST_ARROWS_IN_ALL);
    assert!(
        hundred.len() < 10_000_000 && many.len() < 30_000_000,
        "{} and {} bytes",
        hundred.len(),
        many.len()
    );
    assert!(many.contains("Not drawn: too many runs."));
    assert_eq!(many.matches("data-arrows=").count(), 460);
}

#[test]
fn what_was_not_recorded_is_said() {
    let mut recording = recorded(1, 1_000);
    (recording.packets_left_out, recording.notes_left_out) = (12_345, 7);
    let html = written(&Page { runs: vec![("r".into(), recording)], ..Page::default() });
    assert!(html.contains("12\u{202f}345 later sightings") && html.contains("7 more notes"));
}

#[test]
fn times_and_numbers_are_told_as_one_reads_them() {
    let micros = Duration::from_micros;
    let told = [0, 1_250, 999_999, 1_000_000, 61_234_567].map(|at| time_of(micros(at)));
    assert_eq!(told, ["0.0 ms", "1.2 ms", "999.9 ms", "1.000 s", "61.234 s"]);
    assert_eq!(
        [0, 999, 1000, 1_234_567].map(thousands),
        ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]
    );
    assert_eq!((shortened("abcdef", 4), shortened("äöü", 3)), ("abc…".to_owned(), "äöü".to_owned()));
}

#[test]
fn a_run_says_how_many_packets_were_lost_and_how_many_dropped() {
    let mut recording = recorded(1, 60_000);
    let ends =
        |recording: &Recording, sight| recording.packets.iter().filter(|seen| seen.sight == sight).count();
    // Of those that a link lost let a router have dropped two.
    let lost = recording.packets.iter_mut().filter(|seen| seen.sight == Sight::Lost);
    lost.take(2).for_each(|seen| seen.sight = Sight::Dropped);
    let counts = [Sight::Lost, Sight::Dropped].map(|sight| ends(&recording, sight));
    assert!(counts[0] != counts[1] && counts[1] >= 2, "{counts:?}");
    let html = written(&Page { runs: vec![("r".into(), recording)], ..Page::default() });
    for (count, name) in counts.iter().zip(["lost", "dropped"]) {
        assert!(html.contains(&format!("<b>{count}</b> {name}</li>")), "{count} {name}");
    }
}

#[test]
fn all_there_is_to_look_at_is_written_in_one_call() {
    let recording = recorded(1, 50_000);
    let folder = tempfile::tempdir().unwrap();
    save(&recording, folder.path().join("failed with seed 1")).unwrap();
    let read = |end: &str| std::fs::read(folder.path().join(format!("failed with seed 1{end}"))).unwrap();
    assert!(
        read(".pcapng").len() > 50_000 && read(".contents.pcapng").windows(20).any(|bytes| bytes == [7; 20])
    );
    assert!(String::from_utf8(read(".html")).unwrap().contains("<h1>failed with seed 1</h1>"));
    assert!(save(&recording, folder.path().join("no such folder/x")).is_err());
}
