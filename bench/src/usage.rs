//! What a stretch of a process's life has cost.

use std::time::Instant;

use anyhow::Result;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};

/// Seconds that a stretch took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Usage {
    /// By the clock on the wall.
    pub wall_s: f64,
    /// On the CPU, in the program's own code; all threads.
    pub user_s: f64,
    /// On the CPU, in the kernel's code on the program's behalf.
    pub system_s: f64,
}

/// Where a stretch begins.
pub struct Stopwatch {
    wall: Instant,
    user_s: f64,
    system_s: f64,
}

impl Stopwatch {
    pub fn start() -> Result<Self> {
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        let (user_s, system_s) = (seconds(usage.user_time()), seconds(usage.system_time()));
        Ok(Self { wall: Instant::now(), user_s, system_s })
    }

    pub fn stop(&self) -> Result<Usage> {
        let now = Self::start()?;
        Ok(Usage {
            wall_s: now.wall.duration_since(self.wall).as_secs_f64(),
            user_s: now.user_s - self.user_s,
            system_s: now.system_s - self.system_s,
        })
    }
}

impl Usage {
    pub fn cpu_s(&self) -> f64 {
        self.user_s + self.system_s
    }
}

fn seconds(time: TimeVal) -> f64 {
    let seconds = time.tv_sec() as f64;
    let microseconds = time.tv_usec() as f64;
    seconds + microseconds / 1e6
}
