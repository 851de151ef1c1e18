//! What an application of a swarm says: streams, messages and datagrams by chance, until it has had enough.

use crust_async::{Connection, RecvStream, SendMessageError, SendStream, WriteError};
use crust_proto::{Duration, Priority};

use super::app::{App, DATAGRAM_HEAD, End, GIVEN_UP, HEAD, MESSAGE_HEAD, PULSE};
use super::ledger::{Phase, Talk};
use super::setting::{Work, pick, skewed};
use super::wait::{Bell, never};
use crate::Rng;
use crate::checks::fill;

impl App {
    /// Does one thing after another, until it is time to end; never returns where the connection ends before.
    pub(super) async fn act(&self, connection: &Connection, talk: Talk, bell: &Bell) -> End {
        let Work { most, pause, shares } = self.apps.0.work;
        let mut rng = self.rng("talk", talk.id);
        let mut numbers = [0; Priority::COUNT];
        let mut datagrams = 0;
        loop {
            match self.phase() {
                Phase::Storm => {}
                Phase::Calm => {
                    self.greet(connection, talk, &mut numbers).await;
                    self.sleep(PULSE).await;
                    continue;
                }
                Phase::Closing | Phase::Leaving => return self.choose_end(&mut rng),
            }
            self.sleep(Duration::from_nanos(skewed(&mut rng, pause.as_nanos() as u64))).await;
            let len = skewed(&mut rng, most);
            match choose(&shares, &mut rng) {
                Some(0) => {
                    let Ok(stream) = connection.open_uni().await else { return never().await };
                    self.until(bell, self.clone().put(stream, talk, len, rng.fork("put", 0)));
                }
                Some(1) => {
                    let Ok((send, recv)) = connection.open_bi().await else { return never().await };
                    self.until(bell, self.clone().ask(send, recv, talk, len, rng.fork("ask", 0)));
                }
                Some(2 | 3) => {
                    let priority = Priority::new(rng.below(Priority::COUNT as u64) as u8).unwrap_or_default();
                    let acked = rng.chance(300_000);
                    self.message(connection, talk, priority, len, acked, &mut numbers).await;
                }
                Some(4) => {
                    for _ in 0..1 + skewed(&mut rng, 20) {
                        self.datagram(connection, talk, len, &mut datagrams);
                    }
                }
                _ if rng.chance(60_000) => return self.choose_end(&mut rng),
                _ => {}
            }
        }
    }

    /// A side ends by closing, gracefully or not, or by letting go.
    fn choose_end(&self, rng: &mut Rng) -> End {
        let code = 1 + rng.below((1 << 32) - 1);
        let mut reason = vec![0; rng.below(60) as usize];
        fill(code, 0, &mut reason);
        match rng.below(3) {
            0 => End::Close(code, reason),
            1 => End::Finish(code, reason),
            _ => End::Drop,
        }
    }

    /// Says that it is there, and hears that this was heard.
    async fn greet(&self, connection: &Connection, talk: Talk, numbers: &mut [u64; Priority::COUNT]) {
        let heard = self.message(connection, talk, Priority::default(), 0, true, numbers).await;
        if heard && self.phase() == Phase::Calm {
            let pairs = &self.apps.0.pairs;
            for (nth, pair) in pairs.iter().enumerate() {
                let end = pair.places.iter().position(|place| *place == talk.from);
                if let Some(end) = end.filter(|end| pair.places[1 - *end] == talk.to) {
                    self.apps.ledger().pairs[nth].heard[end] = true;
                }
            }
        }
    }

