//! What deadlocks in other runtimes ends here: unmarked, on a single lane.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use wq_core::driver::timers;
use wq_core::timer::{Fire, OnTimer};
use wq_core::{DelayedWork, Queue, System};

use crate::harness::{self, Scenario, scenario};
use crate::lane::{Kind, Lane};

/// A deadlock elsewhere.
type Case = fn(&Lane);

/// All of them.
const CASES: [(&str, Case); 16] = [
    ("blocking on a task of the lane, 100 deep", nested),
    ("mutex held across block_on", mutex_across_block_on),
    (
        "returners want a lock of one without lane",
        returning_with_locks,
    ),
    ("slot of a worker that blocks", slot_rescued),
    ("delays while all workers block", delays_while_all_block),
    ("timers while all workers block", timers_while_all_block),
    ("joins of joins", joins_of_joins),
    ("future that blocks when dropped", future_blocks_in_drop),
    (
        "aborted future that blocks when dropped",
        aborted_blocks_in_drop,
    ),
    (
        "output that nobody wants blocks when dropped",
        output_blocks_in_drop,
    ),
    (
        "output of a handle blocks when dropped",
        handle_blocks_in_drop,
    ),
    ("waker that blocks", waker_blocks),
    ("block_on while unwinding", block_on_while_unwinding),
    (
        "thread-local that spawns when its thread ends",
        thread_local_spawns,
    ),
    (
        "thread-local of a worker that spawns",
        workers_thread_local_spawns,
    ),
    (
        "Systems that wait for each other",
        systems_wait_for_each_other,
    ),
];

/// Goal: no deadlock that is known from other runtimes. Method: each on one lane, in a process of
/// its own; on an unbound queue and on a per-CPU one.
#[test]
fn known_deadlocks_end() {
    let each = |kind: Kind| {
        let named = move |(name, case): (&str, Case)| {
            scenario(format!("{name}, {kind:?}"), move || case(&Lane::new(kind)))
        };
        CASES.into_iter().map(named)
    };
    let kinds = [Kind::Unbound, Kind::Percpu];
    let scenarios: Vec<Scenario> = kinds.into_iter().flat_map(each).collect();
    harness::run_each("deadlocks::known_deadlocks_end", &scenarios);
}

/// Each task queues another one on its lane and waits for it on its own thread.
fn nested(lane: &Lane) {
    fn level(lane: &Lane, depth: u32) -> u32 {
        if depth == 0 {
            return 0;
        }
        let inner = lane.clone();
        let task = lane.spawn(move || level(&inner, depth - 1));
        // Both ways to wait take turns.
        let below = if depth % 2 == 0 {
            task.wait()
        } else {
            lane.system.block_on(task)
        };
        below.expect("it ends") + 1
    }
    assert_eq!(level(lane, 100), 100);
}

/// The inner task does not need the lock.
fn mutex_across_block_on(lane: &Lane) {
    let (lock, inner) = (Arc::new(Mutex::new(0)), lane.clone());
    let held = Arc::clone(&lock);
    let task = lane.spawn(move || {
        let mut guard = held.lock().expect("not poisoned");
        *guard = inner.system.block_on(inner.help(|| 7)).expect("it ends");
    });
    task.wait().expect("it ends");
    assert_eq!(*lock.lock().expect("not poisoned"), 7);
}

/// Kotlin#4084: many blocked workers come back at once, and each wants a lock whose holder waits
/// for a task of the lane.
fn returning_with_locks(lane: &Lane) {
    const RETURNERS: usize = 32;
    let lock = Arc::new(Mutex::new(0));
    let together = Arc::new(Barrier::new(RETURNERS));
    let returners: Vec<_> = (0..RETURNERS)
        .map(|n| {
            let (lock, together) = (Arc::clone(&lock), Arc::clone(&together));
            let inner = lane.clone();
            lane.spawn(move || {
                let mut guard = (n == 0).then(|| lock.lock().expect("not poisoned"));
                together.wait();
                if let Some(count) = &mut guard {
                    **count += inner.help(|| 1).wait().expect("it ends");
                } else {
                    *lock.lock().expect("not poisoned") += 1;
                }
            })
        })
        .collect();
    for task in returners {
        task.wait().expect("it ends");
    }
    assert_eq!(*lock.lock().expect("not poisoned"), RETURNERS);
}

