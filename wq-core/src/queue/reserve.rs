//! Back-pressure: waiting for a place in a queue that bounds how many items may wait.
//!
//! A place is the right to have one more item accepted. It is kept in the limiter
//! ([`Limiter::grant`](super::limit::Limiter::grant)) and counts for the bound as an item would,
//! but nobody flushes or drains it: an item is what was queued. Those who wait get places in the
//! order of their calls, and before anybody who comes later.
//!
//! Whoever frees a place grants it under the limiter's lock, so that a newcomer cannot take it, and
//! wakes afterwards. A waiter that has lost interest is either still listed, or was granted a place
//! that it gives back.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::block;
use crate::current::Current;
use crate::entry::Entry;
use crate::guard;
use crate::route;
use crate::task;
use crate::task::join::JoinHandle;

use super::QueueInner;
use super::handle::{Queue, QueueHandle, home_of, reject_if_refused};
use super::limit::Limiter;

/// One who waits for a place.
#[derive(Debug, Default)]
pub(crate) struct Taker(Mutex<TakerState>);

/// What has come of it.
#[derive(Debug, Default)]
struct TakerState {
    /// It has a place. Written under the limiter's lock.
    has_place: bool,
    /// What it is told: a place, or the end of the queue.
    answer: Option<Result<(), ReserveError>>,
    waker: Option<Waker>,
}

impl Taker {
    /// Locks; nothing panics under the lock.
    fn lock(&self) -> MutexGuard<'_, TakerState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It gets a place, of which it is told later. Under the limiter's lock.
    pub(super) fn note_place(&self) {
        self.lock().has_place = true;
    }

    /// Ends the wait.
    fn answer(&self, answer: Result<(), ReserveError>) {
        let waker = {
            let mut state = self.lock();
            state.answer = Some(answer);
            state.waker.take()
        };
        guard::wake_all(waker);
    }

    /// The answer, or a promise to wake. Wakers are cloned and dropped outside of the lock.
    fn poll(&self, waker: &Waker) -> Poll<Result<(), ReserveError>> {
        let mut new = Some(waker.clone());
        let mut state = self.lock();
        let answer = state.answer;
        if answer.is_none() {
            std::mem::swap(&mut state.waker, &mut new);
        }
        drop(state);
        drop(new);
        answer.map_or(Poll::Pending, Poll::Ready)
    }
}

/// Tells those who have got a place.
#[inline]
pub(crate) fn tell(granted: Vec<Arc<Taker>>) {
    granted.iter().for_each(|taker| taker.answer(Ok(())));
}

impl QueueInner {
    /// Something that frees places has happened in a slot domain: gives them to who waits. The
    /// caller holds the limiter's lock, and calls `tell` without it.
    #[inline]
    pub(crate) fn grants(limiter: &mut Limiter<Entry>) -> Vec<Arc<Taker>> {
        let mut granted = Vec::new();
        while let Some(taker) = limiter.grant() {
            granted.push(taker);
        }
        granted
    }

    /// As [`QueueInner::grants`], for all domains; takes their locks.
    pub(crate) fn grant_places(&self) {
        for limiter in self.limiters() {
            let granted = QueueInner::grants(&mut limiter.lock());
            tell(granted);
        }
    }

    /// The queue is closed: nobody gets a place any more.
    #[cold]
    pub(super) fn refuse_takers(&self) {
        for limiter in self.limiters() {
            let takers = limiter.lock().take_takers();
            for taker in takers {
                taker.answer(Err(ReserveError(Why::Closed)));
            }
        }
    }
}

/// Waits for a place in a queue: see [`Queue::reserve`].
///
/// # Cancellation
/// Dropping the wait abandons it; a place that it had got goes to the next one.
///
/// # Examples
/// ```
/// let queue = wq_core::Workqueue::unbound("small").max_active(1).max_pending(1).build()?;
/// let permit = queue.reserve().wait()?;
/// assert_eq!(permit.spawn(async { 7 }).wait()?, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a wait does nothing for who drops it; await it, or call `wait`"]
pub struct Reserve {
    queue: Queue,
    /// The CPU whose slots are meant, by its ordinal.
    home: usize,
    state: State,
}

/// How far a reservation is.
#[derive(Debug)]
enum State {
    /// There is an answer at once.
    Ready(Result<(), ReserveError>),
    /// It waits.
    Waits(Arc<Taker>),
    /// The answer was given.
    Over,
}