    /// Sends a message. False where the peer takes none of that length.
    async fn message(
        &self,
        connection: &Connection,
        talk: Talk,
        priority: Priority,
        len: u64,
        acked: bool,
        numbers: &mut [u64; Priority::COUNT],
    ) -> bool {
        let most = connection.message_limit().saturating_sub(MESSAGE_HEAD);
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(most);
        let key = self.key();
        let number = &mut numbers[usize::from(priority.get())];
        let mut data = Vec::with_capacity(MESSAGE_HEAD + len);
        [talk.id, *number, key].iter().for_each(|word| data.extend(word.to_le_bytes()));
        data.resize(MESSAGE_HEAD + len, 0);
        fill(key, 0, &mut data[MESSAGE_HEAD..]);
        self.apps.ledger().send(key, talk, "message", len as u64);
        let sent = match acked {
            true => connection.send_message_acked(priority, &data).await,
            false => connection.send_message(priority, &data).await,
        };
        // Of one whose arrival nobody waits for nothing is promised.
        self.apps.ledger().sent(key, acked && sent.is_ok());
        match sent {
            Ok(()) => *number += 1,
            Err(SendMessageError::TooLarge { limit }) => {
                self.fail(format!("a message of {} bytes is too large for {limit}", data.len()));
            }
            // It has no limit any more, or is over.
            Err(_) => return never().await,
        }
        true
    }

    fn datagram(&self, connection: &Connection, talk: Talk, len: u64, number: &mut u64) {
        let Some(most) = connection.max_datagram().and_then(|most| most.checked_sub(DATAGRAM_HEAD)) else {
            return;
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(most);
        let mut data = Vec::with_capacity(DATAGRAM_HEAD + len);
        [talk.id, *number].iter().for_each(|word| data.extend(word.to_le_bytes()));
        data.resize(DATAGRAM_HEAD + len, 0);
        fill(talk.id ^ *number, 0, &mut data[DATAGRAM_HEAD..]);
        *number += 1;
        match connection.send_datagram(&data) {
            Ok(()) | Err(crust_async::SendDatagramError::Connection(_)) => {}
            Err(error) => self.fail(format!("a datagram of {} bytes: {error}", data.len())),
        }
    }

    /// Sends a stream: key, length, content. Some are given up half-way.
    pub(super) async fn put(self, mut stream: SendStream, talk: Talk, len: u64, mut rng: Rng) {
        let key = self.key();
        let gives_up = rng.chance(100_000).then(|| rng.below(len + 1));
        if rng.chance(200_000) {
            stream.set_priority(rng.below(5) as i32 - 2);
        }
        self.apps.ledger().send(key, talk, "stream", len);
        let result = self.write(&mut stream, key, len, gives_up, &mut rng).await;
        let stopped = self.apps.ledger().may_be_stopped(key);
        if let Err(WriteError::Stopped(_)) = result
            && !stopped
        {
            self.fail(format!("stream {key:#x} was stopped, and nobody did"));
        }
        self.apps.ledger().sent(key, result.is_ok());
    }

    async fn write(
        &self,
        stream: &mut SendStream,
        key: u64,
        len: u64,
        gives_up: Option<u64>,
        rng: &mut Rng,
    ) -> Result<(), WriteError> {
        let mut head = [0; HEAD];
        head[..8].copy_from_slice(&key.to_le_bytes());
        head[8..].copy_from_slice(&len.to_le_bytes());
        stream.write_all(&head).await?;
        let mut buffer = vec![0; pick(rng, &[50, 2_000, 16_000])];
        let end = gives_up.unwrap_or(len);
        let mut at = 0;
        while at < end {
            let part = (end - at).min(buffer.len() as u64);
            let part = &mut buffer[..part as usize];
            fill(key, at, part);
            stream.write_all(part).await?;
            at += part.len() as u64;
        }
        if gives_up.is_some() {
            self.apps.ledger().cut(key);
            if rng.chance(500_000) {
                let _ = stream.reset(GIVEN_UP);
                return Ok(());
            }
        }
        stream.finished().await
    }

    /// Sends a question and hears the answer.
    async fn ask(self, send: SendStream, recv: RecvStream, talk: Talk, len: u64, rng: Rng) {
        self.clone().put(send, talk, len, rng).await;
        let _ = self.take(recv, talk).await;
    }
}

/// One of several by their shares; `None` where none has any.
fn choose(shares: &[u64], rng: &mut Rng) -> Option<usize> {
    let mut at = rng.below(shares.iter().sum());
    shares.iter().position(|share| {
        let here = at < *share;
        at = at.saturating_sub(*share);
        here
    })
}
