//! The handles' promises, on a machine in memory and in virtual time.

mod world;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crust_async::proto::Duration;
use crust_async::{
    CloseReason, ConnectError, Connection, NodeEvent, Priority, ReadError, ReadExactError, ReadToEndError,
    SendMessageError, WriteError,
};
use world::{Pair, World};

/// `len` bytes that tell their place.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

async fn echo(connection: Connection) {
    while let Ok((mut send, mut recv)) = connection.accept_bi().await {
        let Ok(data) = recv.read_to_end(usize::MAX).await else { return };
        let _ = send.write_all(&data).await;
    }
}

#[test]
fn what_is_written_comes_back() {
    let world = World::new();
    world.block_on(async {
        let Pair { a, b, ab, ba } = world.pair().await;
        assert_eq!((ab.peer_id(), ba.peer_id()), (b.peer_id(), a.peer_id()));
        assert_eq!(ab.remote_address(), Some(b.local_addrs()[0]));
        world.spawn(echo(ba));
        let (mut send, mut recv) = ab.open_bi().await.unwrap();
        let data = pattern(300_000);
        send.write_all(&data).await.unwrap();
        assert_eq!(send.written(), 300_000);
        send.finish().unwrap();
        assert_eq!(recv.read_to_end(300_000).await.unwrap(), data);
    });
}

#[test]
fn dropping_every_future_at_every_poll_loses_nothing_and_doubles_nothing() {
    let world = World::new();
    world.block_on(async {
        let limit_streams = |b: crust_async::Builder<world::Machine>| {
            b.config(|config| {
                config.transport.limits.max_streams_uni = 3;
                config.transport.limits.max_stream_data = 10_000;
                config.transport.send_buffer = 10_000;
                config.transport.limits.max_message = 4_000;
                config.transport.limits.message_window = 4_000;
            })
        };
        let a = limit_streams(world.builder()).bind().await.unwrap();
        let b = limit_streams(world.builder()).bind().await.unwrap();
        let contact = b.contact();
        let ab = a.connect(contact).await.unwrap();
        let ba = dropped_until_ready!(world, b.accept()).unwrap();
        let data = pattern(50_000);

        const STREAMS: usize = 20;
        const MESSAGES: usize = 60;
        let streams = async {
            for _ in 0..STREAMS {
                let mut send = dropped_until_ready!(world, ab.open_uni()).unwrap();
                let mut rest = &data[..];
                while !rest.is_empty() {
                    let written = dropped_until_ready!(world, send.write(rest)).unwrap();
                    rest = &rest[written..];
                }
                dropped_until_ready!(world, send.finished()).unwrap();
            }
        };
        let messages = async {
            for i in 0..MESSAGES {
                let message = [i as u8; 3_000];
                dropped_until_ready!(world, ab.send_message(Priority::default(), &message)).unwrap();
            }
        };
        let read_streams = async {
            for i in 0..STREAMS {
                let mut recv = dropped_until_ready!(world, ba.accept_uni()).unwrap();
                let got = match i % 3 {
                    0 => dropped_until_ready!(world, recv.read_to_end(50_000)).unwrap(),
                    1 => {
                        let mut got = vec![0; 50_000];
                        dropped_until_ready!(world, recv.read_exact(&mut got)).unwrap();
                        assert_eq!(recv.read(&mut [0]).await.unwrap(), 0);
                        got
                    }
                    _ => {
                        let mut got = Vec::new();
                        let mut buf = [0; 777];
                        loop {
                            let read = dropped_until_ready!(world, recv.read(&mut buf)).unwrap();
                            if read == 0 {
                                break got;
                            }
                            got.extend_from_slice(&buf[..read]);
                        }
                    }
                };
                assert!(got == data, "stream {i}");
            }
        };
        let read_messages = async {
            for i in 0..MESSAGES {
                let message = dropped_until_ready!(world, ba.recv_message()).unwrap();
                assert_eq!(message.data, [i as u8; 3_000]);
            }
        };
        join4(streams, messages, read_streams, read_messages).await;
    });
}

