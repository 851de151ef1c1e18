//! Transfers cut off in the middle, by whatever, and gone on with.

use std::fs;
use std::io::{Seek, SeekFrom, Write};

use crate::support::{Place, Running, SLOWLY, assert_content};

const MIB: usize = 1 << 20;

/// What is there of a file, after a getter was cut off.
fn part(place: &Place) -> u64 {
    assert!(!place.path("got").exists(), "no file has its name before it is whole");
    let length = fs::metadata(place.path("got.part")).unwrap().len();
    assert!(length > 0);
    length
}

#[test]
fn a_getter_killed_in_the_middle_is_gone_on_with_by_the_next() {
    let place = Place::new();
    let content = place.long_file("sent");
    // So patient that the sender has not missed the first one when the second is done.
    let (sender, contact) = place.send("sent", &["--timeout", "600"]);
    let killed = place.get_cut_off(&contact, "got", Running::kill);
    assert_eq!(killed.code, None);

    let there = part(&place);
    let got = place.get(&contact, &["-o", "got"]).end().well();
    assert_eq!(got.event("received")["resumed_from"].as_u64(), Some(there));
    assert_eq!(got.event("started")["resumed_from"].as_u64(), Some(there));
    let sent = sender.end().well();
    assert_eq!(sent.event("sent")["resumed_from"].as_u64(), Some(there));
    // The end of the sender's own work is no failure of the connection to the first one.
    let failed = sent.event("failed");
    assert_eq!(failed["code"], "ended", "{failed}");
    assert_eq!(failed["message"], "this side is done: somebody else has fetched the file");
    assert_content(&place.path("got"), &content);
    assert_eq!(place.names(), ["got", "sent"]);
}

#[test]
fn a_part_that_was_damaged_is_noticed_and_begun_anew() {
    let place = Place::new();
    let content = place.long_file("sent");
    let (sender, contact) = place.send("sent", &[]);
    place.get_cut_off(&contact, "got", Running::kill);
    part(&place);
    let mut damaged = fs::read(place.path("got.part")).unwrap();
    damaged[100] ^= 1;
    fs::write(place.path("got.part"), damaged).unwrap();

    let got = place.get(&contact, &["-o", "got"]).end().well();
    let started = got.event("started");
    assert_eq!((&started["resumed_from"], &started["restarted"]), (&0.into(), &true.into()));
    sender.end().well();
    assert_content(&place.path("got"), &content);
}

#[test]
fn a_sender_killed_in_the_middle_leaves_a_part_that_another_completes() {
    let place = Place::new();
    let content = place.long_file("sent");
    let (mut sender, contact) = place.send("sent", &[]);
    let words = ["-o", "got", "--timeout", "3"];
    let mut getter = place.get(&contact, &[&words, &SLOWLY[..]].concat());
    getter.wait_for_data();
    sender.kill();
    getter.end().badly(4, "connection_lost", "what has arrived is kept");
    let there = part(&place);

    let (sender, contact) = place.send("sent", &[]);
    let got = place.get(&contact, &["-o", "got"]).end().well();
    assert_eq!(got.event("received")["resumed_from"].as_u64(), Some(there));
    sender.end().well();
    assert_content(&place.path("got"), &content);
}

#[test]
#[cfg(unix)]
fn ctrl_c_at_the_getter_is_heard_by_the_sender_which_goes_on_serving() {
    let place = Place::new();
    let content = place.long_file("sent");
    let (mut sender, contact) = place.send("sent", &[]);
    place.get_cut_off(&contact, "got", Running::interrupt).badly(
        130,
        "interrupted",
        "what has arrived is kept",
    );
    let failed = sender.wait_for("failed");
    assert_eq!(failed["code"], "peer_interrupted");
    assert_eq!(failed["message"], "the other side was interrupted");

    part(&place);
    place.get(&contact, &["-o", "got"]).end().well();
    sender.end().well();
    assert_content(&place.path("got"), &content);
}

#[test]
#[cfg(unix)]
fn ctrl_c_at_the_sender_is_heard_by_the_getter() {
    let place = Place::new();
    place.long_file("sent");
    let (mut sender, contact) = place.send("sent", &[]);
    let mut getter = place.get(&contact, &[&["-o", "got"], &SLOWLY[..]].concat());
    getter.wait_for_data();
    sender.interrupt();
    sender.end().badly(130, "interrupted", "interrupted");
    getter.end().badly(4, "peer_interrupted", "the other side was interrupted; what has arrived is kept");
    part(&place);
}

#[test]
fn a_file_that_changes_while_it_is_sent_is_given_to_nobody() {
    let place = Place::new();
    // At this rate all of it would take longer than anybody waits; and it is far more than what both sides' buffers
    // hold, so that the sender cannot have read its end before it changes.
    place.file("sent", 64 * MIB);
    let (sender, contact) = place.send("sent", &[]);
    let mut getter = place.get(&contact, &["-o", "got", "--limit-rate", "1M"]);
    getter.wait_for_data();
    // In its place, and as long as before.
    let mut file = fs::OpenOptions::new().write(true).open(place.path("sent")).unwrap();
    file.seek(SeekFrom::End(-1)).unwrap();
    file.write_all(b"?").unwrap();
    sender.end().badly(5, "file_changed", "changed while it was being sent");
    getter.end().badly(4, "peer_failed", "its file changed");
    assert!(!place.path("got").exists());
}

#[test]
fn two_getters_never_write_the_same_part() {
    let place = Place::new();
    place.long_file("sent");
    let (_sender, contact) = place.send("sent", &[]);
    let mut first = place.get(&contact, &[&["-o", "got"], &SLOWLY[..]].concat());
    first.wait_for_data();
    place.get(&contact, &["-o", "got"]).end().badly(5, "file", "another process is writing");
    first.kill();
}
