//! What TCP is on every platform: one suite, which each adapter runs over its own machine.
//!
//! What runs side by side is polled only when its own waker was called ([`together`]), so that a wake-up that is lost, or
//! goes to somebody else, is a test that hangs; and how often it is polled for nothing is counted.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use crust_async::{Platform, TcpListener, TcpStream};

/// Two machines, or one as two. `a` can dial `b`.
pub(crate) struct Ends<P> {
    pub(crate) a: P,
    pub(crate) b: P,
    pub(crate) a_ip: IpAddr,
    pub(crate) b_ip: IpAddr,
    /// Somebody on the way changes addresses.
    pub(crate) translated: bool,
}

/// A future of one test.
pub(crate) type Test = Pin<Box<dyn Future<Output = ()>>>;

/// All tests of the suite, each run by `$run`, which gets a function from [`Ends`] to a [`Test`].
#[macro_export]
macro_rules! tests_of_tcp {
    ($run:path) => {
        tests_of_tcp! { $run:
            a_dial_meets_who_accepts_and_both_know_their_addresses
            bytes_that_came_before_the_accept_are_there
            a_port_that_nobody_listens_on_refuses
            a_direction_ends_while_the_other_goes_on
            an_end_stays_an_end
            a_reset_is_seen_as_one
            a_stream_dropped_with_bytes_unread_resets_and_one_without_ends
            what_was_written_before_the_drop_arrives
            a_peer_that_does_not_read_stops_the_writer_and_then_gets_every_byte
            both_directions_move_at_once_and_nobody_is_polled_for_nothing
            many_streams_at_once
            a_dial_leaves_from_the_listeners_port
            a_second_dial_between_the_same_two_ends_gets_a_port_of_its_own
            an_accept_that_nobody_waits_for_any_more_loses_nothing
            a_dial_that_is_dropped_leaves_nothing_behind
            a_port_can_be_listened_on_again_while_its_connections_live
            a_second_listener_is_refused
            a_listener_that_is_dropped_resets_whom_nobody_accepted
            nobody_is_woken_for_what_happens_elsewhere
        }
    };
    ($run:path: $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                $run(|ends| Box::pin(tcp_suite::$name(ends)));
            }
        )*
    };
}

pub(crate) async fn a_dial_meets_who_accepts_and_both_know_their_addresses<P: Platform>(mut ends: Ends<P>) {
    let mut listener = ends.b.listen_tcp((ends.b_ip, 0).into()).unwrap();
    let at = listener.local_addr().unwrap();
    assert_ne!(at.port(), 0);
    let mut dialled = ends.a.dial_tcp(None, at).unwrap();
    let accepted = Cell::new(None);
    together(vec![
        Box::pin(async { connected(&mut dialled).await.unwrap() }),
        Box::pin(async { accepted.set(Some(accept(&mut listener).await.unwrap())) }),
    ])
    .await;
    let (mut accepted, from) = accepted.into_inner().unwrap();
    assert_eq!(accepted.local_addr().unwrap(), at);
    let local = dialled.local_addr().unwrap();
    assert!(local.ip() == ends.a_ip && local.port() != 0, "{local}");
    if !ends.translated {
        assert_eq!(from, local);
    }
    connected(&mut dialled).await.unwrap();
    connected(&mut accepted).await.unwrap();
    echo(&mut dialled, &mut accepted).await;
}

pub(crate) async fn bytes_that_came_before_the_accept_are_there<P: Platform>(mut ends: Ends<P>) {
    let mut listener = ends.b.listen_tcp((ends.b_ip, 0).into()).unwrap();
    let mut dialled = ends.a.dial_tcp(None, listener.local_addr().unwrap()).unwrap();
    connected(&mut dialled).await.unwrap();
    write_all(&mut dialled, &pattern(0, 5000)).await.unwrap();
    dialled.finish().unwrap();
    let (mut accepted, _) = accept(&mut listener).await.unwrap();
    assert_eq!(read_to_end(&mut accepted).await.unwrap(), pattern(0, 5000));
}

