//! Whole async programs on hosts of a world, in virtual time.
//!
//! A [`Sim`] is a world and an executor. A program is any future that uses `crust-async`'s handles, its [`Runtime`]
//! (spawn, sleep, now) and nothing else of the machine: the same code runs under tokio. [`Sim::builder`] makes a
//! node on a host, [`Sim::spawn`] starts a program there, [`Sim::run`] runs the test's own future, and with it all
//! the others, until it ends.
//!
//! Whatever can run does, in the order in which it was woken; then the world takes its next step, which jumps to
//! the time of the next event. So a run depends on the seed alone. Where nobody can run and nothing will ever
//! happen, or the world's time passes [`Sim::set_limit`], the run fails and says who waits.
//!
//! ```
//! use crust_sim::{LinkConfig, Sim};
//! use crust_proto::{Duration, Priority};
//!
//! crust_sim::seeds(5, |seed| {
//!     let sim = Sim::new(seed);
//!     let (alice, bob) = sim.pair(LinkConfig::with_latency(Duration::from_millis(20)));
//!     sim.run(async {
//!         let (a, b) = (sim.builder(alice).bind().await.unwrap(), sim.builder(bob).bind().await.unwrap());
//!         let connection = a.connect(b.contact()).await.unwrap();
//!         let incoming = b.accept().await.unwrap();
//!         connection.send_message(Priority::default(), b"hello").await.unwrap();
//!         assert_eq!(incoming.recv_message().await.unwrap().data, b"hello");
//!     });
//! });
//! ```
//!
//! A host that crashes loses its programs: they are dropped where they stand, and what they held of the network is
//! gone. One that sleeps keeps them, and they go on when it wakes.

use core::fmt;
use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crust_async::{BoxFuture, Builder, Platform, Runtime};
use crust_proto::{Duration, Instant, InterfaceAddr, UnixTime};

use crate::executor::{Executor, TaskId, Wait};
use crate::{HostEvent, HostId, LinkConfig, NetError, World};

mod tcp;
mod udp;

pub use tcp::{SimTcpListener, SimTcpStream};
pub use udp::SimUdpSocket;

/// How much time of the world passes at most, unless told otherwise: a test that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(24 * 3600);

/// How many turns programs take at most before the world's time may go on. None that is right needs so many.
const TURNS: u32 = 1_000_000;

/// Sees the world after each of its steps.
type Observer = Box<dyn FnMut(&World) + Send>;

/// A world that programs run in. They end with it.
pub struct Sim(Handle);

/// What programs and sockets hold of the world. (A [`Sim`] is held by nobody whom it holds, or neither would end.)
#[derive(Clone)]
struct Handle(Arc<Shared>);

struct Shared {
    // Where several are locked, observers are first, then the world, then the executor.
    world: Mutex<World>,
    executor: Mutex<Executor>,
    observers: Mutex<Vec<Observer>>,
    /// A host without a network, for what a test does that no host does.
    observer: HostId,
}

