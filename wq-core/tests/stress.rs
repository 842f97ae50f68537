//! Torture: random work on all kinds of queues while lanes are taken away at random moments.
//!
//! Nothing may be lost, run twice, run out of order, or need a rescue. Each test is short; those
//! that are `ignored` are the same for minutes, for `.ci/long`.

#[path = "torture/dice.rs"]
mod dice;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use wq_core::driver::{be_patient, force_take_over};
use wq_core::{Queue, System, Workqueue};

use dice::Dice;

/// Longer than any wait that ends.
const FOR_EVER: Duration = Duration::from_secs(120);

/// The monitor leaves missing wake-ups alone for so long: each rescue is a lost one, then.
const PATIENCE: Duration = Duration::from_secs(3);

/// What all items of a run share.
struct World {
    /// Unlimited queues: whatever is spawned there runs, whoever waits for it.
    free: Vec<Queue>,
    /// A limited queue.
    limited: Queue,
    /// An ordered queue, and the number of the next item that is spawned there.
    ordered: Queue,
    next_in_order: Mutex<u64>,
    /// The item of the ordered queue whose turn it is.
    turn: AtomicU64,
    /// Items made, begun and ended.
    made: AtomicU64,
    begun: AtomicU64,
    ended: AtomicU64,
    /// What was wrong.
    errors: Mutex<Vec<String>>,
    /// Wakers for the foreign threads.
    foreign: Mutex<mpsc::Sender<(Waker, Arc<AtomicBool>)>>,
}

/// An item's own count: dropped with its future.
struct Life {
    world: Arc<World>,
    begun: bool,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.world.ended.fetch_add(1, Ordering::SeqCst);
    }
}

impl World {
    /// Notes that something is wrong.
    fn complain(&self, what: String) {
        self.errors.lock().unwrap().push(what);
    }

    /// A random unlimited queue.
    fn free_queue(&self, dice: &mut Dice) -> &Queue {
        &self.free[dice.below(self.free.len() as u64) as usize]
    }
}

/// Returns `Pending` once, after waking itself.
async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Suspends until a foreign thread wakes it.
async fn wait_for_foreigner(world: &World) {
    let woken = Arc::new(AtomicBool::new(false));
    let mut sent = false;
    poll_fn(|cx| {
        if woken.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        if !std::mem::replace(&mut sent, true) {
            let message = (cx.waker().clone(), Arc::clone(&woken));
            world.foreign.lock().unwrap().send(message).unwrap();
        }
        Poll::Pending
    })
    .await;
}

/// Keeps the CPU busy.
fn burn(micros: u64) {
    let until = Instant::now() + Duration::from_micros(micros);
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}

/// One item: a few random deeds; its value is its seed. Boxed, since items spawn items.
fn item(
    world: Arc<World>,
    mut dice: Dice,
    depth: u32,
) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    world.made.fetch_add(1, Ordering::SeqCst);
    let seed = dice.0;
    let mut life = Life {
        world,
        begun: false,
    };
    Box::pin(async move {
        if std::mem::replace(&mut life.begun, true) {
            life.world.complain("an item began twice".into());
        }
        life.world.begun.fetch_add(1, Ordering::SeqCst);
        let world = Arc::clone(&life.world);
        for _ in 0..dice.below(5) {
            match dice.below(12) {
                0 => thread::sleep(Duration::from_micros(dice.below(300))),
                1 => wq_core::blocking(|| {
                    thread::sleep(Duration::from_micros(dice.below(100)));
                }),
                2 => burn(dice.below(100)),
                3 | 4 => wait_for_foreigner(&world).await,
                5 | 6 => yield_once().await,
                _ if depth == 0 => {}
                7 => spawn_in_order(&world, dice.roll()),
                8 => drop(
                    world
                        .limited
                        .spawn(item(world.clone(), Dice(dice.roll()), 0)),
                ),
                9 => {
                    let child = item(world.clone(), Dice(dice.roll()), depth - 1);
                    drop(world.free_queue(&mut dice).spawn(child));
                }
                10 => {
                    let seed = dice.roll() | 1;
                    let child = item(world.clone(), Dice(seed), depth - 1);
                    let joined = world.free_queue(&mut dice).spawn(child).await;
                    if joined.ok() != Some(seed) {
                        world.complain("a join gave another item's value".into());
                    }
                }
                _ => {
                    let child = item(world.clone(), Dice(dice.roll() | 1), 0);
                    if world.free_queue(&mut dice).spawn(child).wait().is_err() {
                        world.complain("a blocking join failed".into());
                    }
                }
            }
        }
        seed
    })
}

