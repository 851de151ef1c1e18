//! The sending side: see the [module](super) for the life of a packet.

mod fate;

use super::congestion::{Acked, Controller};
use super::ecn::{Ecn, EcnSender};
use super::pacer::Pacer;
use super::sent::{LostPackets, QuietPackets, SentPacket, SentWindow};
use super::{AckError, Outcome, Permit, RecoveryConfig, Rtt, Stats, TimeoutKind, nanos};
use crate::wire::frame::Ack;
use crate::{Duration, Instant};

/// How many packets a probe timeout asks for; two, as one may be lost too (RFC 9002 §6.2.4).
const PROBES: u8 = 2;

/// Backoff ends here: a path is then probed every minute, as TCP does at the least (RFC 6298 §2.5).
/// Whoever owns the path gives it up long before.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// A burst is at least this many datagrams (RFC 9002 §7.7: the initial window)…
const MIN_BURST_DATAGRAMS: u64 = 10;

/// …and grows with the rate to this many nanoseconds' worth, so that segmentation offload has something to
/// work on and a timer that is a millisecond late costs no throughput.
const BURST_NANOS: u128 = 2_000_000;

/// Loss recovery and congestion control for the packets sent on one path. `T` describes what one carried.
///
/// Times passed in never go back; one that does counts as the latest before it.
#[derive(Debug)]
pub struct Recovery<T> {
    config: RecoveryConfig,
    datagram_size: u64,
    /// The latest time heard of.
    now: Instant,
    next_number: u64,
    /// The number last left out on purpose.
    skipped: Option<u64>,
    /// Packets below this number were sent to an address that the path has left.
    path_start: u64,
    window: SentWindow<T>,
    quiet: QuietPackets,
    lost: LostPackets,
    bytes_in_flight: u64,
    largest_acked: Option<u64>,
    rtt: Rtt,
    /// When the front of the window is lost by time.
    loss_time: Option<Instant>,
    /// What the probe timeout counts from: the latest ack-eliciting packet or probe timeout.
    pto_base: Instant,
    pto_count: u32,
    pending_probes: u8,
    controller: Box<dyn Controller>,
    pacer: Pacer,
    ecn: EcnSender,
    delivered: u64,
    /// The application has nothing to send.
    app_limited: bool,
    /// Packets below this number were in flight when the window was full.
    full_below: u64,
    /// Acknowledgements of packets below this number belong to the recovery period (RFC 9002 §7.3.2).
    recovery_below: u64,
    /// Numbers the congestion events.
    event: u64,
    /// How many losses of the last congestion event have not proved spurious.
    event_losses: u64,
    /// The last congestion event may prove spurious: it came of losses alone, which were not persistent.
    undoable: bool,
    /// When the first of the latest losses in a row was sent: all since were lost.
    lost_since: Option<Instant>,
    stats: Stats,
}

impl<T> Recovery<T> {
    /// The recovery of a new path, whose packets are numbered from zero. `datagram_size` is the largest
    /// datagram's size in bytes.
    pub fn new(config: &RecoveryConfig, datagram_size: usize, now: Instant) -> Self {
        let datagram_size = datagram_size.max(1) as u64;
        let mut this = Self {
            config: config.clone(),
            datagram_size,
            now,
            next_number: 0,
            skipped: None,
            path_start: 0,
            window: SentWindow::new(),
            quiet: QuietPackets::default(),
            lost: LostPackets::default(),
            bytes_in_flight: 0,
            largest_acked: None,
            rtt: Rtt::new(config.initial_rtt),
            loss_time: None,
            pto_base: now,
            pto_count: 0,
            pending_probes: 0,
            controller: config.congestion.build(datagram_size, config.initial_window_packets, now),
            pacer: Pacer::new(now, 1, 1),
            ecn: EcnSender::new(config.ecn),
            delivered: 0,
            app_limited: true,
            full_below: 0,
            recovery_below: 0,
            event: 0,
            event_losses: 0,
            undoable: false,
            lost_since: None,
            stats: Stats::default(),
        };
        this.fill_pacer();
        this
    }

