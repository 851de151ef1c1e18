use crust_proto::Duration;

use super::*;
use crate::Protocol;
use crate::nat::{Full, Limits, Reason, Refusal};

const INSIDE: &str = "[2001:db8:1::11]:5000";
const OUTSIDE: &str = "[2001:db8::2]:3478";

fn flow(protocol: Protocol, source: &str, destination: &str) -> Flow {
    Flow { protocol, source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

fn udp(source: &str, destination: &str) -> Flow {
    flow(Protocol::Udp, source, destination)
}

fn secs(n: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(n)
}

fn inside() -> Inbound {
    Inbound::Forward { destination: INSIDE.parse().unwrap() }
}

#[test]
fn nothing_is_translated_and_only_answers_come_in() {
    let mut firewall = Firewall::new(FirewallConfig::default());
    let answer = udp(OUTSIDE, INSIDE);
    assert_eq!(firewall.inbound(answer, None, secs(0)), Inbound::Drop(Reason::NoMapping));
    let source = INSIDE.parse().unwrap();
    assert_eq!(firewall.outbound(udp(INSIDE, OUTSIDE), None, secs(0)), Outbound::Forward { source });
    assert_eq!(firewall.inbound(answer, None, secs(0)), inside());
    let other = udp("[2001:db8::2]:3479", INSIDE);
    assert_eq!(firewall.inbound(other, None, secs(0)), Inbound::Drop(Reason::Filtered));
    assert_eq!(firewall.inbound(answer, None, secs(120)), Inbound::Drop(Reason::NoMapping));
}

#[test]
fn each_filter_admits_whom_it_should() {
    for (filtering, address, port) in [
        (Filtering::EndpointIndependent, true, true),
        (Filtering::AddressDependent, false, true),
        (Filtering::AddressAndPortDependent, false, false),
    ] {
        let rules = FirewallRules { filtering, ..FirewallConfig::default().udp };
        let mut firewall = Firewall::new(FirewallConfig { udp: rules, ..FirewallConfig::default() });
        firewall.outbound(udp(INSIDE, OUTSIDE), None, secs(0));
        let other_address = firewall.inbound(udp("[2001:db8::3]:3478", INSIDE), None, secs(0));
        assert_eq!(other_address == inside(), address, "{filtering:?}");
        let other_port = firewall.inbound(udp("[2001:db8::2]:3479", INSIDE), None, secs(0));
        assert_eq!(other_port == inside(), port, "{filtering:?}");
    }
}

#[test]
fn an_open_one_lets_everybody_in_and_the_answers_out() {
    let mut firewall = Firewall::new(FirewallConfig::open());
    let syn = TcpFlags { syn: true, ..TcpFlags::default() };
    for (protocol, flags) in [(Protocol::Udp, None), (Protocol::Tcp, Some(syn))] {
        assert_eq!(firewall.inbound(flow(protocol, OUTSIDE, INSIDE), flags, secs(0)), inside());
        let source = INSIDE.parse().unwrap();
        let answer = firewall.outbound(flow(protocol, INSIDE, OUTSIDE), flags, secs(0));
        assert_eq!(answer, Outbound::Forward { source });
    }
}

#[test]
fn strangers_hear_what_is_configured() {
    let syn = TcpFlags { syn: true, ..TcpFlags::default() };
    for (unsolicited, expected) in [
        (Answer::Silence, Inbound::Drop(Reason::NoMapping)),
        (Answer::Rst, Inbound::Refuse(Refusal::Rst)),
        (Answer::Icmp, Inbound::Refuse(Refusal::Icmp)),
    ] {
        let tcp = FirewallRules { unsolicited, ..FirewallConfig::default().tcp };
        let mut firewall = Firewall::new(FirewallConfig { tcp, ..FirewallConfig::default() });
        assert_eq!(firewall.inbound(flow(Protocol::Tcp, OUTSIDE, INSIDE), Some(syn), secs(0)), expected);
    }
}

#[test]
fn crossing_syns_meet_in_it() {
    let syn = Some(TcpFlags { syn: true, ..TcpFlags::default() });
    let mut firewall = Firewall::new(FirewallConfig::default());
    assert_eq!(
        firewall.inbound(flow(Protocol::Tcp, OUTSIDE, INSIDE), syn, secs(0)),
        Inbound::Drop(Reason::NoMapping)
    );
    firewall.outbound(flow(Protocol::Tcp, INSIDE, OUTSIDE), syn, secs(1));
    assert_eq!(firewall.inbound(flow(Protocol::Tcp, OUTSIDE, INSIDE), syn, secs(1)), inside());
}

#[test]
fn an_open_one_passes_what_fits_no_connection_and_keeps_nothing() {
    let limits = Limits { entries: 0, per_host: 0, full: Full::Refuse };
    let mut firewall = Firewall::new(FirewallConfig { limits, ..FirewallConfig::open() });
    let rst = Some(TcpFlags { rst: true, ..TcpFlags::default() });
    assert_eq!(firewall.inbound(flow(Protocol::Tcp, OUTSIDE, INSIDE), rst, secs(0)), inside());
    let source = INSIDE.parse().unwrap();
    let out = firewall.outbound(flow(Protocol::Tcp, INSIDE, OUTSIDE), rst, secs(0));
    assert_eq!(out, Outbound::Forward { source });
    assert_eq!(firewall.inbound_error(udp(INSIDE, OUTSIDE), secs(0)), INSIDE.parse().ok());
    assert_eq!(firewall.outbound_error(udp(OUTSIDE, INSIDE), secs(0)), INSIDE.parse().ok());
    assert!(firewall.is_empty() && firewall.mappings(secs(0)).is_empty());
    let blocked = FirewallConfig { udp_blocked: true, ..FirewallConfig::open() };
    firewall.set_config(blocked);
    assert_eq!(firewall.inbound(udp(OUTSIDE, INSIDE), None, secs(0)), Inbound::Drop(Reason::UdpBlocked));
}

#[test]
fn its_table_is_bounded_and_a_reboot_empties_it() {
    let limits = Limits { entries: 10, per_host: 10, full: Full::Evict };
    let mut firewall = Firewall::new(FirewallConfig { limits, ..FirewallConfig::default() });
    for n in 0..100 {
        let stranger = format!("[2001:db8::{n}]:1");
        firewall.outbound(udp(INSIDE, &stranger), None, secs(0));
        assert_eq!(firewall.inbound(udp(&stranger, INSIDE), None, secs(0)), inside());
        assert!(firewall.len() <= 10);
    }
    assert_eq!(firewall.mappings(secs(0)).len(), 1);
    firewall.reboot();
    assert!(firewall.is_empty() && firewall.mappings(secs(0)).is_empty());
}

#[test]
fn an_icmp_error_about_what_went_out_comes_in_and_others_do_not() {
    let mut firewall = Firewall::new(FirewallConfig::default());
    assert_eq!(firewall.inbound_error(udp(INSIDE, OUTSIDE), secs(0)), None);
    firewall.outbound(udp(INSIDE, OUTSIDE), None, secs(0));
    assert_eq!(firewall.inbound_error(udp(INSIDE, OUTSIDE), secs(0)), INSIDE.parse().ok());
    assert_eq!(firewall.outbound_error(udp(OUTSIDE, INSIDE), secs(0)), INSIDE.parse().ok());
}

#[test]
fn a_lower_limit_of_a_host_holds_at_once() {
    let mut firewall = Firewall::new(FirewallConfig::default());
    for (port, now) in [(1, 0), (2, 1), (3, 2)] {
        firewall.outbound(udp(INSIDE, &format!("[2001:db8::2]:{port}")), None, secs(now));
    }
    let config = FirewallConfig::default();
    firewall.set_config(FirewallConfig { limits: Limits { per_host: 1, ..config.limits }, ..config });
    assert_eq!(firewall.len(), 1);
    assert_eq!(firewall.inbound(udp("[2001:db8::2]:3", INSIDE), None, secs(3)), inside());
}
