//! A machine in memory: one thread, virtual time, UDP between sockets of the same world.
//!
//! Time stands still while anything can run and then jumps to the next timer. A task that waits for what
//! nobody will do is found out: with no timer left `block_on` panics, and with some left too much time passes.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};

use crust_async::proto::{Duration, Instant, InterfaceAddr, Transmit, UnixTime};
use crust_async::{
    BoxFuture, Builder, Connection, Node, Platform, RecvMeta, Runtime, SecretKey, TcpListener, TcpStream,
    UdpSocket,
};

/// How many datagrams wait at a socket; more are lost.
const QUEUE: usize = 1024;
/// How long a datagram travels.
const LATENCY: Duration = Duration::from_millis(5);

#[derive(Clone, Default)]
pub(crate) struct World(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    now: Duration,
    tasks: BTreeMap<u64, Option<BoxFuture<()>>>,
    ready: VecDeque<u64>,
    timers: BTreeMap<(Duration, u64), Waker>,
    sockets: BTreeMap<SocketAddr, Socket>,
    last: u64,
    /// Of so many sends one is refused at first. Zero: none.
    block_every: u64,
    /// What every send is to fail with.
    send_error: Option<fn() -> io::Error>,
    sends: u64,
    blocks: u64,
    /// How often the system was asked for randomness.
    draws: u64,
    /// What of it is not the same in every run.
    chance: u8,
    /// All that was sent, where somebody wants to know.
    wire: Option<Vec<Vec<u8>>>,
}

#[derive(Default)]
struct Socket {
    inbox: VecDeque<(SocketAddr, Vec<u8>)>,
    reader: Option<Waker>,
    /// The next send is taken.
    unblocked: bool,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.lock().now
    }

    pub(crate) fn open_sockets(&self) -> usize {
        self.lock().sockets.len()
    }

    pub(crate) fn blocks(&self) -> u64 {
        self.lock().blocks
    }

    /// Refuses one in `every` sends at first.
    pub(crate) fn block_every(&self, every: u64) {
        self.lock().block_every = every;
    }

    pub(crate) fn fail_sends(&self, error: Option<fn() -> io::Error>) {
        self.lock().send_error = error;
    }

    /// Drops all background tasks, as a runtime does when it is shut down.
    pub(crate) fn drop_tasks(&self) {
        let tasks = std::mem::take(&mut self.lock().tasks);
        drop(tasks);
    }

    /// Makes all randomness that the system gives from now on another.
    pub(crate) fn chance(&self, chance: u8) {
        self.lock().chance = chance;
    }

    /// How often the system was asked for randomness.
    pub(crate) fn draws(&self) -> u64 {
        self.lock().draws
    }

    /// All that was sent since this was last asked; the first time nothing, it is kept from then on.
    pub(crate) fn take_wire(&self) -> Vec<Vec<u8>> {
        self.lock().wire.replace(Vec::new()).unwrap_or_default()
    }

    pub(crate) fn builder(&self) -> Builder<Machine> {
        self.builder_with(&Clock::default())
    }

    /// For a node whose machine has this clock on its wall.
    pub(crate) fn builder_with(&self, clock: &Clock) -> Builder<Machine> {
        let machine = Machine { world: self.clone(), clock: clock.clone() };
        Builder::on(machine, SecretKey::from_entropy(self.draw())).listen((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Randomness from the system: another each time, and the same in every run.
    fn draw(&self) -> [u8; 32] {
        let mut inner = self.lock();
        inner.draws += 1;
        let mut drawn = [inner.chance; 32];
        drawn[..8].copy_from_slice(&inner.draws.to_le_bytes());
        drawn
    }

    pub(crate) async fn node(&self) -> Node {
        self.builder().bind().await.unwrap()
    }

    /// Two nodes, and the ends of a connection between them.
    pub(crate) async fn pair(&self) -> Pair {
        let (a, b) = (self.node().await, self.node().await);
        let ab = a.connect(b.contact()).await.unwrap();
        let ba = b.accept().await.unwrap();
        Pair { a, b, ab, ba }
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        Runtime::spawn(self, Box::pin(task));
    }

    pub(crate) async fn sleep(&self, duration: Duration) {
        Runtime::sleep(self, duration).await;
    }

    /// Runs `future` to its end, and whatever else is ready until then.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        let main = self.waker(0);
        main.wake_by_ref();
        loop {
            let next = self.lock().ready.pop_front();
            match next {
                Some(0) => {
                    if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&main)) {
                        return value;
                    }
                }
                Some(id) => self.run(id),
                None => self.advance(),
            }
        }
    }

    /// Runs whatever is ready until `duration` has passed.
    pub(crate) fn run_for(&self, duration: Duration) {
        self.block_on(self.sleep(duration));
    }

    fn run(&self, id: u64) {
        let task = self.lock().tasks.get_mut(&id).and_then(Option::take);
        let Some(mut task) = task else { return };
        let done = task.as_mut().poll(&mut Context::from_waker(&self.waker(id))).is_ready();
        let mut inner = self.lock();
        if done {
            inner.tasks.remove(&id);
        } else if let Some(slot) = inner.tasks.get_mut(&id) {
            *slot = Some(task);
        }
    }

    fn advance(&self) {
        let waker = {
            let mut inner = self.lock();
            let ((when, _), waker) =
                inner.timers.pop_first().expect("everybody waits and nobody will do anything");
            inner.now = inner.now.max(when);
            waker
        };
        waker.wake();
    }

    fn waker(&self, id: u64) -> Waker {
        Waker::from(Arc::new(TaskWaker { world: self.clone(), id }))
    }

    fn next_id(&self) -> u64 {
        let mut inner = self.lock();
        inner.last += 1;
        inner.last
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("World")
    }
}

