//! Both halves of a transfer against each other, and each against somebody who means ill.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};

use crate::destination::Destination;
use crate::failure::{Failure, Kind};
use crate::fetch::{Fetched, fetch};
use crate::pace::Pace;
use crate::protocol::{self, Due, Message, Offer, VERSION, Violation};
use crate::serve::{FIRST_WORD, serve};
use crate::source::{CHUNK, Source};
use crate::trouble::{Trouble, Watch};

/// Remembers what a transfer told.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<(u64, bool)>>);

impl Watch for Heard {
    fn started(&self, from: u64, restarted: bool) {
        self.0.lock().unwrap().push((from, restarted));
    }
}

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn destination(&self) -> Destination {
        Destination::new(Some(&self.path("fetched")), false).unwrap()
    }

    fn source(&self, content: &[u8]) -> Arc<Source> {
        std::fs::write(self.path("served"), content).unwrap();
        Arc::new(Source::open(&self.path("served")).unwrap())
    }

    /// What an attempt before this one left behind of `content`.
    fn leave_part(&self, content: &[u8], part: &[u8]) {
        self.destination().open(&offer(content)).unwrap().write(part).unwrap();
    }
}

fn offer(content: &[u8]) -> Offer {
    Offer {
        version: VERSION,
        length: content.len() as u64,
        root: blake3::hash(content),
        name: "served".to_owned(),
    }
}

fn content(length: usize) -> Vec<u8> {
    let mut content = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut content);
    content
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap().block_on(future)
}

async fn transfer(
    place: &Place,
    content: &[u8],
) -> (Result<Fetched, Trouble>, Result<u64, Trouble>, Vec<(u64, bool)>) {
    let (getter, sender) = duplex(100_000);
    let ((mut get_recv, mut get_send), (mut recv, mut send)) = (split(getter), split(sender));
    let (source, destination) = (place.source(content), place.destination());
    let (heard, unheard) = (Arc::new(Heard::default()), Heard::default());
    let root = source.hash(|_| ());
    let (fetched, served) = tokio::join!(
        fetch(&mut get_recv, &mut get_send, &destination, Pace::new(None), heard.clone()),
        serve(&mut recv, &mut send, &source, async { root }, Pace::new(None), &unheard),
    );
    let heard = heard.0.lock().unwrap().clone();
    (fetched, served, heard)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_was_there_before_the_file_arrives_and_only_what_fits_is_kept(
        length in prop_oneof![Just(0), Just(1), Just(CHUNK), Just(2 * CHUNK), 0..3 * CHUNK],
        part in proptest::option::of((any::<prop::sample::Index>(), any::<bool>())),
    ) {
        let place = Place::new();
        let content = content(length);
        let mut fits = 0;
        let mut damaged = false;
        if let Some((end, damage)) = part {
            let mut part = content[..end.index(length + 1)].to_vec();
            fits = part.len() as u64;
            if let (true, Some(byte)) = (damage, part.last_mut()) {
                *byte ^= 1;
                (fits, damaged) = (0, true);
            }
            place.leave_part(&content, &part);
        }
        let (fetched, served, heard) = run(transfer(&place, &content));
        let fetched = fetched.unwrap();
        prop_assert_eq!(served.unwrap(), fits);
        prop_assert_eq!(fetched.resumed_from, fits);
        prop_assert_eq!(heard, vec![(fits, damaged)]);
        prop_assert_eq!(fetched.root, blake3::hash(&content));
        prop_assert!(std::fs::read(place.path("fetched")).unwrap() == content, "other content");
        prop_assert!(!place.path("fetched.part").exists() && !place.path("fetched.part.info").exists());
    }
}

/// Fetches from a sender that is `script`.
fn fetch_from<S: Future<Output = ()>>(
    place: &Place,
    script: impl FnOnce(ReadHalf<DuplexStream>, WriteHalf<DuplexStream>) -> S,
) -> Result<Fetched, Trouble> {
    let (getter, sender) = duplex(100_000);
    let (mut recv, mut send) = split(getter);
    let (their_recv, their_send) = split(sender);
    let destination = place.destination();
    run(async {
        let fetching = fetch(&mut recv, &mut send, &destination, Pace::new(None), Arc::new(Heard::default()));
        tokio::join!(fetching, script(their_recv, their_send)).0
    })
}

