use std::collections::BTreeMap;

use crust_proto::{Duration, Instant};
use proptest::prelude::*;

use super::message::{COOKIE, get_address};
use super::*;
use crate::nat::Reason;
use crate::seeds::cases;
use crate::world::{Inbound, Middlebox, Outbound};
use crate::{Flow, LinkConfig, TcpFlags};

/// A NAT that keeps what it is told apart: nothing, the address, or the address and port.
#[derive(Debug)]
struct Nat {
    outside: IpAddr,
    mapping: Mapping,
    filtering: Filtering,
    by_key: BTreeMap<(SocketAddr, Option<IpAddr>, Option<u16>), u16>,
    inner: BTreeMap<u16, (SocketAddr, Vec<SocketAddr>)>,
}

impl Middlebox for Nat {
    fn outbound(&mut self, flow: Flow, _: Option<TcpFlags>, _: Instant) -> Outbound {
        let to = flow.destination;
        let ip = (self.mapping >= Mapping::AddressDependent).then_some(to.ip());
        let port = (self.mapping >= Mapping::AddressAndPortDependent).then_some(to.port());
        let next = 50_000 + self.by_key.len() as u16;
        let outer = *self.by_key.entry((flow.source, ip, port)).or_insert(next);
        self.inner.entry(outer).or_insert((flow.source, Vec::new())).1.push(to);
        Outbound::Forward { source: SocketAddr::new(self.outside, outer) }
    }

    fn inbound(&mut self, flow: Flow, _: Option<TcpFlags>, _: Instant) -> Inbound {
        let Some((inner, sent_to)) = self.inner.get(&flow.destination.port()) else {
            return Inbound::Drop(Reason::NoMapping);
        };
        let lets_in = |to: &SocketAddr| match self.filtering {
            Filtering::EndpointIndependent => true,
            Filtering::AddressDependent => to.ip() == flow.source.ip(),
            Filtering::AddressAndPortDependent => *to == flow.source,
        };
        if sent_to.iter().any(lets_in) {
            Inbound::Forward { destination: *inner }
        } else {
            Inbound::Drop(Reason::NoMapping)
        }
    }

    fn inbound_error(&mut self, _: Flow, _: Instant) -> Option<SocketAddr> {
        None
    }

    fn reboot(&mut self, _: &[IpAddr]) {}
}

/// A STUN server on the internet, and a client there or behind a NAT.
fn world(seed: u64, nat: Option<(Mapping, Filtering)>, loss: u32) -> (World, HostId, StunServer) {
    let mut world = World::new(seed);
    let internet = world.add_segment();
    let host = world.add_host();
    let link = LinkConfig { loss, ..LinkConfig::default() };
    let on = world.add_interface(host, internet, link);
    let addresses = [IpAddr::from([203, 0, 113, 2]), IpAddr::from([203, 0, 113, 3])];
    for ip in addresses {
        world.add_address(on, ip, 24);
    }
    let stun = StunServer::start(&mut world, host, addresses, [3478, 3479]).unwrap();
    let client = world.add_host();
    let outside = IpAddr::from([203, 0, 113, 9]);
    let Some((mapping, filtering)) = nat else {
        let on = world.add_interface(client, internet, link);
        world.add_address(on, outside, 24);
        return (world, client, stun);
    };
    let router = world.add_router();
    let (inner, lan) = world.connect(client, router, link);
    world.add_address(inner, IpAddr::from([192, 168, 1, 2]), 24);
    world.add_address(lan, IpAddr::from([192, 168, 1, 1]), 24);
    world.set_gateway(inner, IpAddr::from([192, 168, 1, 1]));
    let wan = world.add_interface(router, internet, link);
    world.add_address(wan, outside, 24);
    let nat = Nat { outside, mapping, filtering, by_key: BTreeMap::new(), inner: BTreeMap::new() };
    world.set_middleboxes(wan, Some(Box::new(nat)), None);
    (world, client, stun)
}

const MAPPINGS: [Mapping; 3] =
    [Mapping::EndpointIndependent, Mapping::AddressDependent, Mapping::AddressAndPortDependent];
const FILTERINGS: [Filtering; 3] =
    [Filtering::EndpointIndependent, Filtering::AddressDependent, Filtering::AddressAndPortDependent];

#[test]
fn the_class_found_is_the_class_configured() {
    for (mapping, filtering) in MAPPINGS.iter().flat_map(|mapping| FILTERINGS.map(|other| (*mapping, other)))
    {
        for (seed, loss) in [(1, 0), (2, 0), (3, 30_000)] {
            let (mut world, client, mut stun) = world(seed, Some((mapping, filtering)), loss);
            let found = classify(&mut world, client, &mut stun).unwrap();
            assert_eq!((found.mapping, found.filtering), (mapping, filtering), "seed {seed}");
            assert_eq!(found.external, "203.0.113.9:50000".parse().unwrap());
            assert_eq!(found.local.ip(), IpAddr::from([192, 168, 1, 2]));
        }
    }
}

