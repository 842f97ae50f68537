//! The kernel's rules, one test each; `docs/semantics.md` has the table that names them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use wq::{DelayedWork, Modified, Queued, System, Work, Workqueue};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

/// A System of two lanes.
fn system() -> System {
    System::builder().workers(2).build().expect("a System")
}

/// An item that says when it began and waits to be let go; what to call, where to hear, and how to
/// let it go.
fn held_item() -> (Work, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (begun, has_begun) = mpsc::channel();
    let (release, hold) = mpsc::channel();
    let work = Work::new(move || {
        begun.send(()).unwrap();
        hold.recv().unwrap();
    });
    (work, has_begun, release)
}

/// Q1, W7, W8: a request makes an item pending, the run clears that and shows as running.
#[test]
fn pending_and_running_are_told_apart() {
    let system = system();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let (work, has_begun, release) = held_item();
    assert!(!work.is_pending() && !work.is_running());
    assert_eq!(queue.queue(&work), Queued::New);
    has_begun.recv().unwrap();
    assert!(!work.is_pending() && work.is_running());
    assert_eq!(queue.queue(&work), Queued::New);
    assert!(work.is_pending() && work.is_running());
    release.send(()).unwrap();
    has_begun.recv().unwrap();
    release.send(()).unwrap();
    work.flush().wait().unwrap();
    assert!(!work.is_pending() && !work.is_running());
}

/// F1: a flush says whether there was anything to wait for.
#[test]
fn an_idle_item_needs_no_flush() {
    let work = Work::new(|| ());
    assert!(!work.flush().wait().unwrap());
}

/// F7: what is cancelled does not run; a running execution is left alone.
#[test]
fn cancel_takes_back_what_is_pending() {
    let system = system();
    let queue = Workqueue::ordered("q").system(&system).build().unwrap();
    let (first, has_begun, release) = held_item();
    let ran = Arc::new(AtomicBool::new(false));
    let runs = Arc::clone(&ran);
    let second = Work::new(move || runs.store(true, Ordering::SeqCst));
    assert_eq!(queue.queue(&first), Queued::New);
    has_begun.recv().unwrap();
    assert_eq!(queue.queue(&second), Queued::New);
    assert!(second.cancel() && !second.cancel() && !first.cancel());
    release.send(()).unwrap();
    queue.flush().wait().unwrap();
    assert!(!ran.load(Ordering::SeqCst));
    assert_eq!(queue.queue(&second), Queued::New);
    second.flush().wait().unwrap();
    assert!(
        ran.load(Ordering::SeqCst),
        "a cancelled item can be queued again"
    );
}

/// F9, G8: while a cancel waits, requests are refused; afterwards the item is idle and enabled.
#[test]
fn cancel_and_wait_refuses_meanwhile() {
    let system = system();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let (work, has_begun, release) = held_item();
    assert_eq!(queue.queue(&work), Queued::New);
    has_begun.recv().unwrap();
    assert_eq!(queue.queue(&work), Queued::New);
    let wait = work.cancel_and_wait();
    assert!(!work.is_pending());
    assert_eq!(queue.queue(&work), Queued::Disabled);
    release.send(()).unwrap();
    assert!(wait.wait().unwrap(), "it was pending");
    assert!(!work.is_running() && !work.is_pending());
    assert_eq!(queue.queue(&work), Queued::New);
    has_begun.recv().unwrap();
    release.send(()).unwrap();
    work.flush().wait().unwrap();
}