pub(crate) async fn a_port_that_nobody_listens_on_refuses<P: Platform>(mut ends: Ends<P>) {
    let free = ends.b.listen_tcp((ends.b_ip, 0).into()).unwrap().local_addr().unwrap();
    // Some systems say so at once.
    let refused = match ends.a.dial_tcp(None, free) {
        Ok(mut dialled) => connected(&mut dialled).await,
        Err(error) => Err(error),
    };
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

pub(crate) async fn a_direction_ends_while_the_other_goes_on<P: Platform>(mut ends: Ends<P>) {
    let Pair { mut dialled, mut accepted, .. } = pair(&mut ends).await;
    write_all(&mut dialled, b"what is there?").await.unwrap();
    dialled.finish().unwrap();
    assert_eq!(read_to_end(&mut accepted).await.unwrap(), b"what is there?");

    let error = write_all(&mut dialled, b"more").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);

    let answer = pattern(0, 300_000);
    let got = RefCell::default();
    together(vec![
        Box::pin(async {
            write_all(&mut accepted, &answer).await.unwrap();
            accepted.finish().unwrap();
        }),
        Box::pin(async { *got.borrow_mut() = read_to_end(&mut dialled).await.unwrap() }),
    ])
    .await;
    assert!(got.into_inner() == answer);
}

pub(crate) async fn an_end_stays_an_end<P: Platform>(mut ends: Ends<P>) {
    let Pair { mut dialled, mut accepted, .. } = pair(&mut ends).await;
    accepted.finish().unwrap();
    accepted.finish().unwrap();
    for _ in 0..3 {
        assert_eq!(read(&mut dialled, &mut [0; 10]).await.unwrap(), 0);
    }
    dialled.finish().unwrap();
    assert_eq!(read(&mut accepted, &mut [0; 10]).await.unwrap(), 0);
    assert_eq!(read(&mut dialled, &mut [0; 10]).await.unwrap(), 0);
}

pub(crate) async fn a_reset_is_seen_as_one<P: Platform>(mut ends: Ends<P>) {
    let Pair { dialled, mut accepted, .. } = pair(&mut ends).await;
    let seen = Cell::new(None);
    together(vec![
        // Waits first, and is woken.
        Box::pin(async { seen.set(read(&mut accepted, &mut [0; 10]).await.err()) }),
        Box::pin(async { dialled.reset() }),
    ])
    .await;
    assert_eq!(seen.into_inner().expect("no end").kind(), ErrorKind::ConnectionReset);

    // Who waits to write is woken too.
    let Pair { dialled, mut accepted, .. } = pair(&mut ends).await;
    fill(&mut accepted);
    let seen = Cell::new(None);
    together(vec![
        Box::pin(async {
            let wrote = async {
                while write(&mut accepted, &[7; 1000]).await? > 0 {}
                Ok::<_, io::Error>(())
            };
            seen.set(wrote.await.err());
        }),
        Box::pin(async { dialled.reset() }),
    ])
    .await;
    let kind = seen.into_inner().expect("an error").kind();
    assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind:?}");
}

