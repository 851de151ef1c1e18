//! What both sides tell each other inside the handshake's encryption, as TLVs.
//!
//! | type | value |
//! |---|---|
//! | 1 | how to address us: mask kind (1), receive key (32), slot (4), slot check (4) |
//! | 2 | the AEADs that we offer, one byte each |
//! | 3 | flow control: session data, stream data, bidirectional streams, unidirectional streams, message size, message data |
//! | 4 | the largest datagram frame that we accept |
//! | 5 | our idle timeout, milliseconds |
//! | 6 | how long we hold acknowledgements back, microseconds |
//! | 7 | the largest UDP payload that we accept |
//! | 16 | the id of a session that we believe we have with the receiver |
//! | 17 | that session lives here too (empty) |
//!
//! Unknown types are skipped, so that later versions can add; a known one that comes twice is malformed.

use zeroize::Zeroizing;

use crate::Duration;
use crate::crypto::Aead;
use crate::crypto::mask::MaskKind;
use crate::streams::StreamLimits;
use crate::wire::codec::{Malformed, Reader, Writer};
use crate::wire::packet::MAX_SLOT;
use crate::wire::tlv::{TlvWriter, set_once, tlvs};

const ADDRESSING: u64 = 1;
const AEADS: u64 = 2;
const LIMITS: u64 = 3;
const MAX_DATAGRAM: u64 = 4;
const IDLE_TIMEOUT: u64 = 5;
const ACK_DELAY: u64 = 6;
const MAX_UDP_PAYLOAD: u64 = 7;
const LIVE_SESSION: u64 = 16;
const ALIVE: u64 = 17;

/// Names one session to both its ends and to nobody else.
pub type SessionToken = [u8; 16];

/// One side's parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// How its packets are to be addressed; none in a reply that only says "alive".
    pub addressing: Addressing,
    /// The AEADs that it offers.
    pub aeads: AeadSet,
    /// What it lets us send.
    pub limits: StreamLimits,
    /// The largest datagram frame that it accepts; zero: none.
    pub max_datagram: u64,
    /// When it gives an idle session up; zero: it sets no limit.
    pub idle_timeout: Duration,
    /// How long it holds acknowledgements back at most.
    pub max_ack_delay: Duration,
    /// The largest UDP payload that it accepts.
    pub max_udp_payload: u16,
    /// In an initiation: a session that it believes to have with us.
    pub live_session: Option<SessionToken>,
    /// In a response: that session lives; this handshake is but an answer to the question.
    pub alive: bool,
}

/// How to address packets to one session of a node.
#[derive(Clone, PartialEq, Eq)]
pub struct Addressing {
    /// The cipher that masks heads.
    pub mask: MaskKind,
    /// Its key: the node's receive key.
    pub receive_key: Zeroizing<[u8; 32]>,
    /// The session's index.
    pub slot: u32,
    /// The slot's check value.
    pub check: u32,
}

impl core::fmt::Debug for Addressing {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Addressing")
            .field("mask", &self.mask)
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}

/// A set of AEADs. ChaCha20-Poly1305 is always in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AeadSet {
    /// Whether AES-256-GCM is in it: whoever has it in hardware says so.
    pub aes_256_gcm: bool,
}

impl AeadSet {
    /// The AEAD that two sides with these offers use.
    pub const fn choose(self, other: Self) -> Aead {
        if self.aes_256_gcm && other.aes_256_gcm { Aead::Aes256Gcm } else { Aead::ChaCha20Poly1305 }
    }
}

