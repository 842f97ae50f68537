//! The waits that users hold: futures that can also block, with and without a limit.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::block;
use crate::current::Current;
use crate::cycles::{self, Blocked, What};
use crate::dump::{self, QueueDump};

use super::flush::{FlushReport, WaitCell, WaitFor};
use super::handle::{Queue, QueueHandle};

/// A wait that cannot end well.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// let queue = wq_core::Workqueue::unbound("jobs").build()?;
/// let task = queue.spawn(std::future::pending::<()>());
/// let error = queue.flush().wait_timeout(Duration::from_millis(1)).unwrap_err();
/// assert!(error.is_timeout() && !error.is_deadlock());
/// println!("{error}"); // the time was over: queue "jobs" still has 1 items in flight ...
/// task.abort();
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitError(Kind);

/// The reasons.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Kind {
    /// The caller waits for itself.
    Itself(String),
    /// What the caller waits for waits for the caller.
    Cycle(String),
    /// The time was over; this much is stuck, in words and if it is a queue's as a dump.
    TimedOut(String, Option<Arc<QueueDump>>),
    /// The process is a forked child.
    Forked,
    /// What was frozen is not any more.
    Thawed,
}

impl WaitError {
    /// The caller is a part of what it waits for.
    pub(crate) fn itself(what: impl Into<String>) -> WaitError {
        WaitError(Kind::Itself(what.into()))
    }

    /// Those who wait for each other, in words.
    pub(crate) fn cycle(who: String) -> WaitError {
        WaitError(Kind::Cycle(who))
    }

    /// The limit was reached.
    pub(crate) fn timed_out(what: impl Into<String>) -> WaitError {
        WaitError(Kind::TimedOut(what.into(), None))
    }

    /// What is waited for is in the process that this one was forked from.
    pub(crate) fn forked() -> WaitError {
        WaitError(Kind::Forked)
    }

    /// The freeze is over before all that was active had ended.
    pub(crate) fn thawed() -> WaitError {
        WaitError(Kind::Thawed)
    }

    /// Whether a [`Freeze`](crate::Freeze) found that what was frozen was thawed meanwhile, or that
    /// its System shuts down.
    pub fn is_thawed(&self) -> bool {
        self.0 == Kind::Thawed
    }

    /// Whether the wait would never have ended: from inside an item for that item, or for its own
    /// queue; or (where the wait has no limit and blocks the thread) for an item that blocks in a
    /// wait for the caller, perhaps by way of others. The text of the error names them. A request
    /// that is behind one of them in an ordered queue counts as one that nobody will cancel.
    pub fn is_deadlock(&self) -> bool {
        matches!(self.0, Kind::Itself(_) | Kind::Cycle(_))
    }

    /// Whether this is a forked child of the process that the System was made in, or the item was
    /// queued in: nothing ends here.
    #[doc(alias = "fork")]
    pub fn is_forked(&self) -> bool {
        self.0 == Kind::Forked
    }

    /// Whether the limit was reached first.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0, Kind::TimedOut(..))
    }

    /// What was still in the queue when the time of a flush, a drain or a [`Destroy`] was over:
    /// which items run and where, which are suspended, for how long.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let queue = wq_core::Workqueue::unbound("jobs").build()?;
    /// let job = queue.builder().name("compact").spawn(std::future::pending::<()>());
    /// while queue.dump().suspended.is_empty() {
    ///     std::thread::yield_now();
    /// }
    /// let mut destroy = queue.destroy();
    /// let error = destroy.wait_timeout(Duration::from_millis(1)).unwrap_err();
    /// let stuck = error.stuck().expect("it was a timeout");
    /// assert_eq!(stuck.suspended[0].name.as_deref(), Some("compact"));
    /// job.abort();
    /// destroy.wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stuck(&self) -> Option<&QueueDump> {
        match &self.0 {
            Kind::TimedOut(_, stuck) => stuck.as_deref(),
            _ => None,
        }
    }
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Itself(what) => write!(
                f,
                "this wait would never end: the caller is inside an item of {what}, which it \
                 waits for; wait from outside, or let the item end first"
            ),
            Kind::Cycle(who) => write!(f, "this wait would never end: {who}"),
            Kind::TimedOut(what, _) => write!(f, "the time was over: {what}"),
            Kind::Forked => f.write_str(FORKED),
            Kind::Thawed => f.write_str(
                "what was frozen was thawed, or its System shuts down, before all that was active \
                 had ended",
            ),
        }
    }
}

/// What a wait in a forked child says.
pub(crate) const FORKED: &str =
    "this process is a forked child: the workers are in the one that it was forked from";

impl std::error::Error for WaitError {}

/// The state of a wait.
#[derive(Debug)]
struct Wait {
    queue: Arc<QueueHandle>,
    /// Number and cell of the wait, or why there is none.
    state: Result<(u64, Arc<WaitCell>), WaitError>,
    over: bool,
}

impl Wait {
    /// Begins to wait for `queue`.
    fn begin(queue: &Queue, kind: WaitFor) -> Wait {
        let inside = Current::with(|c| c.and_then(Current::queue) == Some(queue.0.queue));
        let state = if queue.0.system.is_forked() {
            Err(WaitError(Kind::Forked))
        } else if inside {
            Err(WaitError::itself(format!("queue \"{}\"", queue.name())))
        } else {
            Ok(queue.0.queue.get().begin_wait(queue.0.queue, kind))
        };
        Wait {
            queue: Arc::clone(&queue.0),
            state,
            over: false,
        }
    }

