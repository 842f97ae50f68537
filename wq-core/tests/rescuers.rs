//! Queues with a rescuer go on while no worker can be made, others do not and lose nothing; the
//! rescuer comes and goes with its queue.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use wq_core::driver::refuse_threads;
use wq_core::{
    JoinHandle, Queue, Sensing, System, Work, Workqueue, current_has_rescuer, current_is_rescuer,
};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

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

/// A System all of whose workers are blocked, and which gets no more.
struct Distressed {
    system: System,
    /// Where the blocked items are, more than there are workers.
    plain: Workqueue,
    stuck: Vec<JoinHandle<usize>>,
    /// Dropping them ends the blocks.
    wires: Vec<UnixStream>,
    /// Whether blocks are noticed that nobody declares.
    sees: bool,
}

impl Distressed {
    /// Not yet: workers can be had.
    fn new(lanes: usize) -> Distressed {
        Distressed::sensing(lanes, Sensing::Auto)
    }

    /// The same, where these notice who blocks.
    fn sensing(lanes: usize, sensing: Sensing) -> Distressed {
        let builder = System::builder().workers(lanes).sensing(sensing);
        let system = builder.build().unwrap();
        let plain = Workqueue::unbound("plain").system(&system).build().unwrap();
        plain.spawn(async {}).wait().unwrap();
        Distressed {
            system,
            plain,
            stuck: Vec::new(),
            wires: Vec::new(),
            sees: sensing == Sensing::Auto,
        }
    }

    /// A queue with a rescuer.
    fn rescued(&self, name: &str) -> Workqueue {
        let queue = Workqueue::unbound(name).rescuer().system(&self.system);
        queue.build().expect("a good queue")
    }

    /// From now on all workers are blocked, and no more are to be had.
    fn strike(&mut self) {
        refuse_threads(&self.system, true);
        self.block(20);
        let refused = || self.system.stats().thread_creation_failures > 0;
        wait_until("a thread is refused", refused);
    }

    /// So many items that block.
    fn block(&mut self, items: usize) {
        let sees = cfg!(all(target_os = "linux", not(wq_portable))) && self.sees;
        for n in 0..items {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            self.wires.push(theirs);
            let mut read = move || ours.read(&mut [0]).unwrap();
            self.stuck.push(if sees && n % 2 == 0 {
                self.plain.spawn_fn(read)
            } else {
                self.plain.spawn_fn(move || wq_core::blocking(&mut read))
            });
        }
    }

    /// Threads can be had again; everything ends.
    fn relieve(mut self) {
        refuse_threads(&self.system, false);
        self.wires.clear();
        self.stuck
            .drain(..)
            .for_each(|item| assert_eq!(end(item), 0));
        self.plain
            .drain()
            .wait_timeout(FOR_EVER)
            .expect("nothing is lost");
        let report = self.system.shutdown(FOR_EVER);
        assert_eq!((report.dropped, report.detached), (0, 0), "{report:?}");
        assert_eq!(self.system.stats().threads, 0);
    }
}

/// Where an item ran: on a rescuer, for a queue that has one.
fn here() -> (bool, bool) {
    (current_is_rescuer(), current_has_rescuer())
}

/// Items of a queue with a rescuer run while all workers are blocked and no thread is to be had:
/// closures, futures and `Work`. Those of a queue without wait, and are not lost.
#[test]
fn a_rescued_queue_goes_on_without_workers() {
    let mut distressed = Distressed::new(2);
    let queue = distressed.rescued("writeback");
    distressed.strike();
    let behind: Vec<_> = (0..5)
        .map(|_| distressed.plain.spawn(async { here() }))
        .collect();
    for _ in 0..10 {
        assert_eq!(end(queue.spawn_fn(here)), (true, true));
        assert_eq!(end(queue.spawn(async { here() })), (true, true));
    }
    let ran = Arc::new(AtomicUsize::new(0));
    let counts = ran.clone();
    let work = Work::new(move || {
        counts.fetch_add(1, Ordering::SeqCst);
    });
    assert_eq!(queue.queue(&work), wq_core::Queued::New);
    work.flush().wait_timeout(FOR_EVER).unwrap();
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    queue.flush().wait_timeout(FOR_EVER).unwrap();
    let stats = queue.stats();
    assert_eq!((stats.completed, stats.rescued), (21, 21));
    assert!(stats.maydays > 0, "{stats:?}");
    assert_eq!(distressed.plain.stats().rescued, 0);
    assert!(behind.iter().all(|item| !item.is_finished()));
    refuse_threads(&distressed.system, false);
    behind
        .into_iter()
        .for_each(|item| assert_eq!(end(item), (false, false)));
    distressed.relieve();
}

