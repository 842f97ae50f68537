//! Bad input to every builder and function: a typed error that names the field and says what is
//! allowed, or a documented panic.

use std::time::Duration;

use wq_core::{BuildError, DelayedWork, Queued, System, Work, Workqueue};

/// A System of two lanes.
fn system() -> System {
    System::builder().workers(2).build().expect("a System")
}

/// The error of a queue that cannot be built: its fields and its message.
fn refused(built: Result<Workqueue, BuildError>) -> (Vec<&'static str>, String) {
    let error = built.expect_err("it cannot be built");
    (error.fields().collect(), error.to_string())
}

/// Asserts that `message` contains all of `parts`.
#[track_caller]
fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

/// Lists of CPUs that are no lists, are empty, or name no CPU that may be used.
#[test]
fn cpu_lists() {
    let system = system();
    for list in [
        "",
        " ",
        "x",
        "3-1",
        "1-",
        "-1",
        "0,,1",
        "99999999999999999999",
        "0-100000",
    ] {
        let queue = Workqueue::unbound("q").system(&system).cpus(list).build();
        assert_eq!(refused(queue).0, ["cpus"], "{list:?}");
        let queue = Workqueue::ordered("q").system(&system).cpus(list).build();
        assert_eq!(refused(queue).0, ["cpus"], "{list:?}");
        let error = System::builder().cpus(list).build().unwrap_err();
        assert_eq!(error.fields().collect::<Vec<_>>(), ["cpus"], "{list:?}");
    }
    let (_, message) = refused(Workqueue::unbound("q").system(&system).cpus("1000").build());
    assert_says(
        &message,
        &["cpus: none of \"1000\" is in use; this System uses"],
    );
    let message = System::builder()
        .cpus("1000")
        .build()
        .unwrap_err()
        .to_string();
    assert_says(
        &message,
        &["cpus: none of \"1000\" may be used; this process may use"],
    );
}

/// Names that are empty, too long, or would garble a dump.
#[test]
fn names() {
    let system = system();
    let long = "n".repeat(32);
    for (name, says) in [
        ("", "it is empty"),
        (long.as_str(), "has 32 bytes; at most 31 are allowed"),
        ("a\nb", "control characters"),
    ] {
        for built in [
            Workqueue::unbound(name).system(&system).build(),
            Workqueue::percpu(name).system(&system).build(),
            Workqueue::ordered(name).system(&system).build(),
        ] {
            let (fields, message) = refused(built);
            assert_eq!(fields, ["name"]);
            assert_says(&message, &["name: ", says]);
        }
    }
    assert!(
        Workqueue::unbound("n".repeat(31))
            .system(&system)
            .build()
            .is_ok()
    );
    assert!(Workqueue::unbound("Zähler").system(&system).build().is_ok());
    for (tag, says) in [
        ("", "it is empty"),
        ("abcdef", "6 bytes; at most 5"),
        ("a\0b", "control"),
    ] {
        let error = System::builder().name(tag).build().unwrap_err();
        assert_eq!(error.fields().collect::<Vec<_>>(), ["name"]);
        assert_says(&error.to_string(), &[says]);
    }
}

/// Limits of nothing, and limits of queues that have none.
#[test]
fn limits() {
    let system = system();
    for built in [
        Workqueue::unbound("q")
            .system(&system)
            .max_active(0)
            .build(),
        Workqueue::percpu("q").system(&system).max_active(0).build(),
    ] {
        let (fields, message) = refused(built);
        assert_eq!(fields, ["max_active"]);
        assert_says(
            &message,
            &["max_active: 0 would run nothing; take 1 or more"],
        );
    }
    let (fields, message) = refused(
        Workqueue::unbound("q")
            .system(&system)
            .max_pending(0)
            .build(),
    );
    assert_eq!(fields, ["max_pending"]);
    assert_says(&message, &["0 without `max_active` would accept nothing"]);
    let limited = Workqueue::unbound("q")
        .system(&system)
        .max_active(2)
        .build()
        .unwrap();
    let unlimited = Workqueue::unbound("q").system(&system).build().unwrap();
    let ordered = Workqueue::ordered("q").system(&system).build().unwrap();
    for (queue, limit, says) in [
        (&limited, 0, "0 would run nothing"),
        (&unlimited, 3, "built without a limit"),
        (&ordered, 3, "an ordered queue runs one item at a time"),
    ] {
        let error = queue.set_max_active(limit).unwrap_err();
        assert_eq!(error.fields().collect::<Vec<_>>(), ["max_active"]);
        assert_says(&error.to_string(), &[says]);
    }
    limited.set_max_active(usize::MAX).unwrap();
    let error = System::builder().workers(0).build().unwrap_err();
    assert_eq!(error.fields().collect::<Vec<_>>(), ["workers"]);
    assert_says(
        &error.to_string(),
        &["workers: 0 lanes run nothing; take 1 or more"],
    );
    assert!(
        System::builder().workers(usize::MAX).build().is_ok(),
        "at most one for each CPU"
    );
}

