//! A connection to a peer.

use core::fmt;
use core::task::Poll;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use crust_proto::streams::SendMessageError as NotSent;
use crust_proto::{
    CloseReason, Dir, Instant, Message, MessageId, PeerId, Priority, SendMessageFailure, SessionId,
    SessionStats, StreamId,
};

use crate::error::{ConnectionError, SendDatagramError, SendMessageError};
use crate::recv_stream::RecvStream;
use crate::send_stream::SendStream;
use crate::shared::{Shared, Until, until};
use crate::state::{Part, Place, State};

/// One holder of a session: it closes the session gracefully when it is the last to go.
pub(crate) struct Held {
    shared: Arc<Shared>,
    session: SessionId,
    peer: PeerId,
}

impl Held {
    /// Takes over a hold on `session` that [`State::hold`] counted.
    pub(crate) fn take_over(shared: Arc<Shared>, session: SessionId) -> Option<Arc<Self>> {
        let peer = shared.with(|state, _| state.peer(session))?;
        Some(Arc::new(Self { shared, session, peer }))
    }

    pub(crate) const fn session(&self) -> SessionId {
        self.session
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) const fn place(&self, part: Part) -> Place {
        Place::Session(self.session, part)
    }

    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State, Instant) -> T) -> T {
        self.shared.with(work)
    }

    pub(crate) fn until<T, W>(&self, part: Part, work: W) -> Until<'_, W>
    where
        W: FnMut(&mut State, Instant) -> Poll<T> + Unpin,
    {
        until(&self.shared, self.place(part), work)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.with(|state, now| state.let_go(self.session, now));
    }
}

/// A connection to a peer, encrypted and authenticated both ways.
///
/// A handle: clones are the same connection. It lives as long as a handle or one of its streams does; when the
/// last one is dropped it closes gracefully: what was written still arrives, then the peer hears of the end
/// (code 0). While that goes on the node's driver needs the runtime, so a program that wants to end should
/// await [`Node::shutdown`](crate::Node::shutdown) or its own acknowledgements first.
///
/// Every method can be called from several tasks at once, and every future can be dropped at any time: a
/// stream, message or datagram that it would have yielded goes to the next that asks. Where sending is
/// concerned, each method says when it takes effect.
#[derive(Clone)]
pub struct Connection {
    held: Arc<Held>,
}

impl Connection {
    pub(crate) const fn new(held: Arc<Held>) -> Self {
        Self { held }
    }

    /// Who the peer is: its public key, which the handshake has proved it to own.
    pub fn peer_id(&self) -> PeerId {
        self.held.peer
    }

