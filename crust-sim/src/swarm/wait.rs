//! Waiting for several things at once.

use core::future::Future;
use core::pin::Pin;
use core::task::{Poll, Waker};
use std::sync::{Arc, Mutex, PoisonError};

/// Says to many tasks that it is over.
#[derive(Clone, Default)]
pub(super) struct Bell(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Bell {
    pub(super) fn ring(&self) {
        let wakers = {
            let mut bell = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            bell.0 = true;
            std::mem::take(&mut bell.1)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits until it rings.
    pub(super) async fn rung(&self) {
        core::future::poll_fn(|cx| {
            let mut bell = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if bell.0 {
                return Poll::Ready(());
            }
            if !bell.1.iter().any(|waker| waker.will_wake(cx.waker())) {
                bell.1.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

/// Waits to be dropped.
pub(super) async fn never<T>() -> T {
    core::future::pending().await
}

/// Which of two ended.
pub(super) enum Either<A, B> {
    Left(A),
    Right(B),
}

/// Whichever ends first; the other is dropped.
pub(super) async fn race<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> Either<A, B> {
    let (mut a, mut b) = (core::pin::pin!(a), core::pin::pin!(b));
    core::future::poll_fn(|cx| {
        if let Poll::Ready(a) = a.as_mut().poll(cx) {
            return Poll::Ready(Either::Left(a));
        }
        b.as_mut().poll(cx).map(Either::Right)
    })
    .await
}

/// Runs all of them to their ends.
pub(super) async fn all(mut futures: Vec<Pin<Box<dyn Future<Output = ()> + Send + '_>>>) {
    core::future::poll_fn(|cx| {
        futures.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if futures.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
