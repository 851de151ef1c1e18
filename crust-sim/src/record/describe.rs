//! What a packet is, in words: from its headers, and from its contents where they are known.

use std::fmt::Write as _;

use crust_proto::handshake::envelope::{HelloKind, ReplyKind};
use crust_proto::wire::codec::Reader;
use crust_proto::wire::frame::Frame;
use crust_proto::wire::packet::Head;

use super::{Captured, Greeting};
use crate::{IcmpKind, Packet, Protocol};

/// The magic cookie of STUN (RFC 8489 §5).
const STUN_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// Lines that tell of a packet's frames; a packet of one-byte frames has a thousand.
const MOST_LINES: usize = 12;

/// What sort of packet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sort {
    /// A handshake is opened.
    Hello,
    /// A handshake is answered.
    Reply,
    /// A packet of a session that asks for an acknowledgement.
    Data,
    /// A packet of a session that does not: acknowledgements, or its end.
    Ack,
    /// A segment of TCP.
    Tcp,
    /// STUN.
    Stun,
    /// An ICMP message.
    Icmp,
    /// Anything else: a datagram whose contents are not known.
    Other,
}

/// A packet in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// What sort it is.
    pub(crate) sort: Sort,
    /// In a few words.
    pub(crate) label: String,
    /// In lines.
    pub(crate) detail: String,
}

/// Tells what a packet is.
pub(crate) fn describe(captured: &Captured) -> Told {
    let Ok(packet) = Packet::parse(captured.packet.clone()) else {
        return told(Sort::Other, "no IP packet", String::new());
    };
    if let Some(greeting) = captured.greeting {
        return greeted(greeting);
    }
    if let Some(told) = captured.contents.as_deref().and_then(opened) {
        return told;
    }
    let Some(flow) = packet.flow() else { return unported(&packet) };
    match flow.protocol {
        Protocol::Tcp => segment(&packet),
        Protocol::Udp => stun(packet.payload()).unwrap_or_else(|| {
            told(Sort::Other, format!("UDP, {} B", packet.payload().len()), "a datagram".into())
        }),
    }
}

fn told(sort: Sort, label: impl Into<String>, detail: String) -> Told {
    Told { sort, label: label.into(), detail }
}

fn greeted(greeting: Greeting) -> Told {
    let (sort, label, detail) = match greeting {
        Greeting::Hello(HelloKind::InitiateKnown) => {
            (Sort::Hello, "hello", "hello: the first Noise message, to a peer whose id is known (IK)")
        }
        Greeting::Hello(HelloKind::InitiateUnknown) => {
            (Sort::Hello, "hello", "hello: the first Noise message, to whoever has this address (XX)")
        }
        Greeting::Hello(HelloKind::Finish) => {
            (Sort::Hello, "hello, finish", "hello: the third Noise message (XX)")
        }
        Greeting::Hello(HelloKind::WhoIs) => {
            (Sort::Hello, "hello, who is", "hello: does somebody else live here?")
        }
        Greeting::Reply(ReplyKind::Response) => (Sort::Reply, "reply", "reply: the second Noise message"),
        Greeting::Reply(ReplyKind::Retry) => {
            (Sort::Reply, "reply, retry", "reply: try again with this cookie")
        }
        Greeting::Reply(ReplyKind::NotMe) => {
            (Sort::Reply, "reply, not me", "reply: the one you look for is not here")
        }
    };
    told(sort, label, detail.into())
}

/// A data packet in clear.
fn opened(contents: &[u8]) -> Option<Told> {
    let (head, frames) = contents.split_first_chunk()?;
    let head = Head::decode(head);
    let mut reader = Reader::new(frames);
    let mut lines = vec![format!(
        "packet {} of path {}, epoch {}, to slot {}",
        head.packet_number, head.path, head.epoch, head.slot
    )];
    let mut names: Vec<&str> = Vec::new();
    let (mut asks, mut more) = (false, 0_usize);
    while !reader.is_empty() {
        let Ok(frame) = Frame::decode(&mut reader) else {
            lines.push("and what is no frame".into());
            break;
        };
        asks |= frame.is_ack_eliciting();
        let (name, line) = framed(&frame);
        if !names.contains(&name) && name != "PADDING" {
            names.push(name);
        }
        if lines.len() < MOST_LINES {
            lines.push(line);
        } else {
            more += 1;
        }
    }
    if more > 0 {
        lines.push(format!("and {more} more frames"));
    }
    let sort = if asks { Sort::Data } else { Sort::Ack };
    // What carries something is named before what acknowledges.
    names.sort_by_key(|name| *name == "ACK");
    names.truncate(3);
    let label = match names.as_slice() {
        [] => format!("#{} PADDING", head.packet_number),
        names => format!("#{} {}", head.packet_number, names.join(", ")),
    };
    Some(told(sort, label, lines.join("\n")))
}

