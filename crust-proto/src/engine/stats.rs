//! Figures of a whole node.

/// Why a datagram was dropped in silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Dropped {
    /// Too short to be anything of ours.
    TooShort,
    /// No key of ours fits its head: garbage, another network, another receiver.
    Unknown,
    /// A hello of another version.
    Version,
    /// A hello or a reply whose MAC or Noise message does not authenticate, or whose content is malformed.
    Unauthentic,
    /// A hello from another time, or from before our start.
    Stale,
    /// A hello that was taken before.
    Replayed,
    /// Our own hello, come back.
    Reflected,
    /// A hello while as many handshakes are under way as the configuration allows.
    Full,
    /// A hello that we do not want: nobody may open sessions with us, or a tie was decided against it.
    Unwanted,
    /// A reply to what is no longer asked.
    Late,
    /// A data packet of a session that does not stand yet.
    Early,
    /// A data packet received before.
    Duplicate,
    /// A data packet that does not authenticate.
    Forged,
    /// A data packet of a path that does not exist.
    UnknownPath,
}

/// How many datagrams were dropped, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DropCounts {
    counts: [u64; 14],
}

impl DropCounts {
    /// How many for that reason.
    pub fn of(&self, why: Dropped) -> u64 {
        self.counts.get(why as usize).copied().unwrap_or(0)
    }

    /// How many in all.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(super) fn count(&mut self, why: Dropped) {
        if let Some(count) = self.counts.get_mut(why as usize) {
            *count += 1;
        }
    }
}

/// Figures of a whole node, since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineStats {
    /// UDP datagrams received.
    pub datagrams_received: u64,
    /// Their payload bytes.
    pub bytes_received: u64,
    /// UDP datagrams sent.
    pub datagrams_sent: u64,
    /// Their payload bytes.
    pub bytes_sent: u64,
    /// Sends that the system refused.
    pub send_failures: u64,
    /// Datagrams dropped in silence.
    pub dropped: DropCounts,
    /// Hellos sent.
    pub hellos_sent: u64,
    /// Hellos answered with a response.
    pub hellos_answered: u64,
    /// Hellos answered with a cookie or the time.
    pub retries_sent: u64,
    /// Questions for somebody else answered with "not me".
    pub not_me_sent: u64,
    /// Sessions opened.
    pub sessions_opened: u64,
}