#[test]
fn a_writer_whose_reader_does_not_read_waits_within_the_windows() {
    let world = World::new();
    world.block_on(async {
        let small = |b: crust_async::Builder<world::Machine>| {
            b.config(|config| {
                config.transport.limits.max_stream_data = 20_000;
                config.transport.send_buffer = 30_000;
            })
        };
        let a = small(world.builder()).bind().await.unwrap();
        let b = small(world.builder()).bind().await.unwrap();
        let ab = a.connect(b.contact()).await.unwrap();
        let ba = b.accept().await.unwrap();
        let data = pattern(200_000);
        let mut send = ab.open_uni().await.unwrap();

        let written = {
            let mut writing = Box::pin(send.write_all(&data));
            for _ in 0..1000 {
                let polled = std::future::poll_fn(|cx| Poll::Ready(writing.as_mut().poll(cx))).await;
                assert!(polled.is_pending());
                world.sleep(Duration::from_millis(10)).await;
            }
            drop(writing);
            usize::try_from(send.written()).unwrap()
        };
        assert!((30_000..=50_000).contains(&written), "{written}");

        // And goes on as soon as there is room, woken and not by chance.
        let mut recv = ba.accept_uni().await.unwrap();
        let before = world.elapsed();
        let (_, got) = join(
            async {
                send.write_all(&data[written..]).await.unwrap();
                send.finish().unwrap();
            },
            recv.read_to_end(usize::MAX),
        )
        .await;
        assert!(got.unwrap() == data);
        assert!(world.elapsed() - before < Duration::from_secs(2), "{:?}", world.elapsed() - before);
    });
}

