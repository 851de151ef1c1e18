use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4Packet, Icmpv6Packet, IpAddress, IpProtocol, IpRepr, Ipv4Packet, Ipv6Packet, TcpControl, TcpPacket,
    TcpRepr, TcpSeqNumber, UdpPacket, UdpRepr,
};

use super::*;
use crate::Rng;
use crate::seeds::cases;

/// smoltcp's word for it: every checksum of the packet holds.
fn smoltcp_agrees(packet: &Packet) -> bool {
    let bytes = packet.bytes();
    let (source, destination, protocol, rest) = if packet.is_ipv4() {
        let ip = Ipv4Packet::new_checked(bytes).unwrap();
        if !ip.verify_checksum() {
            return false;
        }
        let ends = (IpAddress::from(ip.src_addr()), IpAddress::from(ip.dst_addr()));
        (ends.0, ends.1, ip.next_header(), &bytes[usize::from(ip.header_len())..])
    } else {
        let ip = Ipv6Packet::new_checked(bytes).unwrap();
        (IpAddress::from(ip.src_addr()), IpAddress::from(ip.dst_addr()), ip.next_header(), &bytes[40..])
    };
    match (protocol, source, destination) {
        (IpProtocol::Udp, ..) => UdpPacket::new_checked(rest).unwrap().verify_checksum(&source, &destination),
        (IpProtocol::Tcp, ..) => TcpPacket::new_checked(rest).unwrap().verify_checksum(&source, &destination),
        (IpProtocol::Icmp, ..) => Icmpv4Packet::new_checked(rest).unwrap().verify_checksum(),
        (IpProtocol::Icmpv6, IpAddress::Ipv6(source), IpAddress::Ipv6(destination)) => {
            Icmpv6Packet::new_checked(rest).unwrap().verify_checksum(&source, &destination)
        }
        _ => true,
    }
}

/// A packet as smoltcp encodes it.
fn by_smoltcp(source: SocketAddr, destination: SocketAddr, ttl: u8, payload: &[u8], tcp: bool) -> Vec<u8> {
    let (from, to) = (IpAddress::from(source.ip()), IpAddress::from(destination.ip()));
    let udp = UdpRepr { src_port: source.port(), dst_port: destination.port() };
    let segment = TcpRepr {
        src_port: source.port(),
        dst_port: destination.port(),
        control: TcpControl::Syn,
        seq_number: TcpSeqNumber(7),
        ack_number: Some(TcpSeqNumber(9)),
        window_len: 1000,
        window_scale: Some(3),
        max_seg_size: Some(1460),
        sack_permitted: true,
        sack_ranges: [None; 3],
        timestamp: None,
        payload,
    };
    let (protocol, len) = if tcp {
        (IpProtocol::Tcp, segment.buffer_len())
    } else {
        (IpProtocol::Udp, udp.header_len() + payload.len())
    };
    let ip = IpRepr::new(from, to, protocol, len, ttl);
    let mut bytes = vec![0; ip.header_len() + len];
    let sums = ChecksumCapabilities::default();
    ip.emit(&mut bytes, &sums);
    let rest = &mut bytes[ip.header_len()..];
    if tcp {
        segment.emit(&mut TcpPacket::new_unchecked(rest), &from, &to, &sums);
    } else {
        let put = |buffer: &mut [u8]| buffer.copy_from_slice(payload);
        udp.emit(&mut UdpPacket::new_unchecked(rest), &from, &to, payload.len(), put, &sums);
    }
    bytes
}

fn ends() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    let v4 = (any::<u32>(), any::<u32>())
        .prop_map(|(a, b)| (IpAddr::from(Ipv4Addr::from(a)), IpAddr::from(Ipv4Addr::from(b))));
    let v6 = (any::<u128>(), any::<u128>())
        .prop_map(|(a, b)| (IpAddr::from(Ipv6Addr::from(a)), IpAddr::from(Ipv6Addr::from(b))));
    (prop_oneof![v4, v6], any::<u16>(), any::<u16>())
        .prop_map(|((a, b), p, q)| (SocketAddr::new(a, p), SocketAddr::new(b, q)))
}

fn two_pairs() -> impl Strategy<Value = ((SocketAddr, SocketAddr), (SocketAddr, SocketAddr))> {
    (ends(), ends()).prop_filter("of one IP version", |(a, b)| a.0.is_ipv4() == b.0.is_ipv4())
}

