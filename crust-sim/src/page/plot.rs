//! Plots over time: throughput, congestion window, round-trip time.
//!
//! All plots of a run share one axis of time and one colour for each connection; a dashed line is the lesser of two
//! figures of one connection.

use std::fmt::Write as _;
use std::io;

use crate::record::{Recording, Sample};

use super::{escape, shortened, time};

/// Points of a curve.
const MOST_POINTS: usize = 400;
/// Points of a curve that is a difference over time; more would show single packets.
const MOST_RATES: usize = 50;
/// Connections that are drawn, and colours that `style.css` has.
const MOST_CONNECTIONS: usize = 8;
/// Notes that are marked.
const MOST_MARKS: usize = 40;

/// The picture and its frame, in pixels.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 168.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;

/// One curve.
struct Curve {
    connection: usize,
    name: &'static str,
    dashed: bool,
    /// Seconds, and what is told.
    points: Points,
}

type Points = Vec<(f64, f64)>;

/// From when to when, in seconds.
#[derive(Clone, Copy)]
struct Span {
    from: f64,
    to: f64,
}

/// Writes a run's plots; nothing where there are no figures.
pub(super) fn write(recording: &Recording, out: &mut dyn io::Write) -> io::Result<()> {
    let (Some(first), Some(last)) = (recording.samples.first(), recording.samples.last()) else {
        return Ok(());
    };
    let span = Span { from: seconds(first), to: seconds(last).max(seconds(first) + 1e-3) };
    let drawn = recording.connections.len().min(MOST_CONNECTIONS);
    let samples: Vec<Vec<&Sample>> = (0..drawn)
        .map(|connection| recording.samples.iter().filter(|sample| sample.connection == connection).collect())
        .collect();

    out.write_all(b"<div class=\"plots\">\n")?;
    legend(recording, drawn, out)?;
    let each = |name, dashed, points: &dyn Fn(&[&Sample]) -> Points| -> Vec<Curve> {
        let of = |(connection, samples): (usize, &Vec<&Sample>)| Curve {
            connection,
            name,
            dashed,
            points: points(samples),
        };
        samples.iter().enumerate().map(of).collect()
    };
    let mut curves = each("received", false, &|samples| rates(samples, span, |sample| sample.bytes_received));
    curves.extend(each("sent", true, &|samples| rates(samples, span, |sample| sample.bytes_sent)));
    figure(
        "Throughput",
        "received, and dashed: sent",
        &[(1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1.0, "bit/s")],
        &curves,
        recording,
        span,
        out,
    )?;

    let mut curves =
        each("window", false, &|samples| levels(samples, span, |sample| sample.congestion_window as f64));
    curves.extend(each("on their way", true, &|samples| {
        levels(samples, span, |sample| sample.bytes_in_flight as f64)
    }));
    let kibi = 1024.0;
    figure(
        "Congestion window",
        "and dashed: bytes on their way",
        &[(kibi * kibi, "MiB"), (kibi, "KiB"), (1.0, "B")],
        &curves,
        recording,
        span,
        out,
    )?;

    let curves = each("RTT", false, &|samples| levels(samples, span, |sample| sample.rtt.as_secs_f64()));
    figure(
        "Round-trip time",
        "smoothed",
        &[(1.0, "s"), (1e-3, "ms"), (1e-6, "µs")],
        &curves,
        recording,
        span,
        out,
    )?;

    let curves = each("lost", false, &|samples| levels(samples, span, |sample| sample.packets_lost as f64));
    figure(
        "Packets declared lost",
        "so far",
        &[(1e3, "thousand"), (1.0, "packets")],
        &curves,
        recording,
        span,
        out,
    )?;
    if recording.connections.len() > drawn {
        writeln!(
            out,
            "<p class=\"word\">{} more connections are not drawn.</p>",
            recording.connections.len() - drawn
        )?;
    }
    out.write_all(b"</div>\n")
}

fn legend(recording: &Recording, drawn: usize, out: &mut dyn io::Write) -> io::Result<()> {
    out.write_all(b"<ul class=\"legend\">")?;
    for (nth, name) in recording.connections.iter().take(drawn).enumerate() {
        write!(out, "<li class=\"c{nth}\"><i></i>{}</li>", escape(&shortened(name, 40)))?;
    }
    out.write_all(b"</ul>\n")
}

fn seconds(sample: &Sample) -> f64 {
    sample.now.as_nanos() as f64 / 1e9
}

