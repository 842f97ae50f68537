//! The load: handlers that block or burn, and pings that want to be answered at once.
//!
//! The time is divided evenly between four poisons. Each ping is due on a grid of milliseconds, and
//! its lateness runs from that moment to its task's first instruction, so that a late sender is no
//! excuse. A ping that is dropped unrun counts as late by all the time until then.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use crate::treesum::heartbeat::Lateness;
use crate::treesum::usage::ThreadPeak;

/// Between two pings.
const PERIOD: Duration = Duration::from_millis(1);

/// Pings between two counts of threads.
const COUNT_EVERY: u32 = 50;

/// What a handler does to its thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Poison {
    /// `std::thread::sleep` for 50 ms.
    Sleep,
    /// A `std::sync::Mutex` that all handlers want and each holds for 10 ms.
    Lock,
    /// 100 ms of processor time.
    Burn,
    /// 32 MiB of fresh memory, touched page by page.
    Faults,
}

impl Poison {
    /// In the order of their turns.
    pub const ALL: [Self; 4] = [Self::Sleep, Self::Lock, Self::Burn, Self::Faults];

    /// What the table says.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sleep => "thread::sleep, 50 ms",
            Self::Lock => "a contended std Mutex",
            Self::Burn => "100 ms of CPU",
            Self::Faults => "a page-fault storm",
        }
    }

    /// Does it, on the calling thread.
    fn take(self, lock: &Mutex<()>) {
        match self {
            Self::Sleep => thread::sleep(Duration::from_millis(50)),
            Self::Lock => {
                let _held = locked(lock);
                thread::sleep(Duration::from_millis(10));
            }
            Self::Burn => burn(Duration::from_millis(100)),
            Self::Faults => touch(32 << 20),
        }
    }
}

/// One runtime's load and its record.
#[derive(Debug)]
pub struct Load {
    /// Time for each poison.
    turn: Duration,
    /// Index of the present one.
    poison: AtomicUsize,
    /// False once the time is over.
    goes_on: AtomicBool,
    /// What [`Poison::Lock`] is about.
    lock: Mutex<()>,
    /// By poison.
    lateness: [Mutex<Lateness>; Poison::ALL.len()],
    /// Pings that have not run.
    in_flight: AtomicUsize,
    /// Threads at most.
    threads: ThreadPeak,
}

/// A ping on its way.
#[derive(Debug)]
pub struct Ping {
    /// When its task should run.
    due: Instant,
    /// Under which poison.
    poison: Poison,
    /// Where it is recorded.
    load: Arc<Load>,
}

impl Ping {
    /// Its task runs.
    pub fn arrive(self) {
        // To be dropped is to be recorded.
    }
}

