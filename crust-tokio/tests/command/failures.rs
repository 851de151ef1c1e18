//! Bad input and bad luck: one clear line, one event, the right exit code, nothing broken.

use std::fs;

use crate::support::{Place, assert_content};

const MIB: usize = 1 << 20;

#[test]
fn what_is_no_contact_is_refused_with_what_it_seems_to_be() {
    let place = Place::new();
    place.file("sent", 10);
    let (_sender, contact) = place.send("sent", &[]);
    let typo = match contact.strip_suffix('0') {
        Some(start) => format!("{start}1"),
        None => format!("{}0", &contact[..contact.len() - 1]),
    };
    let peer = place.run(&["id", "--json"]).event("id")["peer"].as_str().unwrap().to_owned();
    for (text, says) in [
        (typo.as_str(), "typo"),
        (&contact[..20], "cut short"),
        ("hello", "not a contact"),
        (&peer, "a peer id, not a contact"),
    ] {
        place.get(text, &[]).end().badly(2, "bad_contact", says);
    }
}

#[test]
fn a_contact_of_another_network_or_secret_is_refused_here() {
    let place = Place::new();
    place.file("sent", 10);
    let (_sender, contact) = place.send("sent", &["--network", "ours"]);
    place.get(&contact, &[]).end().badly(2, "other_network", "another network");
    let mut command = place.command(&["get", &contact, "--json", "--network", "ours"]);
    command.env("CRUST_NETWORK_SECRET", "correct horse battery staple");
    crate::support::Running::of(&mut command).end().badly(2, "other_network", "secret");
    place.run(&["get", &contact, "--json", "--network", " ours"]).badly(2, "usage", "space");
    fs::write(place.path("short"), "short").unwrap();
    #[cfg(unix)]
    fs::set_permissions(place.path("short"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    place.run(&["get", &contact, "--json", "--secret-file", "short"]).badly(2, "key", "at least 16");
    place.run(&["get", &contact, "--json", "--secret-file", "missing"]).badly(2, "key", "missing");
}

#[test]
fn what_is_no_file_is_not_sent() {
    let place = Place::new();
    place.run(&["send", "missing", "--json"]).badly(2, "no_such_file", "no such file");
    place.run(&["send", ".", "--json"]).badly(2, "no_such_file", "directory");
    #[cfg(unix)]
    place.run(&["send", "/dev/null", "--json"]).badly(2, "no_such_file", "not a regular file");
}

#[test]
fn a_file_that_is_there_stays_unless_forced_and_the_sender_goes_on() {
    let place = Place::new();
    let content = place.file("sent", 1000);
    fs::write(place.path("got"), "precious").unwrap();
    let (mut sender, contact) = place.send("sent", &[]);
    place.get(&contact, &["-o", "got"]).end().badly(5, "exists", "--force");

    // Not known before the sender has said its name for it.
    fs::create_dir(place.path("in")).unwrap();
    fs::write(place.path("in/sent"), "precious").unwrap();
    place.get(&contact, &["-o", "in"]).end().badly(5, "exists", "--force");
    assert_eq!(sender.wait_for("failed")["code"], "refused");
    for kept in ["got", "in/sent"] {
        assert_content(&place.path(kept), b"precious");
    }
    place.get(&contact, &["-o", "got", "--force"]).end().well();
    assert_content(&place.path("got"), &content);
    sender.end().well();
}

#[test]
fn a_place_where_nothing_can_be_written_is_refused() {
    let place = Place::new();
    place.file("sent", 10);
    let (_sender, contact) = place.send("sent", &[]);
    for (path, directory) in [("missing/got", "missing"), ("missing/", "missing/")] {
        let says = format!("there is no directory {directory}; create it first");
        place.get(&contact, &["-o", path]).end().badly(5, "file", &says);
    }
    place.get(&contact, &["-o", "-"]).end().badly(2, "usage", "standard output");
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_is_full_in_the_middle_keeps_what_there_is_and_the_sender_hears_of_it() {
    let place = Place::new();
    let content = place.file("sent", 3 * MIB);
    let (mut sender, contact) = place.send("sent", &[]);
    // A limit of the size of files stands for the disk: writing beyond it fails in the same way.
    let script = "trap '' XFSZ; ulimit -f 2048; exec \"$0\" get \"$1\" -o got --json --listen 127.0.0.1";
    let mut command = std::process::Command::new("bash");
    command.args(["-c", script, env!("CARGO_BIN_EXE_crust"), &contact]);
    place.prepare(&mut command);
    crate::support::Running::of(&mut command).end().badly(5, "disk_full", "got.part");
    let failed = sender.wait_for("failed");
    assert_eq!(failed["code"], "peer_failed");
    assert_eq!(failed["message"], "the other side cannot write the file: the disk is full");

    let there = fs::metadata(place.path("got.part")).unwrap().len();
    let got = place.get(&contact, &["-o", "got"]).end().well();
    assert_eq!(got.event("received")["resumed_from"].as_u64(), Some(there));
    sender.end().well();
    assert_content(&place.path("got"), &content);
}

#[test]
#[cfg(target_os = "linux")]
fn a_result_that_cannot_be_printed_is_a_failure() {
    let place = Place::new();
    let mut command = place.command(&["id"]);
    command.stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let status = command.status().unwrap();
    assert_eq!(status.code(), Some(5));
}

#[test]
fn nobody_at_the_contacts_address_is_no_answer() {
    let place = Place::new();
    place.file("sent", 10);
    let (mut sender, contact) = place.send("sent", &[]);
    sender.kill();
    sender.end();
    let words = ["--timeout", "0.5"];
    place.get(&contact, &words).end().badly(3, "no_answer", "no answer from 127.0.0.1");
}

#[test]
fn an_address_that_is_not_here_cannot_be_listened_on() {
    let place = Place::new();
    place.file("sent", 10);
    // TEST-NET-1 (RFC 5737) is nobody's.
    place.run(&["send", "sent", "--json", "--listen", "192.0.2.1"]).badly(
        3,
        "listen",
        "choose an address of this machine",
    );
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    place.run(&["send", "sent", "--json", "--listen", &listen]).badly(3, "listen", "choose another port");
}

#[test]
fn a_demo_that_fails_says_so_in_its_one_object() {
    let place = Place::new();
    let demo = place.run(&["demo", "--json", "--listen", "192.0.2.1"]);
    assert_eq!((demo.code, demo.stdout.len()), (Some(3), 1), "{demo:#?}");
    let found = &demo.events()[0];
    assert_eq!((&found["ok"], &found["code"]), (&false.into(), &"listen".into()), "{demo:#?}");
    assert_eq!(demo.stderr, format!("crust: {}\n", found["message"].as_str().unwrap()));
}

#[test]
fn a_key_that_cannot_be_kept_is_refused_and_says_where_else() {
    let place = Place::new();
    fs::write(place.path("file"), "").unwrap();
    place.run(&["id", "--json", "--key", "file/key"]).badly(2, "key", "; choose another place with --key");
    fs::write(place.path("sent"), "").unwrap();
    let ended = place.run(&["send", "sent", "--json", "--key", "file/key"]).badly(2, "key", "--key");
    assert!(!ended.stderr.contains("os error"), "{ended:#?}");
}

#[test]
fn a_command_line_that_makes_no_sense_gets_one_line() {
    let place = Place::new();
    place.run(&["get", "--json"]).badly(2, "usage", "<CONTACT>");
    place.run(&["send", "a", "--jason", "--json"]).badly(2, "usage", "--jason");
    place.run(&["demo", "--mib", "0", "--json"]).badly(2, "usage", "--mib");
    place.file("sent", 10);
    place.run(&["send", "sent", "--to", "nobody", "--json"]).badly(2, "usage", "--to nobody");
    let help = place.run(&["get", "--help"]).well();
    assert!(help.stdout.iter().any(|line| line.starts_with("Exit codes")), "{help:#?}");
}

#[test]
fn only_the_peers_named_are_served() {
    let place = Place::new();
    let content = place.file("sent", 1000);
    let guest = place.run(&["id", "--key", "guest.key", "--json"]).event("id");
    let (mut sender, contact) = place.send("sent", &["--to", guest["peer"].as_str().unwrap()]);
    let says = "serves only certain peers (send --to); tell it what `crust id` prints";
    place.get(&contact, &["-o", "got"]).end().badly(4, "refused", says);
    assert_eq!(sender.wait_for("failed")["code"], "refused");
    place.get(&contact, &["-o", "got", "--key", "guest.key"]).end().well();
    assert_eq!(sender.end().well().event("sent")["peer"], guest["peer"]);
    assert_content(&place.path("got"), &content);
}
