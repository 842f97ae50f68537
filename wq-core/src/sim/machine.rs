//! A virtual machine: threads that take turns, and the system calls that they make.
//!
//! Each virtual thread is a real one, so that the engine's worker loop, its thread-locals and the
//! user's closures run as they are; but one at a time has the machine's *baton*, and gives it up
//! only where it sleeps, burns virtual time, or ends. With one thread running and nothing but
//! virtual time, a run is a function of the program and the seed.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use super::kernel::{Class, ThreadId};
use super::kernel::{Kernel, Next, Run};
use crate::CpuSet;
use crate::os::{ThreadState, Tid};

/// Virtual time after which a run is taken for endless.
const TOO_LONG: Duration = Duration::from_secs(3_600);

/// What a test wants to hold whenever nothing more happens at an instant.
pub(super) type AtRest = Box<dyn FnMut(&Rest<'_>) -> Result<(), String> + Send>;

/// A machine at rest: all code of this instant has run.
pub(super) struct Rest<'a>(&'a Kernel);

impl Rest<'_> {
    /// Nobody but the idle class has this CPU.
    pub(super) fn is_idle(&self, cpu: usize) -> bool {
        self.0.runs_on(cpu).is_none()
    }

    /// Number of CPUs.
    pub(super) fn cpus(&self) -> usize {
        self.0.nr_cpus()
    }

    /// The time.
    pub(super) fn now_ns(&self) -> u64 {
        self.0.now_ns
    }

    /// Whether the thread with this number waits for a CPU.
    pub(super) fn waits_for_cpu(&self, tid: Tid) -> bool {
        self.0.threads[tid as usize - 1].run == Run::Ready
    }

    /// What the thread with this number does.
    pub(super) fn state_of(&self, tid: Tid) -> ThreadState {
        state_of(self.0, tid)
    }
}

/// A machine.
pub(crate) struct Machine {
    kernel: Mutex<Kernel>,
    /// The thread that may run.
    baton: AtomicUsize,
    /// The real threads behind the virtual ones.
    handles: Mutex<Vec<Arc<OnceLock<thread::Thread>>>>,
    /// Checked at rest, until it fails.
    at_rest: Mutex<Option<AtRest>>,
    /// What went wrong first.
    failure: Mutex<Option<String>>,
    /// Nobody runs any more; the first thread unwinds.
    dead: AtomicBool,
    /// What virtual time zero is in the engine's eyes.
    start: Instant,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").finish_non_exhaustive()
    }
}

/// Locks; a failed test leaves nothing that anybody goes on with.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number as the engine knows threads by: 0 is nobody's.
fn tid_of(id: ThreadId) -> Tid {
    id as Tid + 1
}

/// What a look at a thread shows.
fn state_of(kernel: &Kernel, tid: Tid) -> ThreadState {
    match kernel
        .threads
        .get(tid as usize - 1)
        .map(|thread| thread.run)
    {
        None | Some(Run::Done) => ThreadState::Unknown,
        Some(Run::Blocked { .. }) => ThreadState::Asleep,
        Some(Run::Ready | Run::Running) => ThreadState::Running,
    }
}

thread_local! {
    /// The virtual thread that this one is.
    static HERE: RefCell<Option<Here>> = const { RefCell::new(None) };
}

impl Machine {
    /// Runs `body` as the first thread of a machine, waits until all others have ended, and
    /// says what went wrong.
    pub(super) fn run<R>(
        cpus: usize,
        seed: u64,
        body: impl FnOnce(&Here) -> R,
    ) -> Result<R, String> {
        let mut kernel = Kernel::new(cpus, seed);
        let id = kernel.add("main".to_owned(), Class::Outside);
        kernel.threads[id].run = Run::Running;
        let machine = Arc::new(Machine {
            kernel: Mutex::new(kernel),
            baton: AtomicUsize::new(id),
            handles: Mutex::new(vec![Arc::new(OnceLock::from(thread::current()))]),
            at_rest: Mutex::new(None),
            failure: Mutex::new(None),
            dead: AtomicBool::new(false),
            start: Instant::now(),
        });
        let here = Here {
            machine: Arc::clone(&machine),
            id,
        };
        HERE.set(Some(here.clone()));
        let result = catch_unwind(AssertUnwindSafe(|| {
            let result = body(&here);
            here.wait_for_the_others();
            result
        }));
        HERE.set(None);
        match (lock(&machine.failure).take(), result) {
            (Some(failure), _) => Err(failure),
            (None, Ok(result)) => Ok(result),
            (None, Err(panic)) => resume_unwind(panic),
        }
    }

    /// Notes what went wrong; the first thing counts.
    pub(super) fn fail(&self, what: String) {
        lock(&self.failure).get_or_insert(what);
    }