/// F9: from inside the item both waits are errors, where the kernel would hang.
#[test]
fn an_item_does_not_wait_for_itself() {
    let system = system();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let (tell, told) = mpsc::channel();
    let (give, given) = mpsc::channel::<Work>();
    let work = Work::new(move || {
        let own = given.recv().unwrap();
        tell.send((own.flush().wait(), own.cancel_and_wait().wait()))
            .unwrap();
    });
    give.send(work.clone()).unwrap();
    assert_eq!(queue.queue(&work), Queued::New);
    let (flush, cancel) = told.recv().unwrap();
    assert!(flush.unwrap_err().is_deadlock() && cancel.unwrap_err().is_deadlock());
    work.flush().wait().unwrap();
    assert_eq!(queue.queue(&work), Queued::New, "it is enabled again");
    give.send(Work::new(|| ())).unwrap();
    let (flush, cancel) = told.recv().unwrap();
    assert!(
        flush.is_ok() && cancel.is_ok(),
        "another item's end may be waited for"
    );
}

/// F11, F12: disabling counts; refused requests are not remembered; an unbalanced enable is told
/// and harms nothing.
#[test]
fn disabling_counts() {
    let system = system();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let work = Work::new(|| ());
    assert_eq!(work.enable(), None);
    assert!(!work.disable() && !work.disable());
    assert_eq!(queue.queue(&work), Queued::Disabled);
    assert_eq!(work.enable(), Some(false));
    assert_eq!(queue.queue(&work), Queued::Disabled);
    assert_eq!(work.enable(), Some(true));
    assert!(!work.is_pending());
    assert_eq!(queue.queue(&work), Queued::New);
    assert_eq!(work.enable(), None);
    assert!(work.flush().wait().is_ok());
}

/// F9, F12: an enable by somebody who had not disabled the item ends what a waiting cancel has
/// disabled, and does no more harm.
#[test]
fn a_meddling_enable_harms_no_cancel() {
    let system = system();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let work = Work::new(|| ());
    let cancel = work.cancel_and_wait();
    assert_eq!(queue.queue(&work), Queued::Disabled);
    assert_eq!(work.enable(), Some(true));
    assert_eq!(cancel.wait(), Ok(false));
    assert_eq!(work.enable(), None);
    assert_eq!(queue.queue(&work), Queued::New);
    assert!(work.flush().wait().is_ok());
}

/// Q2, G16: an item of a per-CPU queue runs on the CPU it was queued on, resumed or not.
#[test]
fn percpu_items_stay_on_their_cpu() {
    let system = system();
    let queue = Workqueue::percpu("q").system(&system).build().unwrap();
    for cpu in system.topology().allowed().iter() {
        let here = move || {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            assert!(
                name.starts_with(&format!("wq/{cpu}:")),
                "{name} is not of CPU {cpu}"
            );
        };
        let task = queue.spawn_on(cpu, async move {
            here();
            wq::time::sleep(Duration::from_millis(1)).await;
            here();
            wq::yield_now().await;
            here();
        });
        task.wait().unwrap();
        let work = Work::new(here);
        assert_eq!(queue.queue_on(cpu, &work), Queued::New);
        work.flush().wait().unwrap();
    }
    assert_eq!(queue.stats().panicked, 0);
}

/// Q4, G17: no delay is exactly a queueing; an armed item is pending and refuses requests.
#[test]
fn no_delay_is_no_timer() {
    let system = system();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let (tell, told) = mpsc::channel();
    let tick = DelayedWork::new(move || tell.send(()).unwrap());
    assert_eq!(queue.queue_after(&tick, Duration::ZERO), Queued::New);
    told.recv().unwrap();
    tick.flush().wait().unwrap();
    assert_eq!(queue.queue_after(&tick, LONG), Queued::New);
    assert!(tick.is_pending() && !tick.is_running());
    assert_eq!(
        queue.queue_after(&tick, Duration::ZERO),
        Queued::AlreadyPending
    );
    assert_eq!(queue.queue(&tick.work()), Queued::AlreadyPending);
    // F2: a flush of an armed item queues it now.
    tick.flush().wait().unwrap();
    told.recv().unwrap();
    assert!(told.try_recv().is_err() && !tick.is_pending());
}