impl Params {
    /// Appends the TLVs to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut tlv = TlvWriter::new(out);
        let mut buf = Zeroizing::new([0u8; 64]);
        let addressing = scratch(&mut buf, |w| {
            w.u8(match self.addressing.mask {
                MaskKind::Aes256 => 1,
                MaskKind::ChaCha20 => 2,
            });
            w.bytes(&*self.addressing.receive_key);
            w.u32(self.addressing.slot);
            w.u32(self.addressing.check);
        });
        tlv.put(ADDRESSING, addressing);
        tlv.put(AEADS, if self.aeads.aes_256_gcm { &[1, 2] } else { &[1] });
        let limits = scratch(&mut buf, |w| {
            let l = &self.limits;
            for v in [
                l.max_data,
                l.max_stream_data,
                l.max_streams_bi,
                l.max_streams_uni,
                l.max_message,
                l.message_window,
            ] {
                w.varint(v);
            }
        });
        tlv.put(LIMITS, limits);
        tlv.put_varint(MAX_DATAGRAM, self.max_datagram);
        tlv.put_varint(IDLE_TIMEOUT, millis(self.idle_timeout));
        tlv.put_varint(ACK_DELAY, u64::try_from(self.max_ack_delay.as_micros()).unwrap_or(u64::MAX >> 2));
        tlv.put_varint(MAX_UDP_PAYLOAD, self.max_udp_payload.into());
        if let Some(token) = &self.live_session {
            tlv.put(LIVE_SESSION, token);
        }
        if self.alive {
            tlv.put(ALIVE, &[]);
        }
    }

    /// Reads TLVs. Addressing, AEADs and limits must be there; the rest has defaults.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where a value is missing, comes twice or is out of its bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut addressing = None;
        let mut aeads = None;
        let mut limits = None;
        let mut max_datagram = None;
        let mut idle_timeout = None;
        let mut max_ack_delay = None;
        let mut max_udp_payload = None;
        let mut live_session = None;
        let mut alive = None;
        for tlv in tlvs(bytes) {
            let (kind, value) = tlv?;
            let mut r = Reader::new(value);
            match kind {
                ADDRESSING => set_once(&mut addressing, read_addressing(&mut r)?)?,
                AEADS => set_once(&mut aeads, AeadSet { aes_256_gcm: r.rest().contains(&2) })?,
                LIMITS => set_once(&mut limits, read_limits(&mut r)?)?,
                MAX_DATAGRAM => set_once(&mut max_datagram, r.varint()?)?,
                IDLE_TIMEOUT => set_once(&mut idle_timeout, Duration::from_millis(r.varint()?))?,
                ACK_DELAY => set_once(&mut max_ack_delay, Duration::from_micros(r.varint()?))?,
                MAX_UDP_PAYLOAD => set_once(&mut max_udp_payload, r.varint()?)?,
                LIVE_SESSION => set_once(&mut live_session, r.array()?)?,
                ALIVE => set_once(&mut alive, ())?,
                _ => {}
            }
        }
        // RFC 9000 §18.2: delays of 2^14 ms or more are invalid, payloads below 1,200 bytes too.
        let max_ack_delay = max_ack_delay.unwrap_or(Duration::from_millis(25));
        let max_udp_payload = max_udp_payload.unwrap_or(65_527);
        if max_ack_delay >= Duration::from_millis(1 << 14) || max_udp_payload < 1200 {
            return Err(Malformed);
        }
        Ok(Self {
            addressing: addressing.ok_or(Malformed)?,
            aeads: aeads.ok_or(Malformed)?,
            limits: limits.ok_or(Malformed)?,
            max_datagram: max_datagram.unwrap_or(0),
            idle_timeout: idle_timeout.unwrap_or(Duration::from_secs(60)),
            max_ack_delay,
            max_udp_payload: u16::try_from(max_udp_payload).unwrap_or(u16::MAX),
            live_session,
            alive: alive.is_some(),
        })
    }
}

fn read_addressing(r: &mut Reader<'_>) -> Result<Addressing, Malformed> {
    let mask = match r.u8()? {
        1 => MaskKind::Aes256,
        2 => MaskKind::ChaCha20,
        _ => return Err(Malformed),
    };
    let receive_key = Zeroizing::new(r.array()?);
    let slot = r.u32()?;
    if slot >= MAX_SLOT {
        return Err(Malformed);
    }
    Ok(Addressing { mask, receive_key, slot, check: r.u32()? })
}

fn read_limits(r: &mut Reader<'_>) -> Result<StreamLimits, Malformed> {
    Ok(StreamLimits {
        max_data: r.varint()?,
        max_stream_data: r.varint()?,
        max_streams_bi: r.varint()?,
        max_streams_uni: r.varint()?,
        max_message: r.varint()?,
        message_window: r.varint()?,
    })
}

fn scratch(buf: &mut [u8; 64], fill: impl FnOnce(&mut Writer<'_>)) -> &[u8] {
    let mut w = Writer::new(buf);
    fill(&mut w);
    let len = w.len();
    buf.get(..len).unwrap_or_default()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(crate::wire::codec::MAX_VARINT)
}

#[cfg(test)]
#[path = "params_tests.rs"]
mod tests;
