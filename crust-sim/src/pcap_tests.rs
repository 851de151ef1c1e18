use std::process::Command;

use super::*;
use crate::record::testing::transfer;
use crate::record::{RecordLimits, Recorder};
use crate::{Protocol, seeds};

/// What this reader, which shares nothing with the writer, finds in a file.
#[derive(Debug, Default)]
struct File {
    interfaces: Vec<String>,
    packets: Vec<Record>,
}

#[derive(Debug)]
struct Record {
    interface: usize,
    nanos: u64,
    bytes: Vec<u8>,
    comments: Vec<String>,
}

fn read(bytes: &[u8]) -> File {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let half = |at: usize| usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()));
    let options = |mut at: usize, end: usize| {
        let mut found = Vec::new();
        while at < end && half(at) != 0 {
            let length = half(at + 2);
            found.push((half(at), bytes[at + 4..at + 4 + length].to_vec()));
            at += 4 + length.div_ceil(4) * 4;
        }
        found
    };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (mut file, mut at) = (File::default(), 0);
    while at < bytes.len() {
        let (kind, length) = (word(at), word(at + 4));
        assert_eq!((length % 4, word(at + length - 4)), (0, length), "a block's two lengths");
        let (body, end) = (at + 8, at + length - 4);
        match kind {
            0x0a0d_0d0a => {
                assert_eq!((at, word(body), half(body + 4), half(body + 6)), (0, 0x1a2b_3c4d, 1, 0))
            }
            1 => {
                assert_eq!((half(body), word(body + 4)), (101, 0));
                let options = options(body + 8, end);
                assert!(options.contains(&(9, vec![9])), "nanoseconds");
                file.interfaces.push(text(&options.iter().find(|(code, _)| *code == 2).unwrap().1));
            }
            6 => {
                let length = word(body + 12);
                assert_eq!(length, word(body + 16));
                let options = options(body + 20 + length.div_ceil(4) * 4, end);
                assert!(options.contains(&(2, vec![2, 0, 0, 0])), "outbound");
                let comments = options.iter().filter(|(code, _)| *code == 1).map(|(_, value)| text(value));
                file.packets.push(Record {
                    interface: word(body),
                    nanos: (word(body + 4) as u64) << 32 | word(body + 8) as u64,
                    bytes: bytes[body + 20..body + 20 + length].to_vec(),
                    comments: comments.collect(),
                });
            }
            kind => panic!("block {kind:#x}"),
        }
        at += length;
    }
    file
}

/// The sum of 16-bit words in ones' complement, which is all ones where a checksum is among them and right.
fn sum(parts: &[&[u8]]) -> u64 {
    let bytes: Vec<u8> = parts.concat();
    let words =
        bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u64::from(*low)));
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

fn recorded(seed: u64) -> Recording {
    let recorder = Recorder::new(RecordLimits::default());
    transfer(seed, 60_000, Some(&recorder));
    recorder.recording()
}

