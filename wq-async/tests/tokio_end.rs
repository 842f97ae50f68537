//! How a tokio context ends: with its Systems, without a panic, and without a thread left.

#![cfg(feature = "tokio")]

use std::fs;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use wq::System;
use wq::tokio::Driver;

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// A driver whose threads have names that begin with `tag`.
fn driver(tag: &str) -> Driver {
    let builder = Driver::builder().name(tag).threads(2);
    builder.build().expect("a tokio runtime")
}

/// A System of one lane that alone has a driver; all their threads' names begin with `tag`.
fn system(tag: &str) -> System {
    let builder = System::builder().name(tag).workers(1);
    driver(tag).attach(builder).build().expect("a System")
}

/// Names of the process's threads that begin with this tag; none where the system does not tell.
fn threads(tag: &str) -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    let prefix = format!("{tag}/");
    names.filter(|name| name.starts_with(&prefix)).collect()
}

/// Waits until no thread of this name is left: the kernel lists one for a moment after its join.
#[track_caller]
fn assert_gone(tag: &str) {
    let end = Instant::now() + FOR_EVER;
    while !threads(tag).is_empty() {
        assert!(Instant::now() < end, "left: {:?}", threads(tag));
        thread::yield_now();
    }
}

/// Goal: a shutdown ends what tokio still has, and its threads, in time. Method: tasks that wait
/// for ever on both sides, and one that sleeps on a blocking thread until it is let go.
#[test]
fn a_shutdown_ends_the_driver() {
    /// Tells that its task was dropped.
    struct Dropped(std::sync::mpsc::Sender<&'static str>, &'static str);
    impl Drop for Dropped {
        fn drop(&mut self) {
            let _ = self.0.send(self.1);
        }
    }
    let system = system("te1");
    let (tell, told) = channel();
    let (on_wq, on_tokio) = (Dropped(tell.clone(), "wq"), Dropped(tell, "tokio"));
    let started = system.spawn(async move {
        drop(tokio::spawn(async move {
            let _held = on_tokio;
            std::future::pending::<()>().await;
        }));
        drop(wq::spawn(async move {
            let _held = on_wq;
            tokio::time::sleep(FOR_EVER * 60).await;
        }));
    });
    started.wait().unwrap();
    if cfg!(target_os = "linux") {
        assert!(threads("te1").iter().any(|name| name.contains("tokio")));
    }
    let report = system.shutdown(Duration::from_millis(10));
    assert_eq!(
        (report.completed, report.dropped, report.detached),
        (1, 1, 0)
    );
    let order: Vec<_> = told.iter().collect();
    assert_eq!(
        order,
        ["wq", "tokio"],
        "wq's tasks may use tokio until they have ended"
    );
    assert_gone("te1");
}

/// Dropping the last handle of a System ends its driver as a shutdown does.
#[test]
fn a_dropped_system_ends_the_driver() {
    let system = system("te2");
    assert!(system.run(async { Handle::try_current().is_ok() }));
    drop(system);
    assert_gone("te2");
}

/// A driver serves several Systems, and ends with the last of them.
#[test]
fn systems_share_a_driver() {
    let tokio = driver("te3");
    let [first, second] = ["te3a", "te3b"].map(|tag| {
        let builder = System::builder().name(tag).workers(1);
        tokio.attach(builder).build().unwrap()
    });
    drop(tokio);
    let nap = || async { tokio::time::sleep(Duration::from_millis(1)).await };
    first.run(nap());
    drop(first);
    second.run(nap());
    drop(second);
    assert_gone("te3");
}

/// The last handle may go anywhere: on a thread of the driver itself, in a task of wq, and in a
/// task of a foreign tokio runtime, where tokio forbids to drop a runtime.
#[test]
fn the_last_handle_may_go_anywhere() {
    let tokio = driver("te4");
    let handle = {
        let _entered = tokio.enter();
        Handle::current()
    };
    drop(handle.spawn(async move { drop(tokio) }));
    drop(handle);
    assert_gone("te4");

    let plain = System::builder().workers(1).build().unwrap();
    let tokio = driver("te5");
    plain.run(async move { drop(tokio) });
    assert_gone("te5");

    let foreign = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let system = system("te6");
    foreign.block_on(async move { drop(system.shutdown(Duration::ZERO)) });
    assert_gone("te6");
}

/// Goal: a library's task that never returns holds up the end for a second and not for ever.
#[test]
fn a_stuck_tokio_task_is_left_behind() {
    let system = system("te7");
    let (hold, held) = channel::<()>();
    let (inside, is_inside) = channel();
    system.run(async move {
        drop(tokio::spawn(async move {
            inside.send(()).unwrap();
            let _ = held.recv();
        }));
    });
    is_inside.recv().unwrap();
    let (ended, end) = channel();
    let shutdown = thread::spawn(move || {
        system.shutdown(Duration::ZERO);
        ended.send(()).unwrap();
    });
    end.recv_timeout(FOR_EVER)
        .expect("the shutdown ends without the task");
    shutdown.join().unwrap();
    drop(hold);
    assert_gone("te7");
}

/// A System that could not be made lets its driver go.
#[test]
fn a_failed_build_ends_the_driver() {
    let builder = driver("te8").attach(System::builder().workers(0));
    assert!(builder.build().is_err());
    assert_gone("te8");
}

/// Goal: a forked child, where the runtime's threads are missing, lets a driver go without waiting.
/// Method: the last handle goes in both processes.
#[cfg(all(target_os = "linux", not(wq_portable)))]
#[test]
fn a_forked_child_lets_its_driver_go() {
    let tokio = driver("te9");
    let answer = wq::driver::in_forked_child(FOR_EVER, move || {
        drop(tokio);
        7
    });
    assert_eq!(answer.expect("a process"), Some(7));
    assert_gone("te9");
}

/// Fields that cannot be used are named, with what is allowed.
#[test]
fn bad_fields_are_named() {
    let said = |builder: wq::tokio::DriverBuilder| builder.build().unwrap_err().to_string();
    assert_eq!(
        said(Driver::builder().threads(0)),
        "threads: 0; take 1 to 1024"
    );
    assert_eq!(
        said(Driver::builder().threads(1025)),
        "threads: 1025; take 1 to 1024"
    );
    for name in ["", "a/b", "toolong", "a\0b"] {
        assert!(
            said(Driver::builder().name(name)).starts_with("name: "),
            "{name:?}"
        );
    }
}

/// The attributes give the body and its tasks a context.
#[wq::test(workers = 1, tokio = true)]
async fn an_attribute_gives_a_context() {
    tokio::time::sleep(Duration::from_millis(1)).await;
    let task = wq::spawn(async { tokio::spawn(async { 7 }).await.unwrap() });
    assert_eq!(task.await.unwrap(), 7);
}

/// Also a local body, which the test's thread polls.
#[wq::test(local = true, tokio = true)]
async fn an_attribute_gives_a_local_body_a_context() {
    let here = std::rc::Rc::new(7);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(*here, tokio::spawn(async { 7 }).await.unwrap());
}

/// `tokio = false` is the default, spelled out.
#[wq::test(tokio = false)]
async fn without_it_there_is_none() {
    assert!(Handle::try_current().is_err());
}