/// What was queued before the pool ran out of workers is found in its lanes, behind more items of
/// others than one look walks over, and these keep their order.
#[test]
fn waiting_items_are_found_behind_others() {
    const OTHERS: usize = 3_000;
    let mut distressed = Distressed::new(1);
    let queue = distressed.rescued("writeback");
    let order = Arc::new(Mutex::new(Vec::new()));
    refuse_threads(&distressed.system, true);
    // A lane's owner that blocks is replaced while there are spare ones.
    distressed.block(20);
    let mut others = Vec::new();
    let mut rescued = Vec::new();
    for n in 0..OTHERS {
        let order = order.clone();
        others.push(
            distressed
                .plain
                .spawn_fn(move || order.lock().unwrap().push(n)),
        );
        if n % 1_000 == 999 {
            rescued.push(queue.spawn_fn(here));
        }
    }
    for item in rescued {
        assert_eq!(end(item), (true, true));
    }
    assert!(others.iter().all(|item| !item.is_finished()));
    refuse_threads(&distressed.system, false);
    others.into_iter().for_each(end);
    assert_eq!(*order.lock().unwrap(), (0..OTHERS).collect::<Vec<_>>());
    distressed.relieve();
}

/// A rescuer that is stuck in a poll holds up its own queue, and no other that has one, even where
/// nobody sees that it is.
#[test]
fn a_stuck_rescuer_holds_up_its_queue_alone() {
    let mut distressed = Distressed::sensing(1, Sensing::Declared);
    let (first, second) = (distressed.rescued("first"), distressed.rescued("second"));
    distressed.strike();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let (begins, begun) = mpsc::channel();
    let stuck = first.spawn_fn(move || {
        begins.send(here()).unwrap();
        ours.read(&mut [0]).unwrap()
    });
    assert_eq!(begun.recv_timeout(FOR_EVER), Ok((true, true)));
    let behind = first.spawn_fn(here);
    for _ in 0..5 {
        assert_eq!(end(second.spawn_fn(here)), (true, true));
    }
    assert!(!behind.is_finished(), "one rescuer, one poll at a time");
    drop(theirs);
    end(stuck);
    assert_eq!(end(behind), (true, true));
    distressed.relieve();
}

/// A thread maker that does not come back, and so never says that it was refused a thread, is
/// noticed. It waits for a lock that the test holds; by then it has made two workers, for twenty
/// items that block.
#[test]
#[cfg(all(target_os = "linux", not(wq_portable)))]
fn a_stuck_maker_is_noticed() {
    let mut distressed = Distressed::new(1);
    let queue = distressed.rescued("writeback");
    let system = distressed.system.clone();
    let rescued = wq_core::driver::while_aborting(&system, || {
        distressed.block(20);
        end(queue.spawn_fn(here))
    });
    assert_eq!(rescued, (true, true));
    assert_eq!(system.stats().thread_creation_failures, 0);
    distressed.relieve();
}

/// What a rescuer has passed by, of queues without one, is dropped by a shutdown that gets no
/// worker either.
#[test]
fn what_was_passed_by_is_dropped_by_the_shutdown() {
    let mut distressed = Distressed::new(1);
    let queue = distressed.rescued("writeback");
    distressed.strike();
    let behind: Vec<_> = (0..700)
        .map(|_| distressed.plain.spawn(async { here() }))
        .collect();
    assert_eq!(end(queue.spawn_fn(here)), (true, true));
    let report = distressed.system.shutdown(Duration::ZERO);
    for item in behind {
        assert!(item.is_finished(), "it was dropped: {report:?}");
        assert!(item.wait().unwrap_err().is_cancelled());
    }
    // Those that are blocked, and nothing else.
    let threads = report.detached_threads.len() as u64;
    assert_eq!(report.detached, threads, "{report:?}");
    distressed.wires.clear();
    let system = &distressed.system;
    wait_until("the threads leave", || system.stats().threads == 0);
}

