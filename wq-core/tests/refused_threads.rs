//! The machine refuses threads while lanes are blocked: items go on with the threads there are,
//! it is said once, and when threads can be had again everything ends.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use wq_core::driver::refuse_threads;
use wq_core::{Queue, System, Workqueue};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// Set in the process whose error output is looked at.
const INNER: &str = "WQ_TEST_REFUSED_THREADS";

/// Blocks every lane, with work behind, while no thread can be had; then allows threads again.
fn blocked_lanes_without_threads() {
    let system = System::builder().workers(2).build().unwrap();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let percpu = Workqueue::percpu("p").system(&system).build().unwrap();
    // Some workers exist before the machine refuses more.
    queue.spawn(async {}).wait().unwrap();
    percpu.spawn(async {}).wait().unwrap();
    refuse_threads(&system, true);
    let mut wires = Vec::new();
    let stuck: Vec<_> = (0..20)
        .map(|n| {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            wires.push(theirs);
            let read = move || ours.read(&mut [0]).unwrap();
            if n % 2 == 0 {
                queue.spawn_fn(read)
            } else {
                percpu.spawn_fn(read)
            }
        })
        .collect();
    let (ran, has_run) = mpsc::channel();
    let behind: Vec<_> = (0..20)
        .map(|n| {
            let ran = ran.clone();
            let task = async move { ran.send(n).unwrap() };
            if n % 2 == 0 {
                queue.spawn(task)
            } else {
                percpu.spawn(task)
            }
        })
        .collect();
    while system.stats().thread_creation_failures < 2 {
        std::thread::yield_now();
    }
    refuse_threads(&system, false);
    let mut numbers: Vec<i32> = (0..20)
        .map(|_| has_run.recv_timeout(FOR_EVER).expect("items behind run"))
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());
    assert!(stuck.iter().all(|task| !task.is_finished()));
    wires.clear();
    for task in stuck {
        assert_eq!(task.wait_timeout(FOR_EVER).unwrap().unwrap(), 0);
    }
    behind.into_iter().for_each(|task| task.wait().unwrap());
    let report = system.shutdown(FOR_EVER);
    assert_eq!(
        (report.completed, report.dropped, report.detached),
        (42, 0, 0)
    );
}

/// See the module; the refusals (there are several) are reported once.
#[test]
fn everything_ends_and_it_is_said_once() {
    if std::env::var_os(INNER).is_some() {
        return blocked_lanes_without_threads();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "everything_ends_and_it_is_said_once",
            "--nocapture",
        ])
        .env(INNER, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(
        said.matches("the machine refused a worker thread").count(),
        1,
        "{said}"
    );
}

/// A shutdown without threads to drop what is left does not hang, and leaks nothing.
#[test]
fn a_shutdown_without_threads_ends() {
    let system = System::builder().workers(2).build().unwrap();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    refuse_threads(&system, true);
    let shared = std::sync::Arc::new(());
    for _ in 0..10 {
        let share = std::sync::Arc::clone(&shared);
        drop(queue.spawn(async move { drop(share) }));
    }
    let report = system.shutdown(Duration::ZERO);
    assert_eq!(
        (report.completed, report.dropped, report.detached),
        (0, 10, 0)
    );
    assert_eq!(std::sync::Arc::strong_count(&shared), 1);
    drop(queue);
    drop(system);
}

/// As above, for items that were suspended and woken, behind lanes that are blocked.
#[test]
fn a_shutdown_behind_blocked_lanes_ends() {
    let system = System::builder().workers(2).build().unwrap();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let shared = std::sync::Arc::new(());
    let wakers = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    for _ in 0..10 {
        let (share, wakers) = (
            std::sync::Arc::clone(&shared),
            std::sync::Arc::clone(&wakers),
        );
        drop(queue.spawn(std::future::poll_fn(move |cx| {
            let _ = &share;
            wakers.lock().unwrap().push(cx.waker().clone());
            std::task::Poll::<()>::Pending
        })));
    }
    while wakers.lock().unwrap().len() < 10 {
        std::thread::yield_now();
    }
    refuse_threads(&system, true);
    let mut wires = Vec::new();
    for _ in 0..10 {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        wires.push(theirs);
        drop(queue.spawn_fn(move || ours.read(&mut [0]).unwrap()));
    }
    // No more workers: one failure tells that all there were are blocked.
    while system.stats().thread_creation_failures == 0 {
        std::thread::yield_now();
    }
    for waker in wakers.lock().unwrap().drain(..) {
        waker.wake();
    }
    let report = system.shutdown(Duration::ZERO);
    assert_eq!(
        report.completed + report.dropped + report.detached,
        20,
        "{report:?}"
    );
    assert!(
        report.detached_threads.len() as u64 <= report.detached,
        "{report:?}"
    );
    wires.clear();
    while std::sync::Arc::strong_count(&shared) > 1 {
        std::thread::yield_now();
    }
}

/// What stands behind an item that burns CPU and does not end is dropped as well, of queues of both
/// kinds. Method: one worker, which is all that may be, and an item on it that queues others.
#[test]
fn a_shutdown_behind_a_burner_drops_what_waits() {
    for percpu in [false, true] {
        let system = System::builder().workers(1).max_workers(1).build().unwrap();
        let queue = if percpu {
            Workqueue::percpu("q").system(&system).build().unwrap()
        } else {
            Workqueue::unbound("q").system(&system).build().unwrap()
        };
        let cpu = system.topology().allowed().first().unwrap();
        queue.spawn_on(cpu, async {}).wait().unwrap();
        refuse_threads(&system, true);
        let (handle, (tell, told)) = (Queue::clone(&queue), mpsc::channel());
        let stop = Arc::new(AtomicBool::new(false));
        let stops = Arc::clone(&stop);
        let burner = queue.spawn_on(cpu, async move {
            let behind = (0..10).map(|_| handle.spawn_on(cpu, async {}));
            tell.send(behind.collect::<Vec<_>>()).unwrap();
            while !stops.load(Ordering::SeqCst) {
                std::hint::spin_loop();
            }
        });
        let behind = told.recv().unwrap();
        let report = system.shutdown(Duration::ZERO);
        let unended = behind.iter().filter(|item| !item.is_finished()).count();
        stop.store(true, Ordering::SeqCst);
        assert_eq!(unended, 0, "{report:?}");
        let ends = (report.completed, report.dropped, report.detached);
        assert_eq!(ends, (1, 10, 1), "{report:?}");
        for item in behind {
            assert!(item.wait().unwrap_err().is_cancelled());
        }
        burner.wait().unwrap();
        while system.stats().threads > 0 {
            std::thread::yield_now();
        }
    }
}

/// A shutdown from inside an item needs a thread to wait with; without one it ends all the same.
#[test]
fn a_shutdown_from_inside_without_threads_ends() {
    let system = System::builder().workers(2).build().unwrap();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let suspended: Vec<_> = (0..10)
        .map(|_| queue.spawn(std::future::pending::<()>()))
        .collect();
    let asker = system.clone();
    let asked = queue.spawn_fn(move || {
        refuse_threads(&asker, true);
        asker.shutdown(Duration::ZERO)
    });
    assert!(asked.wait().unwrap().only_begun);
    for task in suspended {
        let ended = task
            .wait_timeout(FOR_EVER)
            .expect("a suspended item is dropped");
        assert!(ended.unwrap_err().is_cancelled());
    }
    while system.stats().threads > 0 {
        std::thread::yield_now();
    }
}
