//! What the async layer needs of the engine and users don't: no stable interface.

#![forbid(unsafe_code)]

use std::any::Any;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use crate::current::Current;
use crate::home::Home;
pub use crate::outside::{Poller, set_poller};
pub use crate::proto::vigil::{Vigil, VigilView};
use crate::queue::handle::{Queue, spawn_ref};
use crate::queue::wait::WaitError;
use crate::sense::Sensor;
use crate::system::System;
#[cfg(all(target_os = "linux", not(wq_portable)))]
use crate::system::pins;
use crate::task::join::{JoinError, JoinHandle};
use crate::timer::Timers;
use crate::{CpuSet, FakeSpec, SystemBuilder, Topology};

/// The timers that a delay made here and now should use: the current System's, or the
/// process-wide ones outside any System or when it has stopped.
///
/// # Panics
///
/// If they are the process-wide ones, these are needed for the first time, and the machine refuses
/// a thread for them.
pub fn timers() -> Arc<Timers> {
    timers_here().unwrap_or_else(process_timers)
}

/// The timers of the calling worker's System, or of the entered one, unless it has stopped.
fn timers_here() -> Option<Arc<Timers>> {
    let here = Current::with(|current| current.map(|c| Arc::clone(&c.system.timers)));
    let timers = here.or_else(|| System::entered().map(|system| Arc::clone(&system.inner.timers)));
    timers.filter(|timers| !timers.is_stopped())
}

/// The timers of the current System, whose clock can be stopped.
///
/// # Panics
/// If the default System must be made and the machine refuses its threads.
#[cfg(feature = "test-util")]
pub fn pausable_timers() -> Arc<Timers> {
    Arc::clone(&System::current().inner.timers)
}

/// Polls a future on the calling thread until it is ready or `limit` is over. On a worker each
/// sleep is a declared block.
pub fn block_on_timeout<F: Future>(future: F, limit: Duration) -> Option<F::Output> {
    crate::block::block_on_timeout(future, limit)
}

/// As [`block_on_timeout`], without a limit, and without a System.
pub fn block_on<F: Future>(future: F) -> F::Output {
    crate::block::block_on(future)
}

/// A number of this process, which a forked child has another of (once there is a System).
pub fn process() -> u32 {
    crate::os::generation()
}

/// The error of a wait whose limit was reached; `what` says what is stuck.
pub fn timed_out(what: String) -> WaitError {
    WaitError::timed_out(what)
}

/// The error of a task that panicked.
pub fn panicked(payload: Box<dyn Any + Send>) -> JoinError {
    JoinError::panicked(payload)
}

/// The error of a task that was dropped before it returned.
pub fn cancelled() -> JoinError {
    JoinError::cancelled()
}

/// The error of a task that was not accepted.
pub fn rejected() -> JoinError {
    JoinError::rejected()
}

/// Drops what a panic left, which may itself panic.
pub fn drop_payload(payload: Box<dyn Any + Send>) {
    crate::task::drop_payload(payload);
}

/// Queues a future on the current System's default queue.
#[inline]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Current::with(|current| match current {
        Some(current) => spawn_ref(&current.system, current.system.own().default, future),
        None => {
            let system = System::current();
            spawn_ref(&system.inner, system.inner.own().default, future)
        }
    })
}

/// The future that is polled on this thread is about to wake itself so that others go first.
#[inline]
pub fn note_yield() {
    Current::with(|current| {
        if let Some(current) = current {
            current.note_yield();
        }
    });
}

/// The queue of the item that runs on this thread, else the current System's default queue.
pub fn current_queue() -> Queue {
    let here = Current::with(|current| {
        let current = current?;
        Some(Queue::of_item(
            Arc::clone(&current.system),
            current.queue()?,
        ))
    });
    here.unwrap_or_else(|| System::current().default_queue())
}

/// What has another thread take over the signal mask, CPUs and priority that the calling one has
/// now. The machine may refuse some of it; that stays as it is.
pub fn settings_of_caller() -> impl Fn() + Send + Sync + 'static {
    let home = Home::of_caller();
    move || home.restore()
}

/// For tests: takes a lane from the worker that runs it, as if it were blocked. `seed` chooses the
/// lane. True: it changed hands.
pub fn force_take_over(system: &System, seed: u64) -> bool {
    let pools = system.inner.lock_pools().clone();
    let pool = &pools[seed as usize % pools.len()];
    let lane = &pool.lanes()[(seed >> 32) as usize % pool.lanes().len()];
    let seen = lane.view();
    seen.is_running() && system.inner.take_over(pool, lane, seen, Sensor::Forced)
}

/// For tests, under `--cfg wq_hooks`: has a dice disturb every step of the engine from now on; 0
/// for no more.
#[cfg(wq_hooks)]
pub fn disturb(seed: u64) {
    crate::hook::arm(seed);
}

/// For tests, under `--cfg wq_hooks`: the steps, and how often each was disturbed.
#[cfg(wq_hooks)]
pub fn disturbances() -> Vec<(&'static str, u64)> {
    crate::hook::counts()
}

/// For tests: has the monitor wait so long for a wake-up before it acts in its place. With seconds
/// of patience no preemption explains a `rescue`, and each one counted is a bug.
pub fn be_patient(system: &System, patience: Duration) {
    let patience_ns = u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX);
    // Relaxed: a setting; the monitor looks at it each time.
    system
        .inner
        .patience_ns
        .store(patience_ns, Ordering::Relaxed);
}

/// For tests: has the System believe that it may use these CPUs, from now on, whatever the machine
/// says; as when CPUs go away or come back.
///
/// # Panics
/// If the list is bad or empty.
pub fn allow_cpus(system: &System, list: &str) {
    let cpus: CpuSet = list.parse().expect("a list of CPUs");
    assert!(!cpus.is_empty(), "some CPU is left");
    system.inner.impose_limits(None, cpus);
}