/// tokio#4941: a task wakes another one, which is next in turn here, and blocks until it has run.
fn slot_rescued(lane: &Lane) {
    let (suspended, tell) = mpsc::channel();
    let (send, receive) = mpsc::channel();
    let mut polls = 0;
    let sleeper = poll_fn(move |cx| {
        polls += 1;
        if polls == 1 {
            suspended.send(cx.waker().clone()).expect("it waits");
            return Poll::Pending;
        }
        send.send(7).expect("it waits");
        Poll::Ready(())
    });
    let sleeper = lane.queue().spawn(sleeper);
    let blocked = lane.spawn(move || {
        let waker: Waker = tell.recv().expect("it suspends");
        waker.wake();
        receive.recv()
    });
    assert_eq!(blocked.wait().expect("it ends"), Ok(7));
    sleeper.wait().expect("it ends");
}

/// Tasks that block until they are let go; returns once all do.
fn block_all(lane: &Lane, n: usize) -> (Vec<mpsc::Sender<()>>, Vec<wq_core::JoinHandle<()>>) {
    let (blocked, wait) = mpsc::channel();
    let mut senders = Vec::new();
    let mut tasks = Vec::new();
    for _ in 0..n {
        let (send, receive) = mpsc::channel();
        let blocked = blocked.clone();
        senders.push(send);
        tasks.push(lane.spawn(move || {
            blocked.send(()).expect("it waits");
            receive.recv().expect("it is let go");
        }));
    }
    for _ in 0..n {
        wait.recv().expect("it blocks");
    }
    (senders, tasks)
}

/// tokio#4730: a delay ends while every worker blocks, and what it queues runs.
fn delays_while_all_block(lane: &Lane) {
    let (senders, tasks) = block_all(lane, 8);
    let tick = DelayedWork::new(move || {
        for blocked in &senders {
            blocked.send(()).expect("it waits");
        }
    });
    let _ = lane.queue().queue_after(&tick, Duration::from_millis(1));
    for task in tasks {
        task.wait().expect("it ends");
    }
}

/// A timer's callback, without any worker.
struct LetGo(Vec<mpsc::Sender<()>>);

impl OnTimer for LetGo {
    fn fire(self: Arc<Self>) {
        for blocked in &self.0 {
            blocked.send(()).expect("it waits");
        }
    }
}

/// As above: a timer that needs no worker at all.
fn timers_while_all_block(lane: &Lane) {
    let (senders, tasks) = block_all(lane, 8);
    let _entered = lane.system.enter();
    let deadline = Instant::now() + Duration::from_millis(1);
    let armed = timers().arm(deadline, Fire::Call(Arc::new(LetGo(senders))));
    armed.expect("there is room for a timer");
    for task in tasks {
        task.wait().expect("it ends");
    }
}

/// A tree of tasks, each of which waits on its thread for one of its halves.
fn joins_of_joins(lane: &Lane) {
    fn count(lane: &Lane, depth: u32) -> u32 {
        if depth == 0 {
            return 1;
        }
        let other = lane.clone();
        let half = lane.spawn(move || count(&other, depth - 1));
        count(lane, depth - 1) + half.wait().expect("it ends")
    }
    let inner = lane.clone();
    let root = lane.spawn(move || count(&inner, 7));
    assert_eq!(root.wait().expect("it ends"), 128);
}

/// Blocks when it is dropped, until a later task of the lane has run.
struct BlocksInDrop {
    lane: Lane,
    dropped: Arc<AtomicUsize>,
}

impl BlocksInDrop {
    /// One, and the count of those that are gone.
    fn new(lane: &Lane) -> (BlocksInDrop, Arc<AtomicUsize>) {
        let dropped = Arc::new(AtomicUsize::new(0));
        let blocks = BlocksInDrop {
            lane: lane.clone(),
            dropped: Arc::clone(&dropped),
        };
        (blocks, dropped)
    }
}

