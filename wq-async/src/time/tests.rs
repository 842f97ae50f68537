//! Time under a clock that is turned by hand, and a few tests by the machine's.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use wq_core::timer::Timers;

use super::source::by_hand;

mod interval;
mod sleep;
mod timeout;

/// A millisecond, in which the tests count.
const MS: Duration = Duration::from_millis(1);

/// A task that is never run but counts how often it is woken.
#[derive(Default)]
struct Task {
    wakes: AtomicUsize,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
    }
}

impl Task {
    /// A task, and what a poll for it hands on.
    fn new() -> (Arc<Self>, Waker) {
        let task = Arc::<Self>::default();
        (task.clone(), task.into())
    }

    /// How often the task was woken so far.
    fn wakes(&self) -> usize {
        self.wakes.load(Ordering::Relaxed)
    }
}

/// One poll on behalf of `waker`.
fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// Turns the clock and fires what is due; says how many timers that were.
fn pass(timers: &Timers, by: Duration) -> usize {
    timers.advance(by);
    timers.expire_due()
}
