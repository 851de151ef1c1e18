//! tokio's listeners and streams on a real loopback: the suite of all platforms, and what only a real system can show.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crust_tokio::Tokio;
use tcp_suite::{Ends, Test};

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