fn ecn() -> impl Strategy<Value = Ecn> {
    (0..4u8).prop_map(Ecn::from_bits)
}

fn udp(ends: (SocketAddr, SocketAddr), payload: &[u8]) -> Packet {
    let (source, destination) = ends;
    let header = UdpHeader { source, destination, ttl: 64, ecn: Ecn::NotEct, dont_fragment: true };
    Packet::udp(Vec::new(), &header, payload).unwrap()
}

/// Unicast addresses, about which errors may be sent.
fn some_ends(ipv4: bool) -> (SocketAddr, SocketAddr) {
    if ipv4 {
        ("192.0.2.1:1000".parse().unwrap(), "198.51.100.7:2000".parse().unwrap())
    } else {
        ("[2001:db8::1]:1000".parse().unwrap(), "[2001:db8:1::7]:2000".parse().unwrap())
    }
}

const KINDS: [IcmpKind; 5] = [
    IcmpKind::HostUnreachable,
    IcmpKind::PortUnreachable,
    IcmpKind::Prohibited,
    IcmpKind::TimeExceeded,
    IcmpKind::TooBig { mtu: 1300 },
];

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn a_datagram_reads_back_as_it_was_built_and_smoltcp_finds_nothing_wrong(
        ends in ends(), ttl in 1..=255u8, ecn in ecn(), dont_fragment: bool,
        payload in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let (source, destination) = ends;
        let header = UdpHeader { source, destination, ttl, ecn, dont_fragment };
        let packet = Packet::udp(vec![1, 2, 3], &header, &payload).unwrap();
        prop_assert!(smoltcp_agrees(&packet));
        let read = Packet::parse(packet.bytes().to_vec()).unwrap();
        prop_assert_eq!(&read, &packet);
        prop_assert_eq!(read.flow(), Some(Flow { protocol: Protocol::Udp, source, destination }));
        prop_assert_eq!(read.payload(), &payload[..]);
        prop_assert_eq!((read.ttl(), read.ecn()), (ttl, ecn));
        prop_assert_eq!(read.dont_fragment(), dont_fragment || !source.is_ipv4());
        prop_assert!(read.checksum_holds());
    }

    #[test]
    fn what_smoltcp_encodes_is_read_as_it_means_it(
        ends in ends(), ttl in 1..=255u8, tcp: bool, payload in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let packet = Packet::parse(by_smoltcp(ends.0, ends.1, ttl, &payload, tcp)).unwrap();
        prop_assert!(packet.checksum_holds());
        let protocol = if tcp { Protocol::Tcp } else { Protocol::Udp };
        prop_assert_eq!(packet.flow(), Some(Flow { protocol, source: ends.0, destination: ends.1 }));
        prop_assert_eq!(packet.payload(), &payload[..]);
        prop_assert_eq!(packet.ttl(), ttl);
        let flags = TcpFlags { syn: true, ack: true, fin: false, rst: false };
        prop_assert_eq!(packet.tcp_flags(), tcp.then_some(flags));
    }

    #[test]
    fn checksums_hold_after_any_rewrite(
        pairs in two_pairs(), tcp: bool, ecn in ecn(), ttl in 2..=255u8, new_ttl: u8,
        payload in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let (old, new) = pairs;
        let mut packet = Packet::parse(by_smoltcp(old.0, old.1, ttl, &payload, tcp)).unwrap();
        prop_assert!(packet.set_source(new.0));
        prop_assert!(smoltcp_agrees(&packet));
        prop_assert!(packet.set_destination(new.1));
        prop_assert!(smoltcp_agrees(&packet));
        packet.set_ecn(ecn);
        prop_assert!(packet.decrement_ttl());
        prop_assert_eq!(packet.ttl(), ttl - 1);
        prop_assert!(smoltcp_agrees(&packet));
        packet.set_ttl(new_ttl);
        prop_assert!(smoltcp_agrees(&packet));
        let protocol = if tcp { Protocol::Tcp } else { Protocol::Udp };
        prop_assert_eq!(packet.flow(), Some(Flow { protocol, source: new.0, destination: new.1 }));
        prop_assert_eq!((packet.ecn(), packet.payload()), (ecn, &payload[..]));
    }

    #[test]
    fn an_error_that_nats_rewrite_quotes_what_its_receiver_knows(
        ipv4: bool, kind in 0..5usize, tcp: bool, long: bool, out: (u32, u16), inner: (u32, u16),
    ) {
        let (from, to) = some_ends(ipv4);
        let payload = vec![5; if long { 1100 } else { 30 }];
        let about = Packet::parse(by_smoltcp(from, to, 9, &payload, tcp)).unwrap();
        let reporter = if ipv4 { "203.0.113.9".parse().unwrap() } else { "2001:db8::99".parse().unwrap() };
        let mut error = Packet::icmp_error(&about, KINDS[kind], reporter).unwrap();
        prop_assert!(smoltcp_agrees(&error) && error.checksum_holds());
        let read = error.quoted().unwrap();
        prop_assert_eq!((read.kind, Some(read.flow)), (KINDS[kind], about.flow()));
        prop_assert_eq!((error.source_ip(), error.destination_ip()), (reporter, from.ip()));

        let ip = |bits: u32| if ipv4 {
            IpAddr::from(Ipv4Addr::from(bits))
        } else {
            IpAddr::from(Ipv6Addr::from(u128::from(bits) << 64 | 1))
        };
        let (source, destination) = (SocketAddr::new(ip(inner.0), inner.1), SocketAddr::new(ip(out.0), out.1));
        prop_assert!(error.set_quoted_source(source) && error.set_quoted_destination(destination));
        prop_assert!(error.set_destination(source) && error.set_source(destination));
        prop_assert!(smoltcp_agrees(&error));
        let read = error.quoted().unwrap();
        prop_assert_eq!((read.flow.source, read.flow.destination), (source, destination));
        // Where the whole packet is quoted, it is the packet that would have been sent, checksums and all.
        if !long {
            let mut sent = about;
            sent.set_source(source);
            sent.set_destination(destination);
            prop_assert_eq!(error.payload(), sent.bytes());
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), seed: u64) {
        exercise(bytes, seed);
    }

    #[test]
    fn no_damage_makes_it_panic(
        ipv4: bool, tcp: bool, quoted: bool, hits in proptest::collection::vec((0..90usize, any::<u8>()), 0..6),
        cut in 0..120usize, seed: u64,
    ) {
        let (from, to) = some_ends(ipv4);
        let mut bytes = by_smoltcp(from, to, 9, &[1; 30], tcp);
        if quoted {
            let about = Packet::parse(bytes).unwrap();
            bytes = Packet::icmp_error(&about, IcmpKind::TimeExceeded, to.ip()).unwrap().into_bytes();
        }
        bytes.truncate(bytes.len().saturating_sub(cut).max(44));
        for (at, with) in hits {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= with;
            }
        }
        // So that damage behind the header check is reached too.
        if ipv4 {
            let len = (bytes.len() as u16).to_be_bytes();
            bytes[2..4].copy_from_slice(&len);
            bytes[0] = 0x45;
            bytes[10..12].fill(0);
            let sum = Sum::of(&bytes[..20]).finish();
            put_word(&mut bytes, 10, sum);
        } else {
            let len = (bytes.len() as u16 - 40).to_be_bytes();
            bytes[4..6].copy_from_slice(&len);
        }
        exercise(bytes, seed);
    }
}