/// Spawns the next item of the ordered queue, which checks that it is its turn.
fn spawn_in_order(world: &Arc<World>, seed: u64) {
    let mut next = world.next_in_order.lock().unwrap();
    let number = *next;
    *next += 1;
    let (body, shared) = (
        item(Arc::clone(world), Dice(seed | 1), 0),
        Arc::clone(world),
    );
    drop(world.ordered.spawn(async move {
        if shared.turn.load(Ordering::SeqCst) != number {
            shared.complain(format!("item {number} of the ordered queue is out of turn"));
        }
        body.await;
        if shared.turn.swap(number + 1, Ordering::SeqCst) != number {
            shared.complain(format!("item {number} of the ordered queue was overtaken"));
        }
    }));
}

/// A thread that wakes what it is sent.
fn foreign_waker(inbox: &Mutex<mpsc::Receiver<(Waker, Arc<AtomicBool>)>>, mut dice: Dice) {
    loop {
        let Ok((waker, woken)) = inbox.lock().unwrap().recv() else {
            return;
        };
        burn(dice.below(20));
        woken.store(true, Ordering::Release);
        if dice.below(2) == 0 {
            waker.wake_by_ref();
        } else {
            waker.wake();
        }
    }
}

/// The queues of a run.
fn queues(system: &System) -> Vec<Workqueue> {
    vec![
        Workqueue::unbound("free").system(system).build().unwrap(),
        Workqueue::percpu("cpu").system(system).build().unwrap(),
        Workqueue::percpu("high")
            .system(system)
            .highpri()
            .build()
            .unwrap(),
        Workqueue::unbound("limited")
            .system(system)
            .max_active(4)
            .build()
            .unwrap(),
        Workqueue::ordered("ordered")
            .system(system)
            .build()
            .unwrap(),
    ]
}

/// The world of a run on these queues, and what the foreign threads are sent.
fn world(owners: &[Workqueue]) -> (Arc<World>, mpsc::Receiver<(Waker, Arc<AtomicBool>)>) {
    let (send, receive) = mpsc::channel();
    let handle = |n: usize| (*owners[n]).clone();
    let world = World {
        free: (0..3).map(handle).collect(),
        limited: handle(3),
        ordered: handle(4),
        next_in_order: Mutex::new(0),
        turn: AtomicU64::new(0),
        made: AtomicU64::new(0),
        begun: AtomicU64::new(0),
        ended: AtomicU64::new(0),
        errors: Mutex::new(Vec::new()),
        foreign: Mutex::new(send),
    };
    (Arc::new(world), receive)
}

/// A System for torture; where every step may be disturbed, workers come and go as well.
fn builder() -> wq_core::SystemBuilder {
    if cfg!(wq_hooks) {
        System::builder().keep_alive(Duration::from_millis(3))
    } else {
        System::builder()
    }
}

/// Panics of any thread: no item panics here, and a worker that does is missed by nobody.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// Counts panics from here on.
fn count_panics() {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            before(panic);
        }));
    });
}

/// Random work for `time` while lanes are taken by force.
fn torture(time: Duration, seed: u64) {
    count_panics();
    let system = builder().workers(2).build().unwrap();
    be_patient(&system, PATIENCE);
    let owners = queues(&system);
    let (world, receive) = world(&owners);
    let inbox = Arc::new(Mutex::new(receive));
    let foreigners: Vec<_> = (1..3)
        .map(|n| {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || foreign_waker(&inbox, Dice(seed + n)))
        })
        .collect();
    let over = AtomicBool::new(false);
    thread::scope(|s| {
        s.spawn(|| {
            let mut dice = Dice(seed ^ 0xdead_beef);
            while !over.load(Ordering::Relaxed) {
                force_take_over(&system, dice.roll());
                burn(dice.below(60));
            }
        });
        work_for(time, Dice(seed), &system, &owners, &world);
        settle(&owners, &world);
        over.store(true, Ordering::Relaxed);
    });
    check(&system, &owners, &world);
    drop(world);
    foreigners.into_iter().for_each(|t| t.join().unwrap());
}

/// Batches of items that are waited for, until the time is over.
fn work_for(
    time: Duration,
    mut dice: Dice,
    system: &System,
    owners: &[Workqueue],
    world: &Arc<World>,
) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        let batch: Vec<_> = (0..dice.below(40) + 1)
            .map(|_| {
                let seed = dice.roll() | 1;
                let body = item(Arc::clone(world), Dice(seed), 3);
                (seed, world.free_queue(&mut dice).spawn(body))
            })
            .collect();
        for (seed, task) in batch {
            match task.wait_timeout(FOR_EVER) {
                Ok(value) => assert_eq!(value.unwrap(), seed),
                Err(_) => panic!("an item is lost: {:?}\n{:?}", system.stats(), stats(owners)),
            }
        }
    }
}

