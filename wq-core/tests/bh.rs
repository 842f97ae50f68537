//! BH queues: one list and one thread for each CPU, high priority first, strictly in order, never
//! one inside another, and nothing that blocks.

use std::hint;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use wq_core::driver::refuse_threads;
use wq_core::{BhWorkqueue, DelayedWork, JoinHandle, QueueKind, Queued, System, Work, Workqueue};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// A System, and the first of its CPUs.
fn system() -> (System, usize) {
    let system = System::builder().name("soft").build().expect("a System");
    let cpu = system.topology().allowed().iter().next().expect("a CPU");
    (system, cpu)
}

/// A BH queue.
fn bh(system: &System, highpri: bool) -> BhWorkqueue {
    let queue = Workqueue::bh("soft").system(system);
    let queue = if highpri { queue.highpri() } else { queue };
    queue.build().expect("a good queue")
}

/// Waits until `done` holds; gives up after [`FOR_EVER`].
fn wait_until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + FOR_EVER;
    while !done() {
        assert!(Instant::now() < end, "{what}");
        thread::yield_now();
    }
}

/// What an item gave.
fn end<T>(item: JoinHandle<T>) -> T {
    item.wait_timeout(FOR_EVER)
        .expect("it ends")
        .expect("it returns")
}

/// An item that is inside, awake, until it is let go: what is queued meanwhile waits behind it.
struct Gate {
    open: Arc<AtomicBool>,
    item: JoinHandle<()>,
}

impl Gate {
    /// Inside on this CPU.
    fn shut(queue: &BhWorkqueue, cpu: usize) -> Gate {
        let (open, inside) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let (sees, says) = (open.clone(), inside.clone());
        let item = queue.spawn_fn_on(cpu, move || {
            says.store(true, Ordering::SeqCst);
            let end = Instant::now() + FOR_EVER;
            while !sees.load(Ordering::SeqCst) {
                assert!(Instant::now() < end, "the test opens the gate");
                hint::spin_loop();
            }
        });
        wait_until("it begins", || inside.load(Ordering::SeqCst));
        Gate { open, item }
    }

    /// Lets it go.
    fn open(self) {
        self.open.store(true, Ordering::SeqCst);
        end(self.item);
    }
}

/// Something that items write into, in order.
type Log = Arc<Mutex<Vec<u32>>>;

/// An item that writes.
fn writes(log: &Log, n: u32) -> impl FnOnce() + Send + 'static {
    let log = log.clone();
    move || log.lock().unwrap().push(n)
}

/// Items of all BH queues of a CPU run on the CPU's one BH thread, which no other item runs on.
#[test]
fn one_thread_for_each_cpu() {
    let (system, _) = system();
    let (normal, high) = (bh(&system, false), bh(&system, true));
    assert_eq!(normal.dump().kind, QueueKind::Bh);
    for cpu in system.topology().allowed().iter() {
        let here = || {
            (
                thread::current().id(),
                thread::current().name().map(str::to_owned),
            )
        };
        let mut seen = Vec::new();
        for _ in 0..10 {
            seen.push(end(normal.spawn_fn_on(cpu, here)));
            seen.push(end(high.spawn_fn_on(cpu, here)));
            seen.push(end(system.bh_queue().spawn_fn_on(cpu, here)));
        }
        let name = seen[0].1.clone().expect("a name");
        assert!(name.starts_with(&format!("soft/bh{cpu}:0")), "{name}");
        assert!(seen.iter().all(|it| *it == seen[0]), "{seen:?}");
        let other = system.percpu_queue().spawn_on(cpu, async move { here() });
        assert_ne!(end(other).0, seen[0].0);
    }
    assert_eq!(end(system.bh_highpri_queue().spawn_fn(|| 7)), 7);
}