struct TaskWaker {
    world: World,
    id: u64,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let mut inner = self.world.lock();
        if !inner.ready.contains(&self.id) {
            inner.ready.push_back(self.id);
        }
    }
}

pub(crate) struct Pair {
    pub a: Node,
    pub b: Node,
    pub ab: Connection,
    pub ba: Connection,
}

impl Runtime for World {
    fn spawn(&self, task: BoxFuture<()>) {
        let id = self.next_id();
        let mut inner = self.lock();
        inner.tasks.insert(id, Some(task));
        inner.ready.push_back(id);
    }

    fn sleep_until(&self, when: Instant) -> BoxFuture<()> {
        let key = (when.saturating_since(Instant::ZERO), self.next_id());
        Box::pin(Sleep { world: self.clone(), key })
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.elapsed()
    }

    fn wall(&self) -> UnixTime {
        UnixTime::from_millis(1_700_000_000_000) + self.elapsed()
    }
}

struct Sleep {
    world: World,
    key: (Duration, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.world.lock();
        if inner.now >= self.key.0 {
            return Poll::Ready(());
        }
        inner.timers.insert(self.key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let waker = self.world.lock().timers.remove(&self.key);
        drop(waker);
    }
}

/// By how much a machine's wall clock is ahead of the world's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock(Arc<Mutex<Duration>>);

impl Clock {
    pub(crate) fn set_ahead(&self, by: Duration) {
        *self.0.lock().unwrap() = by;
    }
}

/// A world's machine, for one node.
#[derive(Debug)]
pub(crate) struct Machine {
    world: World,
    clock: Clock,
}

/// The world's runtime, with a machine's own wall clock.
#[derive(Debug)]
struct MachineRuntime {
    world: World,
    clock: Clock,
}

impl Runtime for MachineRuntime {
    fn spawn(&self, task: BoxFuture<()>) {
        Runtime::spawn(&self.world, task);
    }

    fn sleep_until(&self, when: Instant) -> BoxFuture<()> {
        self.world.sleep_until(when)
    }

    fn now(&self) -> Instant {
        self.world.now()
    }

    fn wall(&self) -> UnixTime {
        self.world.wall() + *self.clock.0.lock().unwrap()
    }
}

impl Platform for Machine {
    type Socket = UdpEnd;
    type Listener = NoTcp;
    type Stream = NoTcp;

    fn runtime(&mut self) -> io::Result<Arc<dyn Runtime>> {
        Ok(Arc::new(MachineRuntime { world: self.world.clone(), clock: self.clock.clone() }))
    }

    fn bind_udp(&mut self, mut local: SocketAddr) -> io::Result<UdpEnd> {
        let mut inner = self.world.lock();
        if local.port() == 0 {
            inner.last += 1;
            local.set_port(u16::try_from(1024 + inner.last).unwrap());
        }
        if local.is_ipv6() || inner.sockets.contains_key(&local) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        inner.sockets.insert(local, Socket::default());
        Ok(UdpEnd { world: self.world.clone(), local })
    }