/// What counts items for another reason has no limit, and the largest limit is one.
#[test]
fn limits_are_limits() {
    let system = system();
    for free in [
        Workqueue::unbound("q").freezable(),
        Workqueue::unbound("q").max_pending(3),
    ] {
        // It counts what is in flight, but has slots for everybody.
        let free = free.system(&system).build().unwrap();
        for (error, field) in [
            (free.set_max_active(3).unwrap_err(), "max_active"),
            (free.set_min_active(3).unwrap_err(), "min_active"),
            (free.set_ordered(true).unwrap_err(), "ordered"),
        ] {
            assert_eq!(error.fields().collect::<Vec<_>>(), [field]);
            assert_says(&error.to_string(), &["built without a limit"]);
        }
        free.set_ordered(false).unwrap();
    }
    // However many it is, it is a limit: nobody waits, and everybody is accepted.
    let boundless = Workqueue::unbound("q")
        .max_active(usize::MAX)
        .max_pending(0);
    let boundless = boundless.system(&system).build().unwrap();
    assert_eq!(boundless.spawn(async { 7 }).wait().unwrap(), 7);
    boundless.set_ordered(true).unwrap();
    let moved = Workqueue::unbound("q").max_active(1).max_pending(0);
    let moved = moved.system(&system).build().unwrap();
    moved.set_max_active(usize::MAX).unwrap();
    assert_eq!(moved.spawn(async { 8 }).wait().unwrap(), 8);
    moved.set_ordered(true).unwrap();
}

/// Nice values out of range; and one error names every bad field.
#[test]
fn nice_and_all_fields_at_once() {
    let system = system();
    for nice in [-21, 20, i8::MIN, i8::MAX] {
        let (fields, message) = refused(Workqueue::unbound("q").system(&system).nice(nice).build());
        assert_eq!(fields, ["nice"]);
        assert_says(&message, &[&format!("nice: {nice} is outside -20 to 19")]);
    }
    assert!(
        Workqueue::unbound("q")
            .system(&system)
            .nice(19)
            .build()
            .is_ok()
    );
    let all = Workqueue::unbound("")
        .system(&system)
        .max_active(0)
        .nice(99)
        .cpus("x");
    let (fields, message) = refused(all.build());
    assert_eq!(fields, ["name", "max_active", "nice", "cpus"]);
    assert_says(
        &message,
        &["name: ", "; max_active: ", "; nice: ", "; cpus: "],
    );
}

/// More sets of attributes than a CPU may have pools for.
#[test]
fn too_many_pools() {
    let all = System::builder().build().unwrap();
    let cpus: Vec<usize> = all.topology().allowed().iter().collect();
    let system = System::builder().cpus(cpus[0].to_string()).build().unwrap();
    let built: Vec<_> = (-20..=19)
        .map(|nice| Workqueue::unbound("q").system(&system).nice(nice).build())
        .collect();
    assert!(
        built.iter().all(Result::is_ok),
        "40 nice values on one CPU are not too many"
    );
    if cpus.len() < 2 {
        return;
    }
    let list = format!("{},{}", cpus[0], cpus[1]);
    let system = System::builder().cpus(list).build().unwrap();
    let errors: Vec<_> = (-20..=19)
        .flat_map(|nice| {
            let one = Workqueue::unbound("q")
                .system(&system)
                .nice(nice)
                .cpus(cpus[0].to_string());
            let both = Workqueue::unbound("q").system(&system).nice(nice);
            [one.build(), both.build()]
        })
        .filter_map(Result::err)
        .collect();
    assert!(!errors.is_empty());
    assert_says(
        &errors[0].to_string(),
        &["most worker pools it may have (64)", "fewer different"],
    );
    assert_eq!(errors[0].fields().count(), 0);
}

/// Queueing on a closed queue, in every way there is.
#[test]
fn closed_queues() {
    let system = system();
    let owner = Workqueue::unbound("q").system(&system).build().unwrap();
    let queue = (*owner).clone();
    owner.destroy().wait().unwrap();
    assert!(queue.is_closed());
    let error = queue.spawn(async {}).wait().unwrap_err();
    assert!(error.is_rejected());
    assert_says(
        &error.to_string(),
        &["did not accept the task: it is closed, draining or full"],
    );
    assert!(
        queue
            .spawn_on(0, async {})
            .wait()
            .unwrap_err()
            .is_rejected()
    );
    assert!(queue.spawn_fn(|| ()).wait().unwrap_err().is_rejected());
    let error = queue.try_spawn(async { 7 }).unwrap_err();
    assert_eq!(error.to_string(), "the queue is closed or draining");
    assert_eq!(system.block_on(error.into_inner()), 7);
    assert_eq!(queue.queue(&Work::new(|| ())), Queued::Closed);
    assert_eq!(queue.queue_on(0, &Work::new(|| ())), Queued::Closed);
    let delayed = DelayedWork::new(|| ());
    assert_eq!(
        queue.queue_after(&delayed, Duration::from_secs(1)),
        Queued::Closed
    );
    assert_eq!(queue.queue_after(&delayed, Duration::ZERO), Queued::Closed);
    let modified = queue.modify_after(&delayed, Duration::from_secs(1));
    assert_eq!(modified, wq_core::Modified::Closed);
    assert!(!delayed.is_pending());
    let full = Workqueue::ordered("f")
        .system(&system)
        .max_pending(0)
        .build()
        .unwrap();
    let first = full.spawn(std::future::pending::<()>());
    let error = full.try_spawn(async {}).unwrap_err();
    assert!(error.is_full());
    assert_says(
        &error.to_string(),
        &["as many items wait as its `max_pending` allows"],
    );
    first.abort();
}