#[test]
fn a_sender_of_messages_that_nobody_receives_waits_and_goes_on_in_order() {
    let world = World::new();
    world.block_on(async {
        let small = |b: crust_async::Builder<world::Machine>| {
            b.config(|config| {
                config.transport.limits.max_message = 10_000;
                config.transport.limits.message_window = 20_000;
                config.transport.send_buffer = 20_000;
            })
        };
        let a = small(world.builder()).bind().await.unwrap();
        let b = small(world.builder()).bind().await.unwrap();
        let ab = a.connect(b.contact()).await.unwrap();
        let ba = b.accept().await.unwrap();
        let sent = Arc::new(AtomicUsize::new(0));
        let (count, sender) = (sent.clone(), ab.clone());
        world.spawn(async move {
            for i in 0..50u8 {
                sender.send_message(Priority::default(), &[i; 5_000]).await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        world.sleep(Duration::from_secs(20)).await;
        let early = sent.load(Ordering::Relaxed);
        assert!((4..=12).contains(&early), "{early}");
        for i in 0..50u8 {
            assert_eq!(ba.recv_message().await.unwrap().data, [i; 5_000]);
        }
        // Another priority is not held up by it.
        assert_eq!(ab.message_limit(), 10_000);
        let error = ab.send_message(Priority::HIGHEST, &[0; 10_001]).await.unwrap_err();
        assert_eq!(error, SendMessageError::TooLarge { limit: 10_000 });
    });
}

#[test]
fn an_acknowledged_message_has_arrived() {
    let world = World::new();
    world.block_on(async {
        let Pair { ab, ba, .. } = world.pair().await;
        ab.send_message_acked(Priority::LOWEST, b"hello").await.unwrap();
        // At once: nothing is on its way any more.
        let message = poll_once(ba.recv_message()).await.expect("it has arrived").unwrap();
        assert_eq!(message.data, b"hello");
        assert_eq!(message.priority, Priority::LOWEST);
        // Nor is a future that was dropped while it waited for the news a message that was not sent.
        assert!(poll_once(ab.send_message_acked(Priority::LOWEST, b"again")).await.is_none());
        assert_eq!(ba.recv_message().await.unwrap().data, b"again");
    });
}

#[test]
fn dropping_everything_delivers_what_was_written_and_ends_both_drivers() {
    let world = World::new();
    world.block_on(async {
        let Pair { a, b, ab, ba } = world.pair().await;
        let data = pattern(1_000_000);
        let mut send = ab.open_uni().await.unwrap();
        let writer = {
            let data = data.clone();
            async move {
                send.write_all(&data).await.unwrap();
                send.set_priority(1);
                // Neither finished nor closed nor waited for.
                drop((send, ab, a));
            }
        };
        let reader = async {
            let mut recv = ba.accept_uni().await.unwrap();
            let got = recv.read_to_end(usize::MAX).await.unwrap();
            assert!(got == data);
            assert_eq!(ba.closed().await, CloseReason::ByPeer { code: 0, reason: Default::default() });
            // What is over can be asked all the same.
            assert!(ba.open_bi().await.is_err());
        };
        join(writer, reader).await;
        drop((b, ba));
    });
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.open_sockets(), 0, "a driver lives on");
}

#[test]
fn handles_can_be_dropped_in_any_order() {
    // node, connection, sending and receiving half: all orders.
    for order in 0..24 {
        let world = World::new();
        world.block_on(async {
            let Pair { a, b, ab, ba } = world.pair().await;
            let (mut send, recv) = ab.open_bi().await.unwrap();
            send.write_all(b"last words").await.unwrap();
            let mut handles: Vec<Box<dyn std::any::Any>> =
                vec![Box::new(a), Box::new(ab), Box::new(send), Box::new(recv)];
            let mut digits = order;
            for left in (1..=4).rev() {
                drop(handles.remove(digits % left));
                digits /= left;
                world.sleep(Duration::from_millis(3)).await;
            }
            let (mut send, mut recv) = ba.accept_bi().await.unwrap();
            assert_eq!(recv.read_to_end(100).await.unwrap(), b"last words");
            // The peer wants no answer, or is gone.
            assert!(matches!(
                send.finished().await,
                Ok(()) | Err(WriteError::Stopped(0) | WriteError::Connection(_))
            ));
            drop((send, recv, ba, b));
        });
        world.run_for(Duration::from_secs(5));
        assert_eq!(world.open_sockets(), 0, "order {order}: a driver lives on");
    }
}

#[test]
fn a_socket_that_refuses_for_a_while_loses_nothing() {
    let world = World::new();
    world.block_every(3);
    world.block_on(async {
        let Pair { ab, ba, .. } = world.pair().await;
        world.spawn(echo(ba));
        let data = pattern(2_000_000);
        let (mut send, mut recv) = ab.open_bi().await.unwrap();
        let (_, got) = join(
            async {
                send.write_all(&data).await.unwrap();
                send.finish().unwrap();
            },
            recv.read_to_end(usize::MAX),
        )
        .await;
        assert!(got.unwrap() == data);
        assert!(world.blocks() > 50);
        assert_eq!(ab.stats().unwrap().packets_lost, 0, "a refused transmit was not kept");
    });
}

#[test]
fn code_and_reason_of_a_close_reach_the_peer() {
    let world = World::new();
    world.block_on(async {
        let Pair { ab, ba, .. } = world.pair().await;
        let (mut send, mut recv) = ab.open_bi().await.unwrap();
        send.write_all(b"x").await.unwrap();
        let (mut back, mut forth) = ba.accept_bi().await.unwrap();
        ab.close(42, b"enough");
        assert_eq!(ab.close_reason(), None, "not before the driver has heard of it");
        let closed = ba.closed().await;
        assert_eq!(closed, CloseReason::ByPeer { code: 42, reason: b"enough"[..].into() });
        assert_eq!(ba.close_reason(), Some(closed.clone()));
        assert_eq!(ab.closed().await, CloseReason::Here { code: 42 });

        // Everything says so, as its own error and as the standard library's.
        let error = ab.open_uni().await.unwrap_err();
        assert_eq!(error.0, CloseReason::Here { code: 42 });
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotConnected);
        let error = send.write(b"x").await.unwrap_err();
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotConnected);
        let error = recv.read(&mut [0]).await.unwrap_err();
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotConnected);
        let error = back.write(b"x").await.unwrap_err();
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ConnectionAborted);
        // What had arrived can still be read.
        let mut buf = [0; 2];
        assert_eq!(forth.read(&mut buf).await.unwrap(), 1);
        assert!(matches!(forth.read(&mut buf).await.unwrap_err(), ReadError::Connection(_)));
        assert!(ba.recv_message().await.is_err());
        assert!(ba.send_datagram(b"x").is_err());
        assert!(ba.send_message(Priority::default(), b"x").await.is_err());
        assert!(ba.accept_uni().await.is_err());
    });
}

