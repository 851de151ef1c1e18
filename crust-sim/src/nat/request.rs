//! Mappings on request, as UPnP, NAT-PMP and PCP make them: an external port for everybody, for a time.

use std::net::{IpAddr, SocketAddr};

use crust_proto::{Duration, Instant};

use super::mapped::Towards;
use super::ports::Request;
use super::{Limits, MapError, Nat};
use crate::Protocol;

impl Nat {
    /// Maps an external port to an internal endpoint, for a time and for all remote endpoints. An internal endpoint
    /// has at most one such mapping: a second request renews it, or moves it where it names another port.
    ///
    /// # Errors
    ///
    /// [`MapError`]; an earlier mapping then stays as it was.
    pub fn map_port(
        &mut self,
        protocol: Protocol,
        internal: SocketAddr,
        external_port: Option<u16>,
        lifetime: Duration,
        now: Instant,
    ) -> Result<SocketAddr, MapError> {
        self.expire(now);
        let before = self.mappings.requested(protocol, internal);
        // A request that renews or moves takes no more room than there is.
        if before.is_none() && !self.has_room_for_a_request(internal.ip()) {
            return Err(MapError::Exhausted);
        }
        let known = self.mappings.find(protocol, internal, Towards::Anyone);
        let known = known.filter(|&(_, external)| external_port.is_none_or(|port| port == external.port()));
        let (id, external) = match known {
            Some(known) => known,
            None => self.map_anew(protocol, internal, external_port)?,
        };
        self.mappings.request(id, now + lifetime);
        if let Some(before) = before.filter(|&before| before != id) {
            self.withdraw(before);
        }
        Ok(external)
    }

    /// Takes back what [`Nat::map_port`] gave. Entries made by it live on. False if there was none.
    pub fn unmap(&mut self, protocol: Protocol, internal: SocketAddr) -> bool {
        let requested = self.mappings.requested(protocol, internal);
        if let Some(id) = requested {
            self.withdraw(id);
        }
        requested.is_some()
    }

    fn has_room_for_a_request(&self, host: IpAddr) -> bool {
        let Limits { entries, per_host, .. } = self.config.limits;
        self.mappings.requests() < entries && self.mappings.requests_of(host) < per_host
    }

    /// A mapping on request, at that external port or any.
    fn map_anew(
        &mut self,
        protocol: Protocol,
        internal: SocketAddr,
        external_port: Option<u16>,
    ) -> Result<(u32, SocketAddr), MapError> {
        let host = internal.ip();
        let external = if !self.translates {
            internal
        } else {
            let address = self.ports.address_of(host, &self.external).ok_or(MapError::NoAddress)?;
            match external_port {
                Some(port) => {
                    let external = SocketAddr::new(address, port);
                    let others = self.mappings.at(protocol, external).any(|(_, m)| m.internal() != internal);
                    if port == 0 || others {
                        return Err(MapError::Taken);
                    }
                    self.ports.claim(protocol, external);
                    external
                }
                None => {
                    let request = Request { protocol, internal };
                    let mappings = &self.mappings;
                    let clashes = |external: SocketAddr| mappings.at(protocol, external).next().is_some();
                    self.ports
                        .allocate(&self.config, &self.external, request, &mut self.rng, clashes)
                        .ok_or(MapError::Exhausted)?
                }
            }
        };
        Ok((self.mappings.insert(protocol, internal, Towards::Anyone, external), external))
    }

    /// A mapping is not asked for any more.
    pub(super) fn withdraw(&mut self, id: u32) {
        self.mappings.withdraw(id);
        self.drop_unused(id);
    }
}