/// A future that is woken from outside is polled by the rescuer each time, and its queue's order
/// and limit hold.
#[test]
fn suspended_items_are_rescued_poll_by_poll() {
    const POLLS: usize = 5;
    let mut distressed = Distressed::new(2);
    let ordered = Workqueue::ordered("journal")
        .rescuer()
        .system(&distressed.system);
    let ordered = ordered.build().unwrap();
    distressed.strike();
    let waker: Arc<Mutex<Option<Waker>>> = Arc::default();
    let leaves = waker.clone();
    let mut polls = 0;
    let first = ordered.spawn(std::future::poll_fn(move |cx| {
        assert_eq!(here(), (true, true));
        polls += 1;
        if polls == POLLS {
            return Poll::Ready(());
        }
        *leaves.lock().unwrap() = Some(cx.waker().clone());
        Poll::Pending
    }));
    let second = ordered.spawn(async { here() });
    for _ in 1..POLLS {
        let mut left = None;
        wait_until("it suspends", || waker.lock().unwrap().is_some());
        std::mem::swap(&mut left, &mut *waker.lock().unwrap());
        assert!(!second.is_finished());
        left.expect("it was there").wake();
    }
    end(first);
    assert_eq!(end(second), (true, true));
    ordered.flush().wait_timeout(FOR_EVER).unwrap();
    assert_eq!(ordered.stats().rescued, POLLS as u64 + 1);
    distressed.relieve();
}

/// A pool that has all the workers that it may have is in distress as well, and per-CPU pools are.
#[test]
fn a_full_pool_is_rescued_from() {
    let system = System::builder().max_workers(2).build().unwrap();
    let cpu = system.topology().allowed().iter().next().expect("a CPU");
    let plain = Workqueue::percpu("plain").system(&system).build().unwrap();
    let queue = Workqueue::percpu("writeback").rescuer().system(&system);
    let queue = queue.build().unwrap();
    let mut wires = Vec::new();
    let stuck: Vec<_> = (0..10)
        .map(|_| {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            wires.push(theirs);
            plain.spawn_on(cpu, async move { ours.read(&mut [0]).unwrap() })
        })
        .collect();
    wait_until("the pool is full", || {
        system
            .pools()
            .iter()
            .any(|pool| pool.workers == 4 && pool.idle == 0)
    });
    let rescued: Vec<_> = (0..5)
        .map(|_| queue.spawn_on(cpu, async { here() }))
        .collect();
    rescued
        .into_iter()
        .for_each(|item| assert_eq!(end(item), (true, true)));
    wires.clear();
    stuck.into_iter().for_each(|item| assert_eq!(end(item), 0));
}

/// With workers to spare nobody is rescued, and the query says what the queue is.
#[test]
fn nobody_is_rescued_without_need() {
    let system = System::builder().workers(2).build().unwrap();
    let queue = Workqueue::unbound("writeback").rescuer().system(&system);
    let queue = queue.build().unwrap();
    end(system.spawn(async {}));
    // A first worker that is slow to come up is a need.
    let has_spare = || system.pools().iter().any(|pool| pool.idle > 0);
    wait_until("a worker is in reserve", has_spare);
    let before = queue.stats().rescued;
    for _ in 0..100 {
        assert_eq!(end(queue.spawn(async { here() })), (false, true));
    }
    assert_eq!(end(system.spawn(async { here() })), (false, false));
    assert_eq!(queue.stats().rescued, before);
}

