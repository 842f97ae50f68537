//! Lateness of short tasks among tasks that block or burn without telling the runtime.
//!
//! K tasks sleep in the thread, or burn CPU, again and again with a yield between. Beside them a
//! foreign thread spawns a thousand short tasks a second; lateness is from the moment before the
//! spawn to the short task's first instruction. `others/s` counts the naps or burns, so that no
//! runtime looks good by doing fewer of them. A short task that waits beyond the round's end is
//! waited for, but the K tasks stop first: lateness is cut off at about the round's length. That
//! favours runtimes whose short tasks would wait longer.

use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Latch;
use crate::harness::child::{Bench, Observed};
use crate::harness::machine;
use crate::runtime::Runtime;

/// Time between two arrivals of short tasks.
const PERIOD: Duration = Duration::from_millis(1);
/// Length of a nap.
const NAP: Duration = Duration::from_millis(50);
/// CPU time of a burn, by the thread's own CPU clock: it is not shorter where CPUs are shared.
const BURN: Duration = Duration::from_millis(20);
/// Looks at the CPU clock are this many spins apart: the clock is a system call.
const SPINS: u32 = 1_000;
/// Arrivals between two counts of threads; a count reads a file.
const COUNT_THREADS_EVERY: usize = 50;

/// K tasks sleep in the thread.
pub(super) fn naps<R: Runtime, const K: usize>(runtime: R, bench: &mut Bench) {
    bench.lateness(|time| short_tasks_among::<R>(runtime, K, || thread::sleep(NAP), time));
}

/// K tasks burn CPU.
pub(super) fn burns<R: Runtime, const K: usize>(runtime: R, bench: &mut Bench) {
    bench.lateness(|time| short_tasks_among::<R>(runtime, K, burn, time));
}

/// Burns CPU in the calling thread.
fn burn() {
    let end = machine::thread_cpu_time() + BURN;
    while machine::thread_cpu_time() < end {
        (0..SPINS).for_each(|_| hint::spin_loop());
    }
}

/// One round.
fn short_tasks_among<R: Runtime>(
    runtime: R,
    tasks: usize,
    block: fn(),
    time: Duration,
) -> Observed {
    let long = LongTasks::start(runtime, tasks, block);
    let short = Arc::new(ShortTasks::new(
        (time.as_nanos() / PERIOD.as_nanos()) as usize,
    ));
    let arriving = Arc::clone(&short);
    let arrivals = thread::spawn(move || arriving.arrive_at_pace(runtime));
    // The main thread only waits: `current_thread` runs its tasks here.
    runtime.wait(short.spawned.wait());
    let others_per_s = long.stop(runtime);
    runtime.wait(short.ran.wait());
    let threads = arrivals.join().expect("the arriving thread ends");
    Observed {
        samples_ns: short.lateness(),
        others_per_s,
        threads,
    }
}

/// The tasks that block.
struct LongTasks<R: Runtime> {
    /// False once they are to end.
    go_on: Arc<AtomicBool>,
    /// Naps or burns that have ended.
    done: Arc<AtomicU64>,
    /// When they were started.
    start: Instant,
    /// To wait for their end.
    handles: Vec<R::Join<()>>,
}

impl<R: Runtime> LongTasks<R> {
    /// Starts them from outside.
    fn start(runtime: R, tasks: usize, block: fn()) -> Self {
        let (go_on, done) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let task = |_| {
            let (go_on, done) = (Arc::clone(&go_on), Arc::clone(&done));
            runtime.spawn_outside(async move {
                // Relaxed: neither the flag nor the count orders anything.
                while go_on.load(Ordering::Relaxed) {
                    R::block_in_task(block).await;
                    done.fetch_add(1, Ordering::Relaxed);
                    R::yield_now().await;
                }
            })
        };
        Self {
            start: Instant::now(),
            handles: (0..tasks).map(task).collect(),
            go_on,
            done,
        }
    }

    /// Stops them and waits until they have ended; gives how many naps or burns ended a second.
    fn stop(self, runtime: R) -> f64 {
        // Relaxed: see `start`.
        let done = self.done.load(Ordering::Relaxed);
        let rate = done as f64 / self.start.elapsed().as_secs_f64();
        self.go_on.store(false, Ordering::Relaxed);
        runtime.wait(async {
            for handle in self.handles {
                R::join(handle).await;
            }
        });
        rate
    }
}

/// The short tasks of a round, and what they found.
struct ShortTasks {
    /// A slot for each, so that noting a lateness touches nothing shared.
    lateness_ns: Vec<AtomicU64>,
    /// Told when all are spawned.
    spawned: Arc<Latch>,
    /// Told when all have run.
    ran: Arc<Latch>,
}

impl ShortTasks {
    /// Slots for a number of tasks.
    fn new(count: usize) -> Self {
        let (spawned, ran) = (Latch::new(), Latch::new());
        spawned.expect(1);
        ran.expect(count);
        Self {
            lateness_ns: (0..count).map(|_| AtomicU64::new(0)).collect(),
            spawned,
            ran,
        }
    }

    /// Spawns them at their times, from the calling thread; gives the most threads seen.
    fn arrive_at_pace<R: Runtime>(self: Arc<Self>, runtime: R) -> u64 {
        let start = Instant::now();
        let mut threads = 0;
        for number in 0..self.lateness_ns.len() {
            let due = start + PERIOD * number as u32;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let short = Arc::clone(&self);
            let arrival = Instant::now();
            R::detach(runtime.spawn_outside(async move { short.note(number, arrival) }));
            if number % COUNT_THREADS_EVERY == 0 {
                threads = threads.max(machine::threads());
            }
        }
        self.spawned.arrive();
        threads
    }

    /// The body of a short task.
    fn note(&self, number: usize, arrival: Instant) {
        let late = arrival.elapsed().as_nanos() as u64;
        // Relaxed: the latch orders the slots before the look at them.
        self.lateness_ns[number].store(late, Ordering::Relaxed);
        self.ran.arrive();
    }

    /// What all of them noted; only once all have run.
    fn lateness(&self) -> Vec<u64> {
        // Relaxed: see `note`.
        self.lateness_ns
            .iter()
            .map(|slot| slot.load(Ordering::Relaxed))
            .collect()
    }
}