/// Serves `content` to a getter that is `script`.
fn serve_to<S: Future<Output = ()>>(
    content: &[u8],
    script: impl FnOnce(ReadHalf<DuplexStream>, WriteHalf<DuplexStream>) -> S,
) -> Result<u64, Trouble> {
    let place = Place::new();
    let source = place.source(content);
    let (sender, getter) = duplex(100_000);
    let (mut recv, mut send) = split(sender);
    let (their_recv, their_send) = split(getter);
    let root = async { Ok(blake3::hash(content)) };
    run(async {
        let unheard = Heard::default();
        let serving = serve(&mut recv, &mut send, &source, root, Pace::new(None), &unheard);
        tokio::join!(serving, script(their_recv, their_send)).0
    })
}

/// Plays an honest sender up to where the data begins.
async fn open_as_sender(
    recv: &mut ReadHalf<DuplexStream>,
    send: &mut WriteHalf<DuplexStream>,
    content: &[u8],
) {
    protocol::read(recv, Due::Hello).await.unwrap();
    protocol::write(send, &Message::Offer(offer(content))).await.unwrap();
    protocol::read(recv, Due::Accept).await.unwrap();
    protocol::write(send, &Message::Start { offset: 0 }).await.unwrap();
}

#[test]
fn other_bytes_than_offered_get_no_name() {
    let place = Place::new();
    let result = fetch_from(&place, |mut recv, mut send| async move {
        open_as_sender(&mut recv, &mut send, b"content").await;
        send.write_all(b"cantent").await.unwrap();
    });
    assert!(matches!(result, Err(Trouble::Here(Failure { kind: Kind::Integrity, .. }))), "{result:?}");
    assert!(!place.path("fetched").exists());
}

#[test]
fn more_bytes_than_offered_are_the_peers_fault() {
    let place = Place::new();
    let result = fetch_from(&place, |mut recv, mut send| async move {
        open_as_sender(&mut recv, &mut send, b"content").await;
        send.write_all(b"content!").await.unwrap();
    });
    assert!(matches!(result, Err(Trouble::Peer(Violation::Amount))), "{result:?}");
    assert!(!place.path("fetched").exists());
}

#[test]
fn what_came_before_the_sender_went_silent_is_kept() {
    let place = Place::new();
    let whole = content(CHUNK + 1000);
    let sent = whole[..CHUNK + 10].to_vec();
    let result = fetch_from(&place, |mut recv, mut send| {
        let whole = whole.clone();
        async move {
            open_as_sender(&mut recv, &mut send, &whole).await;
            send.write_all(&sent).await.unwrap();
        }
    });
    assert!(matches!(result, Err(Trouble::Peer(Violation::Amount))), "{result:?}");
    assert_eq!(std::fs::read(place.path("fetched.part")).unwrap(), whole[..CHUNK + 10]);
}

#[test]
fn a_start_that_was_not_asked_for_is_the_peers_fault() {
    let place = Place::new();
    let result = fetch_from(&place, |mut recv, mut send| async move {
        protocol::read(&mut recv, Due::Hello).await.unwrap();
        protocol::write(&mut send, &Message::Offer(offer(b"content"))).await.unwrap();
        protocol::read(&mut recv, Due::Accept).await.unwrap();
        protocol::write(&mut send, &Message::Start { offset: 3 }).await.unwrap();
    });
    assert!(matches!(result, Err(Trouble::Peer(Violation::Length(3)))), "{result:?}");
}

#[test]
fn a_name_that_climbs_out_of_the_directory_creates_nothing() {
    let place = Place::new();
    let result = fetch_from(&place, |mut recv, mut send| async move {
        protocol::read(&mut recv, Due::Hello).await.unwrap();
        let bad = Offer { name: "../evil".to_owned(), ..offer(b"content") };
        protocol::write(&mut send, &Message::Offer(bad)).await.unwrap();
    });
    assert!(matches!(result, Err(Trouble::Peer(Violation::Name(_)))), "{result:?}");
    assert_eq!(std::fs::read_dir(place.directory.path()).unwrap().count(), 0);
}

