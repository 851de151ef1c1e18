use super::*;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::time::Duration;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::identity::{DEFAULT_NETWORK, NetworkSecret};

fn peer() -> impl Strategy<Value = PeerId> {
    any::<[u8; 32]>().prop_map(PeerId::from_bytes)
}

fn addresses(limit: usize) -> impl Strategy<Value = Vec<SocketAddr>> {
    let addr = any::<SocketAddr>().prop_map(canonical_addr).prop_filter("dialable", |a| is_dialable(*a));
    prop::collection::btree_set(addr, 0..=limit).prop_map(Vec::from_iter).prop_shuffle()
}

fn introducer() -> impl Strategy<Value = Introducer> {
    (peer(), addresses(MAX_INTRODUCER_ADDRESSES)).prop_map(|(peer, a)| Introducer::new(peer, a).unwrap())
}

fn contact() -> impl Strategy<Value = Contact> {
    (
        peer(),
        any::<[u8; 4]>().prop_map(NetworkTag::from_bytes),
        addresses(MAX_ADDRESSES),
        prop::collection::vec(introducer(), 0..=MAX_INTRODUCERS),
        prop::option::of((any::<u64>(), 0u32..64).prop_map(|(ms, shift)| UnixTime::from_millis(ms >> shift))),
    )
        .prop_map(|(peer, network, addresses, introducers, expires)| {
            let contact = Contact::new(peer, network)
                .with_addresses(addresses)
                .and_then(|c| c.with_introducers(introducers))
                .unwrap();
            match expires {
                Some(when) => contact.with_expiry(when),
                None => contact,
            }
        })
}

fn ports(n: u16) -> impl Iterator<Item = SocketAddr> {
    (1..=n).map(|port| SocketAddr::from(([192, 0, 2, 1], port)))
}

/// The text of any bytes, with a checksum that fits.
fn text_of(bytes: &[u8]) -> String {
    let all = [bytes, &checksum(bytes)].concat();
    CONTACT_PREFIX.chars().chain(base32::symbols(&all).map(base32::letter)).collect()
}

fn entries(bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    tlvs(&bytes[1..]).map(|e| e.map(|(kind, value)| (kind, value.to_vec())).unwrap()).collect()
}

fn of_entries(entries: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    let mut w = TlvWriter::new(&mut bytes);
    entries.iter().for_each(|(kind, value)| w.put(*kind, value));
    bytes
}

const EXAMPLE: &str = "crust040j1190y04rjc57aht8pzewpgzfepgdqwx0t9hr3bteq959htn9pkka082f39v4q41hm160001024ah0rg023dr\
                       0000000000000000000h2m8513000000d5avj009kfhh0t8";

fn example() -> Contact {
    let peer = "gmgf02c962kn8x4bfqeb8fqqb86vyegd4rw1nx7bmjmrxamv9sn0zwfmw9".parse().unwrap();
    Contact::new(peer, Network::default().tag())
        .with_addresses(["192.0.2.1:4433".parse().unwrap(), "[2001:db8::1]:4433".parse().unwrap()])
        .unwrap()
        .with_expiry(UnixTime::from_millis(1_767_225_600_999))
}

#[test]
fn the_text_of_a_contact_is_what_it_has_always_been() {
    assert_eq!(example().to_string(), EXAMPLE);
    assert_eq!(EXAMPLE.parse(), Ok(example()));
    assert_eq!(example().qr_text(), EXAMPLE.to_uppercase());
}

