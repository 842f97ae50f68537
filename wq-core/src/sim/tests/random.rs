//! Random programs: whatever is queued where and does what, the promises hold.
//!
//! A few hundred seeds, each a program of its own on one to three CPUs. Items burn, block (said
//! and unsaid), suspend, yield, and queue others; each step is held against the ledger, each
//! instant against the watch, and in the end everything must have run once.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use super::ledger::{Ledger, Rules, Told};
use super::watch::Watch;
use crate::sim::{Sim, Spec, burn, delay, simulate, sleep};
use crate::{Queue, Queued, Work, Workqueue};

/// Seeds that every test run takes.
const SEEDS: u64 = 300;

/// Times that steps take, us: ties and odd ones.
const TIMES: [u64; 8] = [0, 1, 10, 100, 1_000, 1_000, 5_000, 20_000];

/// A lane that nobody runs although a CPU is free may stand for so long, ns: mostly the spotter is
/// there at once, but when it naps after fruitless looks the monitor comes, after 10 ms at most.
const UNRUN_NS: u64 = 12_000_000;
/// Work may wait for so long behind an item that does not end while another CPU is free, ns: the
/// monitor comes after 10 ms at the latest, wants to see 1 ms burnt, and may need a new worker,
/// each with a round of its own.
const UNSHARED_NS: u64 = 15_000_000;

/// Splitmix64, for programs.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    /// One of `n`.
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    /// A time.
    fn time(&mut self) -> Duration {
        Duration::from_micros(TIMES[self.below(TIMES.len())])
    }
}

/// What an item does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Burn(Duration),
    /// Blocks the thread, and does not say so.
    Block(Duration),
    /// Blocks the thread and says so.
    Marked(Duration),
    /// Suspends; a closure blocks instead.
    Delay(Duration),
    /// Suspends and is woken at once; a closure does nothing.
    Yield,
    /// Queues an item without children.
    Spawn,
}

/// A program of up to six steps.
fn steps(random: &mut Random, may_spawn: bool) -> Vec<Step> {
    let kinds = if may_spawn { 6 } else { 5 };
    (0..random.below(7))
        .map(|_| match random.below(kinds) {
            0 => Step::Burn(random.time()),
            1 => Step::Block(random.time()),
            2 => Step::Marked(random.time()),
            3 => Step::Delay(random.time()),
            4 => Step::Yield,
            _ => Step::Spawn,
        })
        .collect()
}

/// What items need to queue others.
#[derive(Clone)]
struct World {
    ledger: Ledger,
    queues: Arc<Vec<Queue>>,
    random: Random,
}

impl World {
    /// Queues a random item.
    fn spawn(&mut self, may_spawn: bool) {
        let queue = self.random.below(self.queues.len());
        let program = steps(&mut self.random, may_spawn);
        let mut inside = World {
            random: Random(self.random.below(usize::MAX) as u64),
            ..self.clone()
        };
        let id = self.ledger.submit(queue);
        let ledger = self.ledger.clone();
        if self.random.below(2) == 0 {
            drop(self.queues[queue].spawn_fn(move || {
                ledger.enter(id);
                program.into_iter().for_each(|step| inside.act(step));
                ledger.leave(id, true);
            }));
            return;
        }
        let future = Box::pin(async move {
            for step in program {
                match step {
                    Step::Delay(time) => delay(time).await,
                    Step::Yield => YieldNow(false).await,
                    other => inside.act(other),
                }
            }
        });
        drop(self.queues[queue].spawn(Told { ledger, id, future }));
    }

    /// A step of a closure, or one of a future that does not suspend.
    fn act(&mut self, step: Step) {
        match step {
            Step::Burn(time) => burn(time),
            Step::Block(time) | Step::Delay(time) => sleep(time),
            Step::Marked(time) => crate::blocking(|| sleep(time)),
            Step::Yield => {}
            Step::Spawn => self.spawn(false),
        }
    }
}

/// Suspends once, woken already.
struct YieldNow(bool);

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

/// A queue of a random kind, and what it promises.
fn queue(sim: &Sim, random: &mut Random) -> (Workqueue, Rules) {
    let limit = 1 + random.below(3);
    let mut rules = Rules {
        max_active: usize::MAX,
        ordered: false,
        percpu: false,
    };
    let percpu = || Workqueue::percpu("percpu").system(&sim.system);
    let unbound = || Workqueue::unbound("unbound").system(&sim.system);
    let built = match random.below(7) {
        0 => {
            rules = Rules {
                max_active: 1,
                ordered: true,
                percpu: false,
            };
            Workqueue::ordered("ordered").system(&sim.system).build()
        }
        1 => {
            rules.max_active = limit;
            unbound().max_active(limit).build()
        }
        2 => unbound().build(),
        3 => {
            rules = Rules {
                max_active: limit,
                ordered: false,
                percpu: true,
            };
            percpu().max_active(limit).build()
        }
        4 => {
            rules.percpu = true;
            percpu().highpri().build()
        }
        5 => unbound().highpri().build(),
        _ => {
            rules.percpu = true;
            percpu().build()
        }
    };
    (built.expect("a good queue"), rules)
}

/// An item that is queued again and again: how often it was asked for, and what its runs saw.
struct Repeated {
    work: Work,
    /// Requests so far, as the last run saw them.
    seen: Arc<AtomicU64>,
    runs: Arc<AtomicU64>,
    requests: Arc<AtomicU64>,
    /// Requests that were not coalesced.
    granted: u64,
}

