//! A STUN server on two addresses and two ports as a program on a host of the world, and the probes by which a client
//! learns what its NAT does (RFC 8489, RFC 5780).
//!
//! [`StunServer::start`] binds four sockets; [`StunServer::run`] answers what waits in them and is called whenever
//! one of them may be readable. [`classify`] does a client's whole set of probes and lets the world run meanwhile.
//!
//! ```
//! use crust_sim::stun::{Mapping, StunServer, classify};
//! use crust_sim::{LinkConfig, World};
//!
//! let mut world = World::new(1);
//! let internet = world.add_segment();
//! let (server, client) = (world.add_host(), world.add_host());
//! let on = world.add_interface(server, internet, LinkConfig::default());
//! world.add_address(on, "203.0.113.2".parse().unwrap(), 24);
//! world.add_address(on, "203.0.113.3".parse().unwrap(), 24);
//! let on = world.add_interface(client, internet, LinkConfig::default());
//! world.add_address(on, "203.0.113.9".parse().unwrap(), 24);
//!
//! let addresses = ["203.0.113.2".parse().unwrap(), "203.0.113.3".parse().unwrap()];
//! let mut stun = StunServer::start(&mut world, server, addresses, [3478, 3479]).unwrap();
//! let seen = classify(&mut world, client, &mut stun).unwrap();
//! assert_eq!(seen.mapping, Mapping::None);
//! ```

use std::net::{IpAddr, SocketAddr};

use crust_proto::Duration;

use crate::host::{HostId, NetError, SendOptions, UdpId, UdpOptions};
use crate::{Rng, World};

/// RFC 8489 §5.
const COOKIE: u32 = 0x2112_a442;
const HEADER: usize = 20;
const REQUEST: u16 = 0x0001;
const SUCCESS: u16 = 0x0101;
const FAILURE: u16 = 0x0111;
const CHANGE_REQUEST: u16 = 0x0003;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const RESPONSE_ORIGIN: u16 = 0x802b;
const OTHER_ADDRESS: u16 = 0x802c;
/// CHANGE-REQUEST's bits (RFC 5780 §7.2): answer from the other address …
const CHANGE_IP: u32 = 4;
/// … from the other port.
const CHANGE_PORT: u32 = 2;

/// A request is sent so often, …
const SENDS: u32 = 4;
/// … first after this, each time twice as late (RFC 8489 §6.2.1).
const RTO: Duration = Duration::from_millis(500);

type Transaction = [u8; 12];

/// A STUN message: its type, its transaction, and its attributes.
#[derive(Debug)]
struct Message {
    kind: u16,
    transaction: Transaction,
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Message {
    fn new(kind: u16, transaction: Transaction) -> Self {
        Self { kind, transaction, attributes: Vec::new() }
    }

    fn with(mut self, kind: u16, value: Vec<u8>) -> Self {
        self.attributes.push((kind, value));
        self
    }

    fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in &self.attributes {
            body.extend_from_slice(&kind.to_be_bytes());
            body.extend_from_slice(&(value.len() as u16).to_be_bytes());
            body.extend_from_slice(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.extend_from_slice(&self.kind.to_be_bytes());
        bytes.extend_from_slice(&(body.len() as u16).to_be_bytes());
        bytes.extend_from_slice(&COOKIE.to_be_bytes());
        bytes.extend_from_slice(&self.transaction);
        bytes.extend_from_slice(&body);
        bytes
    }

    /// `None` for whatever is no STUN message.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (header, mut body) = bytes.split_first_chunk::<HEADER>()?;
        let kind = u16::from_be_bytes([header[0], header[1]]);
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if kind & 0xc000 != 0 || header[4..8] != COOKIE.to_be_bytes() || length != body.len() {
            return None;
        }
        let mut message = Self::new(kind, header[8..20].try_into().ok()?);
        while !body.is_empty() {
            let (head, rest) = body.split_first_chunk::<4>()?;
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let value = rest.get(..length)?;
            message.attributes.push((u16::from_be_bytes([head[0], head[1]]), value.to_vec()));
            body = rest.get(length.next_multiple_of(4)..)?;
        }
        Some(message)
    }

    fn get(&self, kind: u16) -> Option<&[u8]> {
        self.attributes.iter().find(|(found, _)| *found == kind).map(|(_, value)| &value[..])
    }
}

/// MAPPED-ADDRESS and its like (RFC 8489 §14.1); with a transaction, XOR-MAPPED-ADDRESS (§14.2).
fn put_address(address: SocketAddr, xor: Option<&Transaction>) -> Vec<u8> {
    let mut value = vec![0, if address.is_ipv4() { 1 } else { 2 }];
    value.extend_from_slice(&address.port().to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => value.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => value.extend_from_slice(&ip.octets()),
    }
    if let Some(transaction) = xor {
        mask(&mut value, transaction);
    }
    value
}

fn get_address(value: &[u8], xor: Option<&Transaction>) -> Option<SocketAddr> {
    let mut value = value.to_vec();
    let length = match value.get(1)? {
        1 => 8,
        2 => 20,
        _ => return None,
    };
    if value.len() != length {
        return None;
    }
    if let Some(transaction) = xor {
        mask(&mut value, transaction);
    }
    let ip = match <[u8; 4]>::try_from(&value[4..]) {
        Ok(octets) => IpAddr::from(octets),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(&value[4..]).ok()?),
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes([value[2], value[3]])))
}

