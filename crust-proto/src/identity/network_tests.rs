use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn counting() -> PeerId {
    PeerId::from_bytes(core::array::from_fn(|i| u8::try_from(i).unwrap()))
}

#[test]
fn what_is_derived_is_what_it_has_always_been() {
    let open = Network::default();
    assert_eq!(*open.psk(), [0; 32]);
    assert_eq!(open.tag().to_string(), "f1a764b9");
    assert_eq!(
        hex(&*open.hello_key(Some(&counting()))),
        "054aa0b853b5398c942ca086f4a161f25bc36d47bbb5b97c62e35ae8c87c4e32"
    );
    assert_eq!(
        hex(&*open.hello_key(None)),
        "1e565a482c5d00dbc20bf5520266f2c1a55e1561e6214a6ac5b66bec8509bd56"
    );
    let closed = Network::new(DEFAULT_NETWORK, Some(NetworkSecret::from_bytes([5; 32]))).unwrap();
    assert_eq!(hex(&*closed.psk()), "a1bf5c9b205e3bff246a068e9b48d5f433fdf73fbb7d4d52bf243d01c1da6236");
    assert_eq!(closed.tag().to_string(), "4696e3ea");
    assert_eq!(
        hex(&*closed.hello_key(Some(&counting()))),
        "f3528d213c17e06bd0c04160af1f8d882dafed230b4b88faefc9eaaa4a044886"
    );
    assert_eq!(
        hex(&*closed.hello_key(None)),
        "2cfd8c2dc861bd2409ff82627085b127a94d95b188f57b4c87895a959d06af73"
    );
    let phrase = NetworkSecret::from_passphrase(" correct horse battery staple\n").unwrap();
    assert_eq!(hex(&*phrase.0), "d563939fe07017b7fef61fbc23b6595f4c9c75272b916d4835e80ab8726c1a43");
}

#[test]
fn the_prologue_is_label_version_and_name_each_with_its_length() {
    assert_eq!(Network::default().prologue(), b"\x05crust\x01\x01\x05crust");
    let long = Network::new("n".repeat(MAX_NETWORK_NAME_LEN), None).unwrap();
    // 64 takes two bytes as a variable-length integer.
    assert_eq!(long.prologue()[8..], [b"\x40\x40", "n".repeat(64).as_bytes()].concat());
}

#[test]
fn names_that_would_be_mistaken_are_refused() {
    let error = |name: &str| Network::new(name, None).unwrap_err();
    assert_eq!(error(""), NetworkNameError::Empty);
    assert_eq!(error(&"é".repeat(33)), NetworkNameError::TooLong { found: 66 });
    assert_eq!(error("a\nb"), NetworkNameError::ControlCharacter);
    assert_eq!(error("home "), NetworkNameError::SpaceAtEnd);
    assert_eq!(error("\u{a0}home"), NetworkNameError::SpaceAtEnd);
    for name in ["x", "our home, 2nd floor", "家", &"é".repeat(32)] {
        assert_eq!(Network::new(name, None).unwrap().name(), name);
    }
}

#[test]
fn a_passphrase_that_is_soon_guessed_is_refused() {
    for short in ["", " \n", "hunter2", "fifteen-letters", &format!("{:>40}", "x")] {
        assert_eq!(NetworkSecret::from_passphrase(short).unwrap_err(), PassphraseError::TooShort);
    }
    assert!(NetworkSecret::from_passphrase("sixteen--letters").is_ok());
}

#[test]
fn debug_shows_no_secret() {
    let network = Network::new("home", Some(NetworkSecret::from_bytes([0xab; 32]))).unwrap();
    assert_eq!(format!("{network:?}"), "Network { name: \"home\", secret: Some(NetworkSecret(..)) }");
}

proptest! {
    #[test]
    fn every_network_and_every_use_has_its_own_key(
        names in prop::collection::btree_set("[a-z]{1,64}", 2),
        secrets in prop::collection::btree_set(any::<[u8; 32]>(), 2),
        peers in prop::collection::btree_set(any::<[u8; 32]>(), 2),
    ) {
        // Neither the id nor the secret that is all zeros passes for none.
        let peers: BTreeSet<_> = peers.into_iter().chain([[0; 32]]).map(PeerId::from_bytes).collect();
        let secrets: BTreeSet<_> = secrets.into_iter().chain([[0; 32]]).map(Some).chain([None]).collect();
        let mut keys = Vec::new();
        let mut tags = Vec::new();
        for name in &names {
            for secret in &secrets {
                let network = Network::new(name.as_str(), secret.map(NetworkSecret::from_bytes)).unwrap();
                keys.extend(peers.iter().map(|peer| *network.hello_key(Some(peer))));
                keys.push(*network.hello_key(None));
                keys.extend(secret);
                tags.push(network.tag());
                match network.secret() {
                    Some(_) => keys.push(*network.psk()),
                    None => prop_assert_eq!(*network.psk(), [0; 32]),
                }
            }
        }
        // The secrets themselves came once for each name.
        let repeated = secrets.len() - 1;
        prop_assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len() - repeated);
        prop_assert_eq!(tags.iter().collect::<BTreeSet<_>>().len(), tags.len());
    }
}
