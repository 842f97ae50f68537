//! Events that items wait for, and the futures that suspend them.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::current::Current;
use crate::timer::Fire;

/// Wakers that are kept for a late use.
const KEPT: usize = 4;

/// Something that is signalled now and then.
#[derive(Debug, Default)]
pub(super) struct Event {
    signals: AtomicU64,
    waiting: Mutex<Vec<Waker>>,
    /// Wakers of some that have gone on.
    old: Mutex<Vec<Waker>>,
}

/// Locks; nobody gives up the baton meanwhile.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Event {
    /// Wakes all that wait; how many.
    pub(super) fn signal(&self) -> usize {
        // Relaxed: one thread of the machine runs at a time.
        self.signals.fetch_add(1, Ordering::Relaxed);
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        let kept: Vec<Waker> = waiting.iter().take(KEPT).cloned().collect();
        let woken = waiting.len();
        waiting.into_iter().for_each(Waker::wake);
        let dropped = std::mem::replace(&mut *lock(&self.old), kept);
        drop(dropped);
        woken
    }

    /// Wakes some that may have gone on, or ended, long ago; how many.
    pub(super) fn wake_late(&self) -> usize {
        let old = lock(&self.old).clone();
        old.iter().for_each(Waker::wake_by_ref);
        old.len()
    }

    /// Forgets everybody.
    pub(super) fn clear(&self) {
        let gone = (
            std::mem::take(&mut *lock(&self.waiting)),
            std::mem::take(&mut *lock(&self.old)),
        );
        drop(gone);
    }
}

/// Suspends the calling task until a signal, or for a time.
pub(super) struct Await {
    event: Arc<Event>,
    time: Duration,
    /// Signals before the first poll, and when the time is over.
    begun: Option<(u64, Instant)>,
}

impl Await {
    /// Waits for `event`.
    pub(super) fn new(event: &Arc<Event>, time: Duration) -> Await {
        Await {
            event: Arc::clone(event),
            time,
            begun: None,
        }
    }
}

impl Future for Await {
    /// Whether the signal came first.
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        // Relaxed: one thread of the machine runs at a time.
        let signals = self.event.signals.load(Ordering::Relaxed);
        let now = crate::os::now();
        let first = self.begun.is_none();
        let begun = (signals, now + self.time);
        let (before, until) = *self.begun.get_or_insert(begun);
        if signals != before {
            return Poll::Ready(true);
        }
        if now >= until {
            return Poll::Ready(false);
        }
        lock(&self.event.waiting).push(cx.waker().clone());
        if first {
            Current::with(|current| {
                let timers = &current.expect("tasks await").system.timers;
                // A stopped wheel drops it: the shutdown drops the task, too.
                drop(timers.arm(until, Fire::Wake(cx.waker().clone())));
            });
        }
        Poll::Pending
    }
}

/// Suspends once, woken already.
pub(super) struct YieldNow(pub(super) bool);

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
