//! Tasks that wait for events of a world: who can run, in which order, and who waits for what.
//!
//! It never polls a task itself and holds no lock of the world, so that wakers may be called from anywhere.

use core::task::Waker;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;

use crust_async::BoxFuture;
use crust_proto::Instant;

use crate::{HostId, ListenerId, TcpId, UdpId};

/// A task of one executor. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskId(u64);

impl TaskId {
    /// The test's own future, which the executor does not keep.
    pub(crate) const BODY: Self = Self(0);
}

/// What a socket is waited for. Each has one who waits, the last who came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wait {
    Datagrams(UdpId),
    Connections(ListenerId),
    Bytes(TcpId),
    /// Also for a connection to be open.
    Room(TcpId),
}

impl Wait {
    const fn host(self) -> HostId {
        match self {
            Self::Datagrams(socket) => socket.host(),
            Self::Connections(listener) => listener.host(),
            Self::Bytes(stream) | Self::Room(stream) => stream.host(),
        }
    }
}

pub(crate) struct Executor {
    tasks: BTreeMap<TaskId, Task>,
    ready: Arc<Mutex<Ready>>,
    sleepers: BTreeMap<(HostId, u64), Waker>,
    waiters: BTreeMap<Wait, Waker>,
    /// Who waits for a host's addresses or clocks to change, by names of their own.
    watchers: BTreeMap<(HostId, u64), Waker>,
    /// How often they have.
    changes: BTreeMap<HostId, u64>,
    /// Hosts that sleep, and their tasks that were woken meanwhile.
    suspended: BTreeMap<HostId, BTreeSet<TaskId>>,
    names: u64,
    pub(crate) limit: Instant,
}

struct Task {
    host: HostId,
    waker: Waker,
    /// `None` while it runs.
    future: Option<BoxFuture<()>>,
}

/// The tasks that can run, in the order in which they were woken, each once.
#[derive(Default)]
struct Ready {
    order: VecDeque<TaskId>,
    queued: BTreeSet<TaskId>,
}

struct TaskWaker {
    ready: Arc<Mutex<Ready>>,
    task: TaskId,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).push(self.task);
    }
}

impl Ready {
    fn push(&mut self, task: TaskId) {
        if self.queued.insert(task) {
            self.order.push_back(task);
        }
    }
}

impl Executor {
    pub(crate) fn new(limit: Instant) -> Self {
        Self {
            tasks: BTreeMap::new(),
            ready: Arc::default(),
            sleepers: BTreeMap::new(),
            waiters: BTreeMap::new(),
            watchers: BTreeMap::new(),
            changes: BTreeMap::new(),
            suspended: BTreeMap::new(),
            names: 0,
            limit,
        }
    }

    /// How many tasks there are, the body not counted.
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// How many tasks there are, and everything that is kept for them.
    pub(crate) fn size(&self) -> usize {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let woken: usize = self.suspended.values().map(|woken| 1 + woken.len()).sum();
        self.tasks.len()
            + ready.order.len()
            + self.sleepers.len()
            + self.waiters.len()
            + self.watchers.len()
            + self.changes.len()
            + woken
    }

    /// A number that nothing else has.
    pub(crate) fn name(&mut self) -> u64 {
        self.names += 1;
        self.names
    }

    pub(crate) fn waker(&self, task: TaskId) -> Waker {
        Waker::from(Arc::new(TaskWaker { ready: self.ready.clone(), task }))
    }

    pub(crate) fn spawn(&mut self, host: HostId, future: BoxFuture<()>) {
        let id = TaskId(self.name());
        let waker = self.waker(id);
        waker.wake_by_ref();
        self.tasks.insert(id, Task { host, waker, future: Some(future) });
    }

    /// The next task that can run.
    pub(crate) fn next(&mut self) -> Option<TaskId> {
        loop {
            let task = {
                let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
                let task = ready.order.pop_front()?;
                ready.queued.remove(&task);
                task
            };
            if task == TaskId::BODY {
                return Some(task);
            }
            let Some(host) = self.tasks.get(&task).map(|t| t.host) else { continue };
            match self.suspended.get_mut(&host) {
                Some(woken) => woken.insert(task),
                None => return Some(task),
            };
        }
    }

