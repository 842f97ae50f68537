//! Lateness of short tasks among tasks that block or burn without telling the runtime.
//!
//! K tasks block, or burn CPU, again and again with a yield between. Beside them a foreign thread
//! spawns short tasks at a pace; lateness is from the moment before the spawn to the short task's
//! first instruction. `others/s` counts the blocks, or the burns by the CPU time that went into
//! them, so that no runtime looks good by doing fewer of them.
//!
//! *Steady* rounds have a lead of several blocks, of which nothing counts: neither lateness, nor
//! CPU time, nor others. *First moments* are measured once in a process: its runtime has been
//! started and nothing has run on it; the blocking tasks and the short ones begin at once.
//!
//! A short task that waits beyond the round's end is waited for, but the K tasks stop first:
//! lateness is cut off at about the round's length. That favours runtimes whose short tasks would
//! wait longer.

use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wq_benches::poison::Kind;
use wq_benches::{Bench, Observed, Span, machine};

use super::Latch;
use crate::runtime::{Host, WORKERS};

/// Length of a block.
const NAP: Duration = Duration::from_millis(50);
/// Time between two arrivals of short tasks among tasks that block.
const PERIOD: Duration = Duration::from_millis(1);
/// The same among tasks that burn.
const HOG_PERIOD: Duration = Duration::from_millis(2);
/// Looks at the CPU clock are this many spins apart: the clock is a system call.
const SPINS: u32 = 1_000;
/// Arrivals between two counts of threads; a count reads a file.
const COUNT_THREADS_EVERY: usize = 50;
/// Tasks of plain work: more than one for each worker.
const PLAIN_TASKS: usize = 2 * WORKERS;
/// A piece of plain work: long against what a scheduler does, short against any hog.
const PLAIN_PIECE: Duration = Duration::from_micros(100);

/// What the long tasks do.
#[derive(Clone, Copy)]
enum Long {
    /// Block.
    Block(Kind),
    /// Burn that much CPU time.
    Burn(Duration),
}

/// What a case is about.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// What the long tasks do.
    long: Long,
    /// How many there are.
    tasks: usize,
    /// Time between two arrivals.
    period: Duration,
    /// Whether all this is urgent, and plain work fills the CPUs.
    urgent: bool,
}

impl Shape {
    /// Tasks that block.
    pub(super) const fn blocks(kind: Kind, tasks: usize) -> Self {
        Self {
            long: Long::Block(kind),
            tasks,
            period: PERIOD,
            urgent: false,
        }
    }

    /// Tasks that burn CPU, by the thread's own CPU clock: no less where CPUs are shared.
    pub(super) const fn burns(ms: u64, tasks: usize) -> Self {
        Self {
            long: Long::Burn(Duration::from_millis(ms)),
            tasks,
            period: HOG_PERIOD,
            urgent: false,
        }
    }

    /// The same as urgent work.
    pub(super) const fn urgent(mut self) -> Self {
        self.urgent = true;
        self
    }

    /// Makes what the long tasks run; the error is why this machine does not allow it.
    fn prepare(self) -> Result<Body, String> {
        Ok(match self.long {
            Long::Block(kind) => {
                let poison = kind.prepare(NAP, self.tasks)?;
                Arc::new(move |place, done| {
                    poison.block(place);
                    done.add(1.0);
                })
            }
            Long::Burn(time) => Arc::new(move |_, done| burn(time, done)),
        })
    }
}

/// What a long task runs over and over, at its place.
type Body = Arc<dyn Fn(usize, &Done) + Send + Sync>;

/// Blocks or burns that were done, in millionths.
#[derive(Default)]
struct Done(AtomicU64);

impl Done {
    /// Millionths.
    const WHOLE: f64 = 1e6;

    /// Adds a part, or a whole.
    fn add(&self, part: f64) {
        // Relaxed: a figure that orders nothing.
        self.0
            .fetch_add((part * Self::WHOLE) as u64, Ordering::Relaxed);
    }

    /// What was done so far.
    fn get(&self) -> f64 {
        // Relaxed: see `add`.
        self.0.load(Ordering::Relaxed) as f64 / Self::WHOLE
    }
}

/// Burns CPU in the calling thread, and says at each look at the clock how much.
fn burn(time: Duration, done: &Done) {
    let start = machine::thread_cpu_time();
    let mut burnt = Duration::ZERO;
    while burnt < time {
        (0..SPINS).for_each(|_| hint::spin_loop());
        let now = machine::thread_cpu_time() - start;
        done.add((now - burnt).as_secs_f64() / time.as_secs_f64());
        burnt = now;
    }
}

/// The case after the first moments.
pub(super) fn steady<H: Host>(host: H, bench: &mut Bench, shape: Shape) {
    match shape.prepare() {
        Ok(body) => bench.lateness(|span| short_tasks_among(host, shape, &body, span)),
        Err(reason) => bench.skip(&reason),
    }
}

/// The case in a runtime's first moments.
pub(super) fn first_moments<H: Host>(host: H, bench: &mut Bench, shape: Shape) {
    match shape.prepare() {
        Ok(body) => bench.cold_lateness(|span| short_tasks_among(host, shape, &body, span)),
        Err(reason) => bench.skip(&reason),
    }
}

/// One round.
fn short_tasks_among<H: Host>(host: H, shape: Shape, body: &Body, span: Span) -> Observed {
    let plain = shape.urgent.then(|| PlainWork::start(host));
    let long = LongTasks::start(host, shape, body);
    let short = Arc::new(ShortTasks::new(shape, span));
    let (arriving, done) = (Arc::clone(&short), Arc::clone(&long.done));
    let arrivals = thread::spawn(move || arriving.arrive_at_pace(host, &done));
    // The main thread only waits: `current_thread` runs its tasks here.
    host.wait_for(short.spawned.wait());
    let observed = arrivals.join().expect("the arriving thread ends");
    long.stop(host);
    host.wait_for(short.ran.wait());
    if let Some(plain) = plain {
        plain.stop(host);
    }
    Observed {
        samples_ns: short.lateness(),
        ..observed
    }
}

