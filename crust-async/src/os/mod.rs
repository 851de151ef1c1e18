//! What adapters for real machines share: sockets with their options, interfaces, entropy, the hardware.
//!
//! An adapter registers the [`std::net::UdpSocket`] from [`bind_udp`] with its reactor and calls [`UdpIo`] whenever that
//! says ready; likewise with what [`tcp`] opens.

pub mod tcp;
mod udp;

use std::io;

use crust_proto::{Hardware, InterfaceAddr};
use zeroize::Zeroizing;

pub use udp::{UdpIo, bind_udp};

/// The addresses of all interfaces that are up.
///
/// # Errors
///
/// What the system says where it does not tell.
pub fn interfaces() -> io::Result<Vec<InterfaceAddr>> {
    let mut found: Vec<_> = if_addrs::get_if_addrs()?
        .into_iter()
        .filter(if_addrs::Interface::is_oper_up)
        .map(|interface| match interface.addr {
            if_addrs::IfAddr::V4(v4) => InterfaceAddr { ip: v4.ip.into(), prefix: v4.prefixlen },
            if_addrs::IfAddr::V6(v6) => InterfaceAddr { ip: v6.ip.into(), prefix: v6.prefixlen },
        })
        .collect();
    // So that a change of order is no change.
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Randomness from the system, fit for keys. The caller erases it when it is used up.
///
/// # Errors
///
/// What the system says where it has none to give.
pub fn entropy() -> io::Result<[u8; 32]> {
    // What is returned is the caller's to erase; what it was copied from is ours.
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes).map_err(io::Error::other)?;
    Ok(*bytes)
}

/// What this machine is good at.
pub fn hardware() -> Hardware {
    Hardware { aes: has_aes() }
}

#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
fn has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes") && std::arch::is_aarch64_feature_detected!("pmull")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
const fn has_aes() -> bool {
    false
}

/// How many files and sockets this process may have open at a time; `None` where there is no such limit.
#[cfg(unix)]
pub fn descriptors() -> Option<usize> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current?;
    usize::try_from(limit).ok()
}

/// How many files and sockets this process may have open at a time; `None` where there is no such limit.
#[cfg(not(unix))]
pub const fn descriptors() -> Option<usize> {
    None
}