#[test]
fn what_is_no_contact_is_called_what_it_is() {
    let error = |text: &str| text.parse::<Contact>().unwrap_err();
    let peer = example().peer();
    assert_eq!(error(""), ContactError::NotAContact);
    assert_eq!(error("https://example.org"), ContactError::NotAContact);
    assert_eq!(error(&peer.to_string()), ContactError::PeerId { peer });
    assert_eq!(error(&format!(" {}\n", peer.to_string().to_uppercase())), ContactError::PeerId { peer });
    assert_eq!(error("crust-secret-000g40r40m30e209185gr38e"), ContactError::SecretKey);
    assert_eq!(error("crust"), ContactError::Truncated);
    assert_eq!(error(&EXAMPLE[..60]), ContactError::Truncated);
    assert_eq!(error(&EXAMPLE[..EXAMPLE.len() - 1]), ContactError::Checksum);
    assert_eq!(error(&format!("{EXAMPLE}0")), ContactError::Checksum);
    assert_eq!(
        error(&format!("{EXAMPLE}.")),
        ContactError::InvalidCharacter { character: '.', position: EXAMPLE.len() + 1 }
    );
    assert_eq!(error(&format!("{EXAMPLE}{}", "0".repeat(4000))), ContactError::TooLong);
}

#[test]
fn a_version_that_is_not_known_is_named_whatever_follows_it() {
    for found in 2..=255 {
        let expected = ContactError::UnknownVersion { found, supported: 1 };
        assert_eq!(text_of(&[found]).parse::<Contact>(), Err(expected.clone()));
        assert_eq!(text_of(&[found, 0xff, 0xff]).parse::<Contact>(), Err(expected));
    }
    assert_eq!(Contact::from_bytes(&[0]), Err(ContactError::Malformed), "there was no version 0");
    assert_eq!(Contact::from_bytes(&[]), Err(ContactError::Malformed));
}

#[test]
fn bounds_hold_when_making_and_when_reading() {
    let too_many = |limit| ContactError::TooManyAddresses { limit };
    let contact = example().with_addresses(ports(16)).unwrap();
    assert_eq!(example().with_addresses(ports(17)), Err(too_many(16)));
    let peer = example().peer();
    let introducer = Introducer::new(peer, ports(8)).unwrap();
    assert_eq!(Introducer::new(peer, ports(9)), Err(too_many(8)));
    let contact = contact.with_introducers(vec![introducer.clone(); 4]).unwrap();
    assert_eq!(
        example().with_introducers(vec![introducer; 5]),
        Err(ContactError::TooManyIntroducers { limit: 4 })
    );

    let append = |kind, addr_count: u16| {
        let mut value = if kind == INTRODUCER { peer.as_bytes().to_vec() } else { Vec::new() };
        ports(addr_count).for_each(|addr| put_addr(&mut value, addr));
        let mut list = entries(&contact.to_bytes());
        list.retain(|(k, _)| *k != kind);
        list.push((kind, value));
        of_entries(&list)
    };
    assert!(Contact::from_bytes(&append(ADDRESSES, 16)).is_ok());
    assert!(Contact::from_bytes(&append(INTRODUCER, 8)).is_ok());
    for excess in [1, 2, 50] {
        assert_eq!(Contact::from_bytes(&append(ADDRESSES, 16 + excess)), Err(too_many(16)));
        assert_eq!(Contact::from_bytes(&append(INTRODUCER, 8 + excess)), Err(too_many(8)));
    }
    let mut list = entries(&contact.to_bytes());
    list.push((INTRODUCER, peer.as_bytes().to_vec()));
    assert_eq!(Contact::from_bytes(&of_entries(&list)), Err(ContactError::TooManyIntroducers { limit: 4 }));
}