/// Nothing was lost, run twice, out of order, or rescued.
#[expect(
    clippy::print_stdout,
    reason = "the figures of a run, shown with `--nocapture`"
)]
fn check(system: &System, owners: &[Workqueue], world: &World) {
    let accepted: u64 = stats(owners).iter().map(|s| s.accepted).sum();
    let completed: u64 = stats(owners).iter().map(|s| s.completed).sum();
    let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
    println!("{accepted} items, {:?}", system.stats());
    assert_eq!(*world.errors.lock().unwrap(), Vec::<String>::new());
    assert_eq!(count(&PANICS), 0, "a thread panicked");
    assert_eq!(
        (accepted, completed),
        (count(&world.made), count(&world.made))
    );
    assert_eq!(
        (count(&world.begun), count(&world.ended)),
        (accepted, accepted)
    );
    assert_eq!(count(&world.turn), *world.next_in_order.lock().unwrap());
    assert_eq!(system.stats().rescues, 0);
    assert!(system.stats().handovers_forced > 0, "no lane was taken");
    let report = system.shutdown(Duration::ZERO);
    assert_eq!(
        (report.completed, report.dropped, report.detached),
        (accepted, 0, 0)
    );
}

/// Waits until every item has ended and is counted. Items spawn items, also in queues that were
/// flushed a moment ago; but once none is alive none comes, and all stand in their queues' counts
/// after one flush more.
fn settle(owners: &[Workqueue], world: &World) {
    let flush_all = || {
        for queue in owners {
            queue.flush().wait_timeout(FOR_EVER).expect("a flush ends");
        }
    };
    loop {
        flush_all();
        // In this order: who is alive by now was made by now.
        let ended = world.ended.load(Ordering::SeqCst);
        if ended == world.made.load(Ordering::SeqCst) {
            return flush_all();
        }
    }
}

/// The queues' statistics.
fn stats(owners: &[Workqueue]) -> Vec<wq_core::QueueStats> {
    owners.iter().map(|q| q.stats()).collect()
}

/// Two seconds of it.
#[test]
fn stress_forced_takeovers_briefly() {
    torture(Duration::from_secs(2), 0x9e37_79b9);
}

/// A number from the environment.
#[cfg(wq_hooks)]
fn asked(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

/// The same while a dice disturbs every step of the engine, in rounds with a fresh System each, for
/// `WQ_STRESS_SECONDS`. Every step was disturbed in the end. `WQ_STRESS_SEED` repeats a round's
/// dice.
#[cfg(wq_hooks)]
#[test]
fn stress_disturbed_at_every_step() {
    const ROUND: Duration = Duration::from_secs(5);
    let time = Duration::from_secs(asked("WQ_STRESS_SECONDS").unwrap_or(20));
    let clock = std::time::UNIX_EPOCH.elapsed().expect("a clock");
    let mut seed = asked("WQ_STRESS_SEED").unwrap_or(clock.as_secs() << 8);
    let end = Instant::now() + time;
    while Instant::now() < end {
        eprintln!("WQ_STRESS_SEED={seed}");
        wq_core::driver::disturb(seed | 1 << 63);
        torture(
            time.min(ROUND),
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        );
        seed += 1;
    }
    wq_core::driver::disturb(0);
    let steps = wq_core::driver::disturbances();
    eprintln!("{steps:?}");
    assert!(steps.iter().all(|(_, count)| *count > 0), "{steps:?}");
}

/// Five minutes of it, in rounds with a fresh System each.
#[test]
#[ignore = "takes five minutes"]
fn stress_forced_takeovers() {
    let end = Instant::now() + Duration::from_secs(300);
    let mut seed = 1;
    while Instant::now() < end {
        torture(Duration::from_secs(20), seed * 0x9e37_79b9);
        seed += 1;
    }
}

/// A million items, from outside, from a worker, and from four foreign threads: each runs once.
#[test]
fn stress_a_million_items() {
    let system = System::builder().workers(2).build().unwrap();
    be_patient(&system, PATIENCE);
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let ran = Arc::new(AtomicU64::new(0));
    let spawn = |queue: Queue, ran: Arc<AtomicU64>, n: u64| {
        for _ in 0..n {
            let ran = Arc::clone(&ran);
            drop(queue.spawn(async move { ran.fetch_add(1, Ordering::Relaxed) }));
        }
    };
    let (handle, counted) = ((*queue).clone(), Arc::clone(&ran));
    let inside = queue.spawn_fn(move || spawn(handle, counted, 300_000));
    thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| spawn((*queue).clone(), Arc::clone(&ran), 100_000));
        }
        spawn((*queue).clone(), Arc::clone(&ran), 300_000);
    });
    inside.wait().unwrap();
    let report = queue.flush().wait_timeout(FOR_EVER).unwrap();
    assert_eq!(
        (report.completed, ran.load(Ordering::Relaxed)),
        (1_000_001, 1_000_000)
    );
    assert_eq!(
        Arc::strong_count(&ran),
        1,
        "everything that was captured is gone"
    );
    assert_eq!(system.stats().rescues, 0);
}