    fn listen_tcp(&mut self, _: SocketAddr) -> io::Result<NoTcp> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn dial_tcp(&mut self, _: Option<SocketAddr>, _: SocketAddr) -> io::Result<NoTcp> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn descriptors(&mut self) -> Option<usize> {
        None
    }

    fn interfaces(&mut self) -> io::Result<Vec<InterfaceAddr>> {
        Ok(vec![InterfaceAddr { ip: Ipv4Addr::LOCALHOST.into(), prefix: 8 }])
    }

    fn entropy(&mut self) -> io::Result<[u8; 32]> {
        Ok(self.world.draw())
    }
}

/// One socket.
pub(crate) struct UdpEnd {
    world: World,
    local: SocketAddr,
}

impl UdpSocket for UdpEnd {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.world.lock();
        let socket = inner.sockets.get_mut(&self.local).unwrap();
        let mut received = 0;
        for (buf, meta) in bufs.iter_mut().zip(metas) {
            let Some((from, data)) = socket.inbox.pop_front() else { break };
            buf[..data.len()].copy_from_slice(&data);
            *meta = RecvMeta { from, to: None, ecn: None, len: data.len(), segment: 0 };
            received += 1;
        }
        if received > 0 {
            return Poll::Ready(Ok(received));
        }
        socket.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, transmit: &Transmit, data: &[u8]) -> Poll<io::Result<()>> {
        assert_eq!(transmit.len, data.len());
        let mut inner = self.world.lock();
        inner.sends += 1;
        let (sends, every) = (inner.sends, inner.block_every);
        let socket = inner.sockets.get_mut(&self.local).unwrap();
        if !std::mem::take(&mut socket.unblocked) && every > 0 && sends % every == 0 {
            socket.unblocked = true;
            inner.blocks += 1;
            drop(inner);
            let (runtime, waker) = (self.world.clone(), cx.waker().clone());
            self.world.spawn(async move {
                runtime.sleep(Duration::from_millis(1)).await;
                waker.wake();
            });
            return Poll::Pending;
        }
        if let Some(error) = inner.send_error {
            return Poll::Ready(Err(error()));
        }
        if let Some(wire) = &mut inner.wire {
            wire.push(data.to_vec());
        }
        drop(inner);
        let (world, from, to) = (self.world.clone(), self.local, transmit.to);
        let datagrams: Vec<_> =
            data.chunks(transmit.segment.unwrap_or(data.len())).map(<[u8]>::to_vec).collect();
        self.world.spawn(async move {
            world.sleep(LATENCY).await;
            world.deliver(from, to, datagrams);
        });
        Poll::Ready(Ok(()))
    }

    fn max_gso_segments(&self) -> usize {
        8
    }
}

impl World {
    fn deliver(&self, from: SocketAddr, to: SocketAddr, datagrams: Vec<Vec<u8>>) {
        let reader = {
            let mut inner = self.lock();
            let Some(socket) = inner.sockets.get_mut(&to) else { return };
            socket.inbox.extend(datagrams.into_iter().map(|data| (from, data)));
            socket.inbox.truncate(QUEUE);
            socket.reader.take()
        };
        reader.into_iter().for_each(Waker::wake);
    }
}

impl Drop for UdpEnd {
    fn drop(&mut self) {
        let socket = self.world.lock().sockets.remove(&self.local);
        drop(socket);
    }
}

/// A world without TCP has no such socket.
pub(crate) enum NoTcp {}

impl TcpListener for NoTcp {
    type Stream = Self;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match *self {}
    }

    fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<(Self, SocketAddr)>> {
        match *self {}
    }
}

impl TcpStream for NoTcp {
    fn poll_connected(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match *self {}
    }

    fn poll_read(&mut self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        match *self {}
    }

    fn poll_write(&mut self, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        match *self {}
    }

    fn finish(&mut self) -> io::Result<()> {
        match *self {}
    }

    fn reset(self) {
        match self {}
    }
}

/// Makes a future, polls it once and drops it, again and again, until one is ready at its first poll.
#[macro_export]
macro_rules! dropped_until_ready {
    ($world:expr, $future:expr) => {
        loop {
            let once = {
                let mut future = std::pin::pin!($future);
                std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
            };
            match once {
                Poll::Ready(value) => break value,
                Poll::Pending => $world.sleep(Duration::from_millis(1)).await,
            }
        }
    };
}