/// Q5: setting the delay anew works in every state, and says which it was.
#[test]
fn delays_are_set_anew() {
    let system = system();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let (tell, told) = mpsc::channel();
    let tick = DelayedWork::new(move || tell.send(Instant::now()).unwrap());
    assert_eq!(queue.modify_after(&tick, LONG), Modified::New);
    assert_eq!(queue.modify_after(&tick, LONG), Modified::Rearmed);
    let (asked, delay) = (Instant::now(), Duration::from_millis(5));
    assert_eq!(queue.modify_after(&tick, delay), Modified::Rearmed);
    assert!(told.recv().unwrap() >= asked + delay);
    tick.flush().wait().unwrap();
    assert_eq!(queue.modify_after(&tick, Duration::ZERO), Modified::New);
    told.recv().unwrap();
    tick.work().disable();
    assert_eq!(queue.modify_after(&tick, LONG), Modified::Disabled);
}

/// F3, G7, T11: a flush does not wait for what was accepted after it, a drain does.
#[test]
fn newcomers_do_not_extend_a_flush() {
    let system = system();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let (release, hold) = async_channel::bounded::<()>(1);
    let early = queue.spawn(async {});
    let flush = queue.flush();
    let (later_release, later_hold) = async_channel::bounded::<()>(1);
    let later = queue.spawn(async move { later_hold.recv().await.unwrap() });
    flush.wait().unwrap();
    assert!(early.is_finished() && !later.is_finished());
    drop((release, hold));
    let drain = queue.drain();
    later_release.send_blocking(()).unwrap();
    drain.wait().unwrap();
    assert!(later.is_finished());
}

/// Many flushes at once, more than there are colours, all end, also while items keep coming.
#[test]
fn flushes_overlap() {
    let system = system();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let mut flushes = Vec::new();
    let (release, hold) = async_channel::unbounded::<()>();
    for _ in 0..50 {
        let hold = hold.clone();
        drop(queue.spawn(async move { hold.recv().await.unwrap() }));
        flushes.push(queue.flush());
    }
    for _ in 0..50 {
        release.send_blocking(()).unwrap();
        drop(queue.spawn(async {}));
    }
    for flush in flushes {
        flush.wait().unwrap();
    }
    queue.drain().wait().unwrap();
    assert_eq!(queue.stats().completed, 100);
}

/// F5, G21: while a queue drains, its own items may add to it and others may not.
#[test]
fn chains_run_out_in_a_drain() {
    let system = system();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let (begun, has_begun) = mpsc::channel();
    let (release, hold) = mpsc::channel::<()>();
    let links = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&links);
    let chain = queue.spawn_fn(move || {
        begun.send(()).unwrap();
        hold.recv().unwrap();
        let next = Arc::clone(&counted);
        let link = wq::current().spawn(async move {
            next.fetch_add(1, Ordering::SeqCst);
            let last = wq::current().spawn_fn(move || next.fetch_add(1, Ordering::SeqCst));
            drop(last);
        });
        drop(link);
        counted.fetch_add(1, Ordering::SeqCst);
    });
    has_begun.recv().unwrap();
    let drain = queue.drain();
    assert!(queue.try_spawn(async {}).unwrap_err().is_closed());
    assert_eq!(queue.queue(&Work::new(|| ())), Queued::Closed);
    release.send(()).unwrap();
    assert_eq!(drain.wait().unwrap().completed, 3);
    chain.wait().unwrap();
    assert_eq!(links.load(Ordering::SeqCst), 3);
    assert!(queue.spawn(async {}).wait().is_ok());
}

/// F6: destroying takes armed delays back, where the kernel leaves that to the caller.
#[test]
fn destroy_knows_the_timers() {
    let system = system();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let ticks: Vec<_> = (0..10)
        .map(|_| DelayedWork::new(|| panic!("an hour passed")))
        .collect();
    for tick in &ticks {
        assert_eq!(queue.queue_after(tick, LONG), Queued::New);
    }
    let ran = queue.spawn(async {});
    ran.wait().unwrap();
    let report = queue.destroy().wait().unwrap();
    assert_eq!(
        (report.completed, report.panicked, report.cancelled),
        (1, 0, 10)
    );
    assert!(ticks.iter().all(|tick| !tick.is_pending()));
}