    /// Where the peer is reached at present. `None` once the connection has ended.
    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.held.with(|state, _| state.engine.session(self.held.session)?.remote_address())
    }

    /// Counters and measurements. `None` once the connection has ended and the engine has forgotten it.
    pub fn stats(&self) -> Option<SessionStats> {
        self.held.with(|state, _| Some(state.engine.session(self.held.session)?.stats()))
    }

    /// Looks at this connection from outside; see [`ConnectionWatcher`].
    pub fn watcher(&self) -> ConnectionWatcher {
        ConnectionWatcher { shared: Arc::downgrade(&self.held.shared), session: self.held.session }
    }

    // Streams.

    /// Opens a stream in both directions. Waits while the peer allows no more streams.
    ///
    /// The peer hears of the stream with the first data, or the end, that is sent on it.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`] when the connection has ended, or ends while this waits.
    pub async fn open_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        Ok(self.pair(self.open(Dir::Bi).await?))
    }

    /// Opens a stream from here to the peer. Waits while the peer allows no more streams.
    ///
    /// The peer hears of the stream with the first data, or the end, that is sent on it.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`] when the connection has ended, or ends while this waits.
    pub async fn open_uni(&self) -> Result<SendStream, ConnectionError> {
        Ok(SendStream::new(self.held.clone(), self.open(Dir::Uni).await?))
    }

    /// The next stream in both directions that the peer opens. One that had arrived when the connection ended
    /// is still yielded.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`] when the connection has ended and no such stream is left.
    pub async fn accept_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        Ok(self.pair(self.accept(Dir::Bi).await?))
    }

    /// The next stream from the peer to here that the peer opens. One that had arrived when the connection
    /// ended is still yielded.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`] when the connection has ended and no such stream is left.
    pub async fn accept_uni(&self) -> Result<RecvStream, ConnectionError> {
        Ok(RecvStream::new(self.held.clone(), self.accept(Dir::Uni).await?))
    }

    fn pair(&self, stream: StreamId) -> (SendStream, RecvStream) {
        (SendStream::new(self.held.clone(), stream), RecvStream::new(self.held.clone(), stream))
    }

    fn open(&self, dir: Dir) -> impl Future<Output = Result<StreamId, ConnectionError>> + '_ {
        let session = self.held.session;
        self.held.until(Part::Open(dir), move |state, now| state.poll_open(session, dir, now))
    }

    fn accept(&self, dir: Dir) -> impl Future<Output = Result<StreamId, ConnectionError>> + '_ {
        let session = self.held.session;
        self.held.until(Part::Accept(dir), move |state, now| state.poll_accept(session, dir, now))
    }

    // Messages.

    /// Sends a message: whole, reliable, in order within its priority, before all of lower priority.
    ///
    /// Waits while the queue of that priority is full. Returns when the message is in the queue; a future that
    /// was dropped before has sent nothing.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](SendMessageError::TooLarge) for more than [`message_limit`](Self::message_limit);
    /// [`Connection`](SendMessageError::Connection) when the connection has ended, or ends while this waits.
    /// Either way nothing was sent.
    pub async fn send_message(&self, priority: Priority, data: &[u8]) -> Result<(), SendMessageError> {
        self.queue_message(priority, data, false).await.map(|_| ())
    }

    /// Sends a message and waits until the peer's side has acknowledged all of it.
    ///
    /// A future that was dropped while the queue was full has sent nothing; one that was dropped later only
    /// forgoes the news.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](SendMessageError::TooLarge) for more than [`message_limit`](Self::message_limit): nothing was
    /// sent. [`Connection`](SendMessageError::Connection) when the connection has ended, or ends while this waits:
    /// the peer may have the message or not.
    pub async fn send_message_acked(&self, priority: Priority, data: &[u8]) -> Result<(), SendMessageError> {
        let message = self.queue_message(priority, data, true).await?;
        let held = &*self.held;
        // Whatever becomes of this future, the note that somebody waits does not outlive it.
        let _note = AckNote { held, message };
        let wait =
            held.until(Part::MessageAck(message), |state, _| match state.is_acked(held.session, message) {
                true => Poll::Ready(Ok(())),
                false => state.pending(held.session),
            });
        Ok(wait.await?)
    }

    fn queue_message(
        &self,
        priority: Priority,
        data: &[u8],
        notify: bool,
    ) -> impl Future<Output = Result<MessageId, SendMessageError>> {
        let session = self.held.session;
        self.held.until(Part::MessageRoom(priority), move |state, now| {
            state.poll_send_message(session, priority, data, notify, now)
        })
    }

    /// The next message. One that had arrived when the connection ended is still yielded.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`] when the connection has ended and no message is left.
    pub async fn recv_message(&self) -> Result<Message, ConnectionError> {
        let session = self.held.session;
        let receive = move |state: &mut State, now| {
            match state.engine.session_mut(session, now).and_then(|mut s| s.recv_message()) {
                Some(message) => {
                    // There is room for more, which the peer has to hear.
                    state.notify();
                    Poll::Ready(Ok(message))
                }
                None => state.pending(session),
            }
        };
        self.held.until(Part::MessageIn, receive).await
    }

    /// The size of the largest message that can be sent, in bytes.
    pub fn message_limit(&self) -> usize {
        let session = self.held.session;
        self.held.with(|state, now| state.engine.session_mut(session, now).map_or(0, |s| s.message_limit()))
    }

    // Datagrams.

    /// Sends an unreliable datagram. Never waits: if too many are queued the oldest are dropped.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](SendDatagramError::TooLarge) for more than [`max_datagram`](Self::max_datagram);
    /// [`Unsupported`](SendDatagramError::Unsupported) where the peer takes none;
    /// [`Connection`](SendDatagramError::Connection) when the connection has ended. Either way nothing was sent.
    pub fn send_datagram(&self, data: &[u8]) -> Result<(), SendDatagramError> {
        let session = self.held.session;
        self.held.with(|state, now| state.send_datagram(session, data, now))
    }

    /// The next datagram. Those that nobody receives in time are dropped, oldest first.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`] when the connection has ended and no datagram is left.
    pub async fn recv_datagram(&self) -> Result<Bytes, ConnectionError> {
        let session = self.held.session;
        let receive = move |state: &mut State, now| match state
            .engine
            .session_mut(session, now)
            .and_then(|mut s| s.recv_datagram())
        {
            Some(datagram) => Poll::Ready(Ok(datagram)),
            None => state.pending(session),
        };
        self.held.until(Part::DatagramIn, receive).await
    }

    /// The size of the largest datagram that can be sent at present, in bytes. `None`: the peer takes none.
    pub fn max_datagram(&self) -> Option<usize> {
        let session = self.held.session;
        self.held.with(|state, now| state.engine.session_mut(session, now)?.max_datagram())
    }

    // The end.

    /// Closes the connection at once: what is not yet sent is lost. The peer hears code and reason.
    ///
    /// To close gracefully, drop all handles, or [`finish`](Self::finish).
    pub fn close(&self, code: u64, reason: &[u8]) {
        self.end(|session| session.close(code, reason));
    }

    /// Closes the connection when all that was written is acknowledged, or has not been for the configured
    /// linger time. The peer hears code and reason. [`closed`](Self::closed) tells when it is done.
    pub fn finish(&self, code: u64, reason: &[u8]) {
        self.end(|session| session.finish_and_close(code, reason));
    }

    fn end(&self, how: impl FnOnce(&mut crust_proto::SessionMut<'_>)) {
        self.held.with(|state, now| {
            if let Some(mut session) = state.engine.session_mut(self.held.session, now) {
                how(&mut session);
            }
            state.notify();
        });
    }

    /// Waits for the end of the connection and says how it came.
    pub async fn closed(&self) -> CloseReason {
        let session = self.held.session;
        let wait = self.held.until(Part::Closed, move |state, _| match state.close_reason(session) {
            Some(reason) => Poll::Ready(reason),
            None => Poll::Pending,
        });
        wait.await
    }

    /// How the connection ended, if it has.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.held.with(|state, _| state.close_reason(self.held.session))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("session", &self.held.session)
            .field("peer", &self.held.peer)
            .finish()
    }
}