/// Two queues of a CPU and priority are one list, and those of high priority go first, in theirs.
#[test]
fn one_list_and_high_priority_first() {
    let (system, cpu) = system();
    let queues = [bh(&system, false), bh(&system, false)];
    let high = [bh(&system, true), bh(&system, true)];
    let log = Log::default();
    let gate = Gate::shut(&queues[0], cpu);
    let mut expected = Vec::new();
    for n in 0..20 {
        drop(queues[n as usize % 2].spawn_fn_on(cpu, writes(&log, n)));
        drop(high[n as usize % 2].spawn_fn_on(cpu, writes(&log, 100 + n)));
        expected.push(n);
    }
    gate.open();
    for queue in queues.iter().chain(&high) {
        queue.flush().wait_timeout(FOR_EVER).unwrap();
    }
    let expected: Vec<u32> = (100..120).chain(expected).collect();
    assert_eq!(*log.lock().unwrap(), expected);
}

/// What an item queues runs after it, behind what waits; of high priority, before that; never
/// inside of it.
#[test]
fn items_queued_from_inside_go_to_the_end() {
    let (system, cpu) = system();
    let (normal, high) = (bh(&system, false), bh(&system, true));
    let log = Log::default();
    let gate = Gate::shut(&normal, cpu);
    let (again, urgent) = ((*normal).clone(), (*high).clone());
    let (inside, its_log) = (Arc::new(AtomicUsize::new(0)), log.clone());
    drop(normal.spawn_fn_on(cpu, move || {
        let guard = inside.clone();
        let enter = move |n| {
            let (guard, log) = (guard.clone(), its_log.clone());
            move || {
                assert_eq!(guard.load(Ordering::SeqCst), 0, "nested");
                log.lock().unwrap().push(n);
            }
        };
        inside.store(1, Ordering::SeqCst);
        drop(again.spawn_fn_on(cpu, enter(3)));
        drop(urgent.spawn_fn_on(cpu, enter(1)));
        inside.store(0, Ordering::SeqCst);
    }));
    drop(normal.spawn_fn_on(cpu, writes(&log, 2)));
    gate.open();
    normal.drain().wait_timeout(FOR_EVER).unwrap();
    high.flush().wait_timeout(FOR_EVER).unwrap();
    assert_eq!(*log.lock().unwrap(), [1, 2, 3]);
}

/// Re-queueable items: requests coalesce, one that queues itself goes to the end, delays are kept,
/// cancelled and disabled ones do not run.
#[test]
fn work_items_are_as_elsewhere() {
    let (system, cpu) = system();
    let queue = bh(&system, false);
    let (log, rounds) = (Log::default(), Arc::new(AtomicUsize::new(0)));
    let gate = Gate::shut(&queue, cpu);
    let (handle, counts) = ((*queue).clone(), rounds.clone());
    let work = Work::with_self(move |work| {
        if counts.fetch_add(1, Ordering::SeqCst) < 4 {
            assert_eq!(handle.queue_on(cpu, work), Queued::New);
        }
    });
    assert_eq!(queue.queue_on(cpu, &work), Queued::New);
    assert_eq!(queue.queue_on(cpu, &work), Queued::AlreadyPending);
    let cancelled = Work::new({
        let write = log.clone();
        move || write.lock().unwrap().push(0)
    });
    assert_eq!(queue.queue_on(cpu, &cancelled), Queued::New);
    assert!(cancelled.cancel());
    cancelled.disable();
    assert_eq!(queue.queue_on(cpu, &cancelled), Queued::Disabled);
    gate.open();
    let write = log.clone();
    let delayed = DelayedWork::new(move || write.lock().unwrap().push(7));
    assert_eq!(
        queue.queue_after(&delayed, Duration::from_millis(1)),
        Queued::New
    );
    wait_until("it fires", || !log.lock().unwrap().is_empty());
    queue
        .drain()
        .wait_timeout(FOR_EVER)
        .expect("chains run out in a drain");
    assert_eq!(rounds.load(Ordering::SeqCst), 5);
    assert_eq!(*log.lock().unwrap(), [7]);
    queue.destroy().wait_timeout(FOR_EVER).unwrap();
}