pub(crate) async fn a_stream_dropped_with_bytes_unread_resets_and_one_without_ends<P: Platform>(
    mut ends: Ends<P>,
) {
    let Pair { mut dialled, accepted, .. } = pair(&mut ends).await;
    drop(accepted);
    assert_eq!(read(&mut dialled, &mut [0; 10]).await.unwrap(), 0);

    let Pair { mut dialled, mut accepted, .. } = pair(&mut ends).await;
    write_all(&mut dialled, b"two words").await.unwrap();
    // The second is there too then.
    read(&mut accepted, &mut [0; 1]).await.unwrap();
    drop(accepted);
    let error = read(&mut dialled, &mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

pub(crate) async fn what_was_written_before_the_drop_arrives<P: Platform>(mut ends: Ends<P>) {
    let Pair { dialled, mut accepted, .. } = pair(&mut ends).await;
    let mut dialled = dialled;
    let written = fill(&mut dialled);
    drop(dialled);
    assert!(read_to_end(&mut accepted).await.unwrap() == pattern(0, written));
}

pub(crate) async fn a_peer_that_does_not_read_stops_the_writer_and_then_gets_every_byte<P: Platform>(
    mut ends: Ends<P>,
) {
    let Pair { mut dialled, mut accepted, .. } = pair(&mut ends).await;
    let written = Cell::new(0);
    let all = Cell::new(None);
    let got = RefCell::new(Vec::new());
    let polls = Cell::new((0, 0));
    together(vec![
        Box::pin(async {
            // Until the first time that nothing is taken, and as much again.
            poll_fn(|cx| {
                loop {
                    let data = pattern(written.get(), 50_000);
                    match dialled.poll_write(cx, &data) {
                        Poll::Ready(taken) => {
                            let taken = taken.unwrap();
                            assert!(0 < taken && taken <= data.len(), "{taken}");
                            count(&polls, true);
                            written.set(written.get() + taken);
                            assert!(written.get() < 64 << 20, "nothing stops it");
                            if all.get().is_some_and(|all| written.get() >= all) {
                                return Poll::Ready(());
                            }
                        }
                        Poll::Pending => {
                            count(&polls, false);
                            if all.get().is_none() {
                                all.set(Some(2 * written.get()));
                            }
                            return Poll::Pending;
                        }
                    }
                }
            })
            .await;
            dialled.finish().unwrap();
        }),
        Box::pin(async {
            // Wakes itself until the writer is stopped: it may not read before.
            poll_fn(|cx| match all.get() {
                Some(_) => Poll::Ready(()),
                None => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            })
            .await;
            *got.borrow_mut() = read_to_end(&mut accepted).await.unwrap();
        }),
    ])
    .await;
    let got = got.into_inner();
    assert!(got == pattern(0, written.get()), "{} of {}", got.len(), written.get());
    let (moved, idle) = polls.get();
    assert!(idle <= moved + 16, "{idle} polls for nothing and {moved} that moved something");
}

pub(crate) async fn both_directions_move_at_once_and_nobody_is_polled_for_nothing<P: Platform>(
    mut ends: Ends<P>,
) {
    const LEN: usize = 3 << 20;
    let Pair { dialled, accepted, .. } = pair(&mut ends).await;
    let streams = [RefCell::new(dialled), RefCell::new(accepted)];
    let polls: [Cell<(usize, usize)>; 4] = Default::default();
    let got: [RefCell<Vec<u8>>; 2] = Default::default();
    let mut all: Vec<Side<'_>> = Vec::new();
    for (nth, stream) in streams.iter().enumerate() {
        let (writes, reads, got) = (&polls[nth], &polls[2 + nth], &got[nth]);
        all.push(Box::pin(async move {
            let data = pattern(nth, LEN);
            let mut done = 0;
            while done < LEN {
                let rest = &data[done..LEN.min(done + 60_000)];
                done += counted(writes, |cx| stream.borrow_mut().poll_write(cx, rest)).await.unwrap();
            }
            stream.borrow_mut().finish().unwrap();
        }));
        all.push(Box::pin(async move {
            let mut buf = vec![0; 100_000];
            loop {
                let taken = counted(reads, |cx| stream.borrow_mut().poll_read(cx, &mut buf)).await.unwrap();
                if taken == 0 {
                    break;
                }
                got.borrow_mut().extend_from_slice(&buf[..taken]);
            }
        }));
    }
    together(all).await;
    for (nth, got) in got.iter().enumerate() {
        assert!(*got.borrow() == pattern(1 - nth, LEN));
    }
    for (moved, idle) in polls.iter().map(Cell::get) {
        assert!(idle <= moved + 16, "{idle} polls for nothing and {moved} that moved something: {polls:?}");
    }
}

pub(crate) async fn many_streams_at_once<P: Platform>(mut ends: Ends<P>) {
    const STREAMS: usize = 100;
    let mut listener = ends.b.listen_tcp((ends.b_ip, 0).into()).unwrap();
    let at = listener.local_addr().unwrap();
    let dialled: Vec<_> = (0..STREAMS).map(|_| ends.a.dial_tcp(None, at).unwrap()).collect();
    let mut all: Vec<Side<'_>> = Vec::new();
    for (nth, mut stream) in dialled.into_iter().enumerate() {
        all.push(Box::pin(async move {
            connected(&mut stream).await.unwrap();
            write_all(&mut stream, &pattern(nth, 20_000)).await.unwrap();
            stream.finish().unwrap();
            assert!(read_to_end(&mut stream).await.unwrap() == pattern(nth, 20_000));
        }));
    }
    all.push(Box::pin(async {
        let mut echoes: Vec<Side<'_>> = Vec::new();
        for _ in 0..STREAMS {
            let (mut stream, _) = accept(&mut listener).await.unwrap();
            echoes.push(Box::pin(async move {
                let heard = read_to_end(&mut stream).await.unwrap();
                write_all(&mut stream, &heard).await.unwrap();
            }));
        }
        together(echoes).await;
    }));
    together(all).await;
}

pub(crate) async fn a_dial_leaves_from_the_listeners_port<P: Platform>(mut ends: Ends<P>) {
    let home = ends.a.listen_tcp((ends.a_ip, 0).into()).unwrap();
    let mut listener = ends.b.listen_tcp((ends.b_ip, 0).into()).unwrap();
    let from = home.local_addr().unwrap();
    let mut dialled = ends.a.dial_tcp(Some(from), listener.local_addr().unwrap()).unwrap();
    connected(&mut dialled).await.unwrap();
    let (mut accepted, seen) = accept(&mut listener).await.unwrap();
    if shares_ports() {
        assert_eq!(dialled.local_addr().unwrap(), from);
        if !ends.translated {
            assert_eq!(seen, from);
        }
    }
    echo(&mut dialled, &mut accepted).await;
}

pub(crate) async fn a_second_dial_between_the_same_two_ends_gets_a_port_of_its_own<P: Platform>(
    mut ends: Ends<P>,
) {
    let home = ends.a.listen_tcp((ends.a_ip, 0).into()).unwrap();
    let mut listener = ends.b.listen_tcp((ends.b_ip, 0).into()).unwrap();
    let (from, to) = (Some(home.local_addr().unwrap()), listener.local_addr().unwrap());
    let mut first = ends.a.dial_tcp(from, to).unwrap();
    connected(&mut first).await.unwrap();
    let (mut accepted, _) = accept(&mut listener).await.unwrap();
    let mut second = ends.a.dial_tcp(from, to).unwrap();
    connected(&mut second).await.unwrap();
    let (mut accepted_second, _) = accept(&mut listener).await.unwrap();
    assert_ne!(first.local_addr().unwrap(), second.local_addr().unwrap());
    assert_eq!(second.local_addr().unwrap().ip(), ends.a_ip);
    echo(&mut first, &mut accepted).await;
    echo(&mut second, &mut accepted_second).await;
    drop(home);
}

pub(crate) async fn an_accept_that_nobody_waits_for_any_more_loses_nothing<P: Platform>(mut ends: Ends<P>) {
    let mut listener = ends.b.listen_tcp((ends.b_ip, 0).into()).unwrap();
    let at = listener.local_addr().unwrap();
    let mut all = Vec::new();
    for nth in 0..5 {
        let once = listener.poll_accept(&mut Context::from_waker(Waker::noop()));
        assert!(once.is_pending() || nth > 0);
        all.extend(ready(once));
        all.push((ends.a.dial_tcp(None, at).unwrap(), at));
    }
    let (mut dialled, mut accepted): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, from)| *from == at);
    for (stream, _) in &mut dialled {
        connected(stream).await.unwrap();
    }
    while accepted.len() < dialled.len() {
        accepted.push(accept(&mut listener).await.unwrap());
    }
    // Which is whose?
    for (nth, (stream, _)) in dialled.iter_mut().enumerate() {
        write_all(stream, &[nth as u8]).await.unwrap();
    }
    let mut heard = Vec::new();
    for (stream, _) in &mut accepted {
        let mut byte = [0];
        read(stream, &mut byte).await.unwrap();
        heard.push(byte[0]);
    }
    heard.sort_unstable();
    assert_eq!(heard, [0, 1, 2, 3, 4]);
}