#[test]
fn without_a_nat_there_is_none_and_anybody_is_let_in() {
    let (mut world, client, mut stun) = world(1, None, 0);
    let found = classify(&mut world, client, &mut stun).unwrap();
    assert_eq!((found.mapping, found.filtering), (Mapping::None, Filtering::EndpointIndependent));
    assert_eq!(found.external, found.local);
}

#[test]
fn a_server_that_is_gone_times_out() {
    let (mut world, client, mut stun) = world(1, None, 1_000_000);
    assert_eq!(classify(&mut world, client, &mut stun).unwrap_err(), NetError::TimedOut);
    assert_eq!(world.now(), Instant::ZERO + Duration::from_millis(7500));
}

#[test]
fn what_it_does_not_understand_it_says() {
    let (_, _, stun) = world(1, None, 0);
    let request = Message::new(REQUEST, [7; 12]).with(0x0024, vec![0; 4]).with(0x8022, vec![1]);
    let (answer, ip, port) = stun.answer(&request, "192.0.2.1:5".parse().unwrap(), 1, 0);
    assert_eq!((answer.kind, ip, port), (FAILURE, 1, 0));
    assert_eq!(answer.get(UNKNOWN_ATTRIBUTES), Some(&[0x00, 0x24][..]));
}

#[test]
fn an_address_is_masked_as_the_rfc_shows() {
    // RFC 5769 §2.2 and §2.3: 192.0.2.1:32853 and 2001:db8:1234:5678:11:2233:4455:6677:32853.
    let transaction = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
    let v4 = [0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
    let v6 = [
        0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4, 0xb5, 0xbe,
        0xd2, 0xb9, 0xd9,
    ];
    for (bytes, text) in
        [(&v4[..], "192.0.2.1:32853"), (&v6[..], "[2001:db8:1234:5678:11:2233:4455:6677]:32853")]
    {
        let address: SocketAddr = text.parse().unwrap();
        assert_eq!(put_address(address, Some(&transaction)), bytes);
        assert_eq!(get_address(bytes, Some(&transaction)), Some(address));
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn a_message_reads_back_as_it_was_written(
        kind in 0..0x4000u16, transaction: [u8; 12],
        attributes in proptest::collection::vec((any::<u16>(), proptest::collection::vec(any::<u8>(), 0..30)), 0..5),
    ) {
        let message = Message { kind, transaction, attributes };
        let bytes = message.encode();
        let read = Message::decode(&bytes).unwrap();
        prop_assert_eq!((read.kind, read.transaction), (message.kind, message.transaction));
        prop_assert_eq!(read.attributes, message.attributes);
        prop_assert!(Message::decode(&bytes[..bytes.len() - 1]).is_none());
    }

    #[test]
    fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..80), stun: bool) {
        if stun && bytes.len() >= 20 {
            let length = (bytes.len() as u16 - 20).to_be_bytes();
            bytes[0] &= 0x3f;
            bytes[2..4].copy_from_slice(&length);
            bytes[4..8].copy_from_slice(&COOKIE.to_be_bytes());
        }
        if let Some(message) = Message::decode(&bytes) {
            for (_, value) in &message.attributes {
                let _ = (get_address(value, None), get_address(value, Some(&message.transaction)));
            }
        }
    }
}

#[test]
fn an_answer_names_where_it_comes_from_and_the_other_address() {
    let (_, _, stun) = world(1, None, 0);
    let at = |ip: usize, port: usize| SocketAddr::new(stun.addresses[ip], stun.ports[port]);
    for (ip, port) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        for (change_ip, change_port) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let change = CHANGE_IP * change_ip as u32 + CHANGE_PORT * change_port as u32;
            let request = Message::new(REQUEST, [7; 12]).with(CHANGE_REQUEST, change.to_be_bytes().to_vec());
            let (answer, by_ip, by_port) = stun.answer(&request, "192.0.2.1:5".parse().unwrap(), ip, port);
            assert_eq!((by_ip, by_port), (ip ^ change_ip, port ^ change_port));
            let told = |kind| get_address(answer.get(kind).unwrap(), None);
            assert_eq!(told(RESPONSE_ORIGIN), Some(at(by_ip, by_port)));
            assert_eq!(told(OTHER_ADDRESS), Some(at(ip ^ 1, port ^ 1)));
        }
    }
}
