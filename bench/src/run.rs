//! Rounds of runs: in each round every peer has its turn, so that whatever slows the machine slows all of them.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::peer::{Cipher, Peer};
use crate::role::{Job, Word};
use crate::usage::Usage;
use crate::workload::Workload;

/// What stays the same while peers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    pub workload: Workload,
    pub cipher: Cipher,
}

/// What one run came to.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub case: Case,
    pub peer: Peer,
    /// From one.
    pub round: usize,
    pub client: Usage,
    pub server: Usage,
}

/// How runs are made.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub rounds: usize,
    /// Whether each end stays on a CPU of its own.
    pub pin: bool,
    /// How long one run may take.
    pub limit: Duration,
}

/// Every peer in every case, so many times; `tell` hears of each run as it ends.
pub async fn rounds(
    cases: &[Case],
    peers: &[Peer],
    manner: Manner,
    mut tell: impl FnMut(&Run) -> Result<()>,
) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    for round in 1..=manner.rounds {
        for &case in cases {
            for &peer in peers {
                let (client, server) = timeout(manner.limit, both_ends(case, peer, manner.pin))
                    .await
                    .with_context(|| {
                        let limit = manner.limit.as_secs();
                        format!(
                            "{peer} was not done after {limit} s: give `--limit` more seconds, or less to do"
                        )
                    })?
                    .with_context(|| format!("{peer} with {} failed in round {round}", case.cipher))?;
                let run = Run { case, peer, round, client, server };
                tell(&run)?;
                runs.push(run);
            }
        }
    }
    Ok(runs)
}

/// One run: what it cost the client, and the server.
async fn both_ends(case: Case, peer: Peer, pin: bool) -> Result<(Usage, Usage)> {
    let Case { workload, cipher } = case;
    let cpu = |number| pin.then_some(number);
    let mut server = End::start(&Job { peer, cipher, workload, cpu: cpu(0), server: None }).await?;
    let place = match server.next_word().await.context("the server")? {
        Word::Listening(place) => place,
        other => bail!("the server said {other:?} instead of where it listens"),
    };
    let mut client = End::start(&Job { peer, cipher, workload, cpu: cpu(1), server: Some(place) }).await?;
    // Whichever fails first says why; it is not for the other to wait for.
    tokio::try_join!(client.done("the client"), server.done("the server"))
}

/// A process that plays one end; ended when this is dropped.
struct End {
    _process: Child,
    /// It ends when this closes.
    _stdin: ChildStdin,
    words: Lines<BufReader<ChildStdout>>,
}

impl End {
    async fn start(job: &Job) -> Result<Self> {
        let program = std::env::current_exe().context("this program's own file is gone: build it again")?;
        let mut process = Command::new(&program)
            .arg("role")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut stdin = process.stdin.take().context("no pipe to the process")?;
        let stdout = process.stdout.take().context("no pipe from the process")?;
        let mut line = serde_json::to_vec(job)?;
        line.push(b'\n');
        stdin.write_all(&line).await?;
        Ok(Self { _process: process, _stdin: stdin, words: BufReader::new(stdout).lines() })
    }

    async fn done(&mut self, who: &'static str) -> Result<Usage> {
        match self.next_word().await.context(who)? {
            Word::Done(usage) => {
                ensure!(usage.wall_s > 0.0, "{who} took no time at all: give it more to do");
                Ok(usage)
            }
            other => bail!("{who} said {other:?} instead of what its part cost"),
        }
    }

    async fn next_word(&mut self) -> Result<Word> {
        let line =
            self.words.next_line().await?.context("it ended without a word: what it printed stands above")?;
        match serde_json::from_str(&line)? {
            Word::Failed(why) => bail!(why),
            word => Ok(word),
        }
    }
}