pub(crate) async fn a_dial_that_is_dropped_leaves_nothing_behind<P: Platform>(mut ends: Ends<P>) {
    let mut listener = ends.b.listen_tcp((ends.b_ip, 0).into()).unwrap();
    let at = listener.local_addr().unwrap();
    drop(ends.a.dial_tcp(None, at).unwrap());
    let mut dialled = ends.a.dial_tcp(None, at).unwrap();
    connected(&mut dialled).await.unwrap();
    write_all(&mut dialled, b"I stay").await.unwrap();
    dialled.finish().unwrap();
    // The one before may have come through, and is at its end then.
    loop {
        let Ok((mut stream, _)) = accept(&mut listener).await else { continue };
        match read_to_end(&mut stream).await {
            Ok(heard) if heard.is_empty() => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            heard => break assert_eq!(heard.unwrap(), b"I stay"),
        }
    }
}

pub(crate) async fn a_port_can_be_listened_on_again_while_its_connections_live<P: Platform>(
    mut ends: Ends<P>,
) {
    let Pair { listener, mut dialled, mut accepted } = pair(&mut ends).await;
    let at = listener.local_addr().unwrap();
    // One that lingers, at the listener's side since that ends first; one that lives; and one dialled from the port.
    let other = ends.a.listen_tcp((ends.a_ip, 0).into()).unwrap();
    let mut outwards = match ends.translated {
        true => None,
        false => Some(ends.b.dial_tcp(Some(at), other.local_addr().unwrap()).unwrap()),
    };
    if let Some(outwards) = &mut outwards {
        connected(outwards).await.unwrap();
    }
    let mut listener = listener;
    let mut lingering = ends.a.dial_tcp(None, at).unwrap();
    connected(&mut lingering).await.unwrap();
    let (mut ended, _) = accept(&mut listener).await.unwrap();
    ended.finish().unwrap();
    assert!(read_to_end(&mut lingering).await.unwrap().is_empty());
    lingering.finish().unwrap();
    assert!(read_to_end(&mut ended).await.unwrap().is_empty());
    drop((ended, lingering, listener));

    let mut listener = ends.b.listen_tcp(at).unwrap();
    assert_eq!(listener.local_addr().unwrap(), at);
    let mut newer = ends.a.dial_tcp(None, at).unwrap();
    connected(&mut newer).await.unwrap();
    let (mut accepted_newer, _) = accept(&mut listener).await.unwrap();
    echo(&mut newer, &mut accepted_newer).await;
    echo(&mut dialled, &mut accepted).await;
}