impl Sim {
    /// An empty world of that seed, with an executor.
    pub fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        let observer = world.add_host();
        let executor = Executor::new(Instant::ZERO + LIMIT);
        let (world, executor) = (Mutex::new(world), Mutex::new(executor));
        Self(Handle(Arc::new(Shared { world, executor, observers: Mutex::default(), observer })))
    }

    /// The world, to be built, looked at or changed. Not to be held over an `await`.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.0.world()
    }

    fn executor(&self) -> MutexGuard<'_, Executor> {
        self.0.executor()
    }

    /// Two hosts on one wire, 10.0.0.1 and 10.0.0.2, each with that link to the other.
    pub fn pair(&self, link: LinkConfig) -> (HostId, HostId) {
        let mut world = self.world();
        let (a, b) = (world.add_host(), world.add_host());
        let (at_a, at_b) = world.connect(a, b, link);
        world.add_address(at_a, IpAddr::from([10, 0, 0, 1]), 24);
        world.add_address(at_b, IpAddr::from([10, 0, 0, 2]), 24);
        (a, b)
    }

    /// When a run fails for taking too long, in the world's time; a day if never called.
    pub fn set_limit(&self, limit: Duration) {
        self.executor().limit = Instant::ZERO + limit;
    }

    /// Lets a function see the world after each step from now on, when no program can run. It costs no event and
    /// changes no hash. A panic in it fails the run.
    pub fn observe(&self, observer: impl FnMut(&World) + Send + 'static) {
        self.0.observers().push(Box::new(observer));
    }

    /// How many programs run: tasks that were started and have not ended.
    pub fn tasks(&self) -> usize {
        self.executor().len()
    }

    /// The runtime of a host's programs: tasks that a crash of the host ends, and its clocks.
    pub fn runtime(&self, host: HostId) -> HostRuntime {
        HostRuntime { sim: self.0.clone(), host }
    }

    /// A host as a machine that nodes can be made on.
    pub fn machine(&self, host: HostId) -> Machine {
        Machine { sim: self.0.clone(), host, drawn: 0, watch: None }
    }

    /// Makes a node on a host, with a key of the world's randomness.
    pub fn builder(&self, host: HostId) -> Builder<Machine> {
        let nth = self.executor().name();
        Builder::ephemeral_on(Machine { drawn: nth << 32, ..self.machine(host) })
    }

    /// Starts a program on a host. A crash before this ends it no more.
    pub fn spawn(&self, host: HostId, program: impl Future<Output = ()> + Send + 'static) {
        self.hand_out();
        self.executor().spawn(host, Box::pin(program));
    }

    /// Waits in the world's time.
    pub async fn sleep(&self, duration: Duration) {
        self.runtime(self.0.0.observer).sleep(duration).await;
    }

    /// The world's time.
    pub fn now(&self) -> Instant {
        self.world().now()
    }

    /// How many tasks, sleepers and readers there are of all programs; [`World::size`] has the rest.
    pub fn size(&self) -> usize {
        self.executor().size()
    }

    /// Runs `body` to its end, and whatever else can run until then.
    ///
    /// # Panics
    ///
    /// Where `body` waits for what will never happen, or past [`set_limit`](Self::set_limit); and where programs wake
    /// each other, or themselves, without end.
    pub fn run<T>(&self, body: impl Future<Output = T>) -> T {
        let mut body = pin!(body);
        let waker = self.executor().waker(TaskId::BODY);
        waker.wake_by_ref();
        let mut turns = 0;
        loop {
            let next = self.executor().next();
            turns = if next.is_some() { turns + 1 } else { 0 };
            assert!(
                turns < TURNS,
                "programs never come to rest: it is {:?}, and {next:?} runs again",
                self.now()
            );
            match next {
                Some(TaskId::BODY) => {
                    if let Poll::Ready(value) = body.as_mut().poll(&mut Context::from_waker(&waker)) {
                        return value;
                    }
                }
                Some(task) => self.run_task(task),
                None => self.advance(),
            }
        }
    }

    /// Lets so much time pass for everybody.
    pub fn run_for(&self, duration: Duration) {
        self.run(self.sleep(duration));
    }

    fn run_task(&self, id: TaskId) {
        let Some((mut task, waker)) = self.executor().take(id) else { return };
        let done = task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let over = match done {
            true => {
                self.executor().done(id);
                Some(task)
            }
            false => self.executor().put_back(id, task),
        };
        // A future's end may do anything, so neither lock is held.
        drop(over);
    }

    /// Nobody can run: hands out what happened, or lets the next thing happen.
    fn advance(&self) {
        {
            let mut observers = self.0.observers();
            let mut world = self.world();
            if !world.has_events() && world.step().is_none() {
                let tasks = self.executor().len();
                drop(world);
                panic!("nothing will ever happen again; the test's body and {tasks} tasks wait");
            }
            observers.iter_mut().for_each(|observer| observer(&world));
            let (now, limit) = (world.now(), self.executor().limit);
            drop(world);
            assert!(now <= limit, "the test takes too long: it is {now:?}");
        }
        self.hand_out();
    }

    /// Tells programs what happened.
    fn hand_out(&self) {
        let happened: Vec<_> = {
            let mut world = self.world();
            core::iter::from_fn(|| world.poll_event()).collect()
        };
        for (host, event) in happened {
            self.happen(host, event);
        }
    }

    fn happen(&self, host: HostId, event: HostEvent) {
        match event {
            HostEvent::Timer(token) => self.executor().ring(host, token).into_iter().for_each(Waker::wake),
            HostEvent::UdpReadable(socket) => self.wake(Wait::Datagrams(socket)),
            HostEvent::TcpAcceptable(listener) => self.wake(Wait::Connections(listener)),
            HostEvent::TcpReadable(stream) => self.wake(Wait::Bytes(stream)),
            HostEvent::TcpConnected(stream) | HostEvent::TcpWritable(stream) => self.wake(Wait::Room(stream)),
            HostEvent::TcpFailed(stream, _) => {
                self.wake(Wait::Bytes(stream));
                self.wake(Wait::Room(stream));
            }
            // Systems tell a socket that is not connected nothing of what routers say.
            HostEvent::UdpError(socket) => {
                let mut world = self.world();
                while matches!(world.udp_take_error(socket), Ok(Some(_))) {}
            }
            HostEvent::Crashed => {
                let ended = self.executor().crash(host);
                drop(ended);
            }
            HostEvent::Suspended => self.executor().suspend(host),
            HostEvent::Resumed => {
                self.executor().resume(host);
                self.changed(host);
            }
            HostEvent::AddressesChanged | HostEvent::ClockSet => self.changed(host),
            _ => {}
        }
    }

    fn wake(&self, wait: Wait) {
        let waker = self.executor().waits_no_more(wait);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Wakes whoever waits for a host's addresses or clocks to change.
    fn changed(&self, host: HostId) {
        let wakers = self.executor().changed(host);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        // The end of one may start another.
        loop {
            let tasks = self.executor().end();
            if tasks.is_empty() {
                break;
            }
            drop(tasks);
        }
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sim").field(&*self.world()).finish()
    }
}

