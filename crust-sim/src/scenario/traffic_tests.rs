use crust_proto::Priority;

use super::*;

const PAIR: Pair = Pair { from: 0, to: 1 };
/// As the receiver has it.
const BACK: Pair = Pair { from: 1, to: 0 };

fn ledger(load: Load) -> Ledger {
    let ledger = Ledger(Arc::new(Shared { entries: Mutex::default(), recorder: None, names: Vec::new() }));
    ledger.entries().transfers.insert(7, Transfer::new(PAIR, load));
    ledger
}

fn messages_of(count: u32, bytes: u64) -> Ledger {
    ledger(Load::Messages { count, bytes, priority: Priority::default() })
}

fn message(index: u32) -> Vec<u8> {
    piece(Header { step: 7, index }, 100)
}

fn fault(ledger: &Ledger) -> Option<String> {
    ledger.entries().transfers[&7].fault.clone()
}

#[test]
fn what_arrives_whole_and_in_order_is_counted_and_done_when_the_sender_says_so_too() {
    let ledger = messages_of(2, 100);
    whole(&ledger, BACK, &message(0), true);
    whole(&ledger, BACK, &message(1), true);
    assert_eq!(fault(&ledger), None);
    let mut entries = ledger.entries();
    let transfer = entries.transfers.get_mut(&7).unwrap();
    assert_eq!((transfer.arrived, transfer.total(), transfer.outcome()), (200, 200, None));
    transfer.sent = Some(Ok(()));
    assert_eq!(transfer.outcome(), Some(Ok(())));
    transfer.sent = Some(Err("no".to_owned()));
    assert_eq!(transfer.outcome(), Some(Err("no".to_owned())));
}

#[test]
fn whatever_is_wrong_with_a_message_is_found() {
    let mut flipped = message(0);
    flipped[50] ^= 1;
    let mut moved = message(0);
    moved.copy_within(16..32, 24);
    let mut of_another = message(1);
    of_another[..HEADER as usize].copy_from_slice(&message(0)[..HEADER as usize]);
    let short = piece(Header { step: 7, index: 0 }, 99);
    for (arrive, found) in [
        (vec![flipped], "byte 50 of piece 0 is wrong"),
        (vec![moved], "byte 24 of piece 0 is wrong"),
        (vec![of_another], "byte 8 of piece 0 is wrong"),
        (vec![short], "piece 0 has 99 bytes"),
        (vec![message(1)], "message 1 arrived after None"),
        (vec![message(0), message(2)], "message 2 arrived after Some(0)"),
        (vec![message(0), message(0)], "message 0 arrived after Some(0)"),
        (vec![message(3)], "piece 3 arrived and was never sent"),
    ] {
        let ledger = messages_of(3, 100);
        arrive.iter().for_each(|data| whole(&ledger, BACK, data, true));
        assert_eq!(fault(&ledger).as_deref(), Some(found));
    }
}

#[test]
fn datagrams_may_come_in_any_order_and_none_twice() {
    let ledger = messages_of(3, 100);
    [2, 0].into_iter().for_each(|index| whole(&ledger, BACK, &message(index), false));
    assert_eq!(fault(&ledger), None);
    whole(&ledger, BACK, &message(2), false);
    assert_eq!(fault(&ledger).as_deref(), Some("piece 2 arrived twice"));
}

#[test]
fn what_nobody_sent_is_a_fault_of_the_run() {
    for (pair, data) in
        [(BACK, piece(Header { step: 8, index: 0 }, 100)), (PAIR, message(0)), (BACK, b"short".to_vec())]
    {
        let ledger = messages_of(1, 100);
        whole(&ledger, pair, &data, true);
        assert_eq!(ledger.entries().faults, ["something arrived that nobody sent"]);
    }
}
