//! A STUN server on two addresses and two ports as a program on a host of the world, and the probes by which a client
//! learns what its NAT does (RFC 8489, RFC 5780).
//!
//! [`StunServer::start`] binds four sockets; [`StunServer::run`] answers what waits in them and is called whenever
//! one of them may be readable. [`classify`] finds out how a client's NAT maps and filters, [`hairpins`], [`allocation`]
//! and [`lifetime`] the rest; each sends real requests from fresh sockets and lets the world run meanwhile.
//!
//! ```
//! use crust_sim::stun::{Filtering, Mapping, StunServer, classify, hairpins};
//! use crust_sim::{Internet, Kind, LinkConfig, SiteConfig, World};
//!
//! let mut world = World::new(1);
//! let mut internet = Internet::new(&mut world);
//! let mut stun = StunServer::join(&mut world, &mut internet, LinkConfig::default())?;
//! let mut home = internet.site(&mut world, &SiteConfig::of(Kind::Restricted, LinkConfig::default()));
//! let client = home.host(&mut world);
//!
//! let seen = classify(&mut world, client, &mut stun)?;
//! assert_eq!(seen.mapping, Mapping::EndpointIndependent);
//! assert_eq!(seen.filtering, Filtering::AddressDependent);
//! assert!(!hairpins(&mut world, client, &mut stun)?);
//! # Ok::<(), crust_sim::NetError>(())
//! ```

use std::net::{IpAddr, SocketAddr};

mod message;
mod probes;

pub use crate::nat::Filtering;
pub use probes::{Behaviour, Mapping, Ports, allocation, classify, hairpins, lifetime};

use crate::World;
use crate::host::{HostId, NetError, SendOptions, UdpId, UdpOptions};
use crate::link::LinkConfig;
use crate::site::Internet;
use message::{
    CHANGE_IP, CHANGE_PORT, CHANGE_REQUEST, ERROR_CODE, FAILURE, Message, OTHER_ADDRESS, REQUEST,
    RESPONSE_ORIGIN, RESPONSE_PORT, SUCCESS, UNKNOWN_ATTRIBUTES, XOR_MAPPED_ADDRESS, put_address,
};

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

    /// A server on a host of its own, at ports 3478 and 3479 of two public addresses.
    ///
    /// # Errors
    ///
    /// As [`StunServer::start`].
    ///
    /// # Panics
    ///
    /// As [`Internet::host`].
    pub fn join(world: &mut World, internet: &mut Internet, uplink: LinkConfig) -> Result<Self, NetError> {
        let host = internet.host_with(world, uplink, 2);
        let mut addresses = world.addresses(host).map(|address| address.ip).filter(IpAddr::is_ipv4);
        match (addresses.next(), addresses.next()) {
            (Some(first), Some(second)) => {
                drop(addresses);
                Self::start(world, host, [first, second], [3478, 3479])
            }
            _ => Err(NetError::AddrNotAvailable),
        }
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
                let port = request.get(RESPONSE_PORT).and_then(|value| value.first_chunk());
                let port = port.map_or(received.from.port(), |port| u16::from_be_bytes(*port));
                let to = SocketAddr::new(received.from.ip(), port);
                // What can't be sent is lost, as any answer may be.
                let _ = world.udp_send(
                    self.sockets[by_ip][by_port],
                    to,
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
            .filter(|(kind, _)| *kind < 0x8000 && ![CHANGE_REQUEST, RESPONSE_PORT].contains(kind))
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

#[cfg(test)]
#[path = "stun_tests.rs"]
mod tests;
