//! The probes by which a client learns what stands between it and the world (RFC 5780 §4).

use std::net::{IpAddr, SocketAddr};

use crust_proto::Duration;

use super::StunServer;
use super::message::{
    CHANGE_IP, CHANGE_PORT, CHANGE_REQUEST, Message, OTHER_ADDRESS, REQUEST, RESPONSE_PORT, SUCCESS,
    XOR_MAPPED_ADDRESS, get_address,
};
use crate::host::{HostId, NetError, SendOptions, UdpId, UdpOptions};
use crate::nat::Filtering;
use crate::{Rng, World};

/// A request is sent so often, …
const SENDS: u32 = 4;
/// … first after this, each time twice as late (RFC 8489 §6.2.1).
const RTO: Duration = Duration::from_millis(500);

/// How many sockets show how ports follow one another.
const SOCKETS: usize = 8;
/// How many ports that are kept, or distances between them that are the same, make a rule. Not all: somebody else may
/// have the port, the NAT's ports may begin anew, and a socket may by chance have the port of one before, and so its
/// mapping.
const KEPT: usize = 6;
const SAME: usize = 4;

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

/// How outside ports follow one another, as seen from outside (RFC 4787 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ports {
    /// They are the inner ones.
    Preserved,
    /// Each new one a fixed distance after the last. A step that comes round the NAT's ports more than once in eight
    /// looks random.
    Sequential {
        /// That distance; negative downwards.
        step: i32,
    },
    /// No rule shows.
    Random,
}

/// Does the probes of RFC 5780 §4.3 and §4.4 from fresh sockets of a host, each set from one of its own, and runs the
/// world and the server meanwhile: some seconds where probes go unanswered. Events of other programs stay queued.
///
/// # Errors
///
/// [`NetError::TimedOut`] where the server never answers; what sending gives.
pub fn classify(world: &mut World, host: HostId, server: &mut StunServer) -> Result<Behaviour, NetError> {
    Client::probe(world, host, server, |client| {
        let (mapping, first) = client.mapping()?;
        let filtering = client.filtering()?;
        Ok(Behaviour { mapping, filtering, external: first.mapped, local: first.local })
    })
}

/// Whether a packet to the host's own external endpoint comes back to it (RFC 5780 §4.5), from another of its sockets
/// whose external endpoint it has sent to. Where the mapping depends on the destination *and* the filter does too no
/// probe can tell: the answer is no. Without a NAT it is yes. For the rest as [`classify`].
///
/// # Errors
///
/// As [`classify`].
pub fn hairpins(world: &mut World, host: HostId, server: &mut StunServer) -> Result<bool, NetError> {
    Client::probe(world, host, server, |client| {
        let (inner, outer) = (client.socket()?, client.socket()?);
        let (to_inner, to_outer) = (client.mapped(inner)?, client.mapped(outer)?);
        let opening = Message::new(REQUEST, client.rng.array()).encode();
        client.world.udp_send(inner, to_outer, SendOptions::default(), &opening)?;
        let request = Message::new(REQUEST, client.rng.array());
        let came = client.exchange(outer, to_inner, &request, inner, |message, _| {
            (message.kind == REQUEST).then_some(())
        })?;
        Ok(came.is_some())
    })
}

/// How the NAT chooses ports, by the external ports of some fresh sockets. For the rest as [`classify`].
///
/// # Errors
///
/// As [`classify`].
pub fn allocation(world: &mut World, host: HostId, server: &mut StunServer) -> Result<Ports, NetError> {
    Client::probe(world, host, server, |client| {
        let mut ports = Vec::new();
        for _ in 0..SOCKETS {
            let socket = client.socket()?;
            let primary = client.server.primary();
            let answer = client.ask(socket, primary, 0)?.ok_or(NetError::TimedOut)?;
            ports.push((answer.local.port(), answer.mapped.port()));
        }
        if ports.iter().filter(|(local, mapped)| local == mapped).count() >= KEPT {
            return Ok(Ports::Preserved);
        }
        let steps: Vec<i32> =
            ports.windows(2).map(|pair| i32::from(pair[1].1) - i32::from(pair[0].1)).collect();
        let same = |step: &i32| steps.iter().filter(|other| *other == step).count() >= SAME;
        Ok(steps.iter().copied().find(same).map_or(Ports::Random, |step| Ports::Sequential { step }))
    })
}

/// How long a mapping that was answered once lets answers in without another packet (RFC 5780 §4.6), in whole seconds
/// rounded down; `None` where that is `most` or longer. Each trial has a socket of its own, whose mapping another
/// socket asks the server to try; the time is doubled, then halved. Runs the world for some five times as long as
/// what it finds. For the rest as [`classify`].
///
/// # Errors
///
/// As [`classify`].
pub fn lifetime(
    world: &mut World,
    host: HostId,
    server: &mut StunServer,
    most: Duration,
) -> Result<Option<Duration>, NetError> {
    let most = most.as_secs();
    // All sockets stay open to the end: a port used again could have a mapping still.
    Client::probe(world, host, server, |client| {
        let (mut alive, mut dead) = (0, 1);
        while client.lives(dead.min(most))? {
            if dead >= most {
                return Ok(None);
            }
            (alive, dead) = (dead, dead.saturating_mul(2));
        }
        dead = dead.min(most);
        while alive + 1 < dead {
            let middle = alive.midpoint(dead);
            if client.lives(middle)? {
                alive = middle;
            } else {
                dead = middle;
            }
        }
        Ok(Some(Duration::from_secs(alive)))
    })
}

/// A host's probes, and the sockets that they need.
struct Client<'a> {
    world: &'a mut World,
    host: HostId,
    server: &'a mut StunServer,
    rng: Rng,
    sockets: Vec<UdpId>,
}