#[test]
fn a_graceful_close_carries_its_code_and_reason_behind_the_data() {
    let world = World::new();
    world.block_on(async {
        let Pair { ab, ba, .. } = world.pair().await;
        let data = pattern(500_000);
        let mut send = ab.open_uni().await.unwrap();
        let reading = async {
            let mut recv = ba.accept_uni().await.unwrap();
            let got = recv.read_to_end(usize::MAX).await.unwrap();
            (got, ba.closed().await)
        };
        let writing = async {
            send.write_all(&data).await.unwrap();
            send.finish().unwrap();
            ab.finish(7, b"done");
            ab.closed().await
        };
        let (here, (got, there)) = join(writing, reading).await;
        assert!(got == data);
        assert_eq!(here, CloseReason::Here { code: 7 });
        assert_eq!(there, CloseReason::ByPeer { code: 7, reason: b"done"[..].into() });
    });
}

#[test]
fn reset_and_stop_reach_the_other_side() {
    let world = World::new();
    world.block_on(async {
        let Pair { ab, ba, .. } = world.pair().await;
        let (mut send, mut recv) = ab.open_bi().await.unwrap();
        send.write_all(b"x").await.unwrap();
        let (mut back, mut forth) = ba.accept_bi().await.unwrap();
        assert_eq!(forth.read(&mut [0; 9]).await.unwrap(), 1);

        let stopped = send.stopped();
        forth.stop(5).unwrap();
        assert_eq!(stopped.await.unwrap(), Some(5));
        assert_eq!(send.write(b"y").await.unwrap_err(), WriteError::Stopped(5));
        assert_eq!(send.finished().await.unwrap_err(), WriteError::Stopped(5));
        assert_eq!(forth.read(&mut [0]).await.unwrap_err(), ReadError::Stopped);

        back.write_all(b"z").await.unwrap();
        back.reset(6).unwrap();
        assert_eq!(back.write(b"z").await.unwrap_err(), WriteError::Finished);
        assert_eq!(back.stopped().await.unwrap(), None);
        let error = loop {
            match recv.read(&mut [0]).await {
                Ok(read) => assert_eq!(read, 1),
                Err(error) => break error,
            }
        };
        assert_eq!(error, ReadError::Reset(6));
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ConnectionReset);
        assert!(ab.open_uni().await.unwrap().reset(u64::MAX).is_err());
    });
}

#[test]
fn reading_too_little_or_too_much_is_an_error_that_loses_nothing() {
    let world = World::new();
    world.block_on(async {
        let Pair { ab, ba, .. } = world.pair().await;
        let mut send = ab.open_uni().await.unwrap();
        send.write_all(b"0123456789").await.unwrap();
        send.finished().await.unwrap();
        let mut recv = ba.accept_uni().await.unwrap();
        let mut buf = [0; 11];
        assert_eq!(recv.read_exact(&mut buf).await.unwrap_err(), ReadExactError::FinishedEarly(10));
        assert_eq!(recv.read_to_end(9).await.unwrap_err(), ReadToEndError::TooLong(9));
        recv.read_exact(&mut buf[..4]).await.unwrap();
        assert_eq!(&buf[..4], b"0123");
        assert_eq!(recv.read_to_end(6).await.unwrap(), b"456789");
        assert_eq!(recv.read(&mut buf).await.unwrap(), 0);
    });
}

#[test]
fn a_second_connect_joins_the_first_connection_which_lives_until_both_are_dropped() {
    let world = World::new();
    world.block_on(async {
        let Pair { a, b, ab, ba } = world.pair().await;
        let again = a.connect(b.contact()).await.unwrap();
        let back = b.connect(a.contact()).await.unwrap();
        drop(ab);
        world.sleep(Duration::from_secs(1)).await;
        assert_eq!(again.close_reason(), None);
        again.send_message(Priority::default(), b"still here").await.unwrap();
        assert_eq!(ba.recv_message().await.unwrap().data, b"still here");
        drop(again);
        assert!(matches!(ba.closed().await, CloseReason::ByPeer { code: 0, .. }));
        assert!(back.close_reason().is_some());
        assert_eq!(b.stats().sessions_opened, 1);
    });
}

#[test]
fn an_attempt_that_is_dropped_leaves_nothing_behind_whenever_that_is() {
    // From before its first poll to after its success.
    for steps in 0..40 {
        let world = World::new();
        let b = world.block_on(async {
            let (a, b) = (world.node().await, world.node().await);
            let mut attempt = a.connect(b.contact());
            for _ in 0..steps {
                let polled = std::future::poll_fn(|cx| {
                    Poll::Ready(std::pin::Pin::new(&mut attempt).poll(cx).is_ready())
                });
                if steps < 39 && polled.await {
                    break;
                }
                world.sleep(Duration::from_millis(1)).await;
            }
            drop(attempt);
            // The driver of `a` ends although nobody shuts it down: nothing of the attempt is left.
            drop(a);
            b
        });
        world.run_for(Duration::from_secs(30));
        assert_eq!(world.open_sockets(), 1, "dropped after {steps} ms");
        drop(b);
    }
}

