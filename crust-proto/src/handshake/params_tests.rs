use super::*;
use proptest::prelude::*;

fn params() -> impl Strategy<Value = Params> {
    let size = || 0u64..1 << 40;
    (
        (any::<bool>(), any::<[u8; 32]>(), 0..MAX_SLOT, any::<u32>()),
        (size(), size(), size(), size(), size(), size()),
        (
            any::<bool>(),
            size(),
            0u64..1 << 40,
            0u64..16_000_000,
            1200u16..,
            any::<Option<[u8; 16]>>(),
            any::<bool>(),
        ),
    )
        .prop_map(|(a, l, p)| Params {
            addressing: Addressing {
                mask: if a.0 { MaskKind::Aes256 } else { MaskKind::ChaCha20 },
                receive_key: Zeroizing::new(a.1),
                slot: a.2,
                check: a.3,
            },
            limits: StreamLimits {
                max_data: l.0,
                max_stream_data: l.1,
                max_streams_bi: l.2,
                max_streams_uni: l.3,
                max_message: l.4,
                message_window: l.5,
            },
            aeads: AeadSet { aes_256_gcm: p.0 },
            max_datagram: p.1,
            idle_timeout: Duration::from_millis(p.2),
            max_ack_delay: Duration::from_micros(p.3),
            max_udp_payload: p.4,
            live_session: p.5,
            alive: p.6,
        })
}

proptest! {
    #[test]
    fn parameters_read_back_and_later_versions_may_add(params in params()) {
        let mut bytes = Vec::new();
        params.encode(&mut bytes);
        TlvWriter::new(&mut bytes).put(9999, b"from the future");
        prop_assert_eq!(Params::decode(&bytes), Ok(params));
    }

    #[test]
    fn a_parameter_that_comes_twice_is_malformed(params in params()) {
        let mut bytes = Vec::new();
        params.encode(&mut bytes);
        TlvWriter::new(&mut bytes).put_varint(MAX_DATAGRAM, 1);
        prop_assert_eq!(Params::decode(&bytes), Err(Malformed));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let _ = Params::decode(&bytes);
    }
}

#[test]
fn the_receive_key_is_not_printed() {
    let addressing = Addressing {
        mask: MaskKind::Aes256,
        receive_key: Zeroizing::new([0xab; 32]),
        slot: 1,
        check: 0xabab,
    };
    assert!(!format!("{addressing:?}").contains("ab, "), "{addressing:?}");
    assert!(!format!("{addressing:?}").contains("171"), "{addressing:?}");
}

#[test]
fn aes_is_used_where_both_offer_it() {
    let with = AeadSet { aes_256_gcm: true };
    let without = AeadSet::default();
    assert_eq!(with.choose(with), Aead::Aes256Gcm);
    for (a, b) in [(with, without), (without, with), (without, without)] {
        assert_eq!(a.choose(b), Aead::ChaCha20Poly1305);
    }
}
