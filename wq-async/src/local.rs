//! Futures that stay on their thread: [`LocalSet`].
//!
//! A set is a list of tasks that its owner's thread polls while it waits in
//! [`LocalSet::run_until`]. It is no workqueue: it has no lanes, nobody takes its place when it
//! blocks, and the engine does not know it. `local/item.rs` has the tasks, `local/turn.rs` what
//! other threads may touch.
//!
//! Invariant: a future is polled and dropped on the thread of its set alone, and before the set is
//! gone.

mod item;
mod turn;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use wq_core::driver;

use item::Control;
use turn::Turns;

pub use item::LocalHandle;

/// How many tasks are polled before the future of [`LocalSet::run_until`] is, and whoever else
/// shares the thread. A power of two less than a hundred: long enough that the other polls do not
/// count, short enough that nobody notices.
const BUDGET: usize = 64;

/// Runs futures that cannot be sent to a worker, on the thread that owns the set.
///
/// They run while the thread polls [`LocalSet::run_until`], [`LocalSet::run_all`] or
/// [`LocalSet::block_on`]: in `#[wq::main(local = true)]`, on a thread of your own, or inside a
/// task under [`block_on`](crate::block_on), where the worker's lane is handed over while all of
/// them sleep. A set is not a workqueue: it has no limits and no order, a flush does not know its
/// tasks, and **one that blocks stalls the whole set**. What may block belongs on a queue:
/// `wq::spawn_fn(..).await` inside of a local task.
///
/// Wakers of its tasks may be used on any thread. Dropping the set drops its tasks, here.
///
/// # Examples
/// ```
/// use std::cell::RefCell;
/// use std::rc::Rc;
///
/// let set = wq::LocalSet::new();
/// let log = Rc::new(RefCell::new(Vec::new()));
/// set.block_on(async {
///     let inner = Rc::clone(&log);
///     let task = wq::spawn_local(async move {
///         let sum = wq::spawn(async { 1 + 1 }).await.unwrap(); // on a worker
///         inner.borrow_mut().push(sum); // here
///     });
///     task.await.unwrap();
/// });
/// assert_eq!(*log.borrow(), [2]);
/// ```
///
/// Neither the set nor a future that runs it leaves its thread:
///
/// ```compile_fail,E0277
/// let set = wq::LocalSet::new();
/// wq::spawn(async move { set.run_all().await });
/// ```
#[doc(alias = "LocalPool")]
#[doc(alias = "LocalExecutor")]
pub struct LocalSet {
    state: Rc<State>,
}

/// What the set and its tasks share, on its thread.
struct State {
    /// What other threads may touch: the tasks whose turn it is.
    turns: Arc<Turns>,
    /// All tasks that have not ended, by number; those before the first poll and after the last are
    /// in it too.
    members: RefCell<Vec<Option<Arc<Control>>>>,
    /// Free numbers.
    free: RefCell<Vec<usize>>,
    /// The set is being dropped.
    closing: Cell<bool>,
    /// The process that it was made in.
    process: u32,
}

thread_local! {
    /// The set whose tasks, or whose `run_until`, are polled here.
    static CURRENT: RefCell<Option<Rc<State>>> = const { RefCell::new(None) };
}

impl fmt::Debug for LocalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSet")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl Default for LocalSet {
    fn default() -> LocalSet {
        LocalSet::new()
    }
}

impl LocalSet {
    /// An empty set, of the calling thread.
    pub fn new() -> LocalSet {
        LocalSet {
            state: Rc::new(State {
                turns: Arc::default(),
                members: RefCell::default(),
                free: RefCell::default(),
                closing: Cell::new(false),
                process: driver::process(),
            }),
        }
    }