/// Everything that can be done with a packet.
fn exercise(bytes: Vec<u8>, seed: u64) {
    let Ok(mut packet) = Packet::parse(bytes) else { return };
    let (a, b) = some_ends(packet.is_ipv4());
    let _ = (packet.flow(), packet.tcp_flags(), packet.quoted(), packet.payload(), packet.checksum_holds());
    let _ = Packet::tcp_reset(&packet);
    for kind in KINDS {
        let _ = Packet::icmp_error(&packet, kind, a.ip());
    }
    packet.set_source(a);
    packet.set_destination(b);
    packet.set_quoted_source(b);
    packet.set_quoted_destination(a);
    packet.decrement_ttl();
    packet.set_ecn(Ecn::Ce);
    let _ = packet.damage(&mut Rng::new(seed));
}

#[test]
fn a_damaged_datagram_never_passes_as_whole() {
    let mut rng = Rng::new(3);
    let mut noticed = 0;
    for ipv4 in [true, false] {
        let whole = udp(some_ends(ipv4), &[0x55; 300]);
        for _ in 0..20_000 {
            let Some(damaged) = whole.clone().damage(&mut rng) else { continue };
            assert_ne!(damaged.bytes(), whole.bytes(), "nothing was damaged");
            noticed += u32::from(!damaged.checksum_holds());
            if damaged.checksum_holds() && damaged.flow().is_some() {
                // No sum covers IPv6's hop limit and traffic class; and a checksum may have become "none".
                assert_eq!((damaged.flow(), damaged.payload()), (whole.flow(), whole.payload()));
            }
        }
    }
    assert!(noticed > 30_000);
}

