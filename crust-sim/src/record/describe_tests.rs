use std::net::SocketAddr;

use crust_proto::Duration;
use crust_proto::wire::codec::Writer;
use crust_proto::wire::packet::Head;

use super::*;
use crate::record::{RecordLimits, Recorder};
use crate::stun::{StunServer, classify};
use crate::{ConnectOptions, HostId, LinkConfig, SendOptions, Sim, UdpOptions, World};

/// What packets were, each once, in the order in which they were sent.
fn labels(run: impl FnOnce(&mut World, HostId, HostId)) -> Vec<(Sort, String)> {
    let sim = Sim::new(1);
    let (alice, bob) = sim.pair(LinkConfig::with_latency(Duration::from_millis(5)));
    let recorder = Recorder::new(RecordLimits::default());
    recorder.watch(&sim);
    run(&mut sim.world(), alice, bob);
    let recording = recorder.recording();
    let sent = recording.packets.iter().filter(|seen| seen.sight == crate::world::Sight::Sent);
    sent.map(describe).map(|told| (told.sort, told.label)).collect()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn segments_are_told_by_their_flags() {
    let labels = labels(|world, alice, bob| {
        let listener = world.tcp_listen(bob, at("0.0.0.0:80"), 4).unwrap();
        let connection = world.tcp_connect(alice, at("10.0.0.2:80"), ConnectOptions::default()).unwrap();
        world.run_for(Duration::from_millis(50));
        assert!(world.tcp_accept(listener).unwrap().is_some());
        world.tcp_send(connection, b"twelve bytes").unwrap();
        world.run_for(Duration::from_millis(50));
        world.tcp_abort(connection);
        world.run_for(Duration::from_millis(50));
    });
    assert!(labels.iter().all(|(sort, _)| *sort == Sort::Tcp));
    let labels: Vec<&str> = labels.iter().map(|(_, label)| label.as_str()).collect();
    assert_eq!(labels[..4], ["SYN", "SYN ACK", "ACK", "ACK, 12 B"]);
    assert!(labels[4..].iter().any(|label| label.starts_with("RST")), "{labels:?}");
}

#[test]
fn stun_and_icmp_and_datagrams_are_told_apart() {
    let labels = labels(|world, alice, bob| {
        let interface = world.interfaces(bob)[1];
        world.add_address(interface, "10.0.0.3".parse().unwrap(), 24);
        let addresses = ["10.0.0.2".parse().unwrap(), "10.0.0.3".parse().unwrap()];
        let mut server = StunServer::start(world, bob, addresses, [3478, 3479]).unwrap();
        classify(world, alice, &mut server).unwrap();
        let socket = world.udp_bind(alice, at("0.0.0.0:0"), UdpOptions::default()).unwrap();
        world.udp_send(socket, at("10.0.0.2:9"), SendOptions::default(), b"anybody?").unwrap();
        world.run_for(Duration::from_millis(50));
    });
    for told in [
        (Sort::Stun, "STUN request"),
        (Sort::Stun, "STUN success"),
        (Sort::Icmp, "ICMP port unreachable"),
        (Sort::Other, "UDP, 8 B"),
    ] {
        assert!(labels.iter().any(|(sort, label)| (*sort, label.as_str()) == told), "{told:?} in {labels:?}");
    }
}

/// What is told of these frames in a packet.
fn framed(frames: &[Frame<'_>]) -> Told {
    let head = Head { slot: 3, check: 0, epoch: 1, path: 2, packet_number: 77 };
    let mut bytes = vec![0; 2000];
    let mut w = Writer::new(&mut bytes);
    w.bytes(&head.encode());
    frames.iter().for_each(|frame| frame.encode(&mut w));
    let length = 2000 - w.remaining();
    opened(&bytes[..length]).unwrap()
}

#[test]
fn a_packet_is_named_after_what_it_carries_and_acknowledgements_come_last() {
    let ack = [0x02, 0, 9, 0, 0, 3];
    let ack = Frame::decode(&mut Reader::new(&ack)).unwrap();
    let stream = |fin| {
        Frame::Stream(crust_proto::wire::frame::StreamFrame { stream: 4, offset: 10, data: b"abc", fin })
    };
    let told = framed(&[ack.clone(), stream(false), stream(true), Frame::Padding]);
    assert_eq!((told.sort, told.label.as_str()), (Sort::Data, "#77 STREAM, ACK"));
    assert_eq!(
        told.detail,
        "packet 77 of path 2, epoch 1, to slot 3\nACK path 0: 6–9, after 0 µs\nSTREAM 4: 3 B at 10\n\
         STREAM 4: 3 B at 10, fin\nPADDING"
    );
    assert_eq!(framed(&[ack]).sort, Sort::Ack);
    assert_eq!(framed(&[Frame::Close { code: 5, reason: b"so" }]).label, "#77 CLOSE");
    assert_eq!(framed(&[]).label, "#77 PADDING");
}

#[test]
fn a_packet_of_very_many_frames_is_told_in_few_lines() {
    let told = framed(&[const { Frame::Ping }; 900]);
    assert_eq!((told.label.as_str(), told.detail.lines().count()), ("#77 PING", MOST_LINES + 1));
    assert!(told.detail.ends_with("and 889 more frames"), "{}", told.detail);
}

#[test]
fn what_is_no_frame_is_said_to_be_none() {
    let told = opened(&[&[0; 16][..], &[0x3f, 1, 2, 3]].concat()).unwrap();
    assert!(told.detail.ends_with("and what is no frame"));
    assert_eq!(opened(&[0; 15]), None);
}
