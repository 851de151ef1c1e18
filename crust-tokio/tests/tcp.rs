//! tokio's listeners and streams on a real loopback: the suite of all platforms, and what only a real system can show.

use std::future::Future;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

use crust_tokio::{Platform, TcpListener, TcpStream, Tokio};
use tcp_suite::{Ends, Pair, Test, accept, connected, echo, pair, read_to_end};

#[macro_use]
#[path = "../../crust-async/tests/tcp_suite/mod.rs"]
mod tcp_suite;

/// Nothing waits for it unless the test has failed already.
const TOO_LONG: Duration = Duration::from_secs(120);

tests_of_tcp!(run);

fn run(test: impl Fn(Ends<Tokio>) -> Test) {
    for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        if let Err(error) = std::net::TcpListener::bind((ip, 0)) {
            assert!(ip.is_ipv6(), "{error}");
            println!("skipped: no {ip} on this machine ({error})");
            continue;
        }
        block_on(test(Ends { a: Tokio, b: Tokio, a_ip: ip, b_ip: ip, translated: false }));
    }
}

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(TOO_LONG, test).await.expect("it hangs") });
}

fn loopback() -> Ends<Tokio> {
    let ip = Ipv4Addr::LOCALHOST.into();
    Ends { a: Tokio, b: Tokio, a_ip: ip, b_ip: ip, translated: false }
}

/// Where the child of a test is told to listen.
const LISTEN_AT: &str = "CRUST_TEST_LISTEN_AT";

/// What the child does of [`a_second_program_is_refused_the_port`]; nothing where it is run as a test.
#[test]
fn a_second_program() {
    let Some(at) = std::env::var_os(LISTEN_AT) else { return };
    let at: SocketAddr = at.to_str().unwrap().parse().unwrap();
    block_on(async move {
        assert_eq!(Tokio.listen_tcp(at).unwrap_err().kind(), ErrorKind::AddrInUse);
    });
}

/// With dials out of that port, too, which other programs could share if they asked for it.
#[test]
fn a_second_program_is_refused_the_port() {
    block_on(async {
        let mut ends = loopback();
        let Pair { listener, .. } = pair(&mut ends).await;
        let at = listener.local_addr().unwrap();
        let mut elsewhere = Tokio.listen_tcp((ends.a_ip, 0).into()).unwrap();
        let mut outwards = Tokio.dial_tcp(Some(at), elsewhere.local_addr().unwrap()).unwrap();
        connected(&mut outwards).await.unwrap();
        let _accepted = accept(&mut elsewhere).await.unwrap();
        let refused = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_second_program", "--nocapture"])
            .env(LISTEN_AT, at.to_string())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(refused.success());
    });
}

/// The side that ends first is the one where the connection lingers.
#[test]
fn a_program_that_starts_again_gets_its_port_though_connections_linger_there() {
    block_on(async {
        let mut ends = loopback();
        let Pair { mut listener, mut dialled, mut accepted } = pair(&mut ends).await;
        let at = listener.local_addr().unwrap();
        for _ in 0..3 {
            accepted.finish().unwrap();
            assert!(read_to_end(&mut dialled).await.unwrap().is_empty());
            dialled.finish().unwrap();
            assert!(read_to_end(&mut accepted).await.unwrap().is_empty());
            drop((listener, dialled, accepted));
            if cfg!(target_os = "linux") {
                assert!(lingers(at), "the test would show nothing");
            }
            listener = Tokio.listen_tcp(at).unwrap();
            dialled = Tokio.dial_tcp(None, at).unwrap();
            connected(&mut dialled).await.unwrap();
            (accepted, _) = accept(&mut listener).await.unwrap();
            echo(&mut dialled, &mut accepted).await;
        }
    });
}

/// Linux lists its connections: one at that port is in TIME-WAIT.
fn lingers(at: SocketAddr) -> bool {
    let port = format!(":{:04X}", at.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().skip(1).any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields[1].ends_with(&port) && fields[3] == "06"
    })
}