/// Dropping the owner closes the queue and waits for nothing: what was promised still runs.
#[test]
fn a_dropped_owner_keeps_its_promises() {
    let system = system();
    let owner = Workqueue::unbound("q").system(&system).build().unwrap();
    let queue = (*owner).clone();
    let (tell, told) = mpsc::channel();
    let tick = DelayedWork::new(move || tell.send(()).unwrap());
    assert_eq!(
        queue.queue_after(&tick, Duration::from_millis(1)),
        Queued::New
    );
    let (release, hold) = async_channel::bounded::<()>(1);
    let task = queue.spawn(async move { hold.recv().await.unwrap() });
    drop(owner);
    assert!(queue.is_closed() && !task.is_finished());
    release.send_blocking(()).unwrap();
    task.wait().unwrap();
    told.recv().unwrap();
    assert_eq!(queue.queue_after(&tick, LONG), Queued::Closed);
}

/// A12, T10: raising the limit starts what waits; lowering interrupts nothing; 0 is an error.
#[test]
fn the_limit_can_be_moved() {
    let system = system();
    let queue = Workqueue::unbound("q")
        .system(&system)
        .max_active(1)
        .build()
        .unwrap();
    let (release, hold) = async_channel::unbounded::<()>();
    let (begun, has_begun) = mpsc::channel();
    let items = 6;
    for n in 0..items {
        let (hold, begun) = (hold.clone(), begun.clone());
        drop(queue.spawn(async move {
            begun.send(n).unwrap();
            hold.recv().await.unwrap();
        }));
    }
    assert_eq!(has_begun.recv().unwrap(), 0);
    assert_eq!((queue.stats().active, queue.stats().waiting), (1, 5));
    queue.set_max_active(3).unwrap();
    let mut begun = [has_begun.recv().unwrap(), has_begun.recv().unwrap()];
    begun.sort_unstable();
    assert_eq!(begun, [1, 2], "activation is in order of acceptance");
    queue.set_max_active(1).unwrap();
    assert_eq!((queue.stats().active, queue.stats().waiting), (3, 3));
    (0..items).for_each(|_| release.send_blocking(()).unwrap());
    queue.flush().wait().unwrap();
    assert!(
        queue
            .set_max_active(0)
            .unwrap_err()
            .to_string()
            .contains("max_active")
    );
    let ordered = Workqueue::ordered("o").system(&system).build().unwrap();
    assert!(
        ordered
            .set_max_active(2)
            .unwrap_err()
            .to_string()
            .contains("ordered")
    );
}

/// G5: one item on several queues runs once at a time, and for every request made in between.
#[test]
fn an_item_never_overlaps_itself() {
    let system = system();
    let queues = ["a", "b", "c"].map(|n| Workqueue::unbound(n).system(&system).build().unwrap());
    let (inside, runs) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, count) = (Arc::clone(&inside), Arc::clone(&runs));
    let work = Work::new(move || {
        assert_eq!(
            now.fetch_add(1, Ordering::SeqCst),
            0,
            "it runs twice at a time"
        );
        count.fetch_add(1, Ordering::SeqCst);
        std::thread::yield_now();
        now.fetch_sub(1, Ordering::SeqCst);
    });
    let mut granted = 0;
    for n in 0..3000 {
        granted += usize::from(queues[n % 3].queue(&work) == Queued::New);
    }
    for queue in &queues {
        assert_eq!(queue.flush().wait().unwrap().panicked, 0);
    }
    assert_eq!(runs.load(Ordering::SeqCst), granted);
}