/// Tasks that keep all CPUs busy with ordinary work.
struct PlainWork<H: Host> {
    /// False once they are to end.
    go_on: Arc<AtomicBool>,
    /// To wait for their end.
    tasks: Vec<H::Task>,
}

impl<H: Host> PlainWork<H> {
    /// Starts them.
    fn start(host: H) -> Self {
        let go_on = Arc::new(AtomicBool::new(true));
        let task = |_| {
            let go_on = Arc::clone(&go_on);
            host.begin(false, async move {
                // Relaxed: the flag orders nothing.
                while go_on.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    while start.elapsed() < PLAIN_PIECE {
                        hint::spin_loop();
                    }
                    H::give_way().await;
                }
            })
        };
        Self {
            tasks: (0..PLAIN_TASKS).map(task).collect(),
            go_on,
        }
    }

    /// Ends them.
    fn stop(self, host: H) {
        stop_tasks(host, &self.go_on, self.tasks);
    }
}

/// The tasks that block or burn.
struct LongTasks<H: Host> {
    /// False once they are to end.
    go_on: Arc<AtomicBool>,
    /// What they did.
    done: Arc<Done>,
    /// To wait for their end.
    tasks: Vec<H::Task>,
}

impl<H: Host> LongTasks<H> {
    /// Starts them from outside.
    fn start(host: H, shape: Shape, body: &Body) -> Self {
        let (go_on, done) = (Arc::new(AtomicBool::new(true)), Arc::default());
        let task = |place| {
            let (go_on, done, body) = (Arc::clone(&go_on), Arc::clone(&done), Arc::clone(body));
            host.begin(shape.urgent, async move {
                // Relaxed: the flag orders nothing.
                while go_on.load(Ordering::Relaxed) {
                    let (done, body) = (Arc::clone(&done), Arc::clone(&body));
                    H::run_long(move || body(place, &done)).await;
                    H::give_way().await;
                }
            })
        };
        Self {
            tasks: (0..shape.tasks).map(task).collect(),
            go_on,
            done,
        }
    }

    /// Ends them.
    fn stop(self, host: H) {
        stop_tasks(host, &self.go_on, self.tasks);
    }
}

/// Tells tasks to end and waits until they have.
fn stop_tasks<H: Host>(host: H, go_on: &AtomicBool, tasks: Vec<H::Task>) {
    // Relaxed: the flag orders nothing.
    go_on.store(false, Ordering::Relaxed);
    host.wait_for(async {
        for task in tasks {
            H::end(task).await;
        }
    });
}

/// The short tasks of a round, and what they found.
struct ShortTasks {
    /// A slot for each, so that noting a lateness touches nothing shared.
    lateness_ns: Vec<AtomicU64>,
    /// How many of them do not count: they arrive in the lead.
    lead: usize,
    /// Time between two.
    period: Duration,
    /// Whether they are urgent.
    urgent: bool,
    /// Told when all are spawned.
    spawned: Arc<Latch>,
    /// Told when all have run.
    ran: Arc<Latch>,
}

impl ShortTasks {
    /// Slots for the tasks of a span.
    fn new(shape: Shape, span: Span) -> Self {
        let tasks_in = |time: Duration| (time.as_nanos() / shape.period.as_nanos()) as usize;
        let lead = tasks_in(span.lead);
        let count = lead + tasks_in(span.time).max(1);
        let (spawned, ran) = (Latch::new(), Latch::new());
        spawned.expect(1);
        ran.expect(count);
        Self {
            lateness_ns: (0..count).map(|_| AtomicU64::new(0)).collect(),
            lead,
            period: shape.period,
            urgent: shape.urgent,
            spawned,
            ran,
        }
    }

    /// Spawns them at their times, from the calling thread; gives what else was seen from the
    /// lead's end to the last arrival.
    fn arrive_at_pace<H: Host>(self: Arc<Self>, host: H, done: &Done) -> Observed {
        let start = Instant::now();
        let look = || (Instant::now(), machine::process_cpu_time(), done.get());
        let mut threads = 0;
        let mut begin = look();
        for number in 0..self.lateness_ns.len() {
            let due = start + self.period * number as u32;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if number == self.lead {
                begin = look();
            }
            let short = Arc::clone(&self);
            let arrival = Instant::now();
            let task = host.begin(self.urgent, async move { short.note(number, arrival) });
            H::let_run(task);
            if number % COUNT_THREADS_EVERY == 0 {
                threads = threads.max(machine::threads());
            }
        }
        let end = look();
        self.spawned.arrive();
        let wall = end.0 - begin.0;
        Observed {
            samples_ns: Vec::new(),
            others_per_s: (end.2 - begin.2) / wall.as_secs_f64(),
            threads: threads.max(machine::threads()),
            wall,
            cpu: end.1 - begin.1,
        }
    }

    /// The body of a short task.
    fn note(&self, number: usize, arrival: Instant) {
        let late = arrival.elapsed().as_nanos() as u64;
        // Relaxed: the latch orders the slots before the look at them.
        self.lateness_ns[number].store(late, Ordering::Relaxed);
        self.ran.arrive();
    }

    /// What those that count noted; only once all have run.
    fn lateness(&self) -> Vec<u64> {
        let counting = &self.lateness_ns[self.lead..];
        // Relaxed: see `note`.
        let noted = counting.iter().map(|slot| slot.load(Ordering::Relaxed));
        noted.collect()
    }
}
