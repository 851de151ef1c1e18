//! Tells people and machines how one transfer goes.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::BinaryBytes;

use crate::meter::Meter;
use crate::name;
use crate::output::{Event, Output};
use crate::protocol::Offer;
use crate::trouble::Watch;

/// The reporter of one transfer.
#[derive(Debug)]
pub(crate) struct Report {
    out: Arc<Output>,
    peer: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What it is about, for people.
    label: String,
    total: u64,
    meter: Option<Meter>,
    begun: Instant,
    bytes: u64,
}

impl Report {
    /// A reporter of a transfer with this peer, of a file of this name and length as far as that is known.
    pub(crate) fn new(out: &Arc<Output>, peer: String, label: String, total: u64) -> Self {
        let state = State { label, total, meter: None, begun: Instant::now(), bytes: 0 };
        Self { out: out.clone(), peer, state: Mutex::new(state) }
    }

    /// With whom.
    pub(crate) fn peer(&self) -> &str {
        &self.peer
    }

    /// How many bytes of the file are at the receiver.
    pub(crate) fn bytes(&self) -> u64 {
        self.state().bytes
    }

    /// Since when data has flowed.
    pub(crate) fn elapsed(&self) -> Duration {
        self.state().begun.elapsed()
    }

    /// Takes the progress bar away.
    pub(crate) fn stop(&self) {
        self.state().meter = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for Report {
    fn offered(&self, offer: &Offer, path: &Path) {
        let mut state = self.state();
        (state.label, state.total) = (name::safe(&offer.name), offer.length);
        let (root, path) = (offer.root.to_hex(), path.display().to_string());
        self.out.event(&Event::Offered {
            name: &offer.name,
            bytes: offer.length,
            blake3: &root,
            path: &path,
        });
        let shown = name::printable(&offer.name);
        self.out.say(format_args!("{shown}, {}, goes to {path}", BinaryBytes(offer.length)));
    }

    fn started(&self, from: u64, restarted: bool) {
        let mut state = self.state();
        self.out.event(&Event::Started { peer: &self.peer, resumed_from: from, restarted });
        if restarted {
            self.out.say("What is there already is no part of this file; it starts from the beginning");
        } else if from > 0 {
            self.out.say(format_args!("Goes on at {} of {}", BinaryBytes(from), BinaryBytes(state.total)));
        }
        (state.begun, state.bytes) = (Instant::now(), from);
        state.meter =
            Some(Meter::new(&self.out, Some(self.peer.clone()), state.label.clone(), from, state.total));
    }

    fn progress(&self, bytes: u64) {
        let mut state = self.state();
        state.bytes = bytes;
        if let Some(meter) = &state.meter {
            meter.set(bytes);
        }
    }
}