    /// Whether anything went wrong.
    pub(super) fn has_failed(&self) -> bool {
        lock(&self.failure).is_some()
    }

    /// Passes the baton on; comes back when it is the caller's turn again.
    fn switch(&self, mut kernel: MutexGuard<'_, Kernel>, me: ThreadId, comes_back: bool) {
        let next = loop {
            if let Next::Code(id) = kernel.next() {
                break id;
            }
            self.check_at_rest(&kernel);
            let goes_on = kernel.advance();
            let too_long = u128::from(kernel.now_ns) > TOO_LONG.as_nanos();
            if !goes_on || too_long {
                self.fail(format!(
                    "nobody ever runs again, or it never ends:\n{}",
                    kernel.describe()
                ));
                // The first thread reports it; the others stay where they are.
                self.dead.store(true, Ordering::Relaxed);
                kernel.threads[0].class = Class::Outside;
                kernel.set_run(0, Run::Ready);
            }
        };
        drop(kernel);
        if next == me {
            return;
        }
        let handle = Arc::clone(&lock(&self.handles)[next]);
        // Release: pairs with the Acquire in `wait_for_baton`; what this thread did is seen.
        self.baton.store(next, Ordering::Release);
        let thread = handle.get().expect("set before its maker lets others run");
        thread.unpark();
        if comes_back {
            self.wait_for_baton(me);
        }
    }

    /// Sleeps until the baton is here.
    fn wait_for_baton(&self, me: ThreadId) {
        // Acquire: pairs with the Release in `switch`.
        while self.baton.load(Ordering::Acquire) != me {
            thread::park();
        }
    }

    /// Lets the test look at the machine before the clock moves.
    fn check_at_rest(&self, kernel: &Kernel) {
        let mut at_rest = lock(&self.at_rest);
        let Some(check) = at_rest.as_mut() else {
            return;
        };
        if let Err(what) = check(&Rest(kernel)) {
            self.fail(format!("at {} ns: {what}", kernel.now_ns));
            *at_rest = None;
        }
    }
}

/// The calling thread's place in a machine.
#[derive(Clone, Debug)]
pub(crate) struct Here {
    machine: Arc<Machine>,
    id: ThreadId,
}

impl Here {
    /// Of the calling thread, if it is a virtual one.
    pub(crate) fn get() -> Option<Here> {
        HERE.try_with(|here| here.try_borrow().ok().and_then(|here| here.clone()))
            .ok()
            .flatten()
    }

