//! The simulator's listeners and streams: the suite of all platforms, and what only a simulator can show.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll, Waker};

use crust_async::runtime::is_out_of_descriptors;
use crust_async::{Platform, TcpListener, TcpStream};
use crust_proto::Duration;
use crust_sim::program::Machine;
use crust_sim::{HostId, Internet, Kind, LinkConfig, Sim, SiteConfig, seeds};
use tcp_suite::{
    Ends, Pair, Test, accept, connected, echo, fill, pair, pattern, read, read_to_end, together, write_all,
};

#[macro_use]
#[path = "../../crust-async/tests/tcp_suite/mod.rs"]
mod tcp_suite;

tests_of_tcp!(run);

/// Over a good wire in both IP versions, over a bad one, and out of a NAT.
fn run(test: impl Fn(Ends<Machine>) -> Test) {
    seeds(2, |seed| {
        let good = LinkConfig::with_latency(Duration::from_millis(10));
        let bad = LinkConfig {
            loss: 20_000,
            jitter: Duration::from_millis(3),
            reorder: 10_000,
            duplicate: 10_000,
            ..good
        };
        for (link, ipv6) in [(good, false), (good, true), (bad, false)] {
            let sim = Sim::new(seed);
            let ends = wire(&sim, link, ipv6);
            sim.run(test(ends));
        }
        let sim = Sim::new(seed);
        let ends = out_of_a_nat(&sim, good);
        sim.run(test(ends));
    });
}

fn wire(sim: &Sim, link: LinkConfig, ipv6: bool) -> Ends<Machine> {
    let (a, b) = sim.pair(link);
    let addresses = match ipv6 {
        false => [[10, 0, 0, 1], [10, 0, 0, 2]].map(IpAddr::from),
        true => ["2001:db8::1", "2001:db8::2"].map(|ip| ip.parse().unwrap()),
    };
    if ipv6 {
        let mut world = sim.world();
        for (host, ip) in [a, b].into_iter().zip(addresses) {
            let interface = world.interfaces(host)[1];
            world.add_address(interface, ip, 64);
        }
    }
    let [a_ip, b_ip] = addresses;
    Ends { a: sim.machine(a), b: sim.machine(b), a_ip, b_ip, translated: false }
}

fn out_of_a_nat(sim: &Sim, link: LinkConfig) -> Ends<Machine> {
    let mut world = sim.world();
    let mut internet = Internet::new(&mut world);
    let mut home = internet.site(&mut world, &SiteConfig::of(Kind::Symmetric, link));
    let mut open = internet.site(&mut world, &SiteConfig::of(Kind::Open, link));
    let (a, b) = (home.host(&mut world), open.host(&mut world));
    let [a_ip, b_ip] = [a, b].map(|host| {
        let mut addresses = world.addresses(host).map(|address| address.ip);
        addresses.find(|ip| ip.is_ipv4() && !ip.is_loopback()).unwrap()
    });
    drop(world);
    Ends { a: sim.machine(a), b: sim.machine(b), a_ip, b_ip, translated: true }
}

/// Two hosts on a good wire, with the ends on them.
fn hosts(sim: &Sim) -> ([HostId; 2], Ends<Machine>) {
    let (a, b) = sim.pair(LinkConfig::with_latency(Duration::from_millis(10)));
    let [a_ip, b_ip] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(IpAddr::from);
    ([a, b], Ends { a: sim.machine(a), b: sim.machine(b), a_ip, b_ip, translated: false })
}

fn cut(sim: &Sim, host: HostId, out: bool) {
    let mut world = sim.world();
    let interface = world.interfaces(host)[1];
    world.set_outage(interface, out);
}

fn is_silent(stream: &mut impl TcpStream) -> bool {
    stream.poll_read(&mut Context::from_waker(Waker::noop()), &mut [0; 10]).is_pending()
}

