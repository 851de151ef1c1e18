use crust_async::{CloseReason, Connection};

use super::ledger::{Ledger, Talk};
use super::*;
use crate::LinkConfig;
use crate::record::RecordLimits;

#[test]
fn recording_changes_no_hash() {
    let recorder = Recorder::new(RecordLimits { packets: 1_000, every: Duration::from_secs(1) });
    let (plain, recorded) = (run(3, None), run(3, Some(&recorder)));
    assert_eq!((plain.failure, plain.hash), (recorded.failure, recorded.hash));
}

/// Two nodes with a connection, and the ledger in which the first of them has begun to talk.
fn talking(test: impl FnOnce(&Sim, Ledger, Talk, &Connection)) {
    let sim = Sim::new(1);
    let (a, b) = sim.pair(LinkConfig::default());
    sim.run(async {
        let (a, b) = (sim.builder(a).bind().await.unwrap(), sim.builder(b).bind().await.unwrap());
        let connection = a.connect(b.contact()).await.unwrap();
        let mut ledger = Ledger::new(2, 0);
        let talk = ledger.begin(0, 1, &connection, sim.now()).0.expect("the first");
        test(&sim, ledger, talk, &connection);
    });
}

#[test]
fn what_was_acknowledged_and_never_read_is_a_broken_promise_unless_the_reader_left() {
    talking(|sim, mut ledger, talk, connection| {
        let now = sim.now();
        assert!(ledger.begin(0, 1, connection, now).0.is_none(), "one talk a connection");
        ledger.send(7, talk, "stream", 100);
        assert!(ledger.broken_promise().is_some_and(|what| what.contains("still under way")));
        ledger.sent(7, true);
        assert!(ledger.broken_promise().is_some_and(|what| what.contains("never read")));
        ledger.read(7, 100, now);
        assert_eq!((ledger.broken_promise(), &ledger.failure), (None, &None));

        ledger.send(8, talk, "stream", 100);
        ledger.sent(8, true);
        drop(ledger.down(1, now));
        assert_eq!(ledger.broken_promise(), None, "its reader crashed");

        ledger.send(9, talk, "stream", 100);
        ledger.read(9, 99, now);
        assert!(ledger.failure.as_ref().is_some_and(|what| what.contains("after 99 of 100 bytes")));
        ledger.failure = None;
        ledger.read(9, 100, now);
        assert!(ledger.failure.is_some_and(|what| what.contains("arrived twice")));
    });
}

#[test]
fn a_connection_may_not_end_as_its_peer_never_said() {
    talking(|sim, mut ledger, talk, _| {
        let now = sim.now();
        let said = CloseReason::ByPeer { code: 5, reason: b"so".to_vec().into() };
        let peer = Talk { from: 1, to: 0, ..talk };
        ledger.say(peer, 5, b"so");
        ledger.judge(talk, &said, now);
        assert_eq!(ledger.failure, None);
        for wrong in [
            CloseReason::ByPeer { code: 6, reason: b"so".to_vec().into() },
            CloseReason::KeysUsedUp,
            CloseReason::Protocol { code: 1 << 33, reason: Default::default() },
        ] {
            ledger.judge(talk, &wrong, now);
            assert!(ledger.failure.take().is_some(), "{wrong:?}");
        }
    });
}