    /// The number that the next packet bears.
    pub fn next_packet_number(&self) -> u64 {
        self.next_number
    }

    /// Leaves the next number out. A peer that acknowledges what it never saw, to be sent more than the path
    /// bears, is caught at a number that was not sent (RFC 9000 §21.4).
    pub fn skip_packet_number(&mut self) {
        self.skipped = Some(self.next_number);
        self.next_number += 1;
    }

    /// The mark that the next packet's IP header bears. Ask before [`on_sent`](Self::on_sent), and mark the
    /// packet with it.
    pub fn ecn_codepoint(&self) -> Option<Ecn> {
        self.ecn.codepoint()
    }

    /// Records a packet of `size` bytes, numbered [`next_packet_number`](Self::next_packet_number), as sent.
    ///
    /// One that is not ack-eliciting is not in flight: its `content` is dropped.
    pub fn on_sent(&mut self, now: Instant, size: usize, ack_eliciting: bool, content: T) {
        let now = self.advance(now);
        let number = self.next_number;
        self.next_number += 1;
        let ecn = self.ecn.on_sent(ack_eliciting);
        if !ack_eliciting {
            self.quiet.push(number, now);
            return;
        }
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let bytes = u64::from(size);
        self.controller.on_sent(now, bytes, self.bytes_in_flight);
        self.bytes_in_flight += bytes;
        if self.bytes_in_flight + self.datagram_size > self.controller.window() {
            self.full_below = self.next_number;
        }
        if self.config.pacing {
            self.pacer.on_sent(now, bytes);
        }
        self.pto_base = now;
        self.stats.sent += 1;
        self.window.push(SentPacket {
            number,
            sent: now,
            delivered: self.delivered,
            size,
            ecn,
            acked_before: false,
            content: Some(content),
        });
    }

    /// Takes an acknowledgement of this path's packets, received along any path.
    ///
    /// Adds to `outcome`. On an error, which is the peer's, nothing has changed.
    ///
    /// # Errors
    ///
    /// [`AckError::NeverSent`] where it acknowledges what was not sent.
    pub fn on_ack(&mut self, now: Instant, ack: &Ack<'_>, outcome: &mut Outcome<T>) -> Result<(), AckError> {
        if ack.largest >= self.next_number {
            return Err(AckError::NeverSent);
        }
        let names = |number: u64| {
            ack.ranges().take_while(|range| *range.end() >= number).any(|range| range.contains(&number))
        };
        if self.skipped.is_some_and(names) {
            return Err(AckError::NeverSent);
        }
        let now = self.advance(now);
        let in_flight = self.bytes_in_flight;
        let raises_largest = self.largest_acked.is_none_or(|largest| ack.largest > largest);
        self.forget_lost();

        let news = self.mark_acked(ack, outcome);
        if !raises_largest && news.packets == 0 && news.late == 0 {
            return Ok(());
        }
        let mut congested = false;
        if raises_largest {
            self.largest_acked = Some(ack.largest);
            let quietly_sent = self.quiet.take(ack.largest);
            let largest_sent = match news.newest {
                Some(newest) if newest.number == ack.largest => Some(newest.sent),
                _ => quietly_sent,
            };
            // RFC 9002 §5.1: only where the largest is new, and something new was ack-eliciting.
            if let Some(sent) = largest_sent
                && news.newest.is_some()
            {
                let delay = Duration::from_micros(ack.delay_micros).min(self.config.max_ack_delay);
                self.rtt.on_sample(now, now.saturating_since(sent), delay);
            }
            congested |= self.process_ecn(ack, &news, largest_sent, in_flight, outcome);
        }
        congested |= self.detect_lost(in_flight, outcome);
        // The peer is there: the backoff ends (RFC 9002 §6.2.1).
        self.pto_count = 0;
        self.pending_probes = 0;
        if let Some(newest) = news.newest {
            self.controller.on_ack(&Acked {
                now,
                bytes: news.bytes,
                growth: if congested { 0 } else { news.growth },
                sent: newest.sent,
                app_limited: newest.app_limited,
                in_flight,
                delivered: self.delivered,
                delivered_when_sent: newest.delivered,
                rtt: &self.rtt,
            });
        }
        self.set_pace();
        Ok(())
    }

