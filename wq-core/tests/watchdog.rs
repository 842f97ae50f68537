//! A pool in which work waits and nothing starts is told once, with what holds it; one that goes
//! on, or has nothing to do, is not.

use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use wq_core::{JoinHandle, Sensing, System};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// Set in the process whose error output is looked at.
const INNER: &str = "WQ_TEST_WATCHDOG";

/// A System with one lane, which a block that nobody declares holds up.
fn system(thresh: Duration) -> System {
    let builder = System::builder().workers(1).sensing(Sensing::Declared);
    let builder = builder.watchdog_thresh(thresh).name("dog");
    builder.build().expect("a System")
}

/// Waits until `done` holds; gives up after [`FOR_EVER`].
fn wait_until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + FOR_EVER;
    while !done() {
        assert!(Instant::now() < end, "{what}");
        thread::yield_now();
    }
}

/// An item that holds up its lane until the sender goes, inside of a function with a name, and one
/// that waits behind it.
fn hold_up(system: &System) -> (mpsc::Sender<()>, [JoinHandle<()>; 2]) {
    let ((opens, gate), (begins, begun)) = (mpsc::channel::<()>(), mpsc::channel());
    async fn holds_the_lane(gate: mpsc::Receiver<()>, begins: mpsc::Sender<()>) {
        begins.send(()).expect("the test waits");
        let _ = gate.recv();
    }
    let queue = system.default_queue();
    let builder = queue.builder().name("the holder");
    let holds = builder.spawn(holds_the_lane(gate, begins));
    begun.recv_timeout(FOR_EVER).expect("it begins");
    (opens, [holds, queue.spawn(async {})])
}

/// Two stalls, the first of them as long as many thresholds.
fn two_stalls() {
    let thresh = Duration::from_millis(20);
    let system = system(thresh);
    for stalls in 1..=2 {
        let (opens, items) = hold_up(&system);
        wait_until("it is told", || system.stats().lockups == stalls);
        // Long enough for it to be told again, if that happened.
        let since = Instant::now();
        wait_until("time passes", || since.elapsed() > 5 * thresh);
        assert_eq!(system.stats().lockups, stalls);
        drop(opens);
        items
            .into_iter()
            .for_each(|item| item.wait().expect("it returns"));
    }
    system.shutdown(FOR_EVER);
}

/// Goal: each stall is one line, with the pool, the task's name and type, and for how long it has
/// been there. Method: a process of its own, whose error output is looked at.
#[test]
fn a_stall_is_told_once() {
    if std::env::var_os(INNER).is_some() {
        return two_stalls();
    }
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "a_stall_is_told_once", "--nocapture"])
        .env(INNER, "1")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let lines: Vec<_> = said
        .lines()
        .filter(|line| line.contains("started nothing"))
        .collect();
    assert_eq!(lines.len(), 2, "{said}");
    for line in lines {
        for part in [
            "wq: pool dog/u0 ",
            "20ms",
            "the holder",
            "holds_the_lane",
            " ms, in ",
        ] {
            assert!(line.contains(part), "no {part:?} in {line}");
        }
    }
}

/// An item that takes long with nothing behind it is no stall.
#[test]
fn who_goes_on_is_not_told() {
    let thresh = Duration::from_millis(50);
    let system = system(thresh);
    let since = Instant::now();
    let long = system.spawn(async move {
        wq_core::blocking(|| wait_until("time passes", || since.elapsed() > 4 * thresh));
    });
    long.wait().unwrap();
    assert_eq!(system.stats().lockups, 0, "nothing waited");
}

/// 0 is off, also while a pool stands still, and on again.
#[test]
fn the_threshold_can_be_changed() {
    let system = system(Duration::ZERO);
    let (opens, items) = hold_up(&system);
    let since = Instant::now();
    wait_until("time passes", || {
        since.elapsed() > Duration::from_millis(50)
    });
    assert_eq!(system.stats().lockups, 0);
    system.set_watchdog_thresh(Duration::from_millis(5));
    wait_until("it is told", || system.stats().lockups == 1);
    drop(opens);
    items
        .into_iter()
        .for_each(|item| item.wait().expect("it returns"));
}