    /// Adds a task. It is polled when the set is run; a panic in it is its own, and its handle's.
    ///
    /// # Examples
    /// ```
    /// let set = wq::LocalSet::new();
    /// let name = std::rc::Rc::new("local");
    /// let task = set.spawn_local(async move { name.len() });
    /// assert_eq!(set.block_on(task).unwrap(), 5);
    /// ```
    pub fn spawn_local<F>(&self, future: F) -> LocalHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        item::spawn(&self.state, future)
    }

    /// Polls `future`, and the tasks of the set in between, until it is ready. Tasks that have not
    /// ended then stay in the set.
    ///
    /// # Cancellation
    /// Dropping it drops `future`; the tasks stay in the set.
    ///
    /// # Examples
    /// ```
    /// let set = wq::LocalSet::new();
    /// let answer = wq::block_on(set.run_until(async {
    ///     wq::spawn_local(async { 7 }).await.unwrap()
    /// }));
    /// assert_eq!(answer, 7);
    /// ```
    pub fn run_until<F: Future>(&self, future: F) -> RunUntil<'_, F> {
        RunUntil { set: self, future }
    }

    /// Polls the tasks of the set until all have ended, those that they spawn included.
    ///
    /// # Cancellation
    /// Dropping it leaves the tasks in the set.
    ///
    /// # Examples
    /// ```
    /// let set = wq::LocalSet::new();
    /// set.spawn_local(async { drop(wq::spawn_local(async { println!("second") })) });
    /// wq::block_on(set.run_all());
    /// assert!(set.is_empty());
    /// ```
    pub fn run_all(&self) -> RunAll<'_> {
        RunAll(self)
    }

    /// [`LocalSet::run_until`] on the calling thread, as by [`block_on`](crate::block_on).
    ///
    /// # Panics
    /// If the default System must be made and the machine refuses its threads.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        crate::block_on(self.run_until(future))
    }

    /// How many tasks have not ended.
    pub fn len(&self) -> usize {
        self.state.len()
    }

    /// Whether all tasks have ended.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Polls tasks whose turn it is, some of them. The waker is used when there are more.
    fn run_some(&self, cx: &Context<'_>) {
        self.state.turns.watch(cx.waker());
        for _ in 0..BUDGET {
            let Some(task) = self.state.turns.next() else {
                return;
            };
            task.run();
        }
        cx.waker().wake_by_ref();
    }
}

impl State {
    /// How many tasks have not ended.
    fn len(&self) -> usize {
        self.members.borrow().len() - self.free.borrow().len()
    }

    /// Runs `f` as a part of this set.
    fn enter<R>(self: &Rc<State>, f: impl FnOnce() -> R) -> R {
        /// Puts back what was there, however `f` ends.
        struct Leave(Option<Rc<State>>);
        impl Drop for Leave {
            fn drop(&mut self) {
                let before = self.0.take();
                // Dropped outside of the borrow.
                drop(CURRENT.try_with(|current| current.replace(before)));
            }
        }
        // Gone if the set stood in a thread-local and the thread ends: then none runs here.
        let before = CURRENT.try_with(|current| current.replace(Some(Rc::clone(self))));
        let _leave = Leave(before.unwrap_or(None));
        f()
    }
}

impl Drop for LocalSet {
    fn drop(&mut self) {
        let state = &self.state;
        state.closing.set(true);
        // They are woken, polled once more, and end by that; what they spawn meanwhile is refused.
        let members: Vec<_> = state.members.borrow().iter().flatten().cloned().collect();
        members.iter().for_each(|member| member.wake());
        state.enter(|| {
            while state.len() > 0 {
                let task = if state.process == driver::process() {
                    // One may be on its way: another thread is about to put it into the list.
                    Some(state.turns.wait_for_next())
                } else {
                    // In a forked child there is no other thread.
                    state.turns.next()
                };
                let Some(task) = task else {
                    return;
                };
                task.run();
            }
        });
    }
}

/// Adds a task to the set that runs here: [`LocalSet::spawn_local`] as a function.
///
/// # Examples
/// ```
/// wq::LocalSet::new().block_on(async {
///     let name = std::rc::Rc::new("local");
///     assert_eq!(wq::spawn_local(async move { name.len() }).await.unwrap(), 5);
/// });
/// ```
///
/// # Panics
/// If no [`LocalSet`] is being run on this thread.
pub fn spawn_local<F>(future: F) -> LocalHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let state = CURRENT.with_borrow(Clone::clone);
    let state = state.expect("`spawn_local` is for what runs inside of a `LocalSet`");
    item::spawn(&state, future)
}

/// Polls a future and the tasks of a set: see [`LocalSet::run_until`].
///
/// # Examples
/// ```
/// let set = wq::LocalSet::new();
/// let run: wq::RunUntil<'_, _> = set.run_until(async { 7 });
/// assert_eq!(wq::block_on(run), 7);
/// ```
#[pin_project::pin_project]
#[must_use = "a future does nothing until it is awaited"]
pub struct RunUntil<'a, F> {
    set: &'a LocalSet,
    #[pin]
    future: F,
}

impl<F> fmt::Debug for RunUntil<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RunUntil").field(self.set).finish()
    }
}

impl<F: Future> Future for RunUntil<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.set.state.enter(|| {
            let polled = this.future.poll(cx);
            if polled.is_pending() {
                this.set.run_some(cx);
            }
            polled
        })
    }
}

/// Polls the tasks of a set until all have ended: see [`LocalSet::run_all`].
///
/// # Examples
/// ```
/// let set = wq::LocalSet::new();
/// let run: wq::RunAll<'_> = set.run_all();
/// wq::block_on(run); // there is none
/// ```
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct RunAll<'a>(&'a LocalSet);

impl Future for RunAll<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.state.enter(|| self.0.run_some(cx));
        if self.0.is_empty() {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}