pub(crate) async fn a_second_listener_is_refused<P: Platform>(mut ends: Ends<P>) {
    let first = ends.b.listen_tcp((ends.b_ip, 0).into()).unwrap();
    let at = first.local_addr().unwrap();
    let any: IpAddr = match at.ip() {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    for second in [at, SocketAddr::new(any, at.port())] {
        let refused = ends.b.listen_tcp(second).err().expect("a second listener");
        assert_eq!(refused.kind(), ErrorKind::AddrInUse);
    }
}

pub(crate) async fn a_listener_that_is_dropped_resets_whom_nobody_accepted<P: Platform>(mut ends: Ends<P>) {
    let listener = ends.b.listen_tcp((ends.b_ip, 0).into()).unwrap();
    let mut dialled = ends.a.dial_tcp(None, listener.local_addr().unwrap()).unwrap();
    connected(&mut dialled).await.unwrap();
    // Until it is all there at the other end: what is still on its way finds nobody, which is the same.
    drop(listener);
    let error = read(&mut dialled, &mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

pub(crate) async fn nobody_is_woken_for_what_happens_elsewhere<P: Platform>(mut ends: Ends<P>) {
    let mut idle = pair(&mut ends).await;
    let Pair { mut dialled, mut accepted, .. } = pair(&mut ends).await;
    fill(&mut idle.dialled);
    let alarms: [Arc<Alarm>; 3] = Default::default();
    let [reads, writes, accepts] = alarms.each_ref().map(|alarm| Waker::from(alarm.clone()));
    let mut buf = [0; 10];
    // Until what was on its way for it has come: a full one may take more as the peer's kernel fills.
    let rested = Cell::new(0);
    while rested.get() < 3 {
        rested.set(rested.get() + 1);
        if idle.dialled.poll_write(&mut Context::from_waker(&writes), &[1; 10_000]).is_ready() {
            rested.set(0);
        }
        echo(&mut dialled, &mut accepted).await;
    }
    assert!(idle.dialled.poll_read(&mut Context::from_waker(&reads), &mut buf).is_pending());
    assert!(idle.listener.poll_accept(&mut Context::from_waker(&accepts)).is_pending());
    let before = alarms.each_ref().map(|alarm| alarm.rings.load(SeqCst));
    for _ in 0..10 {
        echo(&mut dialled, &mut accepted).await;
    }
    let after = alarms.each_ref().map(|alarm| alarm.rings.load(SeqCst));
    let [reads, _, accepts] = [0, 1, 2].map(|nth| after[nth] - before[nth]);
    assert_eq!([reads, accepts], [0, 0]);
}

/// A connection, and the listener that it came to.
pub(crate) struct Pair<P: Platform> {
    pub(crate) listener: P::Listener,
    pub(crate) dialled: P::Stream,
    pub(crate) accepted: P::Stream,
}

pub(crate) async fn pair<P: Platform>(ends: &mut Ends<P>) -> Pair<P> {
    let mut listener = ends.b.listen_tcp((ends.b_ip, 0).into()).unwrap();
    let mut dialled = ends.a.dial_tcp(None, listener.local_addr().unwrap()).unwrap();
    connected(&mut dialled).await.unwrap();
    let (accepted, _) = accept(&mut listener).await.unwrap();
    Pair { listener, dialled, accepted }
}

pub(crate) async fn accept<L: TcpListener>(listener: &mut L) -> io::Result<(L::Stream, SocketAddr)> {
    poll_fn(|cx| listener.poll_accept(cx)).await
}

pub(crate) async fn connected(stream: &mut impl TcpStream) -> io::Result<()> {
    poll_fn(|cx| stream.poll_connected(cx)).await
}

pub(crate) async fn read(stream: &mut impl TcpStream, buf: &mut [u8]) -> io::Result<usize> {
    poll_fn(|cx| stream.poll_read(cx, buf)).await
}

pub(crate) async fn write(stream: &mut impl TcpStream, data: &[u8]) -> io::Result<usize> {
    poll_fn(|cx| stream.poll_write(cx, data)).await
}

pub(crate) async fn write_all(stream: &mut impl TcpStream, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        let taken = write(stream, data).await?;
        assert!(0 < taken && taken <= data.len());
        data = &data[taken..];
    }
    Ok(())
}

pub(crate) async fn read_to_end(stream: &mut impl TcpStream) -> io::Result<Vec<u8>> {
    let (mut all, mut buf) = (Vec::new(), vec![0; 100_000]);
    loop {
        match read(stream, &mut buf).await? {
            0 => return Ok(all),
            taken => all.extend_from_slice(&buf[..taken]),
        }
    }
}

/// Writes a [`pattern`] until no more is taken, and says how much was.
pub(crate) fn fill(stream: &mut impl TcpStream) -> usize {
    let mut written = 0;
    let mut cx = Context::from_waker(Waker::noop());
    while let Some(taken) = ready(stream.poll_write(&mut cx, &pattern(written, 50_000))) {
        written += taken;
        assert!(written < 64 << 20, "nothing stops it");
    }
    written
}

/// Both write and hear each other, and nothing else.
pub(crate) async fn echo(one: &mut impl TcpStream, other: &mut impl TcpStream) {
    let mut buf = [0; 100];
    write_all(one, b"hello").await.unwrap();
    assert_eq!(read(other, &mut buf).await.unwrap(), 5);
    write_all(other, b"hello yourself").await.unwrap();
    assert_eq!(read(one, &mut buf).await.unwrap(), 14);
    assert_eq!(&buf[..14], b"hello yourself");
}

/// Bytes that differ at each place, of which the first is the `from`th.
pub(crate) fn pattern(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(|nth| (nth.wrapping_mul(0x9e37_79b1) >> 16) as u8).collect()
}

/// Something that runs beside others.
pub(crate) type Side<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Runs all to their end, each polled when its own waker was called and only then.
pub(crate) async fn together(all: Vec<Side<'_>>) {
    let mut all: Vec<_> = all.into_iter().map(|side| Some((side, Arc::new(Alarm::rung())))).collect();
    poll_fn(|cx| {
        for entry in &mut all {
            let Some((side, alarm)) = entry else { continue };
            *alarm.parent.lock().unwrap() = Some(cx.waker().clone());
            if !alarm.rung.swap(false, SeqCst) {
                continue;
            }
            let waker = Waker::from(alarm.clone());
            if side.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                *entry = None;
            }
        }
        if all.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[derive(Default)]
pub(crate) struct Alarm {
    rung: AtomicBool,
    rings: AtomicUsize,
    parent: Mutex<Option<Waker>>,
}

impl Alarm {
    fn rung() -> Self {
        Self { rung: AtomicBool::new(true), ..Self::default() }
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, SeqCst);
        self.rings.fetch_add(1, SeqCst);
        let parent = self.parent.lock().unwrap().clone();
        parent.into_iter().for_each(Waker::wake);
    }
}

/// The system gives a listener's port to dials.
const fn shares_ports() -> bool {
    cfg!(unix)
}

/// Polls that moved something, and polls for nothing.
async fn counted<T>(polls: &Cell<(usize, usize)>, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    poll_fn(|cx| {
        let polled = poll(cx);
        count(polls, polled.is_ready());
        polled
    })
    .await
}

fn count(polls: &Cell<(usize, usize)>, moved: bool) {
    let (ready, pending) = polls.get();
    polls.set(if moved { (ready + 1, pending) } else { (ready, pending + 1) });
}

fn ready<T>(poll: Poll<io::Result<T>>) -> Option<T> {
    match poll {
        Poll::Ready(result) => Some(result.unwrap()),
        Poll::Pending => None,
    }
}
