use super::*;
use crate::record::journey::journeys;
use crate::record::testing::transfer;
use crate::record::{Captured, RecordLimits, Recorder};
use crate::seeds;

fn recorded(seed: u64, bytes: usize) -> Recording {
    let recorder = Recorder::new(RecordLimits::default());
    transfer(seed, bytes, Some(&recorder));
    recorder.recording()
}

fn drawn(recording: &Recording, most: usize) -> Drawing {
    draw(recording, &journeys(recording), most)
}

fn count(text: &str, what: &str) -> usize {
    text.matches(what).count()
}

#[test]
fn each_hop_is_an_arrow_and_what_did_not_arrive_is_marked() {
    seeds(3, |seed| {
        let recording = recorded(seed, 20_000);
        let ways = journeys(&recording);
        let drawing = draw(&recording, &ways, usize::MAX);
        let seen = |sight| recording.packets.iter().filter(|seen| seen.sight == sight).count();
        assert_eq!(count(&drawing.svg, "class=\"j "), ways.len());
        assert_eq!(count(&drawing.svg, "<path class=\"a"), drawing.arrows);
        assert_eq!(count(&drawing.svg, "<path class=\"a cut\""), seen(Sight::Lost), "lost");
        assert_eq!(count(&drawing.svg, "<circle class=\"x\""), seen(Sight::Dropped), "dropped");
        // From host to host by two routers that are drawn and one that is not: three arrows.
        let lanes = Lanes::of(&recording);
        let whole = ways.iter().filter(|way| way.stops.len() == 8).count();
        let wires = Wires::of(&recording, &ways, &lanes);
        let threes = ways.iter().filter_map(|way| line(&recording, way, &lanes, &wires));
        assert_eq!(threes.filter(|line| line.arrows() == 3 && line.end == End::Arrived).count(), whole);
        assert!(drawing.left_out.is_empty(), "{:?}", drawing.left_out);
        for note in &recording.notes {
            assert!(drawing.svg.contains(&note.text), "{}", note.text);
        }
    });
}

#[test]
fn arrows_go_down_the_page_and_stay_on_it() {
    let drawing = drawn(&recorded(1, 100_000), 300);
    let height: i32 =
        drawing.svg.split("height=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
    let mut last = 0;
    for arrow in drawing.svg.split("<path class=\"a").skip(1) {
        let d = arrow.split("d=\"M").nth(1).unwrap().split('"').next().unwrap();
        let number = |text: &str| text.parse::<i32>().unwrap();
        let (from, to) = d.split_once('L').unwrap();
        let (x0, y0) = from.split('h').next().unwrap().split_once(' ').unwrap();
        let (x1, y1) = to.split('m').next().unwrap().split_once(' ').unwrap();
        let (x0, y0, x1, y1) = (number(x0), number(y0), number(x1), number(y1));
        assert!(y0 < y1 && y1 < height && x0 != x1, "{d}");
        last = last.max(y1);
    }
    assert!(last > height - 200, "and they fill it");
}

#[test]
fn of_a_long_run_the_beginning_is_drawn_and_what_follows_each_note() {
    let recording = recorded(2, 1_000_000);
    let drawing = drawn(&recording, 300);
    assert!((200..=300).contains(&drawing.arrows), "{}", drawing.arrows);
    assert!(drawing.left_out[0].contains("packets are drawn"));
    assert!(count(&drawing.svg, "class=\"gap\"") >= 2);
    assert!(drawing.svg.contains("reboots, and forgets") && drawing.svg.contains("has it all"));
    assert!(drawing.svg.contains("<circle class=\"x\""), "what the new NAT does not know");
    assert!(drawing.svg.len() < 200_000, "{} bytes", drawing.svg.len());
}

#[test]
fn what_is_no_packet_and_what_has_no_beginning_is_drawn_or_left_out_without_harm() {
    let mut recording = recorded(1, 10_000);
    let whole = drawn(&recording, 10_000).arrows;
    recording.packets.drain(..9);
    recording.packets[0].packet = vec![1, 2, 3];
    recording.packets[1].packet.clear();
    recording.packets.push(Captured { packet: vec![0x45; 20], ..recording.packets[5].clone() });
    recording.packets.push(Captured {
        sight: Sight::Dropped,
        interface: None,
        ..recording.packets[8].clone()
    });
    let arrows = drawn(&recording, 10_000).arrows;
    assert!(arrows > 0 && arrows < whole + 2, "{arrows}");
}

#[test]
fn names_and_notes_cannot_become_markup() {
    let mut recording = recorded(1, 5_000);
    recording.hosts[0].1 = "<script>alert(1)</script>".into();
    recording.notes[0].text = "\"><img src=x onerror=alert(1)>".into();
    let drawing = drawn(&recording, 300);
    let all = [&drawing.svg, &drawing.lanes, &drawing.legend].map(String::as_str).concat();
    assert!(!all.contains("<script") && !all.contains("<img") && all.contains("&lt;script&gt;"));
}

#[test]
fn a_longer_pause_gets_more_room_but_never_much() {
    let rooms: Vec<i32> = (0..40).map(|power| pause(1 << power)).collect();
    assert!(rooms.is_sorted() && rooms[0] == 0 && rooms[20] > rooms[10] && rooms[39] <= 40, "{rooms:?}");
}
