//! UDP sockets of simulated hosts, for drivers.

use core::task::{Context, Poll};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;

use crust_async::proto::recovery;
use crust_async::{RecvMeta, UdpSocket};
use crust_proto::Transmit;

use super::{Handle, Machine, as_the_system_says};
use crate::executor::Wait;
use crate::{Ecn, SendOptions, UdpId, UdpOptions};

impl Machine {
    pub(super) fn open_udp(&self, local: SocketAddr) -> io::Result<SimUdpSocket> {
        let mut world = self.sim.world();
        // What the adapters for real machines ask of their systems.
        let options = UdpOptions { queue: 4 << 20, ..UdpOptions::default() };
        let id = world.udp_bind(self.host, local, options).map_err(as_the_system_says)?;
        let local = world.udp_local(id)?;
        drop(world);
        Ok(SimUdpSocket { sim: self.sim.clone(), id, local })
    }
}

/// A UDP socket of a host, as the driver of a node has it.
#[derive(Debug)]
pub struct SimUdpSocket {
    pub(super) sim: Handle,
    pub(super) id: UdpId,
    pub(super) local: SocketAddr,
}

impl UdpSocket for SimUdpSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut world = self.sim.world();
        let mut count = 0;
        for (buf, meta) in bufs.iter_mut().zip(metas) {
            let Some(received) = world.udp_recv(self.id, buf)? else { break };
            let (from, to, len) = (received.from, Some(received.to.ip()), received.len);
            *meta = RecvMeta { from, to, ecn: heard(received.ecn), len, segment: 0 };
            count += 1;
        }
        if count > 0 {
            return Poll::Ready(Ok(count));
        }
        self.sim.executor().waits(Wait::Datagrams(self.id), cx.waker());
        Poll::Pending
    }

    fn poll_send(&mut self, _: &mut Context<'_>, transmit: &Transmit, data: &[u8]) -> Poll<io::Result<()>> {
        let options = SendOptions {
            from: transmit.from,
            ttl: transmit.ttl,
            ecn: said(transmit.ecn),
            dont_fragment: transmit.dont_fragment,
        };
        let mut world = self.sim.world();
        for datagram in data.chunks(transmit.segment.unwrap_or(data.len()).max(1)) {
            world.udp_send(self.id, transmit.to, options, datagram).map_err(as_the_system_says)?;
        }
        Poll::Ready(Ok(()))
    }

    fn max_gso_segments(&self) -> usize {
        // UDP_MAX_SEGMENTS of Linux.
        64
    }
}

impl Drop for SimUdpSocket {
    fn drop(&mut self) {
        self.sim.world().udp_close(self.id);
        let waker = self.sim.executor().waits_no_more(Wait::Datagrams(self.id));
        drop(waker);
    }
}

const fn heard(ecn: Ecn) -> Option<recovery::Ecn> {
    match ecn {
        Ecn::NotEct => None,
        Ecn::Ect0 => Some(recovery::Ecn::Ect0),
        Ecn::Ect1 => Some(recovery::Ecn::Ect1),
        Ecn::Ce => Some(recovery::Ecn::Ce),
    }
}

const fn said(ecn: Option<recovery::Ecn>) -> Ecn {
    match ecn {
        None => Ecn::NotEct,
        Some(recovery::Ecn::Ect0) => Ecn::Ect0,
        Some(recovery::Ecn::Ect1) => Ecn::Ect1,
        Some(recovery::Ecn::Ce) => Ecn::Ce,
    }
}