impl Reserve {
    /// Begins to wait.
    pub(crate) fn begin(queue: &Queue) -> Reserve {
        let home = home_of(&queue.0.system, queue.inner());
        let mut reserve = Reserve {
            queue: queue.clone(),
            home,
            state: State::Over,
        };
        reserve.state = reserve.first_look();
        reserve
    }

    /// Gets a place, or in line.
    fn first_look(&self) -> State {
        let q = self.queue.inner();
        if !is_open(&self.queue) {
            return State::Ready(Err(ReserveError(Why::Closed)));
        }
        if !q.is_limited() {
            return State::Ready(Ok(()));
        }
        let taker = Arc::new(Taker::default());
        let granted = {
            let mut limiter = q.limiter(self.home);
            limiter.ask(Arc::clone(&taker));
            QueueInner::grants(&mut limiter)
        };
        tell(granted);
        // Listed before the look: who closes the queue after it finds the taker.
        if !is_open(&self.queue) {
            give_back(q, self.home, &taker);
            return State::Ready(Err(ReserveError(Why::Closed)));
        }
        State::Waits(taker)
    }

    /// Waits on the calling thread, which counts as sleeping.
    ///
    /// # Errors
    /// If the queue is closed, or is closed meanwhile.
    pub fn wait(self) -> Result<Permit, ReserveError> {
        block::block_on(self)
    }

    /// Waits on the calling thread for at most `limit`. After a timeout the wait is still in its
    /// place in line, and may be asked again.
    ///
    /// # Errors
    /// As for [`Reserve::wait`], or if the limit is reached.
    pub fn wait_timeout(&mut self, limit: Duration) -> Result<Permit, ReserveError> {
        let over = || Err(ReserveError(Why::TimedOut));
        block::block_on_timeout(self, limit).unwrap_or_else(over)
    }
}

/// Whether the queue accepts items of the caller's.
fn is_open(queue: &Queue) -> bool {
    let chained = Current::with(|c| c.and_then(Current::queue) == Some(queue.0.queue));
    !queue.0.system.is_forked() && queue.inner().is_open(chained)
}

/// A taker wants no place any more, or one that it got.
fn give_back(q: &QueueInner, home: usize, taker: &Arc<Taker>) {
    let granted = {
        let mut limiter = q.limiter(home);
        if !limiter.forget(taker) && taker.lock().has_place {
            limiter.end_permit();
        }
        QueueInner::grants(&mut limiter)
    };
    tell(granted);
}

impl Future for Reserve {
    type Output = Result<Permit, ReserveError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &self.state {
            // Nobody would ever answer, and the limiter may be locked for ever.
            State::Waits(_) if self.queue.0.system.is_forked() => Err(ReserveError(Why::Closed)),
            State::Ready(answer) => *answer,
            State::Waits(taker) => match taker.poll(cx.waker()) {
                Poll::Ready(answer) => answer,
                Poll::Pending => return Poll::Pending,
            },
            State::Over => panic!("a reservation is not polled after it was ready"),
        };
        self.state = State::Over;
        Poll::Ready(answer.map(|()| Permit {
            queue: Arc::clone(&self.queue.0),
            home: self.home,
            used: false,
        }))
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        if let State::Waits(taker) = &self.state {
            if !self.queue.0.system.is_forked() {
                give_back(self.queue.inner(), self.home, taker);
            }
        }
    }
}

/// A place in a queue, for one item: see [`Queue::reserve`].
///
/// It counts for the bound like an item that waits. Dropping it gives the place to the next one.
///
/// # Examples
/// ```
/// let queue = wq_core::Workqueue::unbound("small").max_active(1).max_pending(1).build()?;
/// let permits = [queue.reserve().wait()?, queue.reserve().wait()?];
/// assert!(queue.try_spawn(async {}).unwrap_err().is_full());
/// for permit in permits {
///     drop(permit.spawn(async {})); // goes on without its handle
/// }
/// assert_eq!(queue.flush().wait()?.completed, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping it gives the place away"]
pub struct Permit {
    queue: Arc<QueueHandle>,
    home: usize,
    /// An item was queued into the place.
    used: bool,
}