fn written(recording: &Recording, capture: Capture) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(recording, capture, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_capture_has_each_packet_once_on_each_wire_under_the_name_of_who_sent_it() {
    seeds(3, |seed| {
        let recording = recorded(seed);
        let file = read(&written(&recording, Capture::Packets));
        let sent: Vec<&Captured> =
            recording.packets.iter().filter(|seen| seen.sight == Sight::Sent).collect();
        assert_eq!(file.packets.len(), sent.len());
        for (record, sent) in file.packets.iter().zip(sent) {
            assert_eq!(record.bytes, sent.packet);
            assert_eq!(record.nanos, 1_767_225_600_000_000_000 + sent.now.as_nanos());
            let host = recording.host_name(sent.host);
            let name = &file.interfaces[record.interface];
            assert!(
                *name == host || name.strip_prefix(&host).is_some_and(|rest| rest.starts_with('/')),
                "{name}"
            );
        }
        for name in ["alice", "home's NAT/1", "home's NAT/2", "bob"] {
            assert!(file.interfaces.iter().any(|has| has == name), "{name} in {:?}", file.interfaces);
        }
    });
}

#[test]
fn what_did_not_arrive_is_told_where_it_was_last_sent() {
    seeds(3, |seed| {
        let recording = recorded(seed);
        let file = read(&written(&recording, Capture::Packets));
        let told = |what: &str| {
            file.packets.iter().filter(|packet| packet.comments.iter().any(|c| c.contains(what))).count()
        };
        let seen = |sight| recording.packets.iter().filter(|seen| seen.sight == sight).count();
        assert_eq!((told("lost"), told("dropped by")), (seen(Sight::Lost), seen(Sight::Dropped)));
        assert!(told("lost by the link") > 0);
    });
}

#[test]
fn contents_stand_in_clear_in_packets_whose_lengths_and_checksums_are_right() {
    seeds(3, |seed| {
        let recording = recorded(seed);
        let file = read(&written(&recording, Capture::Contents));
        let sent = recording.packets.iter().filter(|seen| seen.sight == Sight::Sent);
        let (mut clear, mut closed) = (0, 0);
        for (record, sent) in file.packets.iter().zip(sent) {
            let (ip, udp) = record.bytes.split_at(20);
            assert_eq!(
                (ip[0], ip[9], usize::from(ip[2]) << 8 | usize::from(ip[3])),
                (0x45, 17, record.bytes.len())
            );
            assert_eq!(usize::from(udp[4]) << 8 | usize::from(udp[5]), udp.len());
            assert_eq!(sum(&[ip]), 0xffff, "the header's checksum");
            assert_eq!(sum(&[&ip[12..20], &[0, 17], &udp[4..6], udp]), 0xffff, "the datagram's checksum");
            match &sent.contents {
                Some(contents) => {
                    assert_eq!(udp[8..], contents[..]);
                    assert!(record.comments[0].starts_with("packet "), "{:?}", record.comments);
                    clear += 1;
                }
                None => {
                    assert_eq!(record.bytes, sent.packet);
                    assert!(
                        record.comments[0].starts_with("hello") || record.comments[0].starts_with("reply")
                    );
                    closed += 1;
                }
            }
            // Addresses, ports, TTL and ECN are those on the wire.
            assert_eq!(
                (&ip[12..20], &udp[..4], ip[8], ip[1]),
                (&sent.packet[12..20], &sent.packet[20..24], sent.packet[8], sent.packet[1])
            );
        }
        assert!(clear > 100 && closed > 0, "{clear} in clear, {closed} not");
    });
}

#[test]
fn headers_that_noise_has_changed_are_left_as_they_are() {
    let recording = recorded(1);
    let mut seen = recording.packets.iter().find(|seen| seen.contents.is_some()).unwrap().clone();
    assert!(in_clear(&seen).is_some());
    let port = 20;
    seen.packet[port] ^= 1;
    assert!(in_clear(&seen).is_none());
}

#[test]
fn a_recording_of_nothing_is_a_file_of_nothing() {
    let file = read(&written(&Recording::default(), Capture::Packets));
    assert_eq!((file.interfaces.len(), file.packets.len()), (0, 0));
}

#[test]
fn wireshark_opens_both_files_and_finds_nothing_wrong() {
    if Command::new("tshark").arg("--version").output().is_err() {
        println!("skipped: no tshark");
        return;
    }
    let recording = recorded(2);
    let sent = recording.packets.iter().filter(|seen| seen.sight == Sight::Sent).count();
    let folder = tempfile::tempdir().unwrap();
    for capture in [Capture::Packets, Capture::Contents] {
        let path = folder.path().join("run.pcapng");
        std::fs::write(&path, written(&recording, capture)).unwrap();
        let tshark = |arguments: &[&str]| {
            let mut command = Command::new("tshark");
            // Or it takes some random bytes for what they are not.
            command.args([
                "-d",
                "udp.port==1-65535,data",
                "-o",
                "ip.check_checksum:TRUE",
                "-o",
                "udp.check_checksum:TRUE",
            ]);
            let output = command.arg("-r").arg(&path).args(arguments).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let lines = tshark(&[
            "-T",
            "fields",
            "-e",
            "frame.interface_name",
            "-e",
            "ip.checksum.status",
            "-e",
            "udp.checksum.status",
        ]);
        assert_eq!(lines.lines().count(), sent);
        assert!(lines.lines().all(|line| line.ends_with("\t1\t1")), "1 is good: {lines}");
        assert!(lines.lines().any(|line| line.starts_with("home's NAT/2\t")));
        assert_eq!(tshark(&["-Y", "_ws.malformed || _ws.expert.severity >= 8388608"]), "");
    }
}

#[test]
fn the_script_for_wireshark_reads_every_frame_and_says_what_is_none() {
    use crust_proto::wire::codec::{Reader, Writer};
    use crust_proto::wire::frame::{Frame, StreamFrame};

    match Command::new("tshark").arg("--version").output() {
        Ok(output) if String::from_utf8_lossy(&output.stdout).contains("with Lua") => {}
        _ => return println!("skipped: no tshark with Lua"),
    }
    let (large, data) = (crust_proto::wire::codec::MAX_VARINT - 5, &b"some bytes"[..]);
    let acks = [&[2, 1, 0x40, 99, 5, 1, 3, 0, 2][..], &[3, 1, 9, 5, 0, 3, 1, 2, 3]];
    let acks = acks.map(|bytes| Frame::decode(&mut Reader::new(bytes)).unwrap());
    let stream = |offset, fin| Frame::Stream(StreamFrame { stream: 4, offset, data, fin });
    let [plain_ack, ecn_ack] = acks;
    let known = [
        (Frame::Ping, "PING"),
        (plain_ack, "ACK"),
        (ecn_ack, "ACK"),
        (Frame::ResetStream { stream: 1, code: large, final_size: 70_000 }, "RESET_STREAM"),
        (Frame::StopSending { stream: 300, code: 2 }, "STOP_SENDING"),
        (stream(0, false), "STREAM"),
        (stream(large / 2, true), "STREAM, fin"),
        (Frame::MaxData { limit: 1 << 40 }, "MAX_DATA"),
        (Frame::MaxStreamData { stream: 3, limit: 9 }, "MAX_STREAM_DATA"),
        (Frame::MaxStreams { unidirectional: false, limit: 9 }, "MAX_STREAMS, bidirectional"),
        (Frame::MaxStreams { unidirectional: true, limit: 9 }, "MAX_STREAMS, unidirectional"),
        (Frame::Message { priority: 3, offset: 1 << 20, data }, "MESSAGE"),
        (Frame::MaxMessageData { priority: 3, limit: 9 }, "MAX_MESSAGE_DATA"),
        (Frame::Close { code: 7, reason: b"the end" }, "CLOSE"),
        (Frame::PathChallenge([9; 8]), "PATH_CHALLENGE"),
        (Frame::PathResponse([9; 8]), "PATH_RESPONSE"),
        (Frame::Datagram(data), "DATAGRAM"),
        (Frame::Unknown { kind: 0x4321, content: data }, "unknown (0x4321)"),
        (Frame::Padding, "PADDING"),
    ];
    let mut recording = recorded(1);
    let pattern = recording.packets.iter().find(|seen| seen.contents.is_some()).unwrap().clone();
    let with = |frames: &[u8]| Captured { contents: Some([&[0; 16], frames].concat()), ..pattern.clone() };
    let mut all = vec![0; 1000];
    let mut w = Writer::new(&mut all);
    // A ping after each, which shows that the frame ended where it does.
    known
        .iter()
        .for_each(|(frame, _)| [frame, &Frame::Ping].into_iter().for_each(|frame| frame.encode(&mut w)));
    let length = 1000 - w.remaining();
    recording.packets =
        vec![with(&all[..length]), with(&[0x3f]), with(&[0x0a, 1, 0x7f, 0xff]), with(&[0x0c, 1])];
    let folder = tempfile::tempdir().unwrap();
    let (file, script) = (folder.path().join("run.pcapng"), folder.path().join("crust.lua"));
    std::fs::write(&file, written(&recording, Capture::Contents)).unwrap();
    std::fs::write(&script, DISSECTOR).unwrap();
    let output = Command::new("tshark")
        .arg("-X")
        .arg(format!("lua_script:{}", script.display()))
        .arg("-r")
        .arg(&file)
        .args(["-T", "fields", "-e", "_ws.col.Info", "-e", "crust.malformed"])
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    let names: Vec<String> = known[1..].iter().map(|(_, name)| format!("{name}, PING")).collect();
    assert_eq!(
        lines[0],
        format!("#0  PING, {}\t", names.join(", ")),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(lines[1..], ["#0  ?\t1"; 3]);
}

/// Whether TCP segments and ICMP errors pass untouched is seen on a world of bare sockets.
#[test]
fn what_is_not_crusts_stands_as_it_was_in_both_files() {
    use crust_proto::Duration;

    use crate::{LinkConfig, SendOptions, Sim, UdpOptions};

    let sim = Sim::new(3);
    let (alice, bob) = sim.pair(LinkConfig::with_latency(Duration::from_millis(1)));
    let recorder = Recorder::new(RecordLimits::default());
    recorder.watch(&sim);
    let mut world = sim.world();
    let from = world.udp_bind(alice, "0.0.0.0:9".parse().unwrap(), UdpOptions::default()).unwrap();
    world.udp_send(from, "10.0.0.2:7".parse().unwrap(), SendOptions::default(), b"nobody there").unwrap();
    world.run_for(Duration::from_secs(1));
    drop(world);
    let recording = recorder.recording();
    let files = [Capture::Packets, Capture::Contents].map(|capture| read(&written(&recording, capture)));
    let bytes = files
        .each_ref()
        .map(|file| file.packets.iter().map(|packet| packet.bytes.clone()).collect::<Vec<_>>());
    assert_eq!(bytes[0], bytes[1]);
    let protocols: Vec<_> = bytes[0]
        .iter()
        .map(|bytes| Packet::parse(bytes.clone()).unwrap().flow().map(|flow| flow.protocol))
        .collect();
    assert_eq!(protocols, [Some(Protocol::Udp), None], "and the ICMP error");
    assert_eq!(files[0].interfaces, [format!("host {}", alice.index()), format!("host {}", bob.index())]);
}

#[test]
fn what_a_link_damaged_is_told_where_it_was_sent() {
    let sim = crate::Sim::new(3);
    let (alice, bob) = sim.pair(crate::LinkConfig { corrupt: 200_000, ..crate::LinkConfig::default() });
    let recorder = Recorder::new(RecordLimits::default());
    recorder.watch(&sim);
    let mut world = sim.world();
    let socket = world.udp_bind(alice, "0.0.0.0:0".parse().unwrap(), crate::UdpOptions::default()).unwrap();
    world.udp_bind(bob, "0.0.0.0:7".parse().unwrap(), crate::UdpOptions::default()).unwrap();
    for number in 0..100_u32 {
        let data = number.to_be_bytes().repeat(100);
        world.udp_send(socket, "10.0.0.2:7".parse().unwrap(), crate::SendOptions::default(), &data).unwrap();
        world.run_for(crust_proto::Duration::from_millis(10));
    }
    drop(world);
    let mut recording = recorder.recording();
    // Of damaged ones that arrive it is told in the end that they were dropped; not so where the recording ends before.
    recording.packets.retain(|seen| seen.sight != Sight::Dropped);
    let damaged = crate::record::journey::journeys(&recording).iter().filter(|way| way.damaged).count();
    let file = read(&written(&recording, Capture::Packets));
    let comments = file.packets.iter().flat_map(|packet| &packet.comments);
    let told = comments.filter(|comment| comment.contains("damaged by a link")).count();
    assert!(damaged > 5);
    assert_eq!(told, damaged);
}
