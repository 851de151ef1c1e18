//! What two machines are good at decides the AEAD and the masks between them, and nothing else.

use crust_proto::crypto::Aead;
use crust_proto::{Duration, Priority, SessionId};

use crate::app::content;
use crate::net::{Net, Setup, seeds};

fn aes(has: bool) -> impl Fn(&mut Setup) {
    move |setup| setup.config.hardware.aes = has
}

/// Messages and datagrams arrive, in both directions.
fn assert_talk(net: &mut Net, ends: [(usize, SessionId); 2]) {
    let [a, b] = ends;
    for (from, to) in [(a, b), (b, a)] {
        let message = content(net.seed, 20_000);
        net.session(from.0, from.1).send_message(Priority::default(), &message, false).expect("room");
        net.session(from.0, from.1).send_datagram(b"quick").expect("not too large");
        net.run_for(Duration::from_secs(2));
        assert_eq!(net.session(to.0, to.1).recv_message().map(|m| m.data), Some(message));
        assert_eq!(net.session(to.0, to.1).recv_datagram().as_deref(), Some(&b"quick"[..]));
    }
}

#[test]
fn aes_seals_where_both_machines_have_it_and_chacha20_everywhere_else() {
    seeds(4, |seed| {
        for (a_has, b_has) in [(false, false), (false, true), (true, false), (true, true)] {
            for by_id in [true, false] {
                let mut net = Net::new(seed);
                let (a, b) = (net.add_with(aes(a_has)), net.add_with(aes(b_has)));
                let attempt = if by_id { net.dial_id(a, b) } else { net.dial_address(a, b) };
                let ends = [(a, net.finish(a, attempt).expect("a session")), (b, net.answered(b, a))];
                let stats = |net: &Net, (node, session): (usize, SessionId)| {
                    net.nodes[node].engine.session(session).expect("open").stats()
                };
                let common = if a_has && b_has { Aead::Aes256Gcm } else { Aead::ChaCha20Poly1305 };
                for end in ends {
                    assert_eq!(stats(&net, end).aead, common, "{a_has} and {b_has}, by id: {by_id}");
                }
                assert_talk(&mut net, ends);
                for updates in 1..=2 {
                    net.session(ends[0].0, ends[0].1).update_keys();
                    assert_talk(&mut net, ends);
                    for end in ends {
                        assert_eq!(stats(&net, end).key_updates, updates);
                    }
                }
                for end in ends {
                    assert_eq!((stats(&net, end).packets_lost, net.closed(end.0, end.1)), (0, None));
                }
            }
        }
    });
}
