//! One end of a run: a process of its own, so that its CPU seconds are nobody else's. It lives as long as the program
//! that started it, whose pipe to it closes with it whatever ends it.

use std::io::{self, BufRead, Write};
use std::{process, thread};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::peer::{Cipher, Peer};
use crate::usage::Usage;
use crate::workload::Workload;

/// What an end is told to do, in one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct Job {
    pub peer: Peer,
    pub cipher: Cipher,
    pub workload: Workload,
    /// The CPU to stay on.
    pub cpu: Option<usize>,
    /// Where the server is, for a client.
    pub server: Option<Value>,
}

/// What an end says, each in one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// The server listens there.
    Listening(Value),
    /// Its part is done, and cost this. The server stays until it is ended, lest the client miss its last words.
    Done(Usage),
    /// It could not be done, and why.
    Failed(String),
}

/// Does what standard input says, and ends with it.
pub fn play() -> Result<()> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let job: Job = serde_json::from_str(&line).context("`role` is for this program's own use")?;
    if let Some(cpu) = job.cpu {
        pin(cpu)?;
    }
    // Named, so that profilers tell the ends apart.
    let end = if job.server.is_some() { "client" } else { "server" };
    let worker = thread::Builder::new().name(format!("{}-{end}", job.peer)).spawn(|| run(job))?;
    thread::spawn(|| {
        // Nothing more is said there: this is over when the other end of the pipe closes.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        process::exit(0);
    });
    match worker.join() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => say(&Word::Failed(format!("{error:#}"))),
        Err(_) => bail!("it panicked"),
    }
}

fn run(job: Job) -> Result<()> {
    let Job { peer, cipher, workload, cpu: _, server } = job;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        if let Some(server) = server {
            let mut dialer = peer.dialer(cipher, server).await?;
            return say(&Word::Done(workload.client(&mut *dialer).await?));
        }
        let (mut listener, place) = peer.listen(cipher).await?;
        say(&Word::Listening(place))?;
        let (usage, _stream) = workload.server(&mut *listener).await?;
        say(&Word::Done(usage))?;
        std::future::pending().await
    })
}

fn say(word: &Word) -> Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, word)?;
    writeln!(out)?;
    Ok(out.flush()?)
}

#[cfg(target_os = "linux")]
fn pin(cpu: usize) -> Result<()> {
    use nix::sched::{CpuSet, sched_setaffinity};
    use nix::unistd::Pid;

    let mut set = CpuSet::new();
    set.set(cpu)?;
    if let Err(error) = sched_setaffinity(Pid::from_raw(0), &set) {
        bail!("cannot stay on CPU {cpu} ({error}): leave `--pin` out");
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn pin(_cpu: usize) -> Result<()> {
    bail!("processes can be pinned on Linux only: leave `--pin` out")
}