#[test]
fn a_cut_says_nothing_to_either_side_and_costs_no_byte_of_either_buffer() {
    seeds(5, |seed| {
        let sim = Sim::new(seed);
        let ([a, b], mut ends) = hosts(&sim);
        sim.run(async {
            let Pair { mut dialled, mut accepted, .. } = pair(&mut ends).await;
            let mut written = fill(&mut dialled);
            // What is in flight when it is cut, and then what more the kernel takes.
            sim.sleep(Duration::from_millis(5 + 7 * (seed % 5))).await;
            for host in [a, b] {
                cut(&sim, host, true);
            }
            let more = pattern(written, 1 << 20);
            let polled = dialled.poll_write(&mut Context::from_waker(Waker::noop()), &more);
            if let Poll::Ready(taken) = polled {
                written += taken.unwrap();
            }
            sim.sleep(Duration::from_secs(60)).await;
            assert!(is_silent(&mut dialled), "no FIN and no RST");
            for host in [a, b] {
                cut(&sim, host, false);
            }
            dialled.finish().unwrap();
            assert!(read_to_end(&mut accepted).await.unwrap() == pattern(0, written));
        });
    });
}

#[test]
fn a_cut_that_lasts_is_an_error_once_the_systems_patience_is_over() {
    let sim = Sim::new(1);
    let ([a, _], mut ends) = hosts(&sim);
    sim.run(async {
        let Pair { mut dialled, accepted, .. } = pair(&mut ends).await;
        write_all(&mut dialled, b"anybody?").await.unwrap();
        cut(&sim, a, true);
        let error = read(&mut dialled, &mut [0; 10]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(accepted);
    });
}

#[test]
fn buffers_are_as_deep_as_they_are_told_to_be() {
    let sim = Sim::new(1);
    let ([a, b], mut ends) = hosts(&sim);
    {
        let mut world = sim.world();
        world.set_tcp_buffers(a, 4 << 20, 128 * 1024);
        world.set_tcp_buffers(b, 128 * 1024, 4 << 20);
    }
    sim.run(async {
        let Pair { mut dialled, mut accepted, .. } = pair(&mut ends).await;
        let mut written = 0;
        let data = pattern(0, 9 << 20);
        // Until both kernels are full of what nobody reads.
        for _ in 0..100 {
            let polled = dialled.poll_write(&mut Context::from_waker(Waker::noop()), &data[written..]);
            if let Poll::Ready(taken) = polled {
                written += taken.unwrap();
            }
            sim.sleep(Duration::from_millis(200)).await;
        }
        assert!((8 << 20) - 1000 < written && written < data.len(), "{written}");
        dialled.finish().unwrap();
        assert!(read_to_end(&mut accepted).await.unwrap() == data[..written]);
    });
}

#[test]
fn nowhere_is_unreachable_at_once_and_silence_times_out() {
    let sim = Sim::new(1);
    let (_, mut ends) = hosts(&sim);
    sim.run(async {
        let nowhere = ends.a.dial_tcp(None, "192.0.2.1:9".parse().unwrap()).unwrap_err();
        assert_eq!(nowhere.kind(), ErrorKind::NetworkUnreachable);
        let mut nobody = ends.a.dial_tcp(None, "10.0.0.99:9".parse().unwrap()).unwrap();
        assert_eq!(connected(&mut nobody).await.unwrap_err().kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn both_may_dial_at_once_from_the_ports_they_listen_on() {
    let sim = Sim::new(1);
    let (_, mut ends) = hosts(&sim);
    sim.run(async {
        let mut at_a = ends.a.listen_tcp((ends.a_ip, 7000).into()).unwrap();
        let mut at_b = ends.b.listen_tcp((ends.b_ip, 7000).into()).unwrap();
        let [a, b]: [SocketAddr; 2] = [(ends.a_ip, 7000).into(), (ends.b_ip, 7000).into()];
        let mut from_a = ends.a.dial_tcp(Some(a), b).unwrap();
        let mut from_b = ends.b.dial_tcp(Some(b), a).unwrap();
        together(vec![
            Box::pin(async { connected(&mut from_a).await.unwrap() }),
            Box::pin(async { connected(&mut from_b).await.unwrap() }),
        ])
        .await;
        echo(&mut from_a, &mut from_b).await;
        for listener in [&mut at_a, &mut at_b] {
            let polled = listener.poll_accept(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending(), "two dials, one connection, nobody to accept");
        }
    });
}

#[test]
fn who_has_no_descriptor_left_hears_so_and_the_others_go_on() {
    let sim = Sim::new(1);
    let ([_, host], mut ends) = hosts(&sim);
    assert_eq!(ends.b.descriptors(), None);
    sim.run(async {
        let Pair { mut listener, mut dialled, mut accepted } = pair(&mut ends).await;
        sim.world().set_descriptors(host, 3);
        assert_eq!(ends.b.descriptors(), Some(3));
        let at = listener.local_addr().unwrap();
        let socket = ends.b.bind_udp((ends.b_ip, 0).into()).unwrap();
        assert_eq!(sim.world().descriptors(host), (3, Some(3)));

        let refused = [
            ends.b.bind_udp((ends.b_ip, 0).into()).err().unwrap(),
            ends.b.listen_tcp((ends.b_ip, 0).into()).err().unwrap(),
            ends.b.dial_tcp(None, at).err().unwrap(),
        ];
        assert!(refused.iter().all(is_out_of_descriptors), "{refused:?}");

        // The system takes the connection, and keeps it until there is room.
        let mut waiting = ends.a.dial_tcp(None, at).unwrap();
        connected(&mut waiting).await.unwrap();
        write_all(&mut waiting, b"patience").await.unwrap();
        for _ in 0..3 {
            let error = accept(&mut listener).await.err().unwrap();
            assert!(is_out_of_descriptors(&error), "{error:?}");
            sim.sleep(Duration::from_secs(1)).await;
        }
        echo(&mut dialled, &mut accepted).await;
        drop(socket);
        let (mut late, _) = accept(&mut listener).await.unwrap();
        waiting.finish().unwrap();
        assert_eq!(read_to_end(&mut late).await.unwrap(), b"patience");
    });
}

#[test]
fn a_host_that_sleeps_keeps_its_streams_and_one_that_crashes_does_not() {
    let sim = Sim::new(1);
    let ([_, b], mut ends) = hosts(&sim);
    sim.run(async {
        let Pair { mut dialled, mut accepted, listener } = pair(&mut ends).await;
        let (heard, hears) = std::sync::mpsc::sync_channel(8);
        sim.spawn(b, async move {
            let _listener = listener;
            let mut buf = [0; 10];
            while let Ok(taken) = read(&mut accepted, &mut buf).await {
                heard.send(taken).unwrap();
            }
        });
        sim.world().suspend(b);
        write_all(&mut dialled, b"good night").await.unwrap();
        sim.sleep(Duration::from_secs(20)).await;
        assert!(hears.try_recv().is_err(), "it sleeps");
        sim.world().resume(b);
        sim.sleep(Duration::from_secs(20)).await;
        assert_eq!(hears.try_recv(), Ok(10));

        sim.world().crash(b);
        assert_eq!(sim.world().size().tcp, 1, "the other side's");
        sim.sleep(Duration::from_secs(1)).await;
        assert!(is_silent(&mut dialled));
        sim.world().restart(b);
        write_all(&mut dialled, b"are you there?").await.unwrap();
        let error = read(&mut dialled, &mut [0; 10]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn nothing_is_left_of_streams_that_were_dropped() {
    seeds(5, |seed| {
        let sim = Sim::new(seed);
        let (_, mut ends) = hosts(&sim);
        sim.run(async {
            let mut listener = ends.b.listen_tcp((ends.b_ip, 0).into()).unwrap();
            let at = listener.local_addr().unwrap();
            for nth in 0..30 {
                let mut dialled = ends.a.dial_tcp(None, at).unwrap();
                // Waits, and is dropped at whatever point.
                let polled = dialled.poll_connected(&mut Context::from_waker(Waker::noop()));
                assert!(polled.is_pending());
                if nth % 3 == 0 {
                    sim.sleep(Duration::from_millis(nth)).await;
                    continue;
                }
                connected(&mut dialled).await.unwrap();
                let (mut accepted, _) = accept(&mut listener).await.unwrap();
                fill(&mut dialled);
                assert!(is_silent(&mut dialled));
                sim.sleep(Duration::from_millis(nth)).await;
                let _ = is_silent(&mut accepted);
                if nth % 3 == 1 {
                    dialled.reset();
                }
            }
            drop(listener);
            // TIME-WAIT, and what was given to the system before.
            sim.sleep(Duration::from_secs(120)).await;
        });
        assert_eq!((sim.world().size().tcp, sim.size()), (0, 0));
    });
}
