//! Items that block in waits for each other: the one that would close the cycle gets an error that
//! names all of them, and the others end. And no false alarms.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use wq_core::{JoinError, JoinHandle, Queue, Queued, System, WaitError, Work, Workqueue};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// A queue of a System of its own.
fn queue(name: &str) -> (System, Workqueue) {
    let system = System::builder().workers(2).build().expect("a System");
    let queue = Workqueue::unbound(name)
        .system(&system)
        .build()
        .expect("a queue");
    (system, queue)
}

/// Waits for `done`.
fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + FOR_EVER;
    while !done() {
        assert!(Instant::now() < deadline, "not {what}");
        std::thread::yield_now();
    }
}

/// An item that waits for another one when all have met; what came of that.
fn waits_for(
    other: Arc<OnceLock<Work>>,
    meet: Arc<Barrier>,
    told: mpsc::Sender<Result<bool, WaitError>>,
    cancels: bool,
) -> Work {
    Work::new(move || {
        meet.wait();
        let other = other.get().expect("it was made");
        let waited = if cancels {
            other.cancel_and_wait().wait()
        } else {
            other.flush().wait()
        };
        told.send(waited).expect("the test waits");
    })
}

/// Of two or more items that each wait for the next one, exactly one gets an error, which names
/// them; the others end. Method: items that meet before they wait, flushing or cancelling.
#[test]
fn a_cycle_of_items_is_an_error_for_one_of_them() {
    let (_system, queue) = queue("cycle");
    for (items, cancels) in [(2, false), (3, false), (2, true), (4, true)] {
        let meet = Arc::new(Barrier::new(items));
        let next: Vec<Arc<OnceLock<Work>>> = (0..items).map(|_| Arc::default()).collect();
        let (tell, told) = mpsc::channel();
        let works: Vec<Work> = (0..items)
            .map(|n| {
                waits_for(
                    Arc::clone(&next[n]),
                    Arc::clone(&meet),
                    tell.clone(),
                    cancels,
                )
            })
            .collect();
        for n in 0..items {
            next[n].set(works[(n + 1) % items].clone()).expect("once");
        }
        for work in &works {
            assert_eq!(queue.queue(work), Queued::New);
        }
        let answers: Vec<_> = (0..items)
            .map(|_| told.recv_timeout(FOR_EVER).expect("no hang"))
            .collect();
        let errors: Vec<&WaitError> = answers.iter().filter_map(|it| it.as_ref().err()).collect();
        assert_eq!(errors.len(), 1, "{answers:?}");
        assert!(errors[0].is_deadlock() && !errors[0].is_timeout());
        let text = errors[0].to_string();
        assert!(text.starts_with("this wait would never end: "), "{text}");
        assert_eq!(text.matches(" waits for ").count(), items - 1, "{text}");
        assert!(text.matches("cycles::waits_for").count() >= items, "{text}");
        queue.flush().wait().expect("no deadlock");
    }
}

/// The same by way of queues: an item of each waits for all of the other one.
#[test]
fn a_cycle_by_way_of_queues_is_an_error() {
    let system = System::builder().workers(2).build().expect("a System");
    let queues = ["first", "second"].map(|name| {
        let queue = Workqueue::unbound(name).system(&system).build();
        Arc::new(queue.expect("a queue"))
    });
    let meet = Arc::new(Barrier::new(2));
    let items: Vec<JoinHandle<Result<_, WaitError>>> = (0..2)
        .map(|n| {
            let (other, meet) = (Arc::clone(&queues[1 - n]), Arc::clone(&meet));
            queues[n].spawn_fn(move || {
                meet.wait();
                other.flush().wait()
            })
        })
        .collect();
    let ended = items
        .into_iter()
        .map(|item| item.wait_timeout(FOR_EVER).expect("no hang"));
    let answers: Vec<_> = ended.map(|answer| answer.expect("no panic")).collect();
    let errors: Vec<String> = answers
        .iter()
        .filter_map(|it| Some(it.as_ref().err()?.to_string()))
        .collect();
    assert_eq!(errors.len(), 1, "{answers:?}");
    assert!(
        errors[0].contains("\"first\"") && errors[0].contains("\"second\""),
        "{}",
        errors[0]
    );
}

/// A handle that is handed over.
type Handle = Arc<Mutex<Option<JoinHandle<Result<(), JoinError>>>>>;