#[test]
fn connecting_to_nobody_says_so_when_the_time_is_over() {
    let world = World::new();
    world.block_on(async {
        let a =
            world.builder().config(|c| c.handshake.timeout = Duration::from_secs(3)).bind().await.unwrap();
        let nobody = ([127, 0, 0, 1], 9).into();
        let before = world.elapsed();
        let Err(ConnectError::NoAnswer(why)) =
            a.connect(crust_async::Destination::Target(nobody_at(nobody))).await
        else {
            panic!()
        };
        assert_eq!(why.tried[0].address, nobody);
        let took = world.elapsed() - before;
        assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(4), "{took:?}");
        assert!(matches!(a.connect(a.contact()).await, Err(ConnectError::Oneself)));
    });
}

fn nobody_at(address: std::net::SocketAddr) -> crust_async::Target {
    address.into()
}

#[test]
fn shutdown_ends_everything_with_code_and_reason_while_work_is_in_flight() {
    let world = World::new();
    world.block_on(async {
        let Pair { a, b, ab, ba } = world.pair().await;
        let (mut send, mut recv) = ab.open_bi().await.unwrap();
        let (endless, nobody) = (a.clone(), ([127, 0, 0, 1], 9));
        let waits = [
            task(&world, async move {
                matches!(
                    endless.connect(std::net::SocketAddr::from(nobody)).await,
                    Err(ConnectError::Cancelled)
                )
            }),
            task(&world, {
                let a = a.clone();
                async move { a.accept().await.is_none() }
            }),
            task(&world, async move { recv.read(&mut [0]).await.is_err() }),
            task(&world, async move {
                loop {
                    if send.write(&[0; 10_000]).await.is_err() {
                        break true;
                    }
                }
            }),
            task(&world, {
                let ab = ab.clone();
                async move { ab.accept_uni().await.is_err() }
            }),
        ];
        world.sleep(Duration::from_millis(50)).await;
        a.shutdown(9, b"bye").await;
        assert_eq!(world.open_sockets(), 1, "its socket is closed by then");
        assert_eq!(ab.closed().await, CloseReason::Here { code: 9 });
        assert_eq!(ba.closed().await, CloseReason::ByPeer { code: 9, reason: b"bye"[..].into() });
        for wait in waits {
            assert!(wait.await);
        }
        // Again, and after the end: no waiting, no panic.
        a.shutdown(1, b"").await;
        assert!(a.accept().await.is_none());
        assert!(a.connect(b.contact()).await.is_err());
        assert!(a.events().next().await.is_none());
        assert!(ab.open_bi().await.is_err());
    });
}

#[test]
fn when_the_runtime_drops_the_driver_everybody_hears_of_it() {
    let world = World::new();
    world.block_on(async {
        let Pair { a, ab, .. } = world.pair().await;
        let (mut send, mut recv) = ab.open_bi().await.unwrap();
        let mut events = a.events();
        world.drop_tasks();
        assert!(a.accept().await.is_none());
        assert!(recv.read(&mut [0]).await.is_err());
        assert!(send.write(b"x").await.is_err());
        assert_eq!(ab.closed().await, CloseReason::Here { code: 0 });
        assert!(events.next().await.is_none());
        a.shutdown(0, b"").await;
    });
}

#[test]
fn events_tell_the_story_and_say_when_they_missed_some() {
    let world = World::new();
    world.block_on(async {
        let (a, b) = (world.node().await, world.node().await);
        let mut events = a.events();
        let mut slow = a.events();
        let ab = a.connect(b.contact()).await.unwrap();
        let connected = NodeEvent::Connected { peer: b.peer_id(), incoming: false };
        assert_eq!(events.next().await, Some(connected));
        ab.close(1, b"");
        let reason = CloseReason::Here { code: 1 };
        assert_eq!(events.next().await, Some(NodeEvent::Disconnected { peer: b.peer_id(), reason }));

        for _ in 0..200 {
            a.connect(b.contact()).await.unwrap().close(0, b"");
            while !matches!(events.next().await, Some(NodeEvent::Disconnected { .. })) {}
            // The other side has to hear of it before it is asked again.
            b.accept().await.unwrap().closed().await;
        }
        let Some(NodeEvent::Lagged { missed }) = slow.next().await else { panic!() };
        let mut rest = 0;
        while poll_once(slow.next()).await.is_some() {
            rest += 1;
        }
        assert_eq!((missed, rest), (402 - 256, 256));
    });
}