/// G1, G2, G4: stores before a request, granted or refused, are seen by the run that follows; what
/// a run stored is seen after the flush.
#[test]
fn requests_and_flushes_order_memory() {
    let system = system();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let (asked, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (ask, see) = (Arc::clone(&asked), Arc::clone(&seen));
    let work = Work::new(move || {
        // Relaxed: the queue is to order it.
        see.store(ask.load(Ordering::Relaxed), Ordering::Relaxed);
    });
    for n in 1..=5000 {
        // Relaxed: as above.
        asked.store(n, Ordering::Relaxed);
        assert_ne!(queue.queue(&work), Queued::Closed);
        if n % 7 == 0 {
            work.flush().wait().unwrap();
            assert_eq!(seen.load(Ordering::Relaxed), n);
        }
    }
    work.flush().wait().unwrap();
    assert_eq!(seen.load(Ordering::Relaxed), 5000);
}

/// A1, A7, A8: each bad field is named, all at once, with what is allowed.
#[test]
fn builders_name_every_bad_field() {
    let system = system();
    let bad = Workqueue::unbound("")
        .cpus("7-3")
        .nice(40)
        .max_active(0)
        .system(&system);
    let error = bad.build().unwrap_err();
    let fields: Vec<_> = error.fields().collect();
    assert_eq!(fields, ["name", "max_active", "nice", "cpus"], "{error}");
    let long = Workqueue::percpu("a name of more than 31 bytes, which is too long");
    assert_eq!(
        long.system(&system)
            .build()
            .unwrap_err()
            .fields()
            .collect::<Vec<_>>(),
        ["name"]
    );
    let nowhere = Workqueue::unbound("q")
        .cpus("1023")
        .system(&system)
        .build()
        .unwrap_err();
    assert!(nowhere.to_string().contains("in use"), "{nowhere}");
    let empty = System::builder()
        .cpus("")
        .workers(0)
        .name("too long")
        .build()
        .unwrap_err();
    assert_eq!(
        empty.fields().collect::<Vec<_>>(),
        ["name", "workers", "cpus"],
        "{empty}"
    );
}

/// L5, A7: without the right to it, high priority runs at normal priority, in pools of its own.
#[test]
fn high_priority_runs_with_and_without_the_right() {
    let system = system();
    let queue = Workqueue::percpu("q")
        .highpri()
        .system(&system)
        .build()
        .unwrap();
    let name = queue.spawn_fn(|| std::thread::current().name().unwrap_or_default().to_owned());
    assert!(name.wait().unwrap().ends_with('H'), "the kernel's names");
    let unbound = Workqueue::unbound("q")
        .highpri()
        .system(&system)
        .build()
        .unwrap();
    assert_eq!(unbound.spawn(async { 1 }).wait().unwrap(), 1);
}

/// F6: an item whose time comes while its queue is destroyed runs before the end, or is counted as
/// cancelled; none is forgotten, and none runs afterwards.
#[test]
fn expiries_meet_a_destroy() {
    let system = system();
    for round in 0..100 {
        let queue = Workqueue::unbound("q").system(&system).build().unwrap();
        let runs = Arc::new(AtomicUsize::new(0));
        let ticks: Vec<_> = (1..=20u64)
            .map(|n| {
                let counted = Arc::clone(&runs);
                let tick = DelayedWork::new(move || {
                    counted.fetch_add(1, Ordering::SeqCst);
                });
                let delay = Duration::from_micros(n * (5 + round % 10));
                assert_eq!(queue.queue_after(&tick, delay), Queued::New);
                tick
            })
            .collect();
        let report = queue.destroy().wait().unwrap();
        let ran = runs.load(Ordering::SeqCst) as u64;
        assert_eq!(
            (report.completed, report.completed + report.cancelled),
            (ran, 20)
        );
        assert!(
            ticks
                .iter()
                .all(|tick| !tick.is_pending() && !tick.is_running())
        );
        assert_eq!(system.stats().rescues, 0);
    }
}