#[test]
fn the_largest_contact_can_be_read_and_shown_as_a_qr_code() {
    let v6 = |n: u16| (1..=n).map(|port| SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
    let introducer = Introducer::new(example().peer(), v6(8)).unwrap();
    let contact = example()
        .with_addresses(v6(16))
        .and_then(|c| c.with_introducers(vec![introducer; 4]))
        .unwrap()
        .with_expiry(UnixTime::from_millis(u64::MAX));
    assert!(contact.to_bytes().len() <= MAX_CONTACT_LEN);
    assert_eq!(contact.qr_text().parse(), Ok(contact.clone()));

    // What a later version adds has room up to the limit, and even then a QR code holds it.
    let mut bytes = contact.to_bytes();
    let room = MAX_CONTACT_LEN - bytes.len() - 3;
    TlvWriter::new(&mut bytes).put(63, &vec![0; room]);
    assert_eq!(bytes.len(), MAX_CONTACT_LEN);
    assert_eq!(text_of(&bytes).parse(), Ok(contact));
    assert!(text_of(&bytes).len() <= 4296);
    bytes.push(0);
    assert_eq!(Contact::from_bytes(&bytes), Err(ContactError::TooLong));
    assert_eq!(text_of(&bytes).parse::<Contact>(), Err(ContactError::TooLong));
}

#[test]
fn an_entry_that_is_missing_doubled_or_of_another_length_is_malformed() {
    let whole = entries(&example().to_bytes());
    for (i, (kind, value)) in whole.iter().enumerate() {
        let mut doubled = whole.clone();
        doubled.push((*kind, value.clone()));
        assert_eq!(Contact::from_bytes(&of_entries(&doubled)), Err(ContactError::Malformed), "{kind} twice");
        let mut without = whole.clone();
        without.remove(i);
        let needed = matches!(*kind, PEER | NETWORK);
        assert_eq!(Contact::from_bytes(&of_entries(&without)).is_err(), needed, "without {kind}");
        for len in [value.len() - 1, value.len() + 1] {
            let mut resized = whole.clone();
            resized[i].1.resize(len, 0);
            assert_eq!(
                Contact::from_bytes(&of_entries(&resized)),
                Err(ContactError::Malformed),
                "{kind} of {len} bytes"
            );
        }
    }
}

#[test]
fn an_expiry_beyond_what_milliseconds_can_count_is_malformed() {
    let with = |secs: u64| {
        let mut bytes = Contact::new(example().peer(), example().network()).to_bytes();
        TlvWriter::new(&mut bytes).put_varint(EXPIRES, secs);
        Contact::from_bytes(&bytes)
    };
    assert_eq!(with(u64::MAX / 1000).unwrap().expires(), Some(UnixTime::from_millis(u64::MAX / 1000 * 1000)));
    assert_eq!(with(u64::MAX / 1000 + 1), Err(ContactError::Malformed));
}

#[test]
fn only_addresses_that_lead_to_one_other_computer_are_dialable() {
    for addr in
        ["192.0.2.1:1", "10.0.0.1:65535", "127.0.0.1:80", "[::1]:80", "[2001:db8::1]:80", "[fd00::1]:80"]
    {
        assert!(is_dialable(addr.parse().unwrap()), "{addr}");
    }
    for addr in [
        "192.0.2.1:0",
        "0.0.0.0:80",
        "224.0.0.1:80",
        "255.255.255.255:80",
        "[::]:80",
        "[ff02::1]:80",
        "[fe80::1]:80",
        "[::ffff:224.0.0.1]:80",
        "[::ffff:0.0.0.0]:80",
    ] {
        let addr = addr.parse().unwrap();
        assert!(!is_dialable(addr), "{addr}");
        assert_eq!(example().with_addresses([addr]), Err(ContactError::NotDialable { addr }));
        assert_eq!(Introducer::new(example().peer(), [addr]), Err(ContactError::NotDialable { addr }));
    }
}

#[test]
fn one_address_stands_once_in_one_form() {
    let plain = SocketAddr::from(([192, 0, 2, 1], 80));
    let mapped = SocketAddr::new(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().into(), 80);
    let contact = example().with_addresses([mapped, plain].into_iter().chain(ports(16).skip(1))).unwrap();
    assert_eq!(contact.addresses()[0], plain);
    assert_eq!(contact.addresses().len(), 16);
}

#[test]
fn a_contact_is_checked_against_who_uses_it_where_and_when() {
    let me = PeerId::from_bytes([9; 32]);
    let network = Network::default();
    let before = UnixTime::from_millis(1_767_225_599_999);
    let when = UnixTime::from_millis(1_767_225_600_000);
    let contact = example();
    assert_eq!(contact.check(&network, &me, before), Ok(()));
    assert_eq!(contact.check(&network, &me, when), Err(ContactError::Expired { when }));
    assert_eq!(contact.check(&network, &contact.peer(), before), Err(ContactError::Oneself));

    let closed = Network::new(DEFAULT_NETWORK, Some(NetworkSecret::from_bytes([1; 32]))).unwrap();
    for other in [closed, Network::new("other", None).unwrap()] {
        let expected = ContactError::OtherNetwork { name: other.name().to_owned() };
        assert_eq!(contact.check(&other, &me, before), Err(expected));
    }
    let lasting = Contact::new(contact.peer(), contact.network());
    assert_eq!(lasting.check(&network, &me, UnixTime::from_millis(u64::MAX)), Ok(()));
}

#[test]
fn times_are_shown_as_people_write_them() {
    for (secs, shown) in [
        (0, "1970-01-01 00:00 UTC"),
        (951_782_399, "2000-02-28 23:59 UTC"),
        (951_782_400, "2000-02-29 00:00 UTC"),
        (951_868_800, "2000-03-01 00:00 UTC"),
        (1_767_225_600, "2026-01-01 00:00 UTC"),
        (1_709_164_800, "2024-02-29 00:00 UTC"),
        (4_107_542_399, "2100-02-28 23:59 UTC"),
        (4_107_542_400, "2100-03-01 00:00 UTC"),
        (13_574_563_200, "2400-02-29 00:00 UTC"),
        (253_402_300_799, "9999-12-31 23:59 UTC"),
    ] {
        assert_eq!(Date(UnixTime::from_millis(secs * 1000)).to_string(), shown);
    }
    // The far end of time is shown too, and not as a panic.
    assert!(Date(UnixTime::from_millis(u64::MAX)).to_string().starts_with("584556"));
}

#[test]
fn every_day_of_800_years_follows_the_day_before() {
    let date = |day: u32| {
        let text = Date(UnixTime::from_millis(0) + Duration::from_secs(86_400) * day).to_string();
        let part = |range: core::ops::Range<usize>| text[range].parse::<u32>().unwrap();
        (part(0..4), part(5..7), part(8..10))
    };
    let mut last = date(0);
    for day in 1..292_194 {
        let (y, m, d) = last;
        let leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
        let days = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let usize_m = usize::try_from(m).unwrap();
        last = match (d < days[usize_m - 1], m < 12) {
            (true, _) => (y, m, d + 1),
            (false, true) => (y, m + 1, 1),
            (false, false) => (y + 1, 1, 1),
        };
        assert_eq!(date(day), last);
    }
}

#[test]
fn every_message_is_one_line_that_says_what_to_do() {
    let errors = [
        ContactError::NotAContact,
        ContactError::PeerId { peer: example().peer() },
        ContactError::SecretKey,
        ContactError::Truncated,
        ContactError::Checksum,
        ContactError::InvalidCharacter { character: '\u{1b}', position: 9 },
        ContactError::TooLong,
        ContactError::UnknownVersion { found: 2, supported: 1 },
        ContactError::Malformed,
        ContactError::TooManyAddresses { limit: 16 },
        ContactError::TooManyIntroducers { limit: 4 },
        ContactError::NotDialable { addr: SocketAddr::from(([0; 4], 0)) },
        ContactError::OtherNetwork { name: "home".to_owned() },
        ContactError::Oneself,
        ContactError::Expired { when: UnixTime::from_millis(0) },
    ];
    let advice = [
        "copy it again",
        "ask the peer",
        "make a new one",
        "update",
        "leave",
        "need the same",
        "use it on another",
    ];
    for error in errors {
        let text = error.to_string();
        assert!(advice.iter().any(|a| text.contains(a)), "{text}");
        assert!(!text.contains(char::is_control) && !text.contains("  "), "{text:?}");
    }
}

proptest! {
    #[test]
    fn a_contact_reads_back_from_its_bytes_and_from_its_text(contact in contact()) {
        prop_assert_eq!(Contact::from_bytes(&contact.to_bytes()), Ok(contact.clone()));
        prop_assert_eq!(contact.to_string().parse(), Ok(contact.clone()));
        let qr = contact.qr_text();
        prop_assert!(qr.chars().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase()));
        prop_assert_eq!(qr.parse(), Ok(contact));
    }

    #[test]
    fn what_a_mail_program_puts_between_is_ignored(
        contact in contact(),
        breaks in prop::collection::vec((any::<Index>(), select(vec!["\n", "\r\n", " ", "\t", "\u{a0}", "\u{200b}", "-"])), 0..20),
    ) {
        let mut text = contact.to_string();
        for (at, s) in breaks {
            let places: Vec<usize> = text.char_indices().map(|(i, _)| i).collect();
            text.insert_str(*at.get(&places), s);
        }
        prop_assert_eq!(text.parse(), Ok(contact));
    }

    #[test]
    fn any_single_wrong_character_is_refused(contact in contact(), at in any::<Index>()) {
        let text = contact.to_string();
        let at = at.index(text.len());
        let right = text[at..].chars().next().unwrap();
        for c in (0u8..128).map(char::from).chain(['é', '\u{200b}']) {
            let same = match at < CONTACT_PREFIX.len() {
                true => c.eq_ignore_ascii_case(&right),
                false => base32::symbol(c) == base32::symbol(right),
            };
            let mut typo = text.clone();
            typo.replace_range(at..=at, c.encode_utf8(&mut [0; 4]));
            prop_assert_eq!(typo.parse::<Contact>().is_ok(), same, "{}", typo);
        }
    }

    #[test]
    fn a_text_with_a_part_missing_is_refused(contact in contact(), from in any::<Index>(), to in any::<Index>()) {
        let text = contact.to_string();
        for len in 0..text.len() {
            prop_assert!(text[..len].parse::<Contact>().is_err(), "cut to {}", len);
        }
        let (from, to) = (from.index(text.len()), to.index(text.len()));
        let mut cut = text.clone();
        cut.replace_range(from.min(to)..=from.max(to), "");
        prop_assert!(cut.parse::<Contact>().is_err(), "{}", cut);
    }

    #[test]
    fn any_two_swapped_neighbours_are_refused(contact in contact()) {
        let text = contact.to_string().into_bytes();
        for at in 1..text.len() {
            let mut typo = text.clone();
            typo.swap(at - 1, at);
            let same = typo == text;
            prop_assert_eq!(String::from_utf8(typo).unwrap().parse::<Contact>().is_ok(), same);
        }
    }

    #[test]
    fn entries_come_in_any_order_and_unknown_ones_are_skipped(
        (contact, list) in contact().prop_flat_map(|mut contact| {
            // The order among introducers means something: keep one.
            contact.introducers.truncate(1);
            let unknown = (6u64..1 << 40, prop::collection::vec(any::<u8>(), 0..60));
            let list = prop::collection::vec(unknown, 0..8).prop_flat_map({
                let known = entries(&contact.to_bytes());
                move |unknown| Just([known.clone(), unknown].concat()).prop_shuffle()
            });
            (Just(contact), list)
        }),
    ) {
        prop_assert_eq!(Contact::from_bytes(&of_entries(&list)), Ok(contact));
    }

    #[test]
    fn no_bytes_and_no_text_make_the_reader_panic_and_what_it_takes_it_also_writes(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        text in any::<String>(),
        contact in contact(),
        at in any::<Index>(),
        byte in any::<u8>(),
    ) {
        let _ = text.parse::<Contact>();
        let _ = format!("crust{text}").parse::<Contact>();
        let _ = Contact::from_bytes(&bytes);
        let _ = text_of(&bytes).parse::<Contact>();
        let mut versioned = bytes;
        versioned.insert(0, VERSION);
        let mut nearly = contact.to_bytes();
        let at = at.index(nearly.len());
        nearly[at] = byte;
        for bytes in [versioned, nearly] {
            if let Ok(contact) = Contact::from_bytes(&bytes) {
                prop_assert_eq!(contact.to_string().parse(), Ok(contact));
            }
        }
    }
}