impl Repeated {
    /// An item that burns, or blocks, for `time`.
    fn new(ledger: &Ledger, time: Duration, blocks: bool) -> Repeated {
        let [seen, runs, requests, inside] = std::array::from_fn(|_| Arc::new(AtomicU64::new(0)));
        let (its_seen, its_runs, its_requests) =
            (Arc::clone(&seen), Arc::clone(&runs), Arc::clone(&requests));
        let ledger = ledger.clone();
        // Relaxed throughout: one thread of the machine runs at a time.
        let work = Work::new(move || {
            if inside.fetch_add(1, Ordering::Relaxed) != 0 {
                ledger.fault("a work item runs beside itself".to_owned());
            }
            its_seen.store(its_requests.load(Ordering::Relaxed), Ordering::Relaxed);
            if blocks {
                sleep(time);
            } else {
                burn(time);
            }
            its_runs.fetch_add(1, Ordering::Relaxed);
            inside.fetch_sub(1, Ordering::Relaxed);
        });
        Repeated {
            work,
            seen,
            runs,
            requests,
            granted: 0,
        }
    }

    /// Asks for a run.
    fn request(&mut self, queue: &Queue) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.granted += u64::from(queue.queue(&self.work) == Queued::New);
    }

    /// All has ended: each granted request was a run, and the last one saw the last request.
    fn check(&self, ledger: &Ledger) {
        let runs = self.runs.load(Ordering::Relaxed);
        let (seen, asked) = (
            self.seen.load(Ordering::Relaxed),
            self.requests.load(Ordering::Relaxed),
        );
        if runs != self.granted || seen != asked {
            let granted = self.granted;
            ledger.fault(format!(
                "{granted} granted, {runs} runs; {asked} asked, {seen} seen"
            ));
        }
    }
}

/// Waits for a flush, here or on a thread of its own, and checks what it covered.
fn flush(queue: &Workqueue, at: usize, ledger: &Ledger, here: bool) {
    let covered = ledger.in_flight(at);
    let flush = queue.flush();
    let ledger = ledger.clone();
    let wait = move || {
        flush.wait().expect("all end");
        ledger.flushed(&covered);
    };
    if here {
        wait();
    } else {
        crate::os::spawn_thread("flusher".to_owned(), wait).expect("threads are not refused");
    }
}

/// One program.
fn program(sim: &Sim, seed: u64, cpus: usize) {
    let mut random = Random(seed);
    let (queues, rules): (Vec<Workqueue>, Vec<Rules>) =
        (0..3).map(|_| queue(sim, &mut random)).unzip();
    let ledger = Ledger::new(rules);
    let mut watch = Watch::new(&sim.system.inner, UNRUN_NS, UNSHARED_NS);
    sim.here
        .check_at_rest(Box::new(move |rest| watch.look(rest)));
    let handles = Arc::new(queues.iter().map(|queue| Queue::clone(queue)).collect());
    let mut repeated = Repeated::new(&ledger, random.time(), random.below(2) == 0);
    let mut world = World {
        ledger: ledger.clone(),
        queues: handles,
        random: Random(!seed),
    };
    for _ in 0..5 + random.below(20) {
        sim.here.stand_on(random.below(cpus));
        let at = random.below(queues.len());
        match random.below(10) {
            0 => flush(&queues[at], at, &ledger, random.below(2) == 0),
            1 | 2 => repeated.request(&queues[at]),
            3 | 4 => sleep(random.time()),
            _ => world.spawn(true),
        }
    }
    // Children may come from items of any queue.
    for _ in 0..2 {
        queues
            .iter()
            .enumerate()
            .for_each(|(at, queue)| flush(queue, at, &ledger, true));
    }
    repeated.check(&ledger);
    check_end(sim, &queues, &ledger);
}

/// Everything has run once and nothing is left.
fn check_end(sim: &Sim, queues: &[Workqueue], ledger: &Ledger) {
    let mut ended = 0;
    for (at, queue) in queues.iter().enumerate() {
        match ledger.close(at) {
            Ok(items) => ended += items,
            Err(fault) => sim.here.machine().fail(fault),
        }
        let stats = queue.stats();
        if (stats.in_flight, stats.active, stats.waiting) != (0, 0, 0) {
            sim.here
                .machine()
                .fail(format!("accounts are not even at the end: {stats:?}"));
        }
    }
    let counted: u64 = queues.iter().map(|queue| queue.stats().completed).sum();
    if counted < ended {
        sim.here
            .machine()
            .fail(format!("{ended} items have ended, {counted} were counted"));
    }
    let stats = sim.system.stats();
    if stats.rescues != 0 {
        sim.here
            .machine()
            .fail(format!("a wake-up was lost: {stats:?}"));
    }
}

/// Runs the program of one seed.
fn run(seed: u64) {
    let cpus = 1 + seed as usize % 3;
    simulate(Spec { cpus, seed }, |sim| program(sim, seed, cpus));
}

/// Nothing is lost, nothing runs twice at once or out of turn, limits and flushes hold, and no
/// CPU idles while work waits. `WQ_SIM_SEED` runs one seed, `WQ_SIM_SEEDS` so many.
#[test]
fn promises_hold_whatever_the_program() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    if let Some(seed) = number("WQ_SIM_SEED") {
        return run(seed);
    }
    (0..number("WQ_SIM_SEEDS").unwrap_or(SEEDS)).for_each(run);
}

/// The same seed gives the same run.
#[test]
fn a_seed_is_a_run() {
    let observe = |seed| {
        simulate(Spec { cpus: 2, seed }, |sim| {
            program(sim, seed, 2);
            (sim.here.now_ns(), sim.system.stats())
        })
    };
    for seed in 0..8 {
        assert_eq!(observe(seed), observe(seed), "seed {seed}");
    }
}
