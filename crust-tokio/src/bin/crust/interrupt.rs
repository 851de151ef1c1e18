//! Ctrl-C, and the signal with which services are stopped.

use std::io;

use crate::failure::{Failure, Kind, plain};

/// Hears of the first interruption from the moment it is made, even if nobody waits yet.
#[derive(Debug)]
pub(crate) struct Interrupt {
    #[cfg(unix)]
    signals: [tokio::signal::unix::Signal; 2],
    #[cfg(windows)]
    ctrl_c: tokio::signal::windows::CtrlC,
}

impl Interrupt {
    /// Begins to listen. Needs a runtime.
    pub(crate) fn new() -> Result<Self, Failure> {
        Self::listen().map_err(|error| {
            Failure::new(Kind::Internal, format!("cannot listen for signals: {}", plain(&error)))
        })
    }

    #[cfg(unix)]
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { signals: [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?] })
    }

    #[cfg(windows)]
    fn listen() -> io::Result<Self> {
        Ok(Self { ctrl_c: tokio::signal::windows::ctrl_c()? })
    }

    /// Waits for it.
    #[cfg(unix)]
    pub(crate) async fn wait(&mut self) {
        let [interrupt, terminate] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }

    /// Waits for it.
    #[cfg(windows)]
    pub(crate) async fn wait(&mut self) {
        let _ = self.ctrl_c.recv().await;
    }
}