/// A frame's name, and all of it but what it carries.
fn framed(frame: &Frame<'_>) -> (&'static str, String) {
    match frame {
        Frame::Padding => ("PADDING", "PADDING".into()),
        Frame::Ping => ("PING", "PING".into()),
        Frame::Ack(ack) => {
            let mut line = format!("ACK path {}:", ack.path);
            for (nth, range) in ack.ranges().enumerate() {
                if nth == 4 {
                    line.push_str(" …");
                    break;
                }
                let _ = match range.start() == range.end() {
                    true => write!(line, " {}", range.end()),
                    false => write!(line, " {}–{}", range.start(), range.end()),
                };
            }
            let _ = write!(line, ", after {} µs", ack.delay_micros);
            if let Some(ecn) = ack.ecn {
                let _ = write!(line, ", ECT(0) {}, ECT(1) {}, CE {}", ecn.ect0, ecn.ect1, ecn.ce);
            }
            ("ACK", line)
        }
        Frame::ResetStream { stream, code, final_size } => {
            ("RESET_STREAM", format!("RESET_STREAM {stream}: code {code}, final size {final_size}"))
        }
        Frame::StopSending { stream, code } => {
            ("STOP_SENDING", format!("STOP_SENDING {stream}: code {code}"))
        }
        Frame::Stream(frame) => {
            let fin = if frame.fin { ", fin" } else { "" };
            ("STREAM", format!("STREAM {}: {} B at {}{fin}", frame.stream, frame.data.len(), frame.offset))
        }
        Frame::MaxData { limit } => ("MAX_DATA", format!("MAX_DATA {limit}")),
        Frame::MaxStreamData { stream, limit } => {
            ("MAX_STREAM_DATA", format!("MAX_STREAM_DATA {stream}: {limit}"))
        }
        Frame::MaxStreams { unidirectional, limit } => {
            let of = if *unidirectional { "unidirectional" } else { "bidirectional" };
            ("MAX_STREAMS", format!("MAX_STREAMS {of}: {limit}"))
        }
        Frame::Message { priority, offset, data } => {
            ("MESSAGE", format!("MESSAGE of priority {priority}: {} B at {offset}", data.len()))
        }
        Frame::MaxMessageData { priority, limit } => {
            ("MAX_MESSAGE_DATA", format!("MAX_MESSAGE_DATA of priority {priority}: {limit}"))
        }
        Frame::Close { code, reason } => {
            ("CLOSE", format!("CLOSE: code {code}, {:?}", String::from_utf8_lossy(reason)))
        }
        Frame::PathChallenge(_) => ("PATH_CHALLENGE", "PATH_CHALLENGE".into()),
        Frame::PathResponse(_) => ("PATH_RESPONSE", "PATH_RESPONSE".into()),
        Frame::Datagram(data) => ("DATAGRAM", format!("DATAGRAM: {} B", data.len())),
        Frame::Unknown { kind, content } => ("unknown", format!("frame {kind:#x}: {} B", content.len())),
    }
}

fn segment(packet: &Packet) -> Told {
    let flags = packet.tcp_flags().unwrap_or_default();
    let set = [(flags.syn, "SYN"), (flags.fin, "FIN"), (flags.rst, "RST"), (flags.ack, "ACK")];
    let mut label = set.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect::<Vec<_>>().join(" ");
    if label.is_empty() {
        label.push_str("TCP");
    }
    let len = packet.payload().len();
    if len > 0 {
        let _ = write!(label, ", {len} B");
    }
    let word = |at: usize| {
        let bytes = packet.bytes().get(transport(packet)..).and_then(|header| header.get(at..at + 4));
        bytes.and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u32::from_be_bytes(*bytes))
    };
    let detail = format!("TCP: sequence {}, acknowledgement {}, {len} B", word(4), word(8));
    told(Sort::Tcp, label, detail)
}

/// Where the header behind the IP header begins.
pub(super) fn transport(packet: &Packet) -> usize {
    match packet.is_ipv4() {
        true => packet.bytes().first().map_or(0, |first| usize::from(first & 15) * 4),
        false => crate::packet::IPV6_HEADER,
    }
}

/// A message of STUN (RFC 8489 §5).
fn stun(payload: &[u8]) -> Option<Told> {
    let head: &[u8; 20] = payload.first_chunk()?;
    if head[0] & 0xc0 != 0 || head[4..8] != STUN_COOKIE {
        return None;
    }
    // The class is in bits 4 and 8 of the type.
    let class = match (head[0] & 1, head[1] & 0x10) {
        (0, 0) => "request",
        (0, _) => "indication",
        (_, 0) => "success",
        _ => "error",
    };
    Some(told(Sort::Stun, format!("STUN {class}"), format!("STUN {class}, {} B", payload.len())))
}

fn unported(packet: &Packet) -> Told {
    let says = |kind| match kind {
        IcmpKind::HostUnreachable => "host unreachable".to_owned(),
        IcmpKind::PortUnreachable => "port unreachable".to_owned(),
        IcmpKind::Prohibited => "prohibited".to_owned(),
        IcmpKind::TimeExceeded => "time exceeded".to_owned(),
        IcmpKind::TooBig { mtu } => format!("too big, MTU {mtu}"),
    };
    match packet.quoted() {
        Some(quoted) => {
            let (kind, flow) = (says(quoted.kind), quoted.flow);
            let detail = format!("ICMP: {kind}, about {} → {}", flow.source, flow.destination);
            told(Sort::Icmp, format!("ICMP {kind}"), detail)
        }
        None => told(Sort::Other, format!("IP, {} B", packet.len()), "neither UDP nor TCP".into()),
    }
}

/// Where a packet says that it comes from and goes.
pub(crate) fn ends(packet: &[u8]) -> String {
    match Packet::parse(packet.to_vec()) {
        Ok(packet) => match packet.flow() {
            Some(flow) => format!("{} → {}", flow.source, flow.destination),
            None => format!("{} → {}", packet.source_ip(), packet.destination_ip()),
        },
        Err(_) => String::new(),
    }
}

#[cfg(test)]
#[path = "describe_tests.rs"]
mod tests;