fn mask(value: &mut [u8], transaction: &Transaction) {
    let cookie = COOKIE.to_be_bytes();
    let (port, ip) = value[2..].split_at_mut(2);
    for (byte, mask) in port.iter_mut().zip(cookie) {
        *byte ^= mask;
    }
    for (byte, mask) in ip.iter_mut().zip(cookie.iter().chain(transaction)) {
        *byte ^= mask;
    }
}

/// A STUN server with an alternate address and port.
#[derive(Debug)]
pub struct StunServer {
    addresses: [IpAddr; 2],
    ports: [u16; 2],
    /// By address, then by port.
    sockets: [[UdpId; 2]; 2],
}

impl StunServer {
    /// Binds the four sockets on a host that has both addresses.
    ///
    /// # Errors
    ///
    /// As [`World::udp_bind`].
    pub fn start(
        world: &mut World,
        host: HostId,
        addresses: [IpAddr; 2],
        ports: [u16; 2],
    ) -> Result<Self, NetError> {
        let mut bind = |ip, port| world.udp_bind(host, SocketAddr::new(ip, port), UdpOptions::default());
        let mut row = |ip| Ok::<_, NetError>([bind(ip, ports[0])?, bind(ip, ports[1])?]);
        Ok(Self { addresses, ports, sockets: [row(addresses[0])?, row(addresses[1])?] })
    }

    /// Where clients send their first request.
    pub fn primary(&self) -> SocketAddr {
        SocketAddr::new(self.addresses[0], self.ports[0])
    }

    /// Whether a socket is one of the server's.
    pub fn owns(&self, socket: UdpId) -> bool {
        self.sockets.iter().flatten().any(|own| *own == socket)
    }

    /// Answers all requests that wait.
    ///
    /// # Errors
    ///
    /// [`NetError::BadSocket`] when its host has crashed since.
    pub fn run(&mut self, world: &mut World) -> Result<(), NetError> {
        let mut buffer = [0; 1500];
        for (at_ip, at_port) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            while let Some(received) = world.udp_recv(self.sockets[at_ip][at_port], &mut buffer)? {
                let Some(request) = Message::decode(&buffer[..received.len]) else { continue };
                if request.kind != REQUEST {
                    continue;
                }
                let (answer, by_ip, by_port) = self.answer(&request, received.from, at_ip, at_port);
                // What can't be sent is lost, as any answer may be.
                let _ = world.udp_send(
                    self.sockets[by_ip][by_port],
                    received.from,
                    SendOptions::default(),
                    &answer.encode(),
                );
            }
        }
        Ok(())
    }

    fn answer(&self, request: &Message, from: SocketAddr, ip: usize, port: usize) -> (Message, usize, usize) {
        let transaction = request.transaction;
        // Those below 0x8000 must be understood (RFC 8489 §14).
        let unknown: Vec<u8> = request
            .attributes
            .iter()
            .filter(|(kind, _)| *kind < 0x8000 && *kind != CHANGE_REQUEST)
            .flat_map(|(kind, _)| kind.to_be_bytes())
            .collect();
        if !unknown.is_empty() {
            let error = Message::new(FAILURE, transaction)
                .with(ERROR_CODE, [&[0, 0, 4, 20][..], b"Unknown Attribute"].concat())
                .with(UNKNOWN_ATTRIBUTES, unknown);
            return (error, ip, port);
        }
        let change = request.get(CHANGE_REQUEST).and_then(|value| value.try_into().ok());
        let change = change.map_or(0, u32::from_be_bytes);
        let by_ip = ip ^ usize::from(change & CHANGE_IP != 0);
        let by_port = port ^ usize::from(change & CHANGE_PORT != 0);
        let at = |ip: usize, port: usize| SocketAddr::new(self.addresses[ip], self.ports[port]);
        let answer = Message::new(SUCCESS, transaction)
            .with(XOR_MAPPED_ADDRESS, put_address(from, Some(&transaction)))
            .with(RESPONSE_ORIGIN, put_address(at(by_ip, by_port), None))
            // The other in both, seen from where the request came to (RFC 5780 §7.4).
            .with(OTHER_ADDRESS, put_address(at(ip ^ 1, port ^ 1), None));
        (answer, by_ip, by_port)
    }
}

/// How outside ports are chosen (RFC 4787 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mapping {
    /// No translation at all.
    None,
    /// One for each inner socket.
    EndpointIndependent,
    /// One for each inner socket and outer address.
    AddressDependent,
    /// One for each inner socket and outer address and port.
    AddressAndPortDependent,
}