/// Bits a second out of bytes so far.
fn rates(samples: &[&Sample], span: Span, bytes: impl Fn(&Sample) -> u64) -> Points {
    let bins = samples.len().saturating_sub(1).min(MOST_RATES);
    let (Some(first), true) = (samples.first(), bins > 0) else { return Vec::new() };
    let width = (span.to - span.from) / bins as f64;
    let (mut points, mut from, mut at) = (Vec::with_capacity(2 * bins), **first, 0);
    for bin in 0..bins {
        let end = span.from + width * (bin + 1) as f64;
        let mut to = from;
        // What lies on the edge belongs before it, whatever the last digit says.
        while let Some(sample) = samples.get(at).filter(|sample| seconds(sample) <= end + width * 1e-6) {
            to = **sample;
            at += 1;
        }
        let (since, until) = (seconds(&from), seconds(&to));
        if until > since {
            let rate = bytes(&to).saturating_sub(bytes(&from)) as f64 * 8.0 / (until - since);
            points.push((since, rate));
            points.push((until, rate));
            from = to;
        }
    }
    points
}

/// Figures as they are; of many, the highest of each bin.
fn levels(samples: &[&Sample], span: Span, figure: impl Fn(&Sample) -> f64) -> Points {
    let mut points: Points = Vec::new();
    let bin = |at: f64| ((at - span.from) / (span.to - span.from) * MOST_POINTS as f64) as usize;
    for sample in samples {
        let (at, value) = (seconds(sample), figure(sample));
        match points.last_mut() {
            Some(last) if samples.len() > MOST_POINTS && bin(last.0) == bin(at) => last.1 = last.1.max(value),
            _ => points.push((at, value)),
        }
    }
    points
}

fn figure(
    title: &str,
    what: &str,
    units: &[(f64, &str)],
    curves: &[Curve],
    recording: &Recording,
    span: Span,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let most = curves.iter().flat_map(|curve| &curve.points).map(|point| point.1).fold(0.0, f64::max);
    // The largest unit in which the highest value is one at least.
    let unit = units.iter().find(|(size, _)| most >= *size).or(units.last());
    let (size, unit) = unit.copied().unwrap_or((1.0, ""));
    let step = nice(most / size / 3.0);
    let top = ((most / size / step).ceil() * step).max(step);
    let x = |at: f64| LEFT + (at - span.from) / (span.to - span.from) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - value / size / top * (HEIGHT - TOP - BOTTOM);

    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title} over time\" \
         data-from=\"{}\" data-to=\"{}\" data-top=\"{top}\" data-unit=\"{unit}\" \
         data-box=\"{LEFT} {} {TOP} {}\">\n",
        span.from,
        span.to,
        WIDTH - RIGHT,
        HEIGHT - BOTTOM,
    );
    axes(&mut svg, span, step, top, x);
    for note in recording.notes.iter().take(MOST_MARKS) {
        let at = note.now.as_nanos() as f64 / 1e9;
        if (span.from..=span.to).contains(&at) {
            let (x, text) = (x(at), escape(&shortened(&note.text, 200)));
            let _ = writeln!(
                svg,
                "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{}\"><title>{}: {text}</title></line>",
                HEIGHT - BOTTOM,
                time(note.now),
            );
        }
    }
    for curve in curves {
        let points: Vec<String> =
            curve.points.iter().map(|(at, value)| format!("{:.1},{:.1}", x(*at), y(*value))).collect();
        let dashed = if curve.dashed { " dashed" } else { "" };
        let connection = recording.connections.get(curve.connection).map(String::as_str).unwrap_or_default();
        let _ = writeln!(
            svg,
            "<polyline class=\"c{}{dashed}\" data-name=\"{}, {}\" points=\"{}\"/>",
            curve.connection,
            escape(&shortened(connection, 40)),
            curve.name,
            points.join(" "),
        );
    }
    svg.push_str("</svg>");
    writeln!(
        out,
        "<figure class=\"plot\"><figcaption><h3>{title}</h3><span>{unit}, {what}</span></figcaption>\n{svg}\n\
         <output></output></figure>"
    )
}

fn axes(svg: &mut String, span: Span, step: f64, top: f64, x: impl Fn(f64) -> f64) {
    let bottom = HEIGHT - BOTTOM;
    let lines = (top / step).round() as usize;
    for line in 0..=lines {
        let value = step * line as f64;
        let y = bottom - value / top * (bottom - TOP);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y + 3.5,
            number(value, step),
        );
    }
    let step = nice((span.to - span.from) / 4.0);
    let (scale, unit) = if span.to < 1.0 { (1e3, " ms") } else { (1.0, " s") };
    let mut at = (span.from / step).ceil() * step;
    while at <= span.to + step * 1e-6 {
        let _ = writeln!(
            svg,
            "<text class=\"tick\" x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}{unit}</text>",
            x(at).min(WIDTH - 18.0),
            HEIGHT - 7.0,
            number(at * scale, step * scale),
        );
        at += step;
    }
}

/// The next of 1, 2 and 5 times a power of ten.
fn nice(step: f64) -> f64 {
    if step <= 0.0 || !step.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(step.log10().floor());
    let factors = [1.0, 2.0, 5.0];
    let factor = factors.into_iter().find(|factor| factor * power >= step * 0.999_999).unwrap_or(10.0);
    factor * power
}

/// A number with as many decimals as its step has.
fn number(value: f64, step: f64) -> String {
    let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
#[path = "plot_tests.rs"]
mod tests;