/// The same with tasks that join each other, and one that joins itself.
#[test]
fn tasks_that_join_each_other_are_told() {
    let (_system, queue) = queue("joins");
    for tasks in 1..=3 {
        let handles: Vec<Handle> = (0..tasks).map(|_| Arc::default()).collect();
        let meet = Arc::new(Barrier::new(tasks + 1));
        let (tell, told) = mpsc::channel();
        for n in 0..tasks {
            let next = Arc::clone(&handles[(n + 1) % tasks]);
            let (meet, tell) = (Arc::clone(&meet), tell.clone());
            let task = queue.builder().name(format!("task {n}")).spawn_fn(move || {
                meet.wait();
                let next = next.lock().expect("no panic").take().expect("it is there");
                let joined = next.wait();
                tell.send(joined.as_ref().map(drop).map_err(ToString::to_string))
                    .expect("told");
                joined.map(drop)
            });
            *handles[n].lock().expect("no panic") = Some(task);
        }
        meet.wait();
        let answers: Vec<_> = (0..tasks)
            .map(|_| told.recv_timeout(FOR_EVER).expect("no hang"))
            .collect();
        let errors: Vec<&String> = answers.iter().filter_map(|it| it.as_ref().err()).collect();
        assert_eq!(errors.len(), 1, "{answers:?}");
        for n in 0..tasks {
            assert!(
                errors[0].contains(&format!("\"task {n}\"")),
                "{}",
                errors[0]
            );
        }
        queue.flush().wait().expect("no deadlock");
    }
}

/// §5.4: an item of an ordered queue that waits for a later one of that queue waits for itself.
#[test]
fn an_ordered_item_does_not_wait_for_a_later_one() {
    let queue = Workqueue::ordered("journal").build().expect("a queue");
    let later = Work::new(|| ());
    let item = later.clone();
    let (go, wait) = mpsc::channel::<()>();
    let first = queue.spawn_fn(move || {
        wait.recv().expect("the test goes on");
        item.flush().wait()
    });
    assert_eq!(queue.queue(&later), Queued::New);
    go.send(()).expect("it waits");
    let waited = first
        .wait_timeout(FOR_EVER)
        .expect("no hang")
        .expect("no panic");
    assert!(waited.expect_err("it is behind").is_deadlock());
    later.flush().wait().expect("it ran afterwards");
    // On another queue there is nothing to it.
    let other = Workqueue::ordered("other").build().expect("a queue");
    let item = later.clone();
    let (go, wait) = mpsc::channel::<()>();
    let first = queue.spawn_fn(move || {
        wait.recv().expect("the test goes on");
        item.flush().wait()
    });
    assert_eq!(other.queue(&later), Queued::New);
    go.send(()).expect("it waits");
    let waited = first
        .wait_timeout(FOR_EVER)
        .expect("no hang")
        .expect("no panic");
    waited.expect("no deadlock");
}

/// The same with a task, which then gets its turn; one that has ended, is aborted, or is on another
/// queue, may be waited for.
#[test]
fn an_ordered_item_does_not_join_a_later_one() {
    let queue = Workqueue::ordered("journal").build().expect("a queue");
    let other = Workqueue::ordered("other").build().expect("a queue");
    let (ended, (ran, has_run)) = (queue.spawn(async { 1 }), mpsc::channel());
    let (handle, elsewhere) = (Queue::clone(&queue), Queue::clone(&other));
    let first = queue.spawn_fn(move || {
        let later = handle.spawn_fn(move || ran.send(3).expect("the test waits"));
        let aborted = handle.spawn(async {});
        aborted.abort();
        let error = aborted.wait().expect_err("it never runs");
        assert!(error.is_cancelled(), "{error}");
        let answers = [ended.wait(), elsewhere.spawn(async { 2 }).wait()];
        (answers.map(|it| it.expect("no deadlock")), later.wait())
    });
    let (fine, later) = first
        .wait_timeout(FOR_EVER)
        .unwrap_or_else(|_| panic!("a hang"))
        .expect("no panic");
    assert_eq!(fine, [1, 2]);
    let error = later.expect_err("it is behind");
    assert!(error.is_deadlock(), "{error}");
    assert!(error.to_string().contains("\"journal\""), "{error}");
    assert_eq!(has_run.recv_timeout(FOR_EVER), Ok(3));
}

