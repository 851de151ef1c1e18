//! tokio's sockets, on a real loopback: nothing that a datagram says is lost on the way.

use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crust_tokio::proto::crypto::pure::pure;
use crust_tokio::proto::recovery::Ecn;
use crust_tokio::proto::{Command, Config, Engine, Instant, Seed, SocketId, Transmit, UnixTime};
use crust_tokio::{Network, RecvMeta, SecretKey, TokioUdpSocket, UdpSocket};

/// Nothing waits for it unless the test has failed already.
const TOO_LONG: Duration = Duration::from_secs(60);
/// The size of each datagram, in bytes.
const SEGMENT: usize = 1200;

/// The engine's name for a socket; only the engine gives them out.
fn socket_id() -> SocketId {
    let mut config = Config::new(SecretKey::from_entropy([1; 32]), Network::default(), pure());
    config.listen.push((Ipv4Addr::LOCALHOST, 0).into());
    let mut engine = Engine::new(config, Seed::new([2; 32]), Instant::ZERO, UnixTime::from_millis(0));
    match engine.poll_command() {
        Some(Command::BindUdp { socket, .. }) => socket,
        other => panic!("{other:?}"),
    }
}

/// The next receive: what fills the first buffer, and its description.
async fn receive(socket: &mut TokioUdpSocket) -> io::Result<(Vec<u8>, RecvMeta)> {
    let mut buffer = vec![0; 1 << 16];
    let mut metas = [RecvMeta::default()];
    let filled = poll_fn(|cx| socket.poll_recv(cx, &mut [IoSliceMut::new(&mut buffer)], &mut metas)).await?;
    assert_eq!(filled, 1);
    buffer.truncate(metas[0].len);
    Ok((buffer, metas[0]))
}

#[tokio::test]
async fn a_batch_arrives_as_equal_segments_with_its_ecn_codepoint_and_its_destination() {
    for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        let sockets = [TokioUdpSocket::bind((ip, 0).into()), TokioUdpSocket::bind((ip, 0).into())];
        let [Ok(mut a), Ok(mut b)] = sockets else {
            assert!(ip.is_ipv6(), "{sockets:?}");
            println!("skipped: no {ip} on this machine");
            continue;
        };
        let (from, to) = (a.local_addr().unwrap(), b.local_addr().unwrap());
        let segments = a.max_gso_segments().min(8);
        match segments > 1 {
            true => {}
            false if cfg!(target_os = "linux") => panic!("Linux has GSO, but one call takes {segments}"),
            false => println!("one datagram a call: this system has no GSO"),
        }
        let data: Vec<u8> = (0..segments).flat_map(|i| [i as u8; SEGMENT]).collect();
        for ecn in [Some(Ecn::Ect0), Some(Ecn::Ce), None] {
            let transmit = Transmit {
                socket: socket_id(),
                to,
                from: None,
                ecn,
                ttl: None,
                dont_fragment: true,
                len: data.len(),
                segment: (segments > 1).then_some(SEGMENT),
            };
            // Nothing is there yet: who waits is woken by what is sent after.
            let transfer = async {
                let receiving = async {
                    let (mut received, mut described) = (Vec::new(), Vec::new());
                    while received.len() < data.len() {
                        let (more, meta) = receive(&mut b).await.unwrap();
                        received.extend(more);
                        described.push(meta);
                    }
                    (received, described)
                };
                let sending = async {
                    // Behind the receiver's first look.
                    tokio::task::yield_now().await;
                    poll_fn(|cx| a.poll_send(cx, &transmit, &data)).await.unwrap();
                };
                tokio::join!(receiving, sending).0
            };
            let (received, described) = tokio::time::timeout(TOO_LONG, transfer).await.unwrap();
            assert!(received == data, "{described:?}");
            for meta in &described {
                assert_eq!((meta.from, meta.to, meta.ecn), (from, Some(ip), ecn), "{described:?}");
                assert_eq!(meta.segment, SEGMENT, "{described:?}");
            }
            if cfg!(target_os = "linux") {
                // What GSO sends in one piece Linux's loopback delivers in one piece, to whoever has GRO.
                assert_eq!(described.len(), 1, "{described:?}");
            }
        }
    }
}