impl Drop for Ping {
    fn drop(&mut self) {
        self.load.record(self.poison, self.due.elapsed());
        // Relaxed: a count, waited for.
        self.load.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Load {
    /// A handler's rest between two requests.
    pub const PAUSE: Duration = Duration::from_millis(100);

    /// How long late pings are waited for at the end.
    const PATIENCE: Duration = Duration::from_secs(2);

    /// A load that lasts for `time`.
    #[must_use]
    pub fn new(time: Duration) -> Arc<Self> {
        Arc::new(Self {
            turn: time / Poison::ALL.len() as u32,
            poison: AtomicUsize::new(0),
            goes_on: AtomicBool::new(true),
            lock: Mutex::default(),
            lateness: Default::default(),
            in_flight: AtomicUsize::new(0),
            threads: ThreadPeak::default(),
        })
    }

    /// How many handlers there are: more than processors, so that they can stop all of them.
    #[must_use]
    pub fn handlers(&self) -> usize {
        2 * thread::available_parallelism().map_or(2, |n| n.get())
    }

    /// Whether handlers should take another request.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        // Relaxed: a flag with no data behind it.
        self.goes_on.load(Ordering::Relaxed)
    }

    /// Handles one request, in the way of the present poison.
    pub fn handle(&self) {
        self.poison().take(&self.lock);
    }

    /// The present poison.
    #[must_use]
    pub fn poison(&self) -> Poison {
        // Relaxed: as above.
        Poison::ALL[self.poison.load(Ordering::Relaxed)]
    }

    /// Sends pings, from the calling thread, until the time is over, and waits for late ones.
    pub fn send_pings(self: &Arc<Self>, spawn: impl Fn(Ping)) {
        for (index, poison) in Poison::ALL.into_iter().enumerate() {
            self.poison.store(index, Ordering::Relaxed);
            self.send_turn(poison, &spawn);
        }
        self.goes_on.store(false, Ordering::Relaxed);
        let end = Instant::now() + Self::PATIENCE;
        // Relaxed: see `Ping::drop`.
        while self.in_flight.load(Ordering::Relaxed) > 0 && Instant::now() < end {
            thread::sleep(PERIOD);
        }
    }

    /// The pings of one poison.
    fn send_turn(self: &Arc<Self>, poison: Poison, spawn: &impl Fn(Ping)) {
        let start = Instant::now();
        let pings = (self.turn.as_nanos() / PERIOD.as_nanos()) as u32;
        for number in 0..pings {
            let due = start + PERIOD * number;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            let load = Arc::clone(self);
            spawn(Ping { due, poison, load });
            if number % COUNT_EVERY == 0 {
                self.threads.sample();
            }
        }
    }

    /// Records a ping.
    fn record(&self, poison: Poison, late: Duration) {
        locked(&self.lateness[poison as usize]).record(late);
    }

    /// The record of one poison so far.
    #[must_use]
    pub fn lateness(&self, poison: Poison) -> Lateness {
        locked(&self.lateness[poison as usize]).clone()
    }

    /// The whole record so far.
    #[must_use]
    pub fn all_lateness(&self) -> Lateness {
        let mut all = Lateness::default();
        for poison in Poison::ALL {
            all.add(&self.lateness(poison));
        }
        all
    }

    /// Pings that have not run.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Threads at most.
    #[must_use]
    pub fn threads(&self) -> u64 {
        self.threads.get()
    }
}

/// Locks even after a panic: each critical section is one record or nothing.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the processor for so much of the thread's own time.
fn burn(time: Duration) {
    let now = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(time, Duration::from);
    let end = now() + time;
    while now() < end {
        black_box((0..10_000).sum::<u64>());
    }
}

/// Touches each page of fresh memory.
fn touch(bytes: usize) {
    /// Not larger than any page.
    const PAGE: usize = 4096;
    let mut memory = vec![0_u8; bytes];
    for page in memory.chunks_mut(PAGE) {
        page[0] = 1;
    }
    black_box(&memory);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: pings are counted under their poison and waited for. Method: answer each at once.
    #[test]
    fn pings_are_counted_by_poison() {
        let load = Load::new(Duration::from_millis(40));
        load.send_pings(Ping::arrive);
        for poison in Poison::ALL {
            assert_eq!(load.lateness(poison).beats(), 10, "{poison:?}");
        }
        assert_eq!((load.all_lateness().beats(), load.unanswered()), (40, 0));
        assert!(!load.goes_on());
    }

    /// Goal: a ping that a runtime throws away is late, not forgotten. Method: throw all away.
    #[test]
    fn dropped_pings_are_late() {
        let load = Load::new(Duration::from_millis(40));
        load.send_pings(drop);
        assert_eq!(load.all_lateness().beats(), 40);
    }

    /// Goal: each poison does what it says. Method: processor time against time that passed.
    #[test]
    fn poisons_take_their_time() {
        for poison in Poison::ALL {
            let begun = Instant::now();
            poison.take(&Mutex::new(()));
            let least = match poison {
                Poison::Sleep => 50,
                Poison::Lock => 10,
                Poison::Burn => 100,
                Poison::Faults => 0,
            };
            assert!(
                begun.elapsed() >= Duration::from_millis(least),
                "{poison:?}"
            );
        }
    }
}