impl Handle {
    fn world(&self) -> MutexGuard<'_, World> {
        // A panic elsewhere is what the test fails with; this lock need not be another.
        self.0.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn observers(&self) -> MutexGuard<'_, Vec<Observer>> {
        self.0.observers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn executor(&self) -> MutexGuard<'_, Executor> {
        self.0.executor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

/// Tasks and time as one host's programs have them.
#[derive(Clone, Debug)]
pub struct HostRuntime {
    sim: Handle,
    host: HostId,
}

impl Runtime for HostRuntime {
    fn spawn(&self, task: BoxFuture<()>) {
        self.sim.executor().spawn(self.host, task);
    }

    fn sleep_until(&self, when: Instant) -> BoxFuture<()> {
        let token = self.sim.executor().name();
        Box::pin(Sleep { runtime: self.clone(), when, token, set: false })
    }

    fn now(&self) -> Instant {
        self.sim.world().host_now(self.host)
    }

    fn wall(&self) -> UnixTime {
        self.sim.world().host_wall(self.host)
    }
}

struct Sleep {
    runtime: HostRuntime,
    when: Instant,
    token: u64,
    set: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let HostRuntime { sim, host } = self.runtime.clone();
        let mut world = sim.world();
        if world.host_now(host) >= self.when {
            return Poll::Ready(());
        }
        if !self.set {
            world.set_timer(host, self.when, self.token);
        }
        drop(world);
        sim.executor().sleeps(host, self.token, cx.waker().clone());
        self.set = true;
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if self.set {
            let HostRuntime { sim, host } = &self.runtime;
            sim.world().cancel_timer(*host, self.token);
            let waker = sim.executor().ring(*host, self.token);
            drop(waker);
        }
    }
}

/// A host, as the machine that a node lives on.
#[derive(Debug)]
pub struct Machine {
    sim: Handle,
    host: HostId,
    /// How often randomness was drawn: each node begins elsewhere.
    drawn: u64,
    watch: Option<Watch>,
}

/// A node that waits for its host to change.
#[derive(Debug)]
struct Watch {
    sim: Handle,
    host: HostId,
    name: u64,
    /// How many changes it knows of.
    seen: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let waker = self.sim.executor().watches_no_more(self.host, self.name);
        drop(waker);
    }
}

impl Platform for Machine {
    type Socket = SimUdpSocket;
    type Listener = SimTcpListener;
    type Stream = SimTcpStream;

    fn runtime(&mut self) -> io::Result<Arc<dyn Runtime>> {
        Ok(Arc::new(HostRuntime { sim: self.sim.clone(), host: self.host }))
    }

    fn bind_udp(&mut self, local: SocketAddr) -> io::Result<SimUdpSocket> {
        self.open_udp(local)
    }

    fn listen_tcp(&mut self, local: SocketAddr) -> io::Result<SimTcpListener> {
        self.open_listener(local)
    }

    fn dial_tcp(&mut self, from: Option<SocketAddr>, to: SocketAddr) -> io::Result<SimTcpStream> {
        self.open_stream(from, to)
    }

    fn descriptors(&mut self) -> Option<usize> {
        self.sim.world().descriptors(self.host).1
    }

    fn interfaces(&mut self) -> io::Result<Vec<InterfaceAddr>> {
        let world = self.sim.world();
        Ok(world.addresses(self.host).map(|a| InterfaceAddr { ip: a.ip, prefix: a.len }).collect())
    }

    fn poll_change(&mut self, cx: &mut Context<'_>) -> Option<Poll<()>> {
        let Self { sim, host, watch, .. } = self;
        let mut executor = sim.executor();
        let watch = watch.get_or_insert_with(|| {
            let name = executor.name();
            Watch { sim: sim.clone(), host: *host, name, seen: 0 }
        });
        let changes = executor.watches(watch.host, watch.name, cx.waker());
        match std::mem::replace(&mut watch.seen, changes) == changes {
            true => Some(Poll::Pending),
            false => Some(Poll::Ready(())),
        }
    }

    fn entropy(&mut self) -> io::Result<[u8; 32]> {
        self.drawn += 1;
        let world = self.sim.world();
        Ok(world.rng("entropy", self.host.index() as u64).fork("draw", self.drawn).array())
    }
}

/// Drivers tell by the number that a datagram was too long, or that there are too many files.
fn as_the_system_says(error: NetError) -> io::Error {
    const TOO_LONG: i32 = if cfg!(windows) {
        10040
    } else if cfg!(any(target_os = "linux", target_os = "android")) {
        90
    } else {
        40
    };
    const TOO_MANY_FILES: i32 = if cfg!(windows) { 10024 } else { 24 };
    match error {
        NetError::MessageTooLong => io::Error::from_raw_os_error(TOO_LONG),
        NetError::TooManyFiles => io::Error::from_raw_os_error(TOO_MANY_FILES),
        other => other.into(),
    }
}

#[cfg(test)]
#[path = "program_tests.rs"]
mod tests;