    /// Polls.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<FlushReport, WaitError>> {
        let report = match &self.state {
            Ok(_) if self.queue.system.is_forked() => Err(WaitError(Kind::Forked)),
            Err(error) => Err(error.clone()),
            Ok((_, cell)) => match cell.poll(cx.waker()) {
                Poll::Ready(report) => Ok(report),
                Poll::Pending => return Poll::Pending,
            },
        };
        self.over = true;
        Poll::Ready(report)
    }

    /// The caller is about to block in this wait.
    fn enter(&self) -> Result<Blocked, WaitError> {
        let what = || {
            let (id, _) = self.state.as_ref().ok()?;
            Some(What::Queue(Arc::clone(&self.queue), *id))
        };
        cycles::enter(what).map_err(WaitError::cycle)
    }

    /// What is stuck.
    fn stuck(&self) -> WaitError {
        let dump = dump::of_queue(&self.queue.system, self.queue.queue, Some(&self.queue));
        let oldest = dump.oldest_in_words();
        let what = format!(
            "queue \"{}\" still has {} items in flight ({} wait for a slot{}){}",
            dump.name,
            dump.stats.in_flight,
            dump.stats.waiting,
            if dump.frozen { "; it is frozen" } else { "" },
            oldest.map_or(String::new(), |oldest| format!("; the oldest: {oldest}"))
        );
        WaitError(Kind::TimedOut(what, Some(Arc::new(dump))))
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let (Ok((id, _)), false) = (&self.state, self.over || self.queue.system.is_forked()) {
            self.queue.queue.get().abandon_wait(*id);
        }
    }
}

/// Declares a wait type.
macro_rules! wait_type {
    ($(#[$doc:meta])* $name:ident, $kind:expr, $output:ty, $finish:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        #[must_use = "a wait does nothing for who drops it; await it, or call `wait`"]
        pub struct $name {
            wait: Wait,
            /// Delayed items that were taken back when the wait began.
            timers: u64,
        }

        impl $name {
            /// Begins to wait.
            pub(crate) fn begin_with(queue: &Queue, timers: u64) -> $name {
                $name { wait: Wait::begin(queue, $kind), timers }
            }

            /// Waits on the calling thread, which counts as sleeping.
            ///
            /// # Errors
            /// At once, if the caller would wait for itself, or for an item that blocks in a wait
            /// for the caller.
            pub fn wait(mut self) -> $output {
                let _blocked = self.wait.enter()?;
                block::block_on(&mut self)
            }

            /// Waits on the calling thread for at most `limit`. After a timeout the wait is still
            /// what it was, and may be asked again.
            ///
            /// # Errors
            /// If the caller would wait for itself, or the limit is reached; the error then
            /// says what is stuck ([`WaitError::stuck`]).
            pub fn wait_timeout(&mut self, limit: Duration) -> $output {
                match block::block_on_timeout(&mut *self, limit) {
                    Some(output) => output,
                    None => Err(self.wait.stuck()),
                }
            }
        }

        impl Future for $name {
            type Output = $output;

            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                let timers = self.timers;
                let finish: fn(FlushReport, u64) -> _ = $finish;
                self.wait.poll(cx).map(|report| report.map(|report| finish(report, timers)))
            }
        }
    };
}

wait_type!(
    /// Waits until the items that a queue had accepted have ended: see
    /// [`Workqueue::flush`](crate::Workqueue::flush).
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("jobs").build()?;
    /// queue.spawn(async {});
    /// let flush: wq_core::Flush = queue.flush();
    /// assert_eq!(flush.wait()?.completed, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    Flush,
    WaitFor::Flush,
    Result<FlushReport, WaitError>,
    |report, _| report
);

wait_type!(
    /// Waits until a queue is empty: see [`Workqueue::drain`](crate::Workqueue::drain).
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("jobs").build()?;
    /// queue.spawn(async {});
    /// let drain: wq_core::Drain = queue.drain();
    /// assert_eq!(drain.wait()?.completed, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    Drain,
    WaitFor::Drain,
    Result<FlushReport, WaitError>,
    |report, _| report
);

wait_type!(
    /// Waits until a queue has ended: see [`Workqueue::destroy`](crate::Workqueue::destroy).
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("jobs").build()?;
    /// queue.spawn(async {});
    /// let destroy: wq_core::Destroy = queue.destroy();
    /// assert_eq!(destroy.wait()?.completed, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    Destroy,
    WaitFor::Drain,
    Result<FlushReport, WaitError>,
    |report, timers| FlushReport { cancelled: report.cancelled + timers, ..report }
);

impl Flush {
    /// Begins a flush.
    pub(crate) fn begin(queue: &Queue) -> Flush {
        Flush::begin_with(queue, 0)
    }
}

impl Drain {
    /// Begins a drain.
    pub(crate) fn begin(queue: &Queue) -> Drain {
        Drain::begin_with(queue, 0)
    }
}

impl Destroy {
    /// Begins the end of a queue.
    pub(crate) fn begin(queue: &Queue, timers: u64) -> Destroy {
        Destroy::begin_with(queue, timers)
    }
}