    /// The machine.
    pub(super) fn machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    /// The scheduler.
    fn kernel(&self) -> MutexGuard<'_, Kernel> {
        lock(&self.machine.kernel)
    }

    /// Has something checked whenever the machine is at rest.
    pub(super) fn check_at_rest(&self, check: AtRest) {
        *lock(&self.machine.at_rest) = Some(check);
    }

    /// Nanoseconds since the machine's start.
    pub(crate) fn now_ns(&self) -> u64 {
        let mut kernel = self.kernel();
        if kernel.reads_the_clock_too_often(self.id) {
            let name = kernel.threads[self.id].name.clone();
            drop(kernel);
            self.machine
                .fail(format!("{name} loops, and no time passes"));
            // Relaxed: one thread of the machine runs at a time.
            self.machine.dead.store(true, Ordering::Relaxed);
            resume_unwind(Box::new(Dead));
        }
        kernel.now_ns
    }

    /// The same for those who compute with the library's type.
    pub(crate) fn now(&self) -> Instant {
        self.machine.start + Duration::from_nanos(self.now_ns())
    }

    /// The CPU that the thread runs on.
    pub(crate) fn current_cpu(&self) -> usize {
        self.kernel().threads[self.id].cpu
    }

    /// Has a thread without a CPU of its own appear on this one.
    pub(super) fn stand_on(&self, cpu: usize) {
        self.kernel().threads[self.id].cpu = cpu;
    }

    /// The thread's number.
    pub(crate) fn tid(&self) -> Tid {
        tid_of(self.id)
    }

    /// What another thread does.
    pub(crate) fn state_of(&self, tid: Tid) -> ThreadState {
        let waits = self.kernel().looks_too_often(self.id);
        if waits {
            self.burn(LOOK_COST);
        }
        state_of(&self.kernel(), tid)
    }

    /// The same, for a check: it costs nothing.
    pub(super) fn state_for_model(&self, tid: Tid) -> ThreadState {
        state_of(&self.kernel(), tid)
    }

    /// Workers that were made, and those that are gone.
    pub(super) fn workers_made_and_gone(&self) -> (u64, u64) {
        let kernel = self.kernel();
        // The names of workers have their pool and a number; else only spotters' have a colon.
        let is_worker = |name: &str| name.contains(':') && !name.contains("spot:");
        let workers = || kernel.threads.iter().filter(|t| is_worker(&t.name));
        let gone = workers().filter(|t| t.run == Run::Done).count();
        (workers().count() as u64, gone as u64)
    }

    /// The thread's index, from a number in a system call.
    fn named(&self, tid: Tid) -> ThreadId {
        if tid == 0 { self.id } else { tid as usize - 1 }
    }

    /// CPU time of a thread.
    pub(crate) fn cpu_time(&self, tid: Tid) -> Duration {
        Duration::from_nanos(self.kernel().cpu_time_ns(self.named(tid)))
    }

    /// Changes the thread's class.
    pub(crate) fn set_class(&self, class: Class) {
        let mut kernel = self.kernel();
        kernel.set_class(self.id, class);
        self.machine.switch(kernel, self.id, true);
    }

    /// Changes where a thread may run.
    pub(crate) fn set_affinity(&self, tid: Tid, mask: &CpuSet) {
        let mut kernel = self.kernel();
        let id = self.named(tid);
        kernel.set_mask(id, mask.clone());
        if id == self.id {
            self.machine.switch(kernel, self.id, true);
        }
    }

    /// Burns CPU time.
    pub(crate) fn burn(&self, time: Duration) {
        let mut kernel = self.kernel();
        if kernel.threads[self.id].class == Class::Outside {
            drop(kernel);
            self.wait(0, Some(time));
            return;
        }
        kernel.burn(self.id, time);
        self.machine.switch(kernel, self.id, true);
    }

    /// Sleeps until woken through `word`, or for a time. True: woken.
    pub(crate) fn wait(&self, word: usize, limit: Option<Duration>) -> bool {
        let mut kernel = self.kernel();
        let until = limit.map_or(u64::MAX, |limit| {
            kernel
                .now_ns
                .saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX))
        });
        kernel.block(self.id, word, until);
        self.machine.switch(kernel, self.id, true);
        // Relaxed: one thread of the machine runs at a time.
        if self.machine.dead.load(Ordering::Relaxed) && !thread::panicking() {
            // It would wait for ever; the failure is told by `run`.
            resume_unwind(Box::new(Dead));
        }
        self.kernel().threads[self.id].woken
    }

    /// Wakes up to `n` threads that sleep on `word`; they run when the caller lets them, or at
    /// once if it is of the idle class.
    pub(crate) fn wake(&self, word: usize, n: u32) -> usize {
        let mut kernel = self.kernel();
        let woken = kernel.wake(word, n);
        if kernel.threads[self.id].class == Class::Idle {
            kernel.preempt(self.id);
            self.machine.switch(kernel, self.id, true);
        }
        woken
    }

    /// Starts a thread; it runs when the caller lets it.
    pub(crate) fn spawn(
        &self,
        name: String,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let id = self.kernel().add_booting(name.clone());
        let handle = Arc::new(OnceLock::new());
        lock(&self.machine.handles).push(Arc::clone(&handle));
        let here = Here {
            machine: Arc::clone(&self.machine),
            id,
        };
        thread::Builder::new()
            .name(name)
            .spawn(move || {
                HERE.set(Some(here.clone()));
                here.machine.wait_for_baton(id);
                let ended = catch_unwind(AssertUnwindSafe(body));
                HERE.set(None);
                if ended.is_err() {
                    here.machine.fail(format!("virtual thread {id} panicked"));
                }
                let mut kernel = here.kernel();
                kernel.set_run(id, Run::Done);
                here.machine.switch(kernel, id, false);
            })
            .map(|thread| drop(handle.set(thread.thread().clone())))
    }

    /// Waits until no other thread is left.
    fn wait_for_the_others(&self) {
        for _ in 0..GONE_TRIES {
            if self
                .kernel()
                .threads
                .iter()
                .skip(1)
                .all(|thread| thread.run == Run::Done)
            {
                return;
            }
            self.wait(0, Some(Duration::from_millis(1)));
        }
        let kernel = self.kernel();
        let left = kernel
            .threads
            .iter()
            .skip(1)
            .filter(|thread| thread.run != Run::Done);
        let names: Vec<&str> = left.map(|thread| thread.name.as_str()).collect();
        self.machine
            .fail(format!("threads are left at the end: {names:?}"));
    }
}

/// The panic of the first thread of a machine in which nobody ever runs again.
struct Dead;

/// What a look costs a thread that looks in a loop.
const LOOK_COST: Duration = Duration::from_micros(1);

/// Virtual milliseconds that threads have for leaving.
const GONE_TRIES: u32 = 10_000;