    /// When [`on_timeout`](Self::on_timeout) must be called: the time threshold of a loss, else the probe
    /// timeout (RFC 9002 §A.8), `None` where nothing ack-eliciting is outstanding.
    pub fn timeout(&self) -> Option<Instant> {
        if self.loss_time.is_some() {
            return self.loss_time;
        }
        if self.window.is_empty() {
            return None;
        }
        let pto = nanos(self.pto());
        let backoff = 1u64.checked_shl(self.pto_count).unwrap_or(u64::MAX);
        let cap = nanos(MAX_BACKOFF).max(pto);
        Some(self.pto_base + Duration::from_nanos(pto.saturating_mul(backoff).min(cap)))
    }

    /// The timer fired. Called early, it does nothing.
    pub fn on_timeout(&mut self, now: Instant, outcome: &mut Outcome<T>) -> TimeoutKind {
        let now = self.advance(now);
        if self.timeout().is_none_or(|due| due > now) {
            return TimeoutKind::None;
        }
        if self.loss_time.is_some() {
            self.detect_lost(self.bytes_in_flight, outcome);
            self.set_pace();
            return TimeoutKind::Lost;
        }
        // Counted from now: a timer that was late, or probes that could not leave, don't fire it in a row.
        self.pto_base = now;
        self.pto_count = self.pto_count.saturating_add(1);
        self.pending_probes = PROBES;
        self.stats.probe_timeouts += 1;
        TimeoutKind::Probe
    }

    /// How many probe timeouts passed since something was acknowledged.
    pub fn pto_count(&self) -> u32 {
        self.pto_count
    }

    /// The probe timeout without backoff (RFC 9002 §6.2.1).
    pub fn pto(&self) -> Duration {
        self.rtt.pto(self.config.max_ack_delay)
    }

    /// How many packets exempt from window and pacer a probe timeout still asks for.
    pub fn pending_probes(&self) -> u8 {
        self.pending_probes
    }

    /// Takes the right, and the duty, to send one ack-eliciting packet whatever [`permit`](Self::permit)
    /// says. `false` where no probe is asked for.
    pub fn take_probe(&mut self) -> bool {
        let pending = self.pending_probes > 0;
        self.pending_probes = self.pending_probes.saturating_sub(1);
        pending
    }

    /// What the oldest packet under way carried: what a probe had best repeat.
    pub fn oldest_unacked(&self) -> Option<&T> {
        self.window.outstanding().next()
    }

    /// What all packets under way carried, oldest first.
    pub fn outstanding(&self) -> impl Iterator<Item = &T> {
        self.window.outstanding()
    }

    /// The round-trip time.
    pub fn rtt(&self) -> &Rtt {
        &self.rtt
    }

    /// A first sample of the round-trip time, which a handshake or a path challenge gave (RFC 9002 §6.2.2).
    /// Ignored after others.
    pub fn on_first_rtt(&mut self, now: Instant, rtt: Duration) {
        let now = self.advance(now);
        if self.rtt.first_sample().is_none() {
            self.rtt.on_sample(now, rtt, Duration::ZERO);
            self.fill_pacer();
        }
    }

    /// Whether an ack-eliciting packet of `size` bytes may leave now. With nothing in flight the window
    /// never blocks.
    pub fn permit(&self, now: Instant, size: usize) -> Permit {
        let now = now.max(self.now);
        let bytes = size as u64;
        let room = self.controller.window().saturating_sub(self.bytes_in_flight);
        if room < bytes && self.bytes_in_flight > 0 {
            return Permit::Blocked;
        }
        let mut leave = room;
        if self.config.pacing {
            if let Some(at) = self.pacer.ready_at(now, bytes) {
                return Permit::At(at);
            }
            leave = leave.min(self.pacer.available(now));
        }
        Permit::Now { bytes: usize::try_from(leave.max(bytes)).unwrap_or(usize::MAX) }
    }

