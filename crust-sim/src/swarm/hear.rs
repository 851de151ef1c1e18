//! What an application of a swarm hears: every byte is held to what it should be, and the ledger is told.

use core::future::Future;

use crust_async::{Connection, ReadError, ReadExactError, RecvStream, SendStream};

use super::app::{App, DATAGRAM_HEAD, GIVEN_UP, HEAD, MESSAGE_HEAD};
use super::ledger::Talk;
use super::setting::pick;
use super::wait::{Bell, all};
use crate::checks::verify;

impl App {
    /// Takes all that comes, until the connection ends and nothing is left.
    pub(super) fn hear<'a>(
        &'a self,
        connection: &'a Connection,
        talk: Talk,
        bell: &'a Bell,
    ) -> impl Future<Output = ()> + 'a {
        let uni = async move {
            while let Ok(stream) = connection.accept_uni().await {
                let app = self.clone();
                self.until(bell, async move { app.take(stream, talk).await.map_or((), |_| ()) });
            }
        };
        let bi = async move {
            while let Ok((send, recv)) = connection.accept_bi().await {
                self.until(bell, self.clone().answer(send, recv, talk));
            }
        };
        let both = all(vec![Box::pin(uni), Box::pin(bi)]);
        let messages = self.hear_messages(connection);
        let datagrams = self.hear_datagrams(connection);
        async move {
            all(vec![Box::pin(both), Box::pin(messages), Box::pin(datagrams)]).await;
        }
    }

    async fn hear_messages(&self, connection: &Connection) {
        while let Ok(message) = connection.recv_message().await {
            let now = self.apps.now();
            let Some((head, content)) = message.data.split_first_chunk::<MESSAGE_HEAD>() else {
                return self.fail(format!("a message of {} bytes", message.data.len()));
            };
            let [of, number, key] = words(head);
            self.apps.ledger().hear_message(of, message.priority.get(), number, now);
            match verify(key, 0, content) {
                Ok(()) => self.apps.ledger().read(key, content.len() as u64, now),
                Err(wrong) => self.fail(wrong.to_string()),
            }
        }
    }

    async fn hear_datagrams(&self, connection: &Connection) {
        while let Ok(data) = connection.recv_datagram().await {
            let Some((head, content)) = data.split_first_chunk::<DATAGRAM_HEAD>() else {
                return self.fail(format!("a datagram of {} bytes", data.len()));
            };
            let [talk, number] = words(head);
            let now = self.apps.now();
            self.apps.ledger().hear_datagram(talk, number, now);
            if let Err(wrong) = verify(talk ^ number, 0, content) {
                self.fail(wrong.to_string());
            }
        }
    }

    /// Hears a question and answers it at the same length.
    async fn answer(self, send: SendStream, recv: RecvStream, talk: Talk) {
        if let Some((key, len)) = self.take(recv, talk).await {
            let rng = self.rng("answer", key);
            self.put(send, talk, len, rng).await;
        }
    }

    /// Reads a stream to its end. Its key and how long it was; `None` where it came to no end.
    pub(super) async fn take(&self, mut stream: RecvStream, talk: Talk) -> Option<(u64, u64)> {
        let mut head = [0; HEAD];
        match stream.read_exact(&mut head).await {
            Ok(()) => {}
            // The question was given up, so there is nothing to answer; or the connection ended.
            Err(ReadExactError::Read(ReadError::Reset(_) | ReadError::Connection(_))) => return None,
            // An answer that never came, since its question was given up.
            Err(ReadExactError::FinishedEarly(0)) => return None,
            Err(_) if self.apps.ledger().has_left(talk) => return None,
            Err(error) => {
                self.fail(format!("a stream without a head: {error}"));
                return None;
            }
        }
        let [key, len] = words(&head);
        let mut rng = self.rng("take", key);
        let stops = rng.chance(50_000).then(|| rng.below(len + 1));
        let mut buffer = vec![0; pick(&mut rng, &[100, 1_000, 20_000])];
        let mut at = 0;
        loop {
            if stops.is_some_and(|stops| stops <= at) {
                self.apps.ledger().stop(key);
                let _ = stream.stop(GIVEN_UP);
                return None;
            }
            match stream.read(&mut buffer).await {
                Ok(0) => break,
                Ok(read) => {
                    let Some(data) = buffer.get(..read).filter(|_| at + read as u64 <= len) else {
                        self.fail(format!("stream {key:#x} goes on after its {len} bytes"));
                        return None;
                    };
                    if let Err(wrong) = verify(key, at, data) {
                        self.fail(wrong.to_string());
                        return None;
                    }
                    at += read as u64;
                }
                Err(ReadError::Reset(code)) => {
                    if code != GIVEN_UP && !self.apps.ledger().has_left(talk) {
                        self.fail(format!("stream {key:#x} was reset with code {code}"));
                    }
                    return None;
                }
                Err(_) => return None,
            }
        }
        let now = self.apps.now();
        self.apps.ledger().read(key, at, now);
        Some((key, at))
    }
}

/// A head's numbers.
fn words<const N: usize>(head: &[u8]) -> [u64; N] {
    let (words, _) = head.as_chunks::<8>();
    core::array::from_fn(|at| u64::from_le_bytes(words[at]))
}