impl Drop for BlocksInDrop {
    fn drop(&mut self) {
        let (send, receive) = mpsc::channel();
        drop(self.lane.help(move || send.send(()).expect("it waits")));
        receive.recv().expect("the helper runs");
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

/// What a future owns is dropped when it ends.
fn future_blocks_in_drop(lane: &Lane) {
    let (blocks, dropped) = BlocksInDrop::new(lane);
    let task = lane.spawn(move || {
        let _owned = &blocks;
    });
    task.wait().expect("it ends");
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

/// What a suspended future owns is dropped on a worker when it is aborted.
fn aborted_blocks_in_drop(lane: &Lane) {
    let (blocks, dropped) = BlocksInDrop::new(lane);
    let (suspended, wait) = mpsc::channel();
    let task = lane.queue().spawn(async move {
        let _owned = blocks;
        suspended.send(()).expect("it waits");
        std::future::pending::<()>().await;
    });
    wait.recv().expect("it starts");
    task.abort();
    assert!(task.wait().expect_err("it was aborted").is_cancelled());
    lane.queue().flush().wait().expect("the queue ends");
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

/// An output without a handle is dropped by the worker.
fn output_blocks_in_drop(lane: &Lane) {
    let (blocks, dropped) = BlocksInDrop::new(lane);
    drop(lane.spawn(move || blocks));
    lane.queue().flush().wait().expect("the queue ends");
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

/// A handle of an ended task is dropped inside another task, and the output with it.
fn handle_blocks_in_drop(lane: &Lane) {
    let (blocks, dropped) = BlocksInDrop::new(lane);
    let ended = lane.spawn(move || blocks);
    lane.queue().flush().wait().expect("the queue ends");
    lane.spawn(move || drop(ended)).wait().expect("it ends");
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

/// Blocks in `wake` until a task that it queues has run.
struct BlockingWaker(Lane, mpsc::Sender<()>);

impl Wake for BlockingWaker {
    fn wake(self: Arc<Self>) {
        let (send, receive) = mpsc::channel();
        drop(self.0.help(move || send.send(()).expect("it waits")));
        receive.recv().expect("the helper runs");
        self.1.send(()).expect("the test waits");
    }
}

/// A task that ends wakes whoever waits for it.
fn waker_blocks(lane: &Lane) {
    let (woken, wait) = mpsc::channel();
    let (go, started) = mpsc::channel();
    let task = lane.spawn(move || started.recv().expect("it is let go"));
    let waker = Waker::from(Arc::new(BlockingWaker(lane.clone(), woken)));
    let mut task = pin!(task);
    let polled = task.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    go.send(()).expect("it waits");
    wait.recv().expect("the waker was used");
}

/// A destructor that waits for a task while a panic unwinds.
fn block_on_while_unwinding(lane: &Lane) {
    let (blocks, dropped) = BlocksInDrop::new(lane);
    let task = lane.spawn(move || {
        let _owned = blocks;
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(task.wait().expect_err("it panics").is_panic());
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

/// Queues a task when its thread ends.
struct SpawnsInDrop(Queue, mpsc::Sender<()>);

impl Drop for SpawnsInDrop {
    fn drop(&mut self) {
        let ended = self.1.clone();
        drop(self.0.spawn_fn(move || ended.send(())));
    }
}

thread_local! {
    static AT_END: RefCell<Option<SpawnsInDrop>> = const { RefCell::new(None) };
}

/// Has the calling thread queue a task when it ends.
fn spawn_at_end(queue: &Queue, ran: &mpsc::Sender<()>) {
    let spawns = SpawnsInDrop(queue.clone(), ran.clone());
    AT_END.with(|at_end| at_end.replace(Some(spawns)));
}

/// A thread that a task starts and joins.
fn thread_local_spawns(lane: &Lane) {
    let (queue, (ran, wait)) = ((**lane.queue()).clone(), mpsc::channel());
    let task = lane.spawn(move || {
        let thread = thread::spawn(move || spawn_at_end(&queue, &ran));
        thread.join().expect("it ends");
        wait.recv()
    });
    assert_eq!(task.wait().expect("it ends"), Ok(()));
}

/// Workers that leave one by one, since nobody needs them.
fn workers_thread_local_spawns(_: &Lane) {
    let system = System::builder()
        .workers(1)
        .keep_alive(Duration::from_millis(1));
    let system = system.build().expect("a System");
    let queue = system.default_queue();
    let (ran, wait) = mpsc::channel();
    let together = Arc::new(Barrier::new(16));
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (queue_at_end, ran, together) = (queue.clone(), ran.clone(), Arc::clone(&together));
            queue.spawn_fn(move || {
                spawn_at_end(&queue_at_end, &ran);
                together.wait();
            })
        })
        .collect();
    for task in tasks {
        task.wait().expect("it ends");
    }
    // Not all of them leave while the System lives; those that do have their tasks run.
    wait.recv().expect("the task of a worker that left ran");
    // The others end with the System, which refuses what they queue.
    assert_eq!(system.shutdown(Duration::from_secs(1)).detached, 0);
}

/// A task of one System waits for one of another, which waits for one of the first.
fn systems_wait_for_each_other(lane: &Lane) {
    let other = Lane::new(Kind::Unbound);
    let (first, second) = (lane.clone(), other.clone());
    let task = lane.spawn(move || {
        let back = first.clone();
        let across = second.spawn(move || back.help(|| 7).wait().expect("it ends"));
        first.system.block_on(across).expect("it ends")
    });
    assert_eq!(task.wait().expect("it ends"), 7);
}