    /// Says whether the application has less to send than [`permit`](Self::permit) would let go, so that an
    /// unused window does not grow (RFC 9002 §7.8). True until told otherwise: then only packets that filled
    /// the window count. Being held back by the pacer or the socket is not app-limited.
    pub fn set_app_limited(&mut self, app_limited: bool) {
        self.app_limited = app_limited;
    }

    /// The path has another address (RFC 9000 §9.4): the round trip, the congestion window, the pacer, the
    /// backoff and the ECN test begin anew.
    ///
    /// Packets under way stay tracked: they are acknowledged or lost as before, and the timer runs for them.
    /// But they take no room in the new window, and their fate neither moves it nor samples the round trip.
    pub fn on_path_changed(&mut self, now: Instant) {
        let now = self.advance(now);
        self.path_start = self.next_number;
        self.bytes_in_flight = 0;
        self.rtt = Rtt::new(self.config.initial_rtt);
        self.controller =
            self.config.congestion.build(self.datagram_size, self.config.initial_window_packets, now);
        self.ecn.restart(self.config.ecn);
        self.quiet.clear();
        self.lost.clear();
        self.pto_base = now;
        self.pto_count = 0;
        self.full_below = self.next_number;
        self.recovery_below = self.next_number;
        self.undoable = false;
        self.lost_since = None;
        self.fill_pacer();
        self.set_loss_time();
    }

    /// Datagrams may now be `datagram_size` bytes long.
    pub fn on_mtu_update(&mut self, now: Instant, datagram_size: usize) {
        self.advance(now);
        self.datagram_size = datagram_size.max(1) as u64;
        self.controller.on_mtu_update(self.datagram_size);
        self.set_pace();
    }

    /// Gives the path up: hands back what all packets under way carried, oldest first, to be sent elsewhere.
    /// Nothing is outstanding afterwards; late acknowledgements of these packets are ignored.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + '_ {
        self.bytes_in_flight = 0;
        self.loss_time = None;
        self.pending_probes = 0;
        self.lost_since = None;
        self.lost.clear();
        self.window.drain()
    }

    /// Bytes in ack-eliciting packets that are neither acknowledged nor lost, on the present address.
    pub fn bytes_in_flight(&self) -> u64 {
        self.bytes_in_flight
    }

    /// How many bytes may be in flight.
    pub fn congestion_window(&self) -> u64 {
        self.controller.window()
    }

    /// Whether an ack-eliciting packet is outstanding.
    pub fn has_in_flight(&self) -> bool {
        !self.window.is_empty()
    }

    /// Whether nothing is outstanding and no probe is asked for.
    pub fn is_idle(&self) -> bool {
        self.window.is_empty() && self.pending_probes == 0
    }

    /// What was counted so far.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    /// Bytes per second, and bytes a burst: RFC 9002 §7.7 with N = 1.25, unless the controller knows better.
    fn pace(&self) -> (u64, u64) {
        let window = self.controller.window();
        let rate = self.controller.pacing_rate().unwrap_or_else(|| {
            let round_trip = u128::from(nanos(self.rtt.smoothed()).max(1));
            u64::try_from(u128::from(window) * 1_250_000_000 / round_trip).unwrap_or(u64::MAX)
        });
        let worth = u64::try_from(u128::from(rate) * BURST_NANOS / 1_000_000_000).unwrap_or(u64::MAX);
        (rate, worth.min(window / 2).max(self.datagram_size.saturating_mul(MIN_BURST_DATAGRAMS)))
    }

    fn set_pace(&mut self) {
        if self.config.pacing {
            let (rate, burst) = self.pace();
            self.pacer.set(self.now, rate, burst);
        }
    }

    fn fill_pacer(&mut self) {
        let (rate, burst) = self.pace();
        self.pacer = Pacer::new(self.now, rate, burst);
    }
}