/// The thread comes with the queue, also where an item builds it, and goes with it.
#[test]
fn a_rescuer_comes_and_goes_with_its_queue() {
    let system = System::builder()
        .workers(1)
        .keep_alive(FOR_EVER)
        .build()
        .unwrap();
    let build = |system: &System| Workqueue::ordered("short").rescuer().system(system).build();
    system.spawn(async {}).wait().unwrap();
    drop(build(&system).unwrap());
    wait_until("it is gone", || system.stats().queues == 3);
    let before = system.stats().threads;
    let kept = build(&system).unwrap();
    assert_eq!(system.stats().threads, before + 1);
    for _ in 0..50 {
        let inner = system.clone();
        let built = system.spawn(async move { build(&inner).unwrap() });
        let queue = end(built);
        let item = queue.spawn(async {});
        queue.destroy().wait_timeout(FOR_EVER).unwrap();
        end(item);
    }
    wait_until("they are gone", || system.stats().queues == 4);
    // Workers that were made for the items that waited for the maker stay a while.
    let workers = || {
        system
            .pools()
            .iter()
            .map(|pool| pool.workers)
            .sum::<usize>()
    };
    wait_until("so are their threads", || {
        system.stats().threads <= before + 1 + workers()
    });
    system.shutdown(FOR_EVER);
    assert_eq!(system.stats().threads, 0);
    assert!(build(&system).unwrap_err().is_closed());
    drop(kept);
}

/// Where the machine refuses the rescuer itself the queue is not built, which says so.
#[test]
fn a_refused_rescuer_is_an_error() {
    let system = System::builder().build().unwrap();
    refuse_threads(&system, true);
    let error = Workqueue::unbound("writeback")
        .rescuer()
        .system(&system)
        .build();
    let error = error.unwrap_err();
    assert!(error.is_thread_refused() && !error.is_closed());
    assert!(error.to_string().contains("rescuer"), "{error}");
    wait_until("nothing of it is left", || system.stats().queues == 3);
    refuse_threads(&system, false);
    let queue = Workqueue::unbound("writeback").rescuer().system(&system);
    end(queue.build().unwrap().spawn(async {}));
}

/// Threads are refused and granted in turns, under load of queues with and without a rescuer: all
/// items run once, those of an ordered queue in order.
#[test]
fn stress_distress_that_comes_and_goes() {
    const ROUNDS: usize = 60;
    let system = System::builder().workers(2).build().unwrap();
    let of = |queue: Result<Workqueue, _>| queue.expect("a good queue");
    let queues = [
        of(Workqueue::unbound("u").rescuer().system(&system).build()),
        of(Workqueue::percpu("p").rescuer().system(&system).build()),
        of(Workqueue::ordered("o").rescuer().system(&system).build()),
        of(Workqueue::unbound("plain").system(&system).build()),
    ];
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut expected = Vec::new();
    for round in 0..ROUNDS {
        refuse_threads(&system, round % 2 == 0);
        let items: Vec<_> = (0..40)
            .map(|n| spawn_one(&queues, &order, round * 40 + n))
            .collect();
        expected.extend((round * 40..round * 40 + 40).filter(|n| n % 4 == 2));
        if round % 4 == 3 {
            items.into_iter().for_each(end);
        }
    }
    refuse_threads(&system, false);
    let mut completed = 0;
    for queue in &queues {
        let report = queue
            .flush()
            .wait_timeout(FOR_EVER)
            .expect("nothing is lost");
        assert_eq!(report.panicked, 0);
        completed += queue.stats().completed;
    }
    assert_eq!(completed, (ROUNDS * 40) as u64);
    assert_eq!(*order.lock().unwrap(), expected);
}

/// One item of [`stress_distress_that_comes_and_goes`]: some block for a moment, some suspend.
fn spawn_one(queues: &[Workqueue], order: &Arc<Mutex<Vec<usize>>>, n: usize) -> JoinHandle<()> {
    let queue: &Queue = &queues[n % queues.len()];
    let order = (n % 4 == 2).then(|| order.clone());
    let note = move || {
        if let Some(order) = order {
            order.lock().unwrap().push(n);
        }
    };
    if n % 3 == 0 {
        return queue.spawn_fn(move || {
            thread::sleep(Duration::from_micros(200));
            note();
        });
    }
    let mut left = n % 3;
    let mut note = Some(note);
    queue.spawn(std::future::poll_fn(move |cx| {
        if left == 0 {
            note.take().expect("once")();
            return Poll::Ready(());
        }
        left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }))
}
