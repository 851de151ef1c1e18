//! What the driver owes the engine besides datagrams: the wall clock, fresh randomness, and bounded queues.

mod world;

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use crust_async::proto::Duration;
use crust_async::{CloseReason, ConnectError, Runtime};
use world::{Clock, World};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_wall_clock_that_jumps_reaches_the_engine() {
    let world = World::new();
    world.block_on(async {
        let clock = Clock::default();
        let node = world.builder_with(&clock).bind().await.unwrap();
        let peer = world.node().await;
        let today = world.wall();
        let contact = peer.contact().with_expiry(today + HOUR);

        // As after a suspend, over which the clock that never goes backwards stood still.
        clock.set_ahead(2 * HOUR);
        // Noticed at the next look, well before it would be told anyway.
        world.sleep(Duration::from_secs(6)).await;
        assert_eq!(node.connect(&contact).await.unwrap_err(), ConnectError::Expired);
        // Set right by a person.
        clock.set_ahead(Duration::ZERO);
        world.sleep(Duration::from_secs(6)).await;
        assert_eq!(node.connect(&contact).await.unwrap().peer_id(), peer.peer_id());
    });
}

/// What goes over the wire when two nodes connect, and again when they do after `pause`; and how often the
/// system was asked for randomness during the pause, in which it gave other randomness than before.
fn two_connections(chance: u8, pause: Duration) -> [(u64, Vec<Vec<u8>>); 2] {
    let world = World::new();
    world.block_on(async {
        world.take_wire();
        let (a, b) = (world.node().await, world.node().await);
        let before = world.draws();
        drop(a.connect(b.contact()).await.unwrap());
        world.sleep(Duration::from_secs(10)).await;
        let first = (world.draws() - before, world.take_wire());

        world.chance(chance);
        let before = world.draws();
        world.sleep(pause).await;
        drop(a.connect(b.contact()).await.unwrap());
        world.sleep(Duration::from_secs(10)).await;
        [first, (world.draws() - before, world.take_wire())]
    })
}

#[test]
fn fresh_entropy_is_mixed_in_after_ten_minutes_and_changes_what_the_engine_draws() {
    let short = Duration::from_secs(500);
    let runs = [two_connections(1, short), two_connections(2, short)];
    assert!(!runs[0][1].1.is_empty());
    // The engine draws from what it was seeded with, and the same inputs give the same bytes.
    assert_eq!(runs[0], runs[1]);
    assert_eq!(runs[0][1].0, 0, "nobody asks for more than is needed");

    let long = Duration::from_secs(650);
    let runs = [two_connections(1, long), two_connections(2, long)];
    assert_eq!(runs[0][0], runs[1][0]);
    // Once by each of the two nodes.
    assert_eq!((runs[0][1].0, runs[1][1].0), (2, 2));
    for datagram in &runs[0][1].1 {
        assert!(!runs[1][1].1.contains(datagram), "the same datagram in spite of other entropy");
    }
}

#[test]
fn of_more_connections_than_wait_to_be_accepted_the_last_is_refused() {
    const BACKLOG: usize = 1024;
    let world = World::new();
    world.block_on(async {
        let server = world.node().await;
        let contact = server.contact();
        let mut waiting = Vec::new();
        for i in 0..BACKLOG {
            let node = world.node().await;
            let connection = node.connect(&contact).await.unwrap_or_else(|error| panic!("{i}: {error}"));
            waiting.push((node, connection));
        }
        let one_more = world.node().await;
        let refused = one_more.connect(&contact).await.unwrap();
        // Long enough to hear of it, and no longer: so many nodes keep a world busy for ever.
        world.sleep(Duration::from_secs(1)).await;
        let reason = refused.close_reason();
        let Some(CloseReason::ByPeer { code: 0, reason }) = &reason else { panic!("{reason:?}") };
        assert_eq!(&reason[..], b"nobody accepts connections here");

        // All others still wait, in the order in which they came.
        for (node, connection) in &waiting {
            let mut accepting = pin!(server.accept());
            let accepted = poll_fn(|cx| Poll::Ready(accepting.as_mut().poll(cx))).await;
            let Poll::Ready(Some(accepted)) = accepted else { panic!("not all of them waited") };
            assert_eq!(accepted.peer_id(), node.peer_id());
            assert_eq!((connection.close_reason(), accepted.close_reason()), (None, None));
        }
        // Now there is room again.
        let connection = one_more.connect(&contact).await.unwrap();
        assert_eq!(server.accept().await.unwrap().peer_id(), one_more.peer_id());
        assert_eq!(connection.close_reason(), None);
    });
}