#[test]
fn a_session_that_ends_before_it_was_accepted_can_still_be_read() {
    let world = World::new();
    world.block_on(async {
        let (a, b) = (world.node().await, world.node().await);
        let ab = a.connect(b.contact()).await.unwrap();
        ab.send_message(Priority::default(), b"left at the door").await.unwrap();
        drop(ab);
        world.sleep(Duration::from_secs(3)).await;
        let ba = b.accept().await.unwrap();
        assert!(ba.close_reason().is_some());
        assert_eq!(ba.recv_message().await.unwrap().data, b"left at the door");
        assert!(ba.recv_message().await.is_err());
    });
}

#[test]
fn a_send_that_fails_for_good_is_told_to_the_engine_and_ends_in_an_error_not_in_silence() {
    let world = World::new();
    world.block_on(async {
        let (a, b) = (world.node().await, world.node().await);
        world.fail_sends(Some(|| io::ErrorKind::NetworkUnreachable.into()));
        let Err(error) = a.connect(b.contact()).await else { panic!() };
        assert!(matches!(error, ConnectError::NoAnswer(_)));
        assert!(error.to_string().contains("cannot be sent to"), "{error}");
        assert!(a.stats().send_failures > 0);
        world.fail_sends(None);
        a.connect(b.contact()).await.unwrap();
    });
}

#[test]
fn an_address_that_was_asked_for_must_work_and_a_default_one_need_not() {
    let world = World::new();
    world.block_on(async {
        let a = world.node().await;
        let taken = a.local_addrs()[0];
        let error = world.builder().listen(taken).bind().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&taken.to_string()), "{error}");
        // This world has no IPv6.
        let defaulted = world.builder().config(|c| c.listen.clear()).bind().await.unwrap();
        assert_eq!(defaulted.local_addrs().len(), 1);
        assert!(world.builder().listen("[::1]:0".parse().unwrap()).bind().await.is_err());
    });
    assert_eq!(world.open_sockets(), 2, "a node that was not made keeps no socket");
}