impl Permit {
    /// Queues a future: it is never refused because the queue is full. If the queue was closed
    /// since the permit was given, or drains, the handle says so
    /// ([`JoinError::is_rejected`](crate::JoinError::is_rejected)).
    pub fn spawn<F>(mut self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (entry, join) = task::build(self.queue.queue, self.home, future);
        self.submit(entry);
        join
    }

    /// As [`Permit::spawn`], of a closure.
    pub fn spawn_fn<F, T>(mut self, function: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (entry, join) = task::build_fn(self.queue.queue, self.home, None, function);
        self.submit(entry);
        join
    }

    /// Queues an item into the place.
    fn submit(&mut self, entry: Entry) {
        let queue = self.queue.queue;
        let submitted = if queue.get().is_limited() {
            route::submit_permitted(queue, entry)
        } else {
            route::submit(queue, entry)
        };
        self.used = submitted.is_ok();
        reject_if_refused(submitted);
    }
}

/// A permit ends unused.
fn end(q: &QueueInner, home: usize) {
    let granted = {
        let mut limiter = q.limiter(home);
        limiter.end_permit();
        QueueInner::grants(&mut limiter)
    };
    tell(granted);
}

impl Drop for Permit {
    fn drop(&mut self) {
        let q = self.queue.queue.get();
        // In a forked child the lock may be held for ever.
        if !self.used && q.is_limited() && !self.queue.system.is_forked() {
            end(q, self.home);
        }
    }
}

/// There is no place in a queue.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// let owner = wq_core::Workqueue::unbound("small").max_pending(1).build()?;
/// let _held = owner.reserve().wait()?;
/// let error = owner.reserve().wait_timeout(Duration::from_millis(1)).unwrap_err();
/// assert!(error.is_timeout() && !error.is_closed());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReserveError(Why);

/// The reasons.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Why {
    /// The queue was closed.
    Closed,
    /// The limit was reached.
    TimedOut,
}

impl ReserveError {
    /// The queue is closed or drains, or this is a forked child.
    pub fn is_closed(&self) -> bool {
        self.0 == Why::Closed
    }

    /// The time was over before there was a place.
    pub fn is_timeout(&self) -> bool {
        self.0 == Why::TimedOut
    }
}

impl fmt::Display for ReserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Why::Closed => "the queue is closed or draining",
            Why::TimedOut => "the time was over before the queue had a place",
        })
    }
}

impl std::error::Error for ReserveError {}

impl Queue {
    /// Waits for a place in a queue that was built with `max_pending`, and keeps it: the back
    /// pressure for producers. Places are given in the order of the calls. Of a queue without a
    /// bound there is always one.
    ///
    /// # Cancellation
    /// Dropping the wait gives up the place in line, or the place.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().workers(2).build()?;
    /// let queue = wq_core::Workqueue::ordered("journal").max_pending(8).system(&system).build()?;
    /// system.block_on(async {
    ///     for line in 0..100 {
    ///         let permit = queue.reserve().await?; // waits while 8 others do
    ///         drop(permit.spawn_fn(move || println!("{line}")));
    ///     }
    ///     Ok::<(), wq_core::ReserveError>(())
    /// })?;
    /// assert_eq!(queue.flush().wait()?.completed, 100);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reserve(&self) -> Reserve {
        Reserve::begin(self)
    }

    /// Whether items wait for a slot, of any CPU; may be stale when it returns. What comes next
    /// would wait, too: a reason to produce less.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("jobs").max_active(1).build()?;
    /// let first = queue.spawn(std::future::pending::<()>());
    /// assert!(!queue.is_congested());
    /// drop(queue.spawn(async {}));
    /// assert!(queue.is_congested());
    /// first.abort();
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "workqueue_congested")]
    pub fn is_congested(&self) -> bool {
        let mut limiters = self.inner().limiters().iter();
        limiters.any(|limiter| limiter.lock().nr_inactive() > 0)
    }

    /// As [`Queue::is_congested`], of the slots that an item queued on this CPU would need: those
    /// of the CPU on a per-CPU queue, else those of the queue.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::percpu("jobs").max_active(1).build()?;
    /// assert!(!queue.is_congested_on(0));
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "workqueue_congested")]
    pub fn is_congested_on(&self, cpu: usize) -> bool {
        let q = self.inner();
        q.is_limited() && q.limiter(self.0.system.ordinal(cpu)).nr_inactive() > 0
    }
}