/// An item that says that it waits: an assertion where those are on; elsewhere it is counted, and
/// goes on.
#[test]
fn declared_blocks_are_mistakes() {
    let (system, cpu) = system();
    let queue = bh(&system, false);
    let inner = system.clone();
    let waits = queue.spawn_fn_on(cpu, move || inner.spawn(async { 7 }).wait().unwrap());
    let ended = waits.wait_timeout(FOR_EVER).expect("it ends");
    assert_eq!(system.stats().bh_blocked, 1);
    if cfg!(debug_assertions) {
        let payload = ended.unwrap_err().into_panic();
        let what = payload.downcast_ref::<String>().expect("a message");
        assert!(what.contains("must not block"), "{what}");
    } else {
        assert_eq!(ended.unwrap(), 7);
    }
    // The thread goes on, and knows of no block.
    assert_eq!(end(queue.spawn_fn_on(cpu, || 8)), 8);
    assert_eq!(system.stats().bh_blocked, 1);
}

/// What waits on its own account is such a mistake, too, and leaves nothing behind: a scope, and a
/// queue that is built with a rescuer. The process lives.
#[test]
fn waits_inside_of_calls_are_mistakes_as_well() {
    let (system, cpu) = system();
    let queue = bh(&system, false);
    let before = system.stats().queues;
    let (inner, runs) = (system.clone(), Arc::new(AtomicUsize::new(0)));
    let counts = runs.clone();
    let scope = queue.spawn_fn_on(cpu, move || {
        inner.default_queue().scope(|s| {
            s.spawn_fn(|| counts.fetch_add(1, Ordering::SeqCst));
        });
    });
    let inner = system.clone();
    let builds = queue.spawn_fn_on(cpu, move || {
        let built = Workqueue::unbound("late").rescuer().system(&inner);
        drop(built.build().expect("a good queue"));
    });
    for item in [scope, builds] {
        let ended = item.wait_timeout(FOR_EVER).expect("it ends");
        if cfg!(debug_assertions) {
            let payload = ended.unwrap_err().into_panic();
            let what = payload.downcast_ref::<String>().expect("a message");
            assert!(what.contains("must not block"), "{what}");
        } else {
            ended.unwrap();
        }
    }
    assert_eq!(system.stats().bh_blocked, 2);
    let ran = usize::from(!cfg!(debug_assertions));
    assert_eq!(runs.load(Ordering::SeqCst), ran);
    wait_until("no queue is left over", || system.stats().queues == before);
    assert_eq!(end(queue.spawn_fn_on(cpu, || 8)), 8);
}

/// An item that sleeps without saying so is seen by the monitor, once.
#[test]
#[cfg(all(target_os = "linux", not(wq_portable)))]
fn sleeping_items_are_seen() {
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    let (system, cpu) = system();
    let queue = bh(&system, false);
    for times in 1..=2 {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let sleeps = queue.spawn_fn_on(cpu, move || ours.read(&mut [0]).unwrap());
        wait_until("it is seen", || system.stats().bh_blocked == times);
        drop(theirs);
        end(sleeps);
    }
    assert_eq!(system.stats().bh_blocked, 2);
}

/// Where the machine refuses the thread, items wait for it.
#[test]
fn a_refused_bh_thread_comes_later() {
    let (system, cpu) = system();
    let queue = bh(&system, false);
    refuse_threads(&system, true);
    let items: Vec<_> = (0..3).map(|n| queue.spawn_fn_on(cpu, move || n)).collect();
    wait_until("it is refused", || {
        system.stats().thread_creation_failures > 0
    });
    assert!(items.iter().all(|item| !item.is_finished()));
    refuse_threads(&system, false);
    assert_eq!(items.into_iter().map(end).collect::<Vec<_>>(), [0, 1, 2]);
}

