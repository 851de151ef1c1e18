use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crust_proto::crypto::pure::pure;
use crust_proto::{Command, Config, Engine, Instant, Network, SecretKey, Seed, SocketId, UnixTime};

use super::*;

/// Nothing waits for it unless the test has failed already.
const TOO_LONG: Duration = Duration::from_secs(60);
/// The size of each datagram but the last, in bytes.
const SEGMENT: usize = 1200;

/// A socket on a free port of this address, as adapters have it.
struct End {
    socket: UdpSocket,
    io: UdpIo,
}

/// `None` where the machine lacks the address family.
fn end(ip: IpAddr) -> Option<End> {
    let socket = match bind_udp((ip, 0).into()) {
        Ok(socket) => socket,
        Err(error) if ip.is_ipv6() => {
            println!("skipped: no {ip} on this machine ({error})");
            return None;
        }
        Err(error) => panic!("{ip}: {error}"),
    };
    let io = UdpIo::new(&socket).unwrap();
    Some(End { socket, io })
}

impl End {
    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// Waits as a reactor would, until there is something to receive.
    fn readable(&self) {
        self.socket.set_read_timeout(Some(TOO_LONG)).unwrap();
        self.socket.set_nonblocking(false).unwrap();
        self.socket.peek(&mut vec![0; 1 << 16]).unwrap();
        self.socket.set_nonblocking(true).unwrap();
    }

    /// Receives `datagrams` of them, and how each receive described its buffer.
    fn receive(&self, datagrams: usize) -> (Vec<Vec<u8>>, Vec<RecvMeta>) {
        let (mut received, mut described) = (Vec::new(), Vec::new());
        while received.len() < datagrams {
            let mut buffers = vec![vec![0; 1 << 16]; 8];
            let mut bufs: Vec<_> = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
            let mut metas = [RecvMeta::default(); 8];
            let count = match self.io.recv(&self.socket, &mut bufs, &mut metas) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable();
                    continue;
                }
                Err(error) => panic!("{error}"),
            };
            assert!(count > 0);
            for (buffer, meta) in buffers.iter().zip(&metas[..count]) {
                received.extend(buffer[..meta.len].chunks(meta.segment).map(<[u8]>::to_vec));
                described.push(*meta);
            }
        }
        (received, described)
    }
}

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

/// Several datagrams of equal size, but for the last, each with bytes of its own.
fn datagrams(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|i| vec![i as u8; if i + 1 == count { SEGMENT / 2 } else { SEGMENT }]).collect()
}

fn transmit(to: SocketAddr, ecn: Option<Ecn>, len: usize, segment: Option<usize>) -> Transmit {
    Transmit { socket: socket_id(), to, from: None, ecn, ttl: None, dont_fragment: true, len, segment }
}

/// One batch goes from one socket to the other and arrives as it was sent, mark and address included.
fn a_batch_arrives(ip: IpAddr, ecn: Option<Ecn>) {
    let (Some(a), Some(b)) = (end(ip), end(ip)) else { return };
    let segments = a.io.max_gso_segments().min(8);
    if cfg!(target_os = "linux") {
        assert!(segments > 1, "Linux has GSO, but one call takes {segments}");
    }
    let sent = datagrams(segments);
    let data = sent.concat();
    let segment = (segments > 1).then_some(SEGMENT);
    // Several, so that one receive call can fill several buffers.
    const BATCHES: usize = 3;
    for _ in 0..BATCHES {
        a.io.send(&a.socket, &transmit(b.address(), ecn, data.len(), segment), &data).unwrap();
    }

    let (received, described) = b.receive(BATCHES * sent.len());
    assert!(received == [&sent[..], &sent[..], &sent[..]].concat(), "{described:?}");
    for meta in &described {
        assert_eq!((meta.from, meta.to, meta.ecn), (a.address(), Some(ip), ecn), "{described:?}");
        assert!(meta.segment == SEGMENT || meta.segment == meta.len, "{described:?}");
    }
    match segments > 1 {
        false => println!("only the rest was tested: this system has no GSO"),
        // What GSO sends in one piece Linux's loopback delivers in one piece, to whoever has GRO.
        true if cfg!(target_os = "linux") => assert_eq!(described.len(), BATCHES, "{described:?}"),
        true => {}
    }
}

#[test]
fn a_batch_arrives_as_equal_segments_with_the_ecn_codepoint_of_each_receive_and_its_destination() {
    for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        // Coalesced receives are described here too: quinn-udp 0.6 loses their ECN codepoint.
        for ecn in [Some(Ecn::Ect0), Some(Ecn::Ce), Some(Ecn::Ect1), None] {
            a_batch_arrives(ip, ecn);
        }
    }
}
