//! Peers that are no `crust send` or `crust get`, or only pretend to be.

use std::fs;

use crust_tokio::{Builder, Node};
use tokio::io::AsyncWriteExt;

use crate::support::{Ended, Place, Running, TOO_LONG};

/// A node of the test's own.
async fn node() -> Node {
    Builder::ephemeral().listen(([127, 0, 0, 1], 0).into()).bind().await.unwrap()
}

/// What `crust get` makes of a sender that answers with these bytes, whatever it hears.
fn get_from_sender_that_says(place: &Place, answer: &[u8]) -> Ended {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let sender = node().await;
        let getter = place.get(&sender.contact().to_string(), &[]);
        let connection = sender.accept().await.unwrap();
        let (mut send, mut recv) = connection.accept_bi().await.unwrap();
        recv.read_exact(&mut [0; 14]).await.unwrap();
        send.write_all(answer).await.unwrap();
        // A getter that had enough at the first byte may be gone by now.
        let _ = send.shutdown().await;
        let ended = tokio::task::spawn_blocking(move || getter.end()).await.unwrap();
        sender.shutdown(0, b"").await;
        ended
    })
}

/// An offer of a file of this name and length.
fn offer(length: u64, name: &[u8]) -> Vec<u8> {
    let mut body = vec![1];
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(&[0; 32]);
    body.push(name.len() as u8);
    body.extend_from_slice(name);
    let mut message = vec![2];
    message.extend_from_slice(&(body.len() as u16).to_be_bytes());
    message.extend_from_slice(&body);
    message
}

#[test]
fn a_sender_that_means_ill_is_refused_before_it_has_made_any_file() {
    for (answer, says) in [
        (offer(10, b"../../escaped"), "impossible file name (a path)"),
        (offer(10, b"/etc/cron.d/evil"), "impossible file name (a path)"),
        (offer(10, b".."), "impossible file name (a directory)"),
        (offer(10, b"bad\xff"), "not UTF-8"),
        (offer(u64::MAX, b"huge"), "impossible length"),
        (vec![2, 0xff, 0xff], "a message of 65535 bytes"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "does not keep to the file protocol"),
        (vec![5; 100], "does not keep to the file protocol"),
    ] {
        let place = Place::new();
        get_from_sender_that_says(&place, &answer).badly(4, "peer_misbehaved", says);
        assert_eq!(place.names(), Vec::<String>::new(), "{says}");
    }
}

#[test]
fn a_getter_that_means_ill_does_not_disturb_the_others() {
    let place = Place::new();
    let content = place.file("sent", 1000);
    let (mut sender, contact) = place.send("sent", &[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let stranger = node().await;
        let contact: crust_tokio::Contact = contact.parse().unwrap();
        for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[1, 0xff, 0xff], &[3; 50]] {
            let connection = stranger.connect(&contact).await.unwrap();
            let (mut send, _recv) = connection.open_bi().await.unwrap();
            send.write_all(garbage).await.unwrap();
            tokio::time::timeout(TOO_LONG, connection.closed()).await.expect("it is let go");
        }
    });
    for _ in 0..3 {
        assert_eq!(sender.wait_for("failed")["code"], "peer_misbehaved");
    }
    place.get(&contact, &["-o", "got"]).end().well();
    sender.end().well();
    assert_eq!(fs::read(place.path("got")).unwrap(), content);
}

#[test]
fn the_words_of_a_stranger_cannot_drive_the_terminal() {
    let place = Place::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ended = runtime.block_on(async {
        let sender = node().await;
        let getter: Running = place.get(&sender.contact().to_string(), &[]);
        let connection = sender.accept().await.unwrap();
        connection.close(4242, b"\x1b]0;pwned\x07 two\nlines");
        let ended = tokio::task::spawn_blocking(move || getter.end()).await.unwrap();
        sender.shutdown(0, b"").await;
        ended
    });
    let ended = ended.badly(4, "peer_failed", "pwned");
    assert!(!ended.stderr.trim_end().chars().any(char::is_control), "{:?}", ended.stderr);
}