/// Reads a connection's figures and does not keep it open: the connection closes when its last handle is dropped,
/// however many watch it. For dashboards and recorders.
#[derive(Clone)]
pub struct ConnectionWatcher {
    shared: Weak<Shared>,
    session: SessionId,
}

impl ConnectionWatcher {
    /// As [`Connection::stats`]; `None` also when the node is gone. It asks no clock and wakes nobody.
    pub fn stats(&self) -> Option<SessionStats> {
        self.shared.upgrade()?.look(|state| Some(state.engine.session(self.session)?.stats()))
    }
}

impl fmt::Debug for ConnectionWatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionWatcher").field("session", &self.session).finish_non_exhaustive()
    }
}

/// Forgets on drop that somebody waited for an acknowledgement.
struct AckNote<'a> {
    held: &'a Held,
    message: MessageId,
}

impl Drop for AckNote<'_> {
    fn drop(&mut self) {
        self.held.with(|state, _| state.forget_ack(self.held.session, self.message));
    }
}

impl State {
    fn poll_open(
        &mut self,
        id: SessionId,
        dir: Dir,
        now: Instant,
    ) -> Poll<Result<StreamId, ConnectionError>> {
        self.check_open(id)?;
        match self.engine.session_mut(id, now).map(|mut session| session.open(dir)) {
            Some(Ok(Some(stream))) => {
                self.add_sending(id, stream);
                Poll::Ready(Ok(stream))
            }
            Some(Ok(None)) => {
                // The peer may have to be told that we wait.
                self.notify();
                Poll::Pending
            }
            Some(Err(_)) | None => Poll::Ready(Err(self.closed_error(id, now))),
        }
    }

    fn poll_accept(
        &mut self,
        id: SessionId,
        dir: Dir,
        now: Instant,
    ) -> Poll<Result<StreamId, ConnectionError>> {
        match self.engine.session_mut(id, now).and_then(|mut session| session.accept(dir)) {
            Some(stream) => {
                if dir == Dir::Bi {
                    self.add_sending(id, stream);
                }
                Poll::Ready(Ok(stream))
            }
            None => self.pending(id),
        }
    }

    fn poll_send_message(
        &mut self,
        id: SessionId,
        priority: Priority,
        data: &[u8],
        notify: bool,
        now: Instant,
    ) -> Poll<Result<MessageId, SendMessageError>> {
        self.check_open(id)?;
        let sent =
            self.engine.session_mut(id, now).map(|mut session| session.send_message(priority, data, notify));
        self.notify();
        match sent {
            Some(Ok(message)) => {
                if notify {
                    self.await_ack(id, message);
                }
                Poll::Ready(Ok(message))
            }
            Some(Err(SendMessageFailure::Message(NotSent::Blocked))) => Poll::Pending,
            Some(Err(SendMessageFailure::Message(NotSent::TooLarge { limit }))) => {
                Poll::Ready(Err(SendMessageError::TooLarge { limit }))
            }
            Some(Err(SendMessageFailure::Closed(_))) | None => {
                Poll::Ready(Err(self.closed_error(id, now).into()))
            }
        }
    }

    fn send_datagram(&mut self, id: SessionId, data: &[u8], now: Instant) -> Result<(), SendDatagramError> {
        use crust_proto::SendDatagramError as Refused;

        self.check_open(id)?;
        let sent = self.engine.session_mut(id, now).map(|mut session| session.send_datagram(data));
        self.notify();
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(Refused::TooLarge { limit })) => Err(SendDatagramError::TooLarge { limit }),
            Some(Err(Refused::Unsupported)) => Err(SendDatagramError::Unsupported),
            Some(Err(Refused::Closed(_))) | None => Err(self.closed_error(id, now).into()),
        }
    }
}