/// A flush waits for what was accepted before it: who comes later may wait for who flushes.
#[test]
fn a_flush_does_not_wait_for_newcomers() {
    let system = System::builder().workers(2).build().expect("a System");
    let flushed = Workqueue::unbound("flushed")
        .system(&system)
        .build()
        .expect("a queue");
    let flushed = Arc::new(flushed);
    let flusher = Workqueue::unbound("flusher")
        .system(&system)
        .build()
        .expect("a queue");
    let (release, hold) = mpsc::channel::<()>();
    let held = flushed.spawn_fn(move || {
        let _ = hold.recv();
    });
    let of = Arc::clone(&flushed);
    let flush = flusher.spawn_fn(move || of.flush().wait());
    let waits = |queue: &Queue| {
        let dump = queue.dump();
        dump.running
            .first()
            .is_some_and(|item| item.waits_for.is_some())
    };
    until("flushing", || waits(&flusher));
    let dump = flusher.dump();
    assert_eq!(
        dump.running[0].waits_for.as_deref(),
        Some("queue \"flushed\"")
    );
    assert!(
        dump.to_string().contains("waits for queue \"flushed\""),
        "{dump}"
    );
    let flusher = Arc::new(flusher);
    let of = Arc::clone(&flusher);
    let newcomer = flushed.spawn_fn(move || of.flush().wait());
    until("waiting", || {
        flushed
            .dump()
            .running
            .iter()
            .any(|item| item.waits_for.is_some())
    });
    drop(release);
    held.wait().expect("no panic");
    flush
        .wait()
        .expect("no panic")
        .expect("it waited for the held one alone");
    newcomer.wait().expect("no panic").expect("no cycle");
}

/// A wait that is over is no reason for an alarm, although its thread is not up yet. Method: an
/// item waits for one execution of another one, whose next execution waits for the first item.
#[test]
fn a_wait_that_is_over_raises_no_alarm() {
    let (_system, queue) = queue("again");
    for _ in 0..300 {
        let first: Arc<OnceLock<Work>> = Arc::default();
        let (of, runs) = (Arc::clone(&first), AtomicUsize::new(0));
        let (release, hold) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let second = Work::new(move || {
            if runs.fetch_add(1, Ordering::SeqCst) == 0 {
                let _ = hold.recv();
            } else {
                tell.send(of.get().expect("it was made").flush().wait())
                    .expect("told");
            }
        });
        assert_eq!(queue.queue(&second), Queued::New);
        until("running", || second.is_running());
        let of = second.clone();
        let work = first.get_or_init(|| {
            Work::new(move || {
                of.flush().wait().expect("the first execution alone");
            })
        });
        assert_eq!(queue.queue(work), Queued::New);
        until("waiting", || {
            queue
                .dump()
                .running
                .iter()
                .any(|item| item.waits_for.is_some())
        });
        assert_eq!(queue.queue(&second), Queued::New);
        drop(release);
        told.recv_timeout(FOR_EVER)
            .expect("no hang")
            .expect("no cycle");
        let report = queue.flush().wait().expect("no deadlock");
        assert_eq!(report.panicked, 0);
    }
}

/// A wait with a limit ends by itself, and is no part of a cycle.
#[test]
fn waits_with_a_limit_time_out_instead() {
    let (_system, queue) = queue("limit");
    let (first, second): (Arc<OnceLock<Work>>, Arc<OnceLock<Work>>) = Default::default();
    let meet = Arc::new(Barrier::new(2));
    let (tell, told) = mpsc::channel();
    let work = |other: &Arc<OnceLock<Work>>, limit: Option<Duration>| {
        let (other, meet, tell) = (Arc::clone(other), Arc::clone(&meet), tell.clone());
        Work::new(move || {
            meet.wait();
            let mut flush = other.get().expect("it was made").flush();
            let waited = match limit {
                Some(limit) => flush.wait_timeout(limit),
                None => flush.wait(),
            };
            tell.send((limit.is_some(), waited)).expect("told");
        })
    };
    let one = first.get_or_init(|| work(&second, Some(Duration::from_millis(5))));
    let two = second.get_or_init(|| work(&first, None));
    assert_eq!(
        (queue.queue(one), queue.queue(two)),
        (Queued::New, Queued::New)
    );
    for _ in 0..2 {
        match told.recv_timeout(FOR_EVER).expect("no hang") {
            (true, waited) => assert!(waited.expect_err("it takes longer").is_timeout()),
            (false, waited) => assert!(waited.is_ok()),
        }
    }
}
