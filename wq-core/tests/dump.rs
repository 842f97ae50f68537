//! Seeing what runs: dumps, numbers, names and descriptions of tasks.

use std::collections::HashSet;
use std::future::pending;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use wq_core::task::{self, TaskId};
use wq_core::{DelayedWork, Queue, QueueDump, QueueKind, Queued, System, Work, Workqueue};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// Waits until a queue's dump is as wanted; that dump.
fn until(queue: &Queue, what: &str, holds: impl Fn(&QueueDump) -> bool) -> QueueDump {
    let deadline = Instant::now() + FOR_EVER;
    loop {
        let dump = queue.dump();
        if holds(&dump) {
            return dump;
        }
        assert!(Instant::now() < deadline, "not {what}:\n{dump}");
        std::thread::yield_now();
    }
}

/// An item that blocks until the sender is dropped.
fn blocker() -> (mpsc::Sender<()>, impl FnOnce() + Send + 'static) {
    let (go, wait) = mpsc::channel::<()>();
    (go, move || {
        let _ = wait.recv();
    })
}

/// Goal: a running item is told with type, name, number, description, thread and age, and that it
/// blocks. Method: an item that blocks until it was seen.
#[test]
fn a_dump_tells_what_runs_and_for_how_long() {
    let system = System::builder()
        .name("seen")
        .workers(1)
        .build()
        .expect("a System");
    let queue = Workqueue::unbound("files")
        .system(&system)
        .build()
        .expect("a queue");
    let (go, block) = blocker();
    let item = queue.builder().name("reader").spawn_fn(move || {
        task::describe("chapter one");
        block();
    });
    let dump = until(&queue, "old", |dump| {
        dump.running
            .first()
            .is_some_and(|item| item.lasts >= Duration::from_millis(20))
    });
    let running = &dump.running[0];
    assert_eq!(running.name.as_deref(), Some("reader"));
    assert_eq!(running.description.as_deref(), Some("chapter one"));
    assert_eq!(running.id, Some(item.id()));
    assert!(
        running.type_name.contains("a_dump_tells"),
        "{}",
        running.type_name
    );
    assert!(running.thread.starts_with("seen/u"), "{}", running.thread);
    #[cfg(all(target_os = "linux", not(wq_portable)))]
    assert_eq!(running.thread_state, wq_core::ThreadIs::Asleep);
    assert!(dump.oldest() >= Some(Duration::from_millis(20)));
    assert_eq!(
        (dump.kind, dump.ready(), dump.stats.in_flight),
        (QueueKind::Unbound, 0, 1)
    );
    let text = system.dump().to_string();
    for part in [
        "files",
        "reader",
        "chapter one",
        &format!("#{}", item.id()),
        "seen/u",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    drop(go);
    item.wait().expect("it returned");
    until(&queue, "empty", |dump| {
        dump.running.is_empty() && dump.oldest().is_none()
    });
}

/// Goal: suspended tasks are told by type with their number and age, and one by one if they have a
/// name; those that wait for a slot by name. Method: pending futures on a limited queue.
#[test]
fn a_dump_tells_what_is_suspended_and_what_waits() {
    let queue = Workqueue::unbound("conns")
        .max_active(4)
        .build()
        .expect("a queue");
    let held: Vec<_> = (0..3).map(|_| queue.spawn(pending::<()>())).collect();
    let named = queue.builder().name("listener").spawn(async {
        task::describe("port 80");
        pending::<()>().await;
    });
    let waiting = queue.builder().name("late").spawn(async {});
    let dump = until(&queue, "all suspended", |dump| {
        dump.suspended.iter().map(|them| them.count).sum::<u64>() == 4
            && dump.oldest() >= Some(Duration::from_millis(20))
    });
    let crowd = dump
        .suspended
        .iter()
        .find(|them| them.name.is_none())
        .expect("the others");
    assert_eq!((crowd.count, crowd.id), (3, None));
    assert!(
        crowd.type_name.contains("Pending<()>"),
        "{}",
        crowd.type_name
    );
    let listener = dump
        .suspended
        .iter()
        .find(|them| them.name.is_some())
        .expect("the named one");
    assert_eq!(listener.name.as_deref(), Some("listener"));
    assert_eq!(listener.description.as_deref(), Some("port 80"));
    assert_eq!((listener.count, listener.id), (1, Some(named.id())));
    assert_eq!(
        (dump.max_active, dump.stats.waiting, dump.ready()),
        (Some(4), 1, 0)
    );
    let names: Vec<&str> = dump.waiting_names.iter().map(|name| &**name).collect();
    assert_eq!(names, ["late"]);
    let text = dump.to_string();
    for part in [
        "3 suspended",
        "listener",
        "port 80",
        "waiting for a slot: \"late\"",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    named.abort();
    waiting.wait().expect("it got the slot");
    held.iter().for_each(|task| task.abort());
    until(&queue, "empty", |dump| {
        dump.suspended.is_empty() && dump.waiting_names.is_empty()
    });
}

/// Goal: a dump of a queue with very many items that wait looks at the first ones alone: it holds
/// the lock that their queue's items need. Method: a named one before and one behind a thousand.
#[test]
fn a_dump_does_not_walk_over_all_that_wait() {
    let queue = Workqueue::unbound("crowd").max_active(1);
    let queue = queue.build().expect("a queue");
    let held = queue.spawn(pending::<()>());
    drop(queue.builder().name("early").spawn(async {}));
    (0..1_000).for_each(|_| drop(queue.spawn(async {})));
    drop(queue.builder().name("late").spawn(async {}));
    let dump = queue.dump();
    assert_eq!(dump.stats.waiting, 1_002);
    assert_eq!(dump.waiting_names, ["early".into()]);
    held.abort();
    queue.flush().wait().expect("all end");
}

/// Goal: armed delayed items are counted, and the state of the queue is told.
#[test]
fn a_dump_tells_what_is_armed_and_what_is_closed() {
    let system = System::builder().workers(1).build().expect("a System");
    let owner = Workqueue::ordered("late")
        .system(&system)
        .build()
        .expect("a queue");
    let tick = DelayedWork::new(|| ());
    assert_eq!(owner.queue_after(&tick, FOR_EVER), Queued::New);
    assert_eq!(
        (owner.dump().delayed, owner.dump().closed),
        (Some(1), false)
    );
    assert_eq!(system.default_queue().dump().delayed, None);
    assert!(tick.cancel());
    let queue = Queue::clone(&owner);
    let held = queue.spawn(pending::<()>());
    let drain = owner.drain();
    assert!(queue.dump().draining && queue.dump().to_string().contains("drains"));
    drop((drain, owner));
    let dump = queue.dump();
    assert_eq!(
        (dump.delayed, dump.closed, dump.draining),
        (Some(0), true, false)
    );
    assert_eq!((dump.kind, dump.max_active), (QueueKind::Ordered, Some(1)));
    let icy = Workqueue::unbound("icy")
        .freezable()
        .system(&system)
        .build()
        .expect("a queue");
    assert!(!icy.dump().frozen && icy.dump().max_active.is_none());
    drop(system.freeze());
    assert!(icy.dump().frozen && icy.dump().to_string().contains("frozen"));
    system.thaw();
    assert!(!icy.dump().frozen);
    drop(icy);
    let own: Vec<String> = system
        .dump()
        .queues
        .into_iter()
        .map(|queue| queue.name)
        .collect();
    assert_eq!(
        own[..2],
        ["events_unbound", "events"],
        "the System's own come first"
    );
    assert!(own.iter().any(|name| name == "late"));
    held.abort();
}

/// Goal: numbers tell tasks apart, are the same from everywhere, stay after the end, and do not
/// come again although the memory does.
#[test]
fn numbers_of_tasks_stay_and_do_not_come_again() {
    let queue = Workqueue::unbound("numbers").build().expect("a queue");
    let mut seen: HashSet<TaskId> = HashSet::new();
    for _ in 0..1000 {
        let task = queue.spawn_fn(task::id);
        let before = task.id();
        queue.flush().wait().expect("no deadlock");
        assert_eq!(task.id(), before, "the same after the end");
        assert_eq!(task.wait().expect("it returned"), before);
        assert!(seen.insert(before), "{before} came again");
    }
    assert!(task::try_id().is_none() && task::name().is_none());
    task::describe("nobody is here");
    let nameless = queue.spawn_fn(|| (task::name(), task::try_id().is_some()));
    assert_eq!(nameless.wait().expect("it returned"), (None, true));
}

/// Goal: what a task is called is forgotten with it, whether it ran, was aborted or was refused;
/// the next one in its memory has nothing of it.
#[test]
fn labels_go_with_their_tasks() {
    let owner = Workqueue::unbound("labels")
        .max_active(1)
        .build()
        .expect("a queue");
    let queue = Queue::clone(&owner);
    for round in 0..200 {
        let name = format!("round {round}");
        let task = queue
            .builder()
            .name(name.as_str())
            .spawn(async { task::name() });
        assert_eq!(
            task.wait().expect("it returned").as_deref(),
            Some(name.as_str())
        );
        let tried = queue.builder().name(name.as_str());
        let tried = tried
            .try_spawn(async { task::name() })
            .expect("the queue is open");
        assert_eq!(
            tried.wait().expect("it returned").as_deref(),
            Some(name.as_str())
        );
        let plain = queue.spawn(async { task::name() });
        assert_eq!(plain.wait().expect("it returned"), None);
    }
    let held = queue.spawn(pending::<()>());
    let aborted = queue.builder().name("aborted").spawn(async {});
    aborted.abort();
    assert!(aborted.wait().expect_err("it was aborted").is_cancelled());
    drop(owner);
    let refused = queue.builder().name("refused").cpu(0).spawn_fn(|| ());
    assert!(refused.wait().expect_err("it was refused").is_rejected());
    assert!(
        queue
            .builder()
            .name("refused")
            .try_spawn(async {})
            .expect_err("closed")
            .is_closed()
    );
    held.abort();
}

/// Goal: runs of an item are told like tasks. Method: an item that blocks.
#[test]
fn runs_of_an_item_are_told() {
    let queue = Workqueue::unbound("items").build().expect("a queue");
    let (go, block) = blocker();
    let mut block = Some(block);
    let work = Work::new(move || block.take().map_or((), |block| block()));
    assert_eq!(queue.queue(&work), Queued::New);
    let dump = until(&queue, "running", |dump| !dump.running.is_empty());
    assert!(dump.running[0].type_name.contains("runs_of_an_item"));
    drop(go);
    work.flush().wait().expect("no deadlock");
}

/// Goal: the thread of an item that runs for long shows what that does, and its own name again
/// when it is over. Method: procfs, as `ps` and `top` read it.
#[cfg(all(target_os = "linux", not(wq_portable)))]
#[test]
fn threads_show_what_long_items_do() {
    let shows = |wanted: &str| {
        let tasks = std::fs::read_dir("/proc/self/task").expect("procfs");
        let names = tasks
            .flatten()
            .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        names.into_iter().any(|name| name.trim_end() == wanted)
    };
    let until_shown = |wanted: &str, shown: bool| {
        let deadline = Instant::now() + FOR_EVER;
        while shows(wanted) != shown {
            assert!(Instant::now() < deadline, "{wanted}: not {shown}");
            std::thread::yield_now();
        }
    };
    let system = System::builder()
        .name("w")
        .workers(1)
        .build()
        .expect("a System");
    let queue = Workqueue::percpu("journal")
        .system(&system)
        .build()
        .expect("a queue");
    let cpu = system.topology().allowed().iter().next().expect("a CPU");
    for (description, shown) in [(Some("commit 17"), "commit 17"), (None, "journal")] {
        let (go, block) = blocker();
        let item = queue.builder().cpu(cpu).spawn_fn(move || {
            if let Some(description) = description {
                task::describe(description);
            }
            block();
        });
        let dump = until(&queue, "running", |dump| !dump.running.is_empty());
        let thread = dump.running[0].thread.clone();
        let name: String = format!("{thread}+{shown}").chars().take(15).collect();
        until_shown(&name, true);
        drop(go);
        item.wait().expect("it returned");
        until_shown(&name, false);
        assert!(shows(&thread), "{thread} has its own name again");
    }
}