    /// A task's future, to be polled and [put back](Self::put_back).
    pub(crate) fn take(&mut self, id: TaskId) -> Option<(BoxFuture<()>, Waker)> {
        let task = self.tasks.get_mut(&id)?;
        Some((task.future.take()?, task.waker.clone()))
    }

    /// Returns it where its host has crashed meanwhile.
    pub(crate) fn put_back(&mut self, id: TaskId, future: BoxFuture<()>) -> Option<BoxFuture<()>> {
        match self.tasks.get_mut(&id) {
            Some(task) => task.future.replace(future),
            None => Some(future),
        }
    }

    pub(crate) fn done(&mut self, id: TaskId) {
        self.tasks.remove(&id);
    }

    pub(crate) fn sleeps(&mut self, host: HostId, token: u64, waker: Waker) {
        self.sleepers.insert((host, token), waker);
    }

    /// Who waits for a timer.
    pub(crate) fn ring(&mut self, host: HostId, token: u64) -> Option<Waker> {
        self.sleepers.remove(&(host, token))
    }

    pub(crate) fn waits(&mut self, wait: Wait, waker: &Waker) {
        match self.waiters.get_mut(&wait) {
            Some(known) => known.clone_from(waker),
            None => drop(self.waiters.insert(wait, waker.clone())),
        }
    }

    /// Who waited for that, and does so no more.
    pub(crate) fn waits_no_more(&mut self, wait: Wait) -> Option<Waker> {
        self.waiters.remove(&wait)
    }

    /// How often a host's addresses or clocks have changed; `waker` hears of the next time.
    pub(crate) fn watches(&mut self, host: HostId, name: u64, waker: &Waker) -> u64 {
        let known = self.watchers.get(&(host, name));
        if !known.is_some_and(|known| known.will_wake(waker)) {
            self.watchers.insert((host, name), waker.clone());
        }
        self.changes.get(&host).copied().unwrap_or(0)
    }

    /// Whoever named himself so waits no more.
    pub(crate) fn watches_no_more(&mut self, host: HostId, name: u64) -> Option<Waker> {
        self.watchers.remove(&(host, name))
    }

    /// A host's addresses or clocks have changed. Who waits for that.
    pub(crate) fn changed(&mut self, host: HostId) -> Vec<Waker> {
        *self.changes.entry(host).or_default() += 1;
        let names: Vec<_> =
            self.watchers.range((host, 0)..=(host, u64::MAX)).map(|(name, _)| *name).collect();
        names.into_iter().filter_map(|name| self.watchers.remove(&name)).collect()
    }

    /// Everything that was going on on a host, for the caller to drop.
    pub(crate) fn crash(&mut self, host: HostId) -> Vec<BoxFuture<()>> {
        self.suspended.remove(&host);
        self.sleepers.retain(|(at, _), _| *at != host);
        self.waiters.retain(|wait, _| wait.host() != host);
        self.watchers.retain(|(at, _), _| *at != host);
        let ids: Vec<_> =
            self.tasks.iter().filter(|(_, task)| task.host == host).map(|(id, _)| *id).collect();
        ids.into_iter().filter_map(|id| self.tasks.remove(&id)?.future).collect()
    }

    /// Every task there is, for the caller to drop.
    pub(crate) fn end(&mut self) -> Vec<BoxFuture<()>> {
        std::mem::take(&mut self.tasks).into_values().filter_map(|task| task.future).collect()
    }

    pub(crate) fn suspend(&mut self, host: HostId) {
        self.suspended.entry(host).or_default();
    }

    pub(crate) fn resume(&mut self, host: HostId) {
        let woken = self.suspended.remove(&host).unwrap_or_default();
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        woken.into_iter().for_each(|task| ready.push(task));
    }
}