#[test]
fn a_waker_that_uses_the_connection_when_it_is_dropped_finds_the_lock_open() {
    struct Nosy(Connection);
    impl Wake for Nosy {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Nosy {
        fn drop(&mut self) {
            let _ = self.0.close_reason();
        }
    }
    let world = World::new();
    world.block_on(async {
        let Pair { ab, ba, .. } = world.pair().await;
        let mut waiting = Box::pin(ab.recv_message());
        for _ in 0..3 {
            // Each takes the last one's place.
            let waker = Waker::from(Arc::new(Nosy(ab.clone())));
            assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        ba.send_message(Priority::default(), b"x").await.unwrap();
        world.sleep(Duration::from_secs(1)).await;
        let waker = Waker::from(Arc::new(Nosy(ab.clone())));
        let mut other = Box::pin(ab.recv_datagram());
        assert!(other.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        drop(other);
        assert!(waiting.await.is_ok());
    });
}

#[test]
fn futures_that_were_dropped_leave_no_wakers_behind() {
    struct Count;
    impl Wake for Count {
        fn wake(self: Arc<Self>) {}
    }
    let world = World::new();
    world.block_on(async {
        let Pair { a, ab, .. } = world.pair().await;
        let count = Arc::new(Count);
        let waker = Waker::from(count.clone());
        let cx = &mut Context::from_waker(&waker);
        for _ in 0..100 {
            assert!(Box::pin(a.accept()).as_mut().poll(cx).is_pending());
            assert!(Box::pin(ab.accept_bi()).as_mut().poll(cx).is_pending());
            assert!(Box::pin(ab.recv_message()).as_mut().poll(cx).is_pending());
            assert!(Box::pin(ab.recv_datagram()).as_mut().poll(cx).is_pending());
            assert!(Box::pin(ab.closed()).as_mut().poll(cx).is_pending());
            let (mut send, mut recv) = ab.open_bi().await.unwrap();
            assert!(Box::pin(send.finished()).as_mut().poll(cx).is_pending());
            assert!(Box::pin(send.stopped()).as_mut().poll(cx).is_pending());
            assert!(Box::pin(recv.read(&mut [0])).as_mut().poll(cx).is_pending());
            let mut connect = Box::pin(a.connect(std::net::SocketAddr::from(([127, 0, 0, 1], 9))));
            assert!(connect.as_mut().poll(cx).is_pending());
        }
        assert_eq!(Arc::strong_count(&count), 2);
    });
}

#[test]
fn idle_nodes_cost_no_more_than_their_upkeep() {
    let world = World::new();
    let pair = world.block_on(world.pair());
    world.run_for(Duration::from_secs(1));
    let before = pair.a.stats().datagrams_sent;
    world.run_for(Duration::from_secs(60));
    let sent = pair.a.stats().datagrams_sent - before;
    assert!(sent <= 12, "{sent} datagrams in an idle minute");
}

#[test]
fn datagrams_arrive_and_too_large_ones_are_refused() {
    let world = World::new();
    world.block_on(async {
        let Pair { ab, ba, .. } = world.pair().await;
        let limit = ab.max_datagram().unwrap();
        ab.send_datagram(&vec![7; limit]).unwrap();
        assert_eq!(ba.recv_datagram().await.unwrap(), vec![7; limit]);
        assert!(ab.send_datagram(&vec![7; limit + 1]).is_err());
    });
}

async fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Runs in the background; the future has the result.
fn task(
    world: &World,
    work: impl Future<Output = bool> + Send + 'static,
) -> std::pin::Pin<Box<dyn Future<Output = bool>>> {
    let result = Arc::new(std::sync::Mutex::new(None));
    let (slot, world2) = (result.clone(), world.clone());
    world.spawn(async move {
        let done = work.await;
        *slot.lock().unwrap() = Some(done);
    });
    Box::pin(async move {
        for _ in 0..1000 {
            if let Some(done) = *result.lock().unwrap() {
                return done;
            }
            world2.sleep(Duration::from_millis(1)).await;
        }
        panic!("the task does not end");
    })
}

async fn join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (std::pin::pin!(a), std::pin::pin!(b));
    let (mut x, mut y) = (None, None);
    std::future::poll_fn(|cx| {
        if x.is_none()
            && let Poll::Ready(value) = a.as_mut().poll(cx)
        {
            x = Some(value);
        }
        if y.is_none()
            && let Poll::Ready(value) = b.as_mut().poll(cx)
        {
            y = Some(value);
        }
        if x.is_some() && y.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (x.unwrap(), y.unwrap())
}

async fn join4<A: Future, B: Future, C: Future, D: Future>(a: A, b: B, c: C, d: D) {
    join(join(a, b), join(c, d)).await;
}

#[test]
fn a_monitor_shows_what_a_node_holds_and_keeps_nothing_alive() {
    let world = World::new();
    world.block_on(async {
        let Pair { a, b, ab, ba } = world.pair().await;
        let monitor = a.monitor();
        let now = || a.runtime().now();
        let load = monitor.load(now()).unwrap();
        assert_eq!((monitor.peer_id(), load.connections, load.engine.sessions), (a.peer_id(), 1, 1));
        assert_eq!((load.engine.stalled, load.timeout.is_some()), (None, true));
        // Nobody reads: the peer holds it, and this side no longer when it was acknowledged.
        let mut stream = ab.open_uni().await.unwrap();
        stream.write_all(&pattern(5_000)).await.unwrap();
        assert_eq!(monitor.load(now()).unwrap().engine.most.unacked, 5_000);
        stream.finished().await.unwrap();
        assert_eq!(monitor.load(now()).unwrap().engine.most.unacked, 0);
        let peer = b.monitor().load(now()).unwrap().engine.most;
        assert_eq!((peer.unread, peer.streams, peer.peer_streams), (5_000, 1, 1));
        drop((a, b, ab, ba, stream));
        // Its end takes no longer than its peer's word.
        world.sleep(Duration::from_secs(20)).await;
        assert!(monitor.is_over() && monitor.load(crust_async::proto::Instant::ZERO).is_none());
    });
    assert_eq!(world.open_sockets(), 0);
}
