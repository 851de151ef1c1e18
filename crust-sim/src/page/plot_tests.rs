use crust_proto::{Duration, Instant};
use proptest::prelude::*;

use super::*;

fn sample(millis: u64, bytes: u64) -> Sample {
    Sample {
        now: Instant::from_nanos(millis * 1_000_000),
        connection: 0,
        bytes_sent: bytes,
        bytes_received: 0,
        packets_lost: 0,
        congestion_window: bytes,
        bytes_in_flight: 0,
        rtt: Duration::from_millis(20),
    }
}

fn span(samples: &[Sample]) -> Span {
    let seconds = |at: Option<&Sample>| at.map_or(0.0, seconds);
    Span { from: seconds(samples.first()), to: seconds(samples.last()) }
}

proptest! {
    #![proptest_config(crate::seeds::cases(100))]

    #[test]
    fn the_area_under_a_throughput_is_what_was_sent(steps in proptest::collection::vec((1_u64..500, 0_u64..100_000), 2..400)) {
        let (mut at, mut bytes) = (0, 0);
        let samples: Vec<Sample> = steps
            .into_iter()
            .map(|(millis, more)| {
                at += millis;
                bytes += more;
                sample(at, bytes)
            })
            .collect();
        let points = rates(&samples.iter().collect::<Vec<_>>(), span(&samples), |sample| sample.bytes_sent);
        let area: f64 = points.chunks(2).map(|pair| (pair[1].0 - pair[0].0) * pair[0].1 / 8.0).sum();
        let sent = (samples[samples.len() - 1].bytes_sent - samples[0].bytes_sent) as f64;
        prop_assert!((area - sent).abs() <= sent * 1e-6 + 1.0, "{area} of {sent}");
        prop_assert!(points.len() <= 2 * MOST_RATES);
        prop_assert!(points.windows(2).all(|pair| pair[0].0 <= pair[1].0));
    }

    #[test]
    fn many_figures_become_few_points_and_the_highest_is_among_them(values in proptest::collection::vec(0_u64..1_000_000, 2..3000)) {
        let samples: Vec<Sample> = values.iter().enumerate().map(|(at, value)| sample(at as u64, *value)).collect();
        let points = levels(&samples.iter().collect::<Vec<_>>(), span(&samples), |sample| sample.congestion_window as f64);
        prop_assert!(points.len() <= MOST_POINTS + 1, "{}", points.len());
        let most = points.iter().map(|point| point.1).fold(0.0, f64::max);
        prop_assert_eq!(most as u64, values.iter().copied().max().unwrap_or(0));
    }

    #[test]
    fn a_step_is_a_round_number_not_below_what_was_asked(step in 1e-9_f64..1e9) {
        let nice = nice(step);
        prop_assert!(nice >= step * 0.99 && nice <= step * 2.51, "{step} {nice}");
        let digit = nice / 10_f64.powf((nice * 1.000_001).log10().floor());
        prop_assert!([1.0, 2.0, 5.0].iter().any(|round| (digit - round).abs() < 1e-6), "{digit}");
    }
}

#[test]
fn axes_say_their_units_and_each_connection_has_its_curves() {
    let mut recording =
        Recording { connections: vec!["up".into(), "down & <out>".into()], ..Recording::default() };
    for at in 0..1000 {
        recording.samples.push(sample(at * 10, at * 3000));
        recording.samples.push(Sample { connection: 1, ..sample(at * 10, at * 10) });
    }
    let mut out = Vec::new();
    write(&recording, &mut out).unwrap();
    let html = String::from_utf8(out).unwrap();
    for text in ["Mbit/s", "MiB", "ms", " s</text>", "Throughput", "Congestion window", "Round-trip time"] {
        assert!(html.contains(text), "{text}");
    }
    assert_eq!(html.matches("<polyline").count(), 2 + 2 + 2 + 2 + 2 + 2);
    assert!(html.contains("down &amp; &lt;out&gt;") && !html.contains("<out>"));
    assert!(!html.contains("NaN") && !html.contains("inf"));
}

#[test]
fn one_figure_or_none_is_no_reason_to_fail() {
    for samples in [vec![], vec![sample(5, 0)], vec![sample(5, 0), sample(5, 0)]] {
        let recording = Recording { connections: vec!["one".into()], samples, ..Recording::default() };
        let mut out = Vec::new();
        write(&recording, &mut out).unwrap();
        let html = String::from_utf8(out).unwrap();
        assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
    }
}

#[test]
fn the_throughput_is_what_was_received_and_dashed_what_was_sent() {
    let mut recording = Recording { connections: vec!["one".into()], ..Recording::default() };
    for at in 0..100 {
        recording.samples.push(Sample { bytes_received: at * 1_000, ..sample(at * 10, at * 3_000) });
    }
    let mut out = Vec::new();
    write(&recording, &mut out).unwrap();
    let html = String::from_utf8(out).unwrap();
    // How high a curve lies, from above.
    let height = |class: &str, name: &str| -> f64 {
        let line = format!("<polyline class=\"{class}\" data-name=\"one, {name}\" points=\"");
        let points = html.split(&line).nth(1).unwrap().split('"').next().unwrap();
        points.split(' ').next().unwrap().split(',').nth(1).unwrap().parse().unwrap()
    };
    let above_the_axis = |class, name| HEIGHT - BOTTOM - height(class, name);
    let (received, sent) = (above_the_axis("c0", "received"), above_the_axis("c0 dashed", "sent"));
    assert!(received > 0.0 && (sent - 3.0 * received).abs() < 1.0, "{received} {sent}");
}
