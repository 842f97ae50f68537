//! Items that burn CPU while others wait behind them.

use std::future::poll_fn;
use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use wq_core::{Queue, System, SystemStats};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// Polls of a burner.
const POLLS: usize = 5;

/// What counts as burning, with something on top: a poll that is shorter speaks for its item.
const BURN: Duration = Duration::from_millis(6);

/// Processor time of the calling thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    Duration::from(time.expect("every thread has such a clock"))
}

/// Spins until others have done something.
fn spin_until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < FOR_EVER, "{what}");
        hint::spin_loop();
    }
}

/// A burner: in each of its polls it spawns a short item and spins until that has run, which takes
/// another worker, and a while more. Waits for its end.
fn burn(queue: &Queue) {
    let (ran, queue_of_shorts) = (Arc::new(AtomicUsize::new(0)), queue.clone());
    let mut polls = 0;
    let burner = poll_fn(move |cx| {
        polls += 1;
        let short = Arc::clone(&ran);
        // Relaxed, here and below: a count, waited for.
        drop(queue_of_shorts.spawn_fn(move || short.fetch_add(1, Ordering::Relaxed)));
        spin_until("the short item runs", || {
            ran.load(Ordering::Relaxed) == polls
        });
        let begun = cpu_time();
        while cpu_time() - begun < BURN {
            hint::spin_loop();
        }
        if polls == POLLS {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    });
    queue.spawn(burner).wait().expect("it ends");
}

/// Runs burners of one type one after the other on one lane; the statistics after each.
fn burners(n: usize) -> Vec<SystemStats> {
    let system = System::builder().workers(1).build().expect("a System");
    let mut stats = Vec::new();
    for _ in 0..n {
        burn(&system.default_queue());
        stats.push(system.stats());
    }
    stats
}

/// Times that somebody had to notice that a lane stands still. (Siblings take those that are
/// declared free, too.)
fn noticed(stats: &SystemStats) -> u64 {
    stats.handovers_hog
        + stats.handovers_monitor
        + stats.handovers_spotter
        + stats.handovers_producer
}

/// Goal: an item that was found burning holds up nobody from its next poll on. Method: the first
/// time somebody has to notice; later its short items run all the same.
#[test]
fn known_burners_free_their_lane_at_once() {
    let stats = burners(1).remove(0);
    assert!((1..=2).contains(&noticed(&stats)), "{stats:?}");
    assert!(stats.handovers_marked >= 1, "{stats:?}");
}

/// Goal: so does the next item of the same type, from its first poll. Method: nobody has to notice
/// the second burner.
#[test]
fn burners_are_known_by_their_type() {
    let stats = burners(2);
    assert_eq!(noticed(&stats[1]), noticed(&stats[0]), "{stats:?}");
}

/// Burns so much CPU time in one go.
fn spin_for(time: Duration) {
    let begun = cpu_time();
    while cpu_time() - begun < time {
        hint::spin_loop();
    }
}

/// Waits until a System has marked so many items, and no more.
fn wait_for_marks(system: &System, marks: u64) {
    let begun = Instant::now();
    while system.stats().cpu_intensive < marks {
        let marked = system.stats().cpu_intensive;
        assert!(begun.elapsed() < FOR_EVER, "{marked} marks of {marks}");
        std::thread::yield_now();
    }
    assert_eq!(system.stats().cpu_intensive, marks);
}

/// Goal: an item that burns for long is marked once, also if nothing waits behind it, and found
/// under its name. Method: it burns until it was marked, and for as long again.
#[test]
fn a_lone_burner_is_marked_once() {
    let system = System::builder().workers(1).build().expect("a System");
    let watched = system.clone();
    let task = system.default_queue().spawn_fn(move || {
        wait_for_marks(&watched, 1);
        spin_for(3 * watched.cpu_intensive_thresh());
    });
    task.wait().expect("it ends");
    wait_for_marks(&system, 1);
    let hogs = system.cpu_hogs();
    assert!(hogs.len() == 1 && hogs[0].times == 1, "{hogs:?}");
    assert!(
        hogs[0].name.contains("a_lone_burner_is_marked_once"),
        "{hogs:?}"
    );
}

/// Runs an item that burns for long, in a declared block or not. It is noticed because a short item
/// waits behind it, which is waited for. One type for all.
fn burn_for_long(queue: &Queue, declared: bool) {
    let its_queue = queue.clone();
    let burn = move || {
        let ran = Arc::new(AtomicUsize::new(0));
        let short = Arc::clone(&ran);
        // Relaxed, here and below: waited for, and nothing is ordered by it.
        drop(its_queue.spawn_fn(move || short.fetch_add(1, Ordering::Relaxed)));
        spin_until("the short item runs", || ran.load(Ordering::Relaxed) == 1);
        spin_for(Duration::from_millis(60));
    };
    let item = queue.spawn_fn(move || {
        if declared {
            wq_core::blocking(burn);
        } else {
            burn();
        }
    });
    item.wait().expect("it ends");
}

/// Goal: CPU time in a declared block does not count, and a threshold of 0 marks nothing. Method:
/// the monitor watches a type of which nothing is known; once it is known to burn, the worker
/// measures it, too. In the end both may mark it, and one does.
#[test]
fn declared_or_switched_off_marks_nothing() {
    let system = System::builder().workers(1).build().expect("a System");
    let (queue, thresh) = (system.default_queue(), system.cpu_intensive_thresh());
    burn_for_long(&queue, true);
    wait_for_marks(&system, 0);
    system.set_cpu_intensive_thresh(Duration::ZERO);
    burn_for_long(&queue, false);
    wait_for_marks(&system, 0);
    system.set_cpu_intensive_thresh(thresh);
    burn_for_long(&queue, true);
    wait_for_marks(&system, 0);
    burn_for_long(&queue, false);
    wait_for_marks(&system, 1);
}

/// Polls of `piece` CPU time until `total` is used; between two it yields, or (`suspends`) waits
/// for another task.
async fn pieces(queue: Queue, piece: Duration, total: Duration, suspends: bool) {
    let mut used = Duration::ZERO;
    while used < total {
        spin_for(piece);
        used += piece;
        if suspends {
            let helper = queue.spawn(async {});
            helper.await.expect("it ends");
        } else {
            let mut yielded = false;
            poll_fn(|cx| {
                if std::mem::replace(&mut yielded, true) {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        }
    }
}

/// Goal: a loop that only yields is a hog, once; one that suspends between its pieces is none.
#[test]
fn yielding_is_no_sleep() {
    let system = System::builder().workers(1).build().expect("a System");
    let queue = system.default_queue();
    let (piece, total) = (Duration::from_micros(50), Duration::from_millis(60));
    let run = |suspends| {
        queue
            .spawn(pieces(queue.clone(), piece, total, suspends))
            .wait()
    };
    run(true).expect("it ends");
    assert_eq!(system.stats().cpu_intensive, 0);
    run(false).expect("it ends");
    wait_for_marks(&system, 1);
    assert!(system.cpu_hogs()[0].name.contains("pieces"));
}

/// Runs an item that burns for long with short ones behind it, for one of which it waits, or
/// (`alone`) not. How many of them ran meanwhile. One type for all.
fn burn_before_shorts(queue: &Queue, alone: bool) -> usize {
    let its_queue = queue.clone();
    let burner = queue.spawn_fn(move || {
        let ran = Arc::new(AtomicUsize::new(0));
        let spawn = |_| {
            let ran = Arc::clone(&ran);
            // Relaxed, here and below: a count.
            its_queue.spawn_fn(move || ran.fetch_add(1, Ordering::Relaxed))
        };
        let shorts: Vec<_> = (0..3).map(spawn).collect();
        spin_until("a short item runs", || {
            alone || ran.load(Ordering::Relaxed) > 0
        });
        spin_for(Duration::from_millis(30));
        (ran.load(Ordering::Relaxed), shorts)
    });
    let (meanwhile, shorts) = burner.wait().expect("it ends");
    for short in shorts {
        short.wait().expect("it ends");
    }
    meanwhile
}

/// Goal: without its knob nobody's lane is handed on, not even a known burner's. Method: the same
/// type with the knob, until it is known, and without.
#[test]
fn without_grace_burners_keep_their_lane() {
    let system = System::builder().workers(1).build().expect("a System");
    let queue = system.default_queue();
    burn_before_shorts(&queue, false);
    let unknown = system.stats();
    burn_before_shorts(&queue, false);
    let before = system.stats();
    assert!(
        before.handovers_marked > unknown.handovers_marked,
        "its type is not known: {before:?}"
    );
    system.set_handoff_grace(Duration::ZERO);
    let meanwhile = burn_before_shorts(&queue, true);
    assert_eq!(meanwhile, 0, "something ran behind it");
    let after = system.stats();
    let handed_on = |stats: &SystemStats| {
        noticed(stats) + stats.handovers_marked + stats.handovers_sibling + stats.handovers_forced
    };
    assert_eq!(handed_on(&before), handed_on(&after), "{after:?}");
}

/// Goal: reports come on standard error at the 4th, 5th, 7th and 11th mark, and name the type.
/// Method: a process of its own marks one type twelve times.
#[test]
fn hogs_are_reported_on_standard_error() {
    if std::env::var_os("WQ_TEST_HOGS").is_some() {
        let system = System::builder().workers(1).build().expect("a System");
        system.set_cpu_intensive_thresh(Duration::from_millis(2));
        for n in 1..=12 {
            let watched = system.clone();
            let task = system
                .default_queue()
                .spawn_fn(move || wait_for_marks(&watched, n));
            task.wait().expect("it ends");
        }
        let _ = system.shutdown(Duration::from_secs(10));
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args([
            "--exact",
            "hogs_are_reported_on_standard_error",
            "--nocapture",
        ])
        .env("WQ_TEST_HOGS", "1")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("hogged a CPU"))
        .collect();
    assert_eq!(lines.len(), 4, "{said}");
    for (line, times) in lines.iter().zip([4, 5, 7, 11]) {
        assert!(line.contains(&format!("{times} times")), "{said}");
        assert!(
            line.contains("hogs_are_reported_on_standard_error"),
            "{said}"
        );
    }
}
