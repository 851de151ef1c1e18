use super::*;
use proptest::{collection::vec, prelude::*};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV6};

const KEY: [u8; 32] = [1; 32];

fn jar() -> CookieJar {
    CookieJar::new(Zeroizing::new(KEY), Instant::ZERO)
}

fn after(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn key(byte: u8) -> Zeroizing<[u8; 32]> {
    Zeroizing::new([byte; 32])
}

fn addr() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4000))
}

#[test]
fn a_cookie_outlives_one_rotation_and_not_two() {
    let mut jar = jar();
    let cookie = jar.bake(addr(), b"hello");
    jar.rotate_if_due(after(59), || panic!("not due yet"));
    assert!(jar.check(addr(), b"hello", &cookie));
    jar.rotate_if_due(after(60), || key(2));
    assert!(jar.check(addr(), b"hello", &cookie));
    assert_ne!(jar.bake(addr(), b"hello"), cookie, "the new secret bakes");
    jar.rotate_if_due(after(119), || panic!("not due yet"));
    assert!(jar.check(addr(), b"hello", &cookie));
    jar.rotate_if_due(after(120), || key(3));
    assert!(!jar.check(addr(), b"hello", &cookie));
}

#[test]
fn a_cookie_does_not_outlive_a_long_pause_for_lack_of_rotations() {
    let mut jar = jar();
    let cookie = jar.bake(addr(), b"hello");
    jar.rotate_if_due(after(120), || key(2));
    assert!(!jar.check(addr(), b"hello", &cookie));
    let mut jar = self::jar();
    jar.rotate_if_due(after(119), || key(2));
    assert!(jar.check(addr(), b"hello", &cookie));
}

#[test]
fn an_ipv4_address_and_itself_mapped_into_ipv6_are_one() {
    let ip = Ipv4Addr::new(192, 0, 2, 1);
    let mapped = SocketAddr::from((ip.to_ipv6_mapped(), 4000));
    let cookie = jar().bake(addr(), b"");
    assert!(jar().check(mapped, b"", &cookie));
    assert_eq!(jar().bake(mapped, b""), cookie);
    // The deprecated "compatible" form is another address.
    assert!(!jar().check(SocketAddr::from((ip.to_ipv6_compatible(), 4000)), b"", &cookie));
}

#[test]
fn scope_and_flow_label_which_the_machine_sets_do_not_matter() {
    let ip = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    let cookie = jar().bake(SocketAddrV6::new(ip, 4000, 0, 0).into(), b"");
    assert!(jar().check(SocketAddrV6::new(ip, 4000, 5, 7).into(), b"", &cookie));
}

#[test]
fn debug_output_shows_no_secret() {
    assert_eq!(format!("{:?}", jar()), "CookieJar { rotated: Instant(0), .. }");
}

fn any_addr() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        any::<([u8; 4], u16)>().prop_map(SocketAddr::from),
        any::<([u8; 16], u16)>().prop_map(SocketAddr::from),
    ]
}

proptest! {
    #[test]
    fn a_cookie_holds_for_its_address_context_and_secret_alone(
        addr in any_addr(), other in any_addr(),
        context in vec(any::<u8>(), 0..60), other_context in vec(any::<u8>(), 0..60), bit in 0usize..128,
    ) {
        prop_assume!(addr != other && context != other_context);
        let cookie = jar().bake(addr, &context);
        prop_assert!(jar().check(addr, &context, &cookie));
        prop_assert!(!jar().check(other, &context, &cookie));
        prop_assert!(!jar().check(addr, &other_context, &cookie));
        prop_assert!(!CookieJar::new(key(9), Instant::ZERO).check(addr, &context, &cookie));
        let port = SocketAddr::new(addr.ip(), addr.port() ^ 1);
        prop_assert!(!jar().check(port, &context, &cookie));
        let mut flipped = cookie;
        flipped[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!jar().check(addr, &context, &flipped));
    }
}
