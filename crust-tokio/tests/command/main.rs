//! The `crust` command as users run it: real processes, real sockets, real files.
#![cfg(feature = "cli")]

mod failures;
mod interruptions;
mod strangers;
mod support;

use std::fs;

use support::{Place, assert_content};

const MIB: usize = 1 << 20;

#[test]
fn files_of_every_size_arrive_as_they_were() {
    let place = Place::new();
    for length in [0, 1, 5 * MIB + 3] {
        let content = place.file("sent", length);
        let (sender, contact) = place.send("sent", &[]);
        let got = place.get(&contact, &["-o", "got"]).end().well();
        let sent = sender.end().well();

        assert_content(&place.path("got"), &content);
        let hash = blake3::hash(&content).to_hex().to_string();
        let (sent, received) = (sent.event("sent"), got.event("received"));
        for end in [&sent, &received] {
            assert_eq!((end["bytes"].as_u64(), end["blake3"].as_str()), (Some(length as u64), Some(&*hash)));
            assert_eq!(end["resumed_from"], 0);
        }
        assert_eq!(received["path"], "got");
        assert!(got.event("connected")["handshake_ms"].as_f64().unwrap() > 0.0);
        assert_eq!((got.stderr.as_str(), place.names()), ("", vec!["got".to_owned(), "sent".to_owned()]));
        fs::remove_file(place.path("got")).unwrap();
    }
}

#[test]
fn the_senders_name_for_the_file_is_used_in_a_directory_but_never_hides_it() {
    let place = Place::new();
    let content = place.file(".profile", 100);
    fs::create_dir(place.path("downloads")).unwrap();
    let (sender, contact) = place.send(".profile", &["--keep"]);
    place.get(&contact, &["-o", "downloads"]).end().well();
    assert_content(&place.path("downloads/_profile"), &content);
    place.get(&contact, &[]).end().well();
    assert_content(&place.path("_profile"), &content);
    drop(sender);
}

#[test]
fn kept_serving_a_file_goes_to_several_and_otherwise_to_one() {
    let place = Place::new();
    let content = place.file("sent", MIB);
    let (mut sender, contact) = place.send("sent", &["--keep"]);
    for name in ["first", "second"] {
        place.get(&contact, &["-o", name]).end().well();
        sender.wait_for("sent");
        assert_content(&place.path(name), &content);
    }
    sender.interrupt();
    sender.end().badly(130, "interrupted", "interrupted");
}

#[test]
fn the_contact_reaches_a_sender_that_listens_everywhere() {
    let place = Place::new();
    let content = place.file("sent", 1000);
    let mut sender = place.start(&["send", "sent", "--json"]);
    let ready = sender.next_event();
    place.start(&["get", ready["contact"].as_str().unwrap(), "-o", "got"]).end().well();
    sender.end().well();
    assert_content(&place.path("got"), &content);
}

#[test]
fn people_get_the_contact_alone_on_standard_output_and_a_qr_code_if_they_ask() {
    let place = Place::new();
    let content = place.file("sent", 1000);
    let mut sender = place.start(&["send", "sent", "--qr", "--listen", "127.0.0.1"]);
    let contact = sender.next_line();
    let got = place.run(&["get", &contact.to_uppercase(), "-o", "got"]).well();
    assert_content(&place.path("got"), &content);
    assert_eq!(got.stdout, ["got"], "the path, to be piped on");
    assert!(got.stderr.contains("complete and verified"), "{}", got.stderr);

    let sent = sender.end().well();
    assert_eq!(sent.stdout, [contact], "nothing but the contact");
    let blocks = sent.stderr.lines().filter(|line| line.contains('█')).count();
    assert!(blocks > 15, "no QR code: {}", sent.stderr);
    assert!(!sent.stderr.contains('\x1b'), "colours where there is no terminal");
}

#[test]
fn a_reader_that_leaves_after_the_first_line_stops_no_transfer() {
    let place = Place::new();
    let content = place.file("sent", 3 * MIB);
    let (mut sender, contact) = place.send("sent", &[]);
    sender.close_stdout();
    let mut getter = place.get(&contact, &["-o", "got"]);
    getter.next_event();
    getter.close_stdout();
    getter.end().well();
    sender.end().well();
    assert_content(&place.path("got"), &content);
}

#[test]
fn a_network_with_a_secret_works_and_quiet_is_quiet() {
    let place = Place::new();
    let content = place.file("sent", 1000);
    fs::write(place.path("secret"), "correct horse battery staple\n").unwrap();
    #[cfg(unix)]
    fs::set_permissions(place.path("secret"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let network = ["--network", "family", "--secret-file", "secret"];
    let (sender, contact) = place.send("sent", &network);
    // The same secret, in the other way.
    let mut command = place.command(&["get", &contact, "-o", "got", "--network", "family", "-q"]);
    command.env("CRUST_NETWORK_SECRET", "correct horse battery staple");
    let got = support::Running::of(&mut command).end().well();
    assert_eq!((got.stdout, got.stderr.as_str()), (vec!["got".to_owned()], ""));
    sender.end().well();
    assert_content(&place.path("got"), &content);
}

#[test]
fn the_id_is_made_once_and_kept_from_others() {
    let place = Place::new();
    let first = place.run(&["id", "--json"]).well().event("id");
    assert_eq!(first["created"], true);
    let key = first["key"].as_str().unwrap();
    assert!(key.ends_with("key"), "{key}");
    let second = place.run(&["id"]).well();
    assert_eq!(second.stdout, [first["peer"].as_str().unwrap()]);
    assert!(second.stderr.contains(key), "{}", second.stderr);
    let other = place.run(&["id", "--key", "mine", "--json"]).well().event("id");
    assert_ne!(other["peer"], first["peer"]);

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(key, fs::Permissions::from_mode(0o644)).unwrap();
        place.run(&["id", "--json"]).badly(2, "key", "chmod 600");
    }
}

#[test]
fn the_demo_says_what_it_promises_in_one_object() {
    let place = Place::new();
    let demo = place.run(&["demo", "--json", "--mib", "8"]).well();
    assert_eq!((demo.stdout.len(), demo.stderr.as_str()), (1, ""));
    let found = &demo.events()[0];
    assert_eq!((&found["ok"], &found["bytes"]), (&true.into(), &(8 * MIB).into()));
    assert_eq!(found["path"], "udp");
    assert!(found["handshake_ms"].as_f64().unwrap() > 0.0 && found["mib_per_s"].as_f64().unwrap() > 0.0);
    let people = place.run(&["demo", "--mib", "1"]).well();
    assert!(people.stdout.join("\n").contains("every byte checked"), "{people:#?}");
}
