//! What becomes of a process without descriptors. It has a file of its own, since the limit is the whole process's.
#![cfg(unix)]

use std::future::poll_fn;
use std::io;
use std::task::{Context, Waker};

use crust_tokio::runtime::is_out_of_descriptors;
use crust_tokio::{Platform, TcpListener, TcpStream, Tokio};
use rustix::process::{Resource, getrlimit, setrlimit};

/// How many this process may have: few, so that all are soon used up.
const LIMIT: u64 = 64;

#[tokio::test]
async fn who_has_no_descriptor_left_hears_so_and_accepts_when_there_is_one_again() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(LIMIT);
    setrlimit(Resource::Nofile, limit).unwrap();
    assert_eq!(Tokio.descriptors(), Some(LIMIT as usize));

    let local = "127.0.0.1:0".parse().unwrap();
    let mut listener = Tokio.listen_tcp(local).unwrap();
    let at = listener.local_addr().unwrap();
    let mut dialled = Tokio.dial_tcp(None, at).unwrap();
    poll_fn(|cx| dialled.poll_connected(cx)).await.unwrap();

    let mut hoard = Vec::new();
    let lack = loop {
        match std::fs::File::open("/dev/null") {
            Ok(file) => hoard.push(file),
            Err(error) => break error,
        }
    };
    let refused = [
        lack,
        Tokio.bind_udp(local).unwrap_err(),
        Tokio.listen_tcp(local).unwrap_err(),
        Tokio.dial_tcp(None, at).unwrap_err(),
    ];
    assert!(refused.iter().all(is_out_of_descriptors), "{refused:?}");

    // Said anew to each call, and nobody is woken to ask again.
    for _ in 0..3 {
        let error = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap_err();
        assert!(is_out_of_descriptors(&error), "{error:?}");
    }

    // One for the connection; and one more, without which Linux says the same where nobody waits.
    hoard.truncate(hoard.len() - 2);
    let (mut accepted, _) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
    write(&mut dialled, b"late").await.unwrap();
    let mut buf = [0; 10];
    assert_eq!(poll_fn(|cx| accepted.poll_read(cx, &mut buf)).await.unwrap(), 4);
    let nobody = listener.poll_accept(&mut Context::from_waker(Waker::noop()));
    assert!(nobody.is_pending());
}

async fn write(stream: &mut impl TcpStream, data: &[u8]) -> io::Result<usize> {
    poll_fn(|cx| stream.poll_write(cx, data)).await
}