/// Whom a mapping lets in (RFC 4787 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Filtering {
    /// Anybody.
    EndpointIndependent,
    /// Addresses that were sent to.
    AddressDependent,
    /// Addresses and ports that were sent to.
    AddressAndPortDependent,
}

/// What a client has found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// How ports are chosen.
    pub mapping: Mapping,
    /// Who is let in.
    pub filtering: Filtering,
    /// How the server saw the first probe.
    pub external: SocketAddr,
    /// Where that probe came from.
    pub local: SocketAddr,
}

/// Does the probes of RFC 5780 §4.3 and §4.4 from fresh sockets of a host, each set from one of its own, and runs the
/// world and the server meanwhile: some seconds where probes go unanswered. Events of other programs stay queued.
///
/// # Errors
///
/// [`NetError::TimedOut`] where the server never answers; what sending gives.
pub fn classify(world: &mut World, host: HostId, server: &mut StunServer) -> Result<Behaviour, NetError> {
    let primary = server.primary();
    let any =
        SocketAddr::new(if primary.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) }, 0);
    let mut rng = world.rng("stun", world.events_so_far());
    let socket = world.udp_bind(host, any, UdpOptions::default())?;
    let mapping = find_mapping(world, socket, server, &mut rng);
    world.udp_close(socket);
    let (mapping, external, local) = mapping?;
    let socket = world.udp_bind(host, any, UdpOptions::default())?;
    let filtering = find_filtering(world, socket, server, &mut rng);
    world.udp_close(socket);
    Ok(Behaviour { mapping, filtering: filtering?, external, local })
}

fn find_mapping(
    world: &mut World,
    socket: UdpId,
    server: &mut StunServer,
    rng: &mut Rng,
) -> Result<(Mapping, SocketAddr, SocketAddr), NetError> {
    let primary = server.primary();
    let first = ask(world, socket, server, rng, primary, 0)?.ok_or(NetError::TimedOut)?;
    if first.mapped == first.local {
        return Ok((Mapping::None, first.mapped, first.local));
    }
    let second_address = SocketAddr::new(first.other.ip(), primary.port());
    let second = ask(world, socket, server, rng, second_address, 0)?.ok_or(NetError::TimedOut)?;
    let mapping = if second.mapped == first.mapped {
        Mapping::EndpointIndependent
    } else {
        let third = ask(world, socket, server, rng, first.other, 0)?.ok_or(NetError::TimedOut)?;
        if third.mapped == second.mapped {
            Mapping::AddressDependent
        } else {
            Mapping::AddressAndPortDependent
        }
    };
    Ok((mapping, first.mapped, first.local))
}

fn find_filtering(
    world: &mut World,
    socket: UdpId,
    server: &mut StunServer,
    rng: &mut Rng,
) -> Result<Filtering, NetError> {
    let primary = server.primary();
    ask(world, socket, server, rng, primary, 0)?.ok_or(NetError::TimedOut)?;
    if ask(world, socket, server, rng, primary, CHANGE_IP | CHANGE_PORT)?.is_some() {
        return Ok(Filtering::EndpointIndependent);
    }
    let port_only = ask(world, socket, server, rng, primary, CHANGE_PORT)?.is_some();
    Ok(if port_only { Filtering::AddressDependent } else { Filtering::AddressAndPortDependent })
}

/// One answer.
#[derive(Debug)]
struct Answer {
    mapped: SocketAddr,
    other: SocketAddr,
    /// The address and port that the answer came to.
    local: SocketAddr,
}

/// One request with its repetitions; `None` where nobody answers.
fn ask(
    world: &mut World,
    socket: UdpId,
    server: &mut StunServer,
    rng: &mut Rng,
    to: SocketAddr,
    change: u32,
) -> Result<Option<Answer>, NetError> {
    let transaction: Transaction = rng.array();
    let mut request = Message::new(REQUEST, transaction);
    if change != 0 {
        request = request.with(CHANGE_REQUEST, change.to_be_bytes().to_vec());
    }
    let request = request.encode();
    let mut buffer = [0; 1500];
    for send in 0..SENDS {
        world.udp_send(socket, to, SendOptions::default(), &request)?;
        let until = world.now() + RTO * 2_u32.pow(send);
        loop {
            server.run(world)?;
            while let Some(received) = world.udp_recv(socket, &mut buffer)? {
                let answer = Message::decode(&buffer[..received.len])
                    .filter(|answer| answer.kind == SUCCESS && answer.transaction == transaction);
                let address = |answer: &Message, kind, xor| get_address(answer.get(kind)?, xor);
                if let Some(answer) = answer
                    && let Some(mapped) = address(&answer, XOR_MAPPED_ADDRESS, Some(&transaction))
                    && let Some(other) = address(&answer, OTHER_ADDRESS, None)
                {
                    return Ok(Some(Answer { mapped, other, local: received.to }));
                }
            }
            match world.next_event_at() {
                Some(at) if at <= until => world.step(),
                _ => break,
            };
        }
        world.run_until(until);
    }
    Ok(None)
}

#[cfg(test)]
#[path = "stun_tests.rs"]
mod tests;