/// Building on a System that has shut down.
#[test]
fn stopped_systems() {
    let system = system();
    system.shutdown(Duration::ZERO);
    for built in [
        Workqueue::unbound("q").system(&system).build(),
        Workqueue::percpu("q").system(&system).build(),
        Workqueue::ordered("q").system(&system).build(),
    ] {
        let error = built.unwrap_err();
        assert!(error.is_closed());
        assert_says(&error.to_string(), &["the System is shutting down"]);
    }
    assert!(system.spawn(async {}).wait().unwrap_err().is_rejected());
    assert!(system.shutdown(Duration::ZERO).only_begun);
}

/// A root task on a stopped System panics as documented.
#[test]
#[should_panic(expected = "the root task gave no result: the queue did not accept the task")]
fn running_on_a_stopped_system() {
    let system = system();
    system.shutdown(Duration::ZERO);
    system.run(async {});
}

/// Waits that include the caller: its own queue, its own item.
#[test]
fn waiting_for_oneself() {
    let system = system();
    let queue = std::sync::Arc::new(Workqueue::ordered("mine").system(&system).build().unwrap());
    let inside = std::sync::Arc::clone(&queue);
    let errors = queue.spawn(async move {
        [
            inside.flush().wait().unwrap_err(),
            inside.drain().await.unwrap_err(),
        ]
    });
    for error in errors.wait().unwrap() {
        assert!(error.is_deadlock() && !error.is_timeout());
        assert_says(
            &error.to_string(),
            &["would never end", "queue \"mine\"", "wait from outside"],
        );
    }
    let (send, receive) = std::sync::mpsc::channel();
    let slot = std::sync::Arc::new(std::sync::Mutex::new(None::<Work>));
    let own = std::sync::Arc::clone(&slot);
    let work = Work::new(move || {
        let me = own.lock().unwrap().clone().unwrap();
        send.send((me.flush().wait(), me.cancel_and_wait().wait()))
            .unwrap();
    });
    *slot.lock().unwrap() = Some(work.clone());
    assert_eq!(queue.queue(&work), Queued::New);
    let (flushed, cancelled) = receive.recv().unwrap();
    for error in [flushed.unwrap_err(), cancelled.unwrap_err()] {
        assert!(error.is_deadlock());
        assert_says(&error.to_string(), &["the work item itself"]);
    }
    *slot.lock().unwrap() = None;
}

/// A limit that is reached says what is stuck; the wait can be given up and begun again.
#[test]
fn waits_that_time_out() {
    let system = system();
    let queue = Workqueue::ordered("stuck").system(&system).build().unwrap();
    let first = queue.spawn(std::future::pending::<()>());
    let _second = queue.spawn(async {});
    let error = queue
        .flush()
        .wait_timeout(Duration::from_millis(5))
        .unwrap_err();
    assert!(error.is_timeout() && !error.is_deadlock());
    assert_says(
        &error.to_string(),
        &["queue \"stuck\" still has 2 items", "(1 wait for a slot)"],
    );
    let first = first.wait_timeout(Duration::from_millis(5)).unwrap_err();
    first.abort();
    assert!(
        first
            .wait_timeout(Duration::MAX)
            .unwrap()
            .unwrap_err()
            .is_cancelled()
    );
    assert_eq!(
        queue.flush().wait_timeout(Duration::MAX).unwrap().cancelled,
        1
    );
}

/// Disabling without end, and asking an error for a panic that it does not have.
#[test]
fn documented_panics() {
    let work = Work::new(|| ());
    (0..65_535).for_each(|_| {
        work.disable();
    });
    let says = |result: std::thread::Result<()>| *result.unwrap_err().downcast::<&str>().unwrap();
    let too_often = std::panic::catch_unwind(|| {
        work.disable();
    });
    assert_says(
        says(too_often),
        &["cannot be disabled more than 65535 times"],
    );
    let system = system();
    let task = system.spawn(std::future::pending::<()>());
    task.abort();
    let error = task.wait().unwrap_err();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        drop(error.into_panic());
    }));
    let message = caught.unwrap_err().downcast::<String>().unwrap();
    assert_says(
        &message,
        &["`into_panic` wants an error for which `is_panic` holds"],
    );
}