/// For tests: has the System that is built believe in this machine, whatever the real one is like.
pub fn on_machine(builder: SystemBuilder, spec: FakeSpec) -> SystemBuilder {
    builder.topology(Topology::fake(spec))
}

/// For tests: has the machine refuse every new worker thread of the System, or no more.
pub fn refuse_threads(system: &System, refuse: bool) {
    // Relaxed: a switch; the maker looks at it each time.
    system.inner.refuse_threads.store(refuse, Ordering::Relaxed);
}

/// For tests: what `f` answers in a forked child, `None` if it takes longer than `limit`.
///
/// # Errors
/// If the machine refuses a process.
#[cfg(all(target_os = "linux", not(wq_portable)))]
pub fn in_forked_child(limit: Duration, f: impl FnOnce() -> u8) -> std::io::Result<Option<u8>> {
    crate::os::in_forked_child(limit.as_secs() as u32, f)
}

/// For tests: what `f` answers while somebody holds the locks that an abort of a task of the System
/// takes, as a thread may have when the process forks.
#[cfg(all(target_os = "linux", not(wq_portable)))]
pub fn while_aborting<R>(system: &System, f: impl FnOnce() -> R) -> R {
    system
        .inner
        .while_reaps_are_locked(|| crate::registry::while_locked(f))
}

/// For tests: what `f` answers while somebody is about to wake a task, and somebody else to abort
/// one: both pin Systems or their queues.
#[cfg(all(target_os = "linux", not(wq_portable)))]
pub fn while_waking<R>(f: impl FnOnce() -> R) -> R {
    let _pins = (pins::pin(), pins::pin_to_look());
    f()
}

/// As [`while_aborting`], of the locks of a work item.
#[cfg(all(target_os = "linux", not(wq_portable)))]
pub fn while_at<R>(work: &crate::DelayedWork, f: impl FnOnce() -> R) -> R {
    work.inner().while_locked(f)
}

/// As [`while_at`], of the timer's lock alone: the item is idle, and somebody is about to arm it.
#[cfg(all(target_os = "linux", not(wq_portable)))]
pub fn while_arming<R>(work: &crate::DelayedWork, f: impl FnOnce() -> R) -> R {
    work.inner().while_armed(f)
}

/// A descriptor that is readable once this child has ended, which must not have been reaped.
///
/// # Errors
/// If the kernel lacks that (before Linux 5.3), or refuses it.
#[cfg(all(target_os = "linux", not(wq_portable)))]
pub fn pidfd_open(pid: u32) -> std::io::Result<std::os::fd::OwnedFd> {
    crate::os::pidfd_open(pid)
}

/// Kills the process that such a descriptor means.
///
/// # Errors
/// `ESRCH` if it was reaped; if the kernel refuses.
#[cfg(all(target_os = "linux", not(wq_portable)))]
pub fn pidfd_kill(fd: std::os::fd::BorrowedFd<'_>) -> std::io::Result<()> {
    crate::os::pidfd_kill(fd)
}

/// Whether the calling thread is a worker whose children would inherit a CPU or a priority that the
/// program has not: [`process::outside`](crate::process::outside) would change something.
pub fn children_would_differ() -> bool {
    crate::thread::system_of_worker().is_some_and(|system| system.home.differs())
}

/// For tests: as `SystemStats::handovers_marked`, without the locks that [`System::stats`] takes.
pub fn handovers_marked(system: &System) -> u64 {
    system.inner.stats.by_mark.get()
}

/// Waits for events of an epoll until the limit is over, to the nanosecond where the kernel can;
/// how many there are. 0 also after a signal.
///
/// # Errors
/// What the machine says if it does not wait at all.
#[cfg(all(target_os = "linux", not(wq_portable)))]
pub fn epoll_wait(
    epoll: std::os::fd::BorrowedFd<'_>,
    events: &mut [nix::sys::epoll::EpollEvent],
    limit: Option<Duration>,
) -> std::io::Result<usize> {
    crate::os::epoll_wait(epoll, events, limit)
}

/// Differs from what it was in the process that this one was forked from, if it was called there.
#[cfg(all(target_os = "linux", not(wq_portable)))]
pub fn fork_generation() -> u32 {
    crate::system::builder::watch_forks();
    crate::os::generation()
}

/// Wakes all of them, whichever panics; how many there were.
pub fn wake_all(wakers: impl IntoIterator<Item = Waker>) -> usize {
    let mut count = 0;
    crate::guard::wake_all(wakers.into_iter().inspect(|_| count += 1));
    count
}

/// For a thread that serves the runtime and nothing of the user's: blocks all signals, and asks for
/// exact delays and for short turns that come soon.
pub fn be_service_thread() {
    crate::service::be_service_thread();
}

/// What the clock of [`timers`] shows, without the cost of a handle to them.
pub fn now() -> Instant {
    // A clock that may have been stopped.
    #[cfg(feature = "test-util")]
    if let Some(timers) = timers_here() {
        return timers.now();
    }
    crate::os::now()
}

/// Timers that live as long as the process and are never stopped, with a thread of their own that
/// is started at the first call: for delays outside any System, and for those that outlive theirs.
///
/// # Panics
///
/// If the first call is refused a thread by the machine.
pub fn process_timers() -> Arc<Timers> {
    static TIMERS: OnceLock<Arc<Timers>> = OnceLock::new();
    Arc::clone(TIMERS.get_or_init(|| {
        let timers = Timers::new();
        let served = Arc::clone(&timers);
        thread::Builder::new()
            .name("wq/timer".into())
            .spawn(move || served.run())
            .expect("the process-wide timers need a thread");
        timers
    }))
}