/// A shutdown drops what waits behind an item that goes on, and accounts for it.
#[test]
fn a_shutdown_drops_what_waits() {
    let (system, cpu) = system();
    let (queue, share) = (bh(&system, false), Arc::new(()));
    let gate = Gate::shut(&queue, cpu);
    for _ in 0..10 {
        let share = share.clone();
        drop(queue.spawn_fn_on(cpu, move || drop(share)));
    }
    let report = system.shutdown(Duration::ZERO);
    assert_eq!(
        (report.completed, report.dropped + report.detached),
        (0, 11),
        "{report:?}"
    );
    gate.open();
    wait_until("all is dropped", || Arc::strong_count(&share) == 1);
    wait_until("the thread leaves", || system.stats().threads == 0);
    assert!(queue.spawn_fn(|| ()).wait().unwrap_err().is_rejected());
}

/// What the thread has taken out of its inbox, behind an item that goes on, is dropped as well.
#[test]
fn a_shutdown_drops_what_was_taken_in() {
    for highpri in [false, true] {
        let (system, cpu) = system();
        let queue = bh(&system, highpri);
        let first = Gate::shut(&queue, cpu);
        // What comes until the first one ends is taken in together: the second one, which waits
        // for its gate inside, and what is behind it.
        let (open, inside) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let (sees, says) = (open.clone(), inside.clone());
        let second = queue.spawn_fn_on(cpu, move || {
            says.store(true, Ordering::SeqCst);
            wait_until("the test opens the gate", || sees.load(Ordering::SeqCst));
        });
        let behind: Vec<_> = (0..10).map(|_| queue.spawn_fn_on(cpu, || ())).collect();
        first.open();
        wait_until("the second one begins", || inside.load(Ordering::SeqCst));
        let report = system.shutdown(Duration::ZERO);
        let ends = (report.completed, report.dropped, report.detached);
        assert_eq!(ends, (1, 10, 1), "{report:?}");
        for item in behind {
            assert!(item.is_finished(), "it was dropped");
            assert!(item.wait().unwrap_err().is_cancelled());
        }
        open.store(true, Ordering::SeqCst);
        end(second);
        wait_until("the thread leaves", || system.stats().threads == 0);
    }
}

/// Many threads queue on all CPUs: each one's items run in its order on each CPU, all once.
#[test]
fn stress_order_holds_under_load() {
    const THREADS: usize = 4;
    const ITEMS: usize = 2_000;
    let (system, _) = system();
    let queues = Arc::new([bh(&system, false), bh(&system, true)]);
    let cpus: Vec<usize> = system.topology().allowed().iter().collect();
    let last: Arc<Vec<AtomicUsize>> = Arc::new(
        (0..THREADS * cpus.len() * 2)
            .map(|_| AtomicUsize::new(0))
            .collect(),
    );
    let askers: Vec<_> = (0..THREADS)
        .map(|asker| {
            let (queues, cpus, last) = (queues.clone(), cpus.clone(), last.clone());
            thread::spawn(move || {
                for n in 1..=ITEMS {
                    let (high, cpu) = (n % 2, n / 2 % cpus.len());
                    let (last, at) = (last.clone(), (asker * cpus.len() + cpu) * 2 + high);
                    drop(queues[high].spawn_fn_on(cpus[cpu], move || {
                        let before = last[at].swap(n, Ordering::Relaxed);
                        assert!(before < n, "{before} before {n}");
                    }));
                }
            })
        })
        .collect();
    askers.into_iter().for_each(|asker| asker.join().unwrap());
    for queue in &*queues {
        let report = queue.flush().wait_timeout(FOR_EVER).unwrap();
        assert_eq!(
            (report.completed, report.panicked),
            ((THREADS * ITEMS / 2) as u64, 0)
        );
    }
}
