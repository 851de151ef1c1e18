//! Many worlds, one after another or several at once, told of in order.

use std::fmt;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::stopwatch::Stopwatch;

/// How many results of each thread may wait for those of slower ones.
const AHEAD: usize = 64;

/// What work cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Effort {
    /// On the wall clock.
    pub(crate) wall: Duration,
    /// Of all threads, where the system tells.
    pub(crate) cpu: Option<Duration>,
}

/// Does the work for every item on so many threads and hands the results out in the order of the items, until
/// `each` has had enough.
pub(crate) fn run<I: fmt::Debug, T: Send>(
    items: impl Iterator<Item = I> + Clone + Send,
    jobs: u16,
    work: impl Fn(&I) -> T + Sync,
    mut each: impl FnMut(T) -> ControlFlow<()>,
) -> Effort {
    let watch = Stopwatch::start();
    let work = |item: &I| {
        let tell = Tell(item);
        let result = work(item);
        drop(tell);
        result
    };
    let cpu = if jobs <= 1 {
        for item in items {
            if each(work(&item)).is_break() {
                break;
            }
        }
        watch.cpu()
    } else {
        at_once(&items, usize::from(jobs), &work, each)
    };
    Effort { wall: watch.wall(), cpu }
}

/// Each thread takes every nth item, and its results come out of a channel of its own: so the order is that of the
/// items, and no more wait than the channels hold.
fn at_once<I, T: Send>(
    items: &(impl Iterator<Item = I> + Clone + Send),
    jobs: usize,
    work: &(impl Fn(&I) -> T + Sync),
    mut each: impl FnMut(T) -> ControlFlow<()>,
) -> Option<Duration> {
    thread::scope(|scope| {
        let (channels, threads): (Vec<Receiver<T>>, Vec<_>) = (0..jobs)
            .map(|nth| {
                let (sender, receiver): (SyncSender<T>, _) = sync_channel(AHEAD);
                let mine = items.clone().skip(nth).step_by(jobs);
                let body = move || {
                    let watch = Stopwatch::start();
                    for item in mine {
                        // Nobody listens: it is over.
                        if sender.send(work(&item)).is_err() {
                            break;
                        }
                    }
                    watch.cpu()
                };
                (receiver, scope.spawn(body))
            })
            .unzip();
        for nth in (0..jobs).cycle() {
            let Some(Ok(result)) = channels.get(nth).map(Receiver::recv) else { break };
            if each(result).is_break() {
                break;
            }
        }
        drop(channels);
        let spent = threads.into_iter().map(|thread| match thread.join() {
            Ok(cpu) => cpu,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        spent.sum()
    })
}

/// Says what it was when the work panics.
struct Tell<'a, I: fmt::Debug>(&'a I);

impl<I: fmt::Debug> Drop for Tell<'_, I> {
    fn drop(&mut self) {
        if thread::panicking() {
            // If that cannot be said there is nowhere left to say so.
            let _ = writeln!(io::stderr(), "crust-sim: a defect met in {:?}", self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_on_however_many_threads() {
        for jobs in [1, 2, 3, 16] {
            for count in [0, 1, 5, 1000] {
                let mut got = Vec::new();
                run(
                    0..count,
                    jobs,
                    |item: &u32| item * 3,
                    |result| {
                        got.push(result);
                        ControlFlow::Continue(())
                    },
                );
                assert_eq!(got, (0..count).map(|item| item * 3).collect::<Vec<_>>(), "{jobs} jobs");
            }
        }
    }

    #[test]
    fn it_ends_when_nobody_wants_more() {
        for jobs in [1, 4] {
            let mut got = 0;
            let enough = |_| {
                got += 1;
                if got == 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            run(0..u64::MAX, jobs, |item: &u64| *item, enough);
            assert_eq!(got, 10);
        }
    }

    #[test]
    #[should_panic(expected = "item 7")]
    fn a_panic_on_another_thread_is_one_here() {
        let work = |item: &u32| assert!(*item != 7, "item {item}");
        run(0..100, 3, work, |()| ControlFlow::Continue(()));
    }
}