#[test]
fn a_getter_that_speaks_something_else_is_the_peers_fault() {
    let result = serve_to(b"content", |_recv, mut send| async move {
        send.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    });
    assert!(matches!(result, Err(Trouble::Peer(_))), "{result:?}");
    let result = serve_to(b"content", |_recv, mut send| async move {
        protocol::write(&mut send, &Message::Start { offset: 0 }).await.unwrap();
    });
    assert!(matches!(result, Err(Trouble::Peer(Violation::Unexpected(Due::Hello)))), "{result:?}");
}

#[test]
fn a_getter_that_never_says_all_of_its_hello_is_not_waited_for() {
    let result = serve_to(b"content", |recv, mut send| async move {
        send.write_all(&Message::Hello { version: VERSION }.encode()[..5]).await.unwrap();
        // In the test's own time: it stays, and says no more.
        tokio::time::sleep(2 * FIRST_WORD).await;
        drop((recv, send));
    });
    assert!(matches!(result, Err(Trouble::Peer(Violation::Unexpected(Due::Hello)))), "{result:?}");
}

#[test]
fn a_getter_that_claims_more_than_the_file_is_served_from_the_start() {
    let served = serve_to(b"content", |mut recv, mut send| async move {
        protocol::write(&mut send, &Message::Hello { version: VERSION }).await.unwrap();
        protocol::read(&mut recv, Due::Offer).await.unwrap();
        let claim = Message::Accept { offset: 1 << 40, prefix: blake3::hash(b"") };
        protocol::write(&mut send, &claim).await.unwrap();
        assert_eq!(protocol::read(&mut recv, Due::Start).await.unwrap(), Message::Start { offset: 0 });
        let mut data = [0; 7];
        recv.read_exact(&mut data).await.unwrap();
        protocol::write(&mut send, &Message::Done { root: blake3::hash(&data) }).await.unwrap();
    });
    assert_eq!(served.unwrap(), 0);
}

#[test]
fn a_getter_that_confirms_another_file_has_confirmed_nothing() {
    let result = serve_to(b"content", |mut recv, mut send| async move {
        protocol::write(&mut send, &Message::Hello { version: VERSION }).await.unwrap();
        protocol::read(&mut recv, Due::Offer).await.unwrap();
        let nothing = Message::Accept { offset: 0, prefix: blake3::hash(b"") };
        protocol::write(&mut send, &nothing).await.unwrap();
        protocol::write(&mut send, &Message::Done { root: blake3::hash(b"other") }).await.unwrap();
        let mut rest = Vec::new();
        recv.read_to_end(&mut rest).await.unwrap();
    });
    assert!(matches!(result, Err(Trouble::Peer(Violation::WrongDone))), "{result:?}");
}

#[test]
fn a_limited_rate_is_kept() {
    run(async {
        let begun = tokio::time::Instant::now();
        let mut pace = Pace::new(Some(1 << 20));
        for _ in 0..9 {
            pace.wait(CHUNK).await;
        }
        // The first goes at once, the others a quarter of a second after another.
        let taken = begun.elapsed();
        assert!((1.99..2.01).contains(&taken.as_secs_f64()), "{taken:?}");
    });
}

#[test]
fn a_limited_rate_is_kept_no_longer_than_there_is_a_reason_to() {
    run(async {
        let begun = tokio::time::Instant::now();
        let mut pace = Pace::new(Some(1)).until(tokio::time::sleep(Duration::from_secs(1)));
        for _ in 0..9 {
            pace.wait(CHUNK).await;
        }
        assert_eq!(begun.elapsed(), Duration::from_secs(1));
    });
}

#[test]
fn a_low_rate_is_kept_in_small_steps() {
    assert_eq!(Pace::new(None).portion(), CHUNK);
    assert_eq!(Pace::new(Some(1 << 40)).portion(), CHUNK);
    assert_eq!(Pace::new(Some(64 << 10)).portion(), 8 << 10);
    assert_eq!(Pace::new(Some(1)).portion(), 1);
}