#[test]
fn a_datagram_without_a_checksum_is_whole_over_ipv4_and_stays_without_one() {
    let mut bytes = udp(some_ends(true), b"abc").into_bytes();
    bytes[26..28].fill(0);
    let mut packet = Packet::parse(bytes).unwrap();
    assert!(packet.checksum_holds());
    packet.set_source("192.0.2.9:9".parse().unwrap());
    assert_eq!(packet.bytes()[26..28], [0, 0]);
    let mut bytes = udp(some_ends(false), b"abc").into_bytes();
    bytes[46..48].fill(0);
    assert!(!Packet::parse(bytes).unwrap().checksum_holds());
}

#[test]
fn a_sum_of_zero_is_sent_as_all_ones() {
    let mut seen = false;
    for word in 0..=u16::MAX {
        let packet = udp(some_ends(true), &word.to_be_bytes());
        assert_ne!(packet.bytes()[26..28], [0, 0], "that would mean none");
        seen |= packet.bytes()[26..28] == [0xff, 0xff];
    }
    assert!(seen);
}

#[test]
fn a_ttl_of_one_is_not_counted_down() {
    let mut packet = udp(some_ends(true), b"");
    packet.set_ttl(1);
    assert!(!packet.decrement_ttl());
    assert_eq!(packet.ttl(), 1);
}

#[test]
fn no_error_is_sent_about_an_error_or_to_many() {
    let about = udp(some_ends(true), b"x");
    let by: IpAddr = "203.0.113.9".parse().unwrap();
    let error = Packet::icmp_error(&about, IcmpKind::TimeExceeded, by).unwrap();
    assert_eq!(Packet::icmp_error(&error, IcmpKind::TimeExceeded, by), None);
    let to_all = udp(("192.0.2.1:1".parse().unwrap(), "255.255.255.255:1".parse().unwrap()), b"x");
    assert_eq!(Packet::icmp_error(&to_all, IcmpKind::PortUnreachable, by), None);
    let to_group = udp(("[2001:db8::1]:1".parse().unwrap(), "[ff02::1]:1".parse().unwrap()), b"x");
    assert_eq!(
        Packet::icmp_error(&to_group, IcmpKind::PortUnreachable, "2001:db8::2".parse().unwrap()),
        None
    );
}

#[test]
fn a_reset_answers_what_it_refuses() {
    for ipv4 in [true, false] {
        let (from, to) = some_ends(ipv4);
        let reset =
            Packet::tcp_reset(&Packet::parse(by_smoltcp(from, to, 9, b"abc", true)).unwrap()).unwrap();
        assert!(smoltcp_agrees(&reset));
        assert_eq!(reset.flow().unwrap(), Flow { protocol: Protocol::Tcp, source: to, destination: from });
        let segment = TcpPacket::new_checked(reset.transport()).unwrap();
        // The segment acknowledged 9, so that is where the reset stands (RFC 9293 §3.10.7.1).
        assert_eq!((segment.seq_number(), segment.rst(), segment.ack()), (TcpSeqNumber(9), true, false));
        assert_eq!(Packet::tcp_reset(&reset), None, "a reset is not reset");
    }
}

#[test]
fn fragments_and_wrong_lengths_are_no_packets() {
    let whole = udp(some_ends(true), b"abcdef").into_bytes();
    let mut fragment = whole.clone();
    fragment[6] |= 0x20;
    fragment[10..12].fill(0);
    let sum = Sum::of(&fragment[..20]).finish();
    put_word(&mut fragment, 10, sum);
    assert_eq!(Packet::parse(fragment), Err(PacketError::Fragment));
    assert_eq!(Packet::parse(whole[..whole.len() - 1].to_vec()), Err(PacketError::Length));
    let mut damaged = whole;
    damaged[8] ^= 1;
    assert_eq!(Packet::parse(damaged), Err(PacketError::HeaderChecksum));
}