/// One answer.
#[derive(Clone, Copy, Debug)]
struct Answer {
    mapped: SocketAddr,
    other: SocketAddr,
    /// The address and port that the answer came to.
    local: SocketAddr,
}

impl<'a> Client<'a> {
    /// Lets probes be done, and closes their sockets.
    fn probe<T>(
        world: &'a mut World,
        host: HostId,
        server: &'a mut StunServer,
        probe: impl FnOnce(&mut Self) -> Result<T, NetError>,
    ) -> Result<T, NetError> {
        let rng = world.rng("stun", world.events_so_far());
        let mut client = Self { world, host, server, rng, sockets: Vec::new() };
        let found = probe(&mut client);
        for socket in client.sockets {
            client.world.udp_close(socket);
        }
        found
    }

    fn mapping(&mut self) -> Result<(Mapping, Answer), NetError> {
        let socket = self.socket()?;
        let primary = self.server.primary();
        let first = self.ask(socket, primary, 0)?.ok_or(NetError::TimedOut)?;
        if first.mapped == first.local {
            return Ok((Mapping::None, first));
        }
        let second_address = SocketAddr::new(first.other.ip(), primary.port());
        let second = self.ask(socket, second_address, 0)?.ok_or(NetError::TimedOut)?;
        let mapping = if second.mapped == first.mapped {
            Mapping::EndpointIndependent
        } else {
            let third = self.ask(socket, first.other, 0)?.ok_or(NetError::TimedOut)?;
            if third.mapped == second.mapped {
                Mapping::AddressDependent
            } else {
                Mapping::AddressAndPortDependent
            }
        };
        Ok((mapping, first))
    }

    fn filtering(&mut self) -> Result<Filtering, NetError> {
        let socket = self.socket()?;
        let primary = self.server.primary();
        self.mapped(socket)?;
        if self.ask(socket, primary, CHANGE_IP | CHANGE_PORT)?.is_some() {
            return Ok(Filtering::EndpointIndependent);
        }
        let port_only = self.ask(socket, primary, CHANGE_PORT)?.is_some();
        Ok(if port_only { Filtering::AddressDependent } else { Filtering::AddressAndPortDependent })
    }

    /// Whether a fresh mapping is still there after so many seconds.
    fn lives(&mut self, seconds: u64) -> Result<bool, NetError> {
        let (mapped, other) = (self.socket()?, self.socket()?);
        let external = self.mapped(mapped)?;
        let until = self.world.now() + Duration::from_secs(seconds);
        while self.world.next_event_at().is_some_and(|at| at <= until) {
            self.server.run(self.world)?;
            self.world.step();
        }
        self.world.run_until(until);
        let request = Message::new(REQUEST, self.rng.array())
            .with(RESPONSE_PORT, external.port().to_be_bytes().to_vec());
        let primary = self.server.primary();
        let answer = self.exchange(other, primary, &request, mapped, |message, _| {
            (message.kind == SUCCESS).then_some(())
        })?;
        Ok(answer.is_some())
    }

    /// A fresh socket.
    fn socket(&mut self) -> Result<UdpId, NetError> {
        let any = if self.server.primary().is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
        let socket = self.world.udp_bind(self.host, SocketAddr::new(any, 0), UdpOptions::default())?;
        self.sockets.push(socket);
        Ok(socket)
    }

    /// How the server sees a socket.
    fn mapped(&mut self, socket: UdpId) -> Result<SocketAddr, NetError> {
        let primary = self.server.primary();
        Ok(self.ask(socket, primary, 0)?.ok_or(NetError::TimedOut)?.mapped)
    }

    /// One request and its answer; `None` where nobody answers.
    fn ask(&mut self, socket: UdpId, to: SocketAddr, change: u32) -> Result<Option<Answer>, NetError> {
        let mut request = Message::new(REQUEST, self.rng.array());
        if change != 0 {
            request = request.with(CHANGE_REQUEST, change.to_be_bytes().to_vec());
        }
        self.exchange(socket, to, &request, socket, |answer, to| {
            let mapped = get_address(answer.get(XOR_MAPPED_ADDRESS)?, Some(&answer.transaction))?;
            let other = get_address(answer.get(OTHER_ADDRESS)?, None)?;
            (answer.kind == SUCCESS).then_some(Answer { mapped, other, local: to })
        })
    }

    /// Sends a request with its repetitions until something of its transaction comes to a socket that `hears` it, with
    /// the address and port that it came to.
    fn exchange<T>(
        &mut self,
        from: UdpId,
        to: SocketAddr,
        request: &Message,
        at: UdpId,
        hears: impl Fn(&Message, SocketAddr) -> Option<T>,
    ) -> Result<Option<T>, NetError> {
        let bytes = request.encode();
        let mut buffer = [0; 1500];
        for send in 0..SENDS {
            self.world.udp_send(from, to, SendOptions::default(), &bytes)?;
            let until = self.world.now() + RTO * 2_u32.pow(send);
            loop {
                self.server.run(self.world)?;
                while let Some(received) = self.world.udp_recv(at, &mut buffer)? {
                    let heard = Message::decode(&buffer[..received.len])
                        .filter(|message| message.transaction == request.transaction)
                        .and_then(|message| hears(&message, received.to));
                    if heard.is_some() {
                        return Ok(heard);
                    }
                }
                match self.world.next_event_at() {
                    Some(at) if at <= until => self.world.step(),
                    _ => break,
                };
            }
            self.world.run_until(until);
        }
        Ok(None)
    }
}

#[cfg(test)]
#[path = "probes_tests.rs"]
mod tests;
