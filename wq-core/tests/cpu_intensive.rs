//! Queues for items that burn CPU: their items hold nobody back, from their start, and nobody marks
//! them. With the thresholds switched off, so that nothing else could come to anybody's help.

use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use wq_core::{System, Workqueue};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// More than a machine for tests has to share among them.
const ITEMS: usize = 3;

/// A System that never looks for burners by itself.
fn system() -> System {
    System::builder()
        .cpu_intensive_thresh(Duration::ZERO)
        .handoff_grace(Duration::ZERO)
        .build()
        .expect("a System")
}

/// A queue for items that burn, and its only CPU.
fn intensive(system: &System) -> (Workqueue, usize) {
    let cpu = system.topology().allowed().iter().next().expect("a CPU");
    let queue = Workqueue::percpu("burn").cpu_intensive().system(system);
    (queue.build().expect("a good queue"), cpu)
}

/// Burns until `done` holds. False: it took too long.
fn burn_until(done: impl Fn() -> bool) -> bool {
    let end = Instant::now() + FOR_EVER;
    while !done() {
        if Instant::now() > end {
            return false;
        }
        hint::spin_loop();
    }
    true
}

/// Items that burn until all of them have started all start, though none of them sleeps.
#[test]
fn intensive_items_start_beside_each_other() {
    let system = system();
    let (queue, cpu) = intensive(&system);
    let started = Arc::new(AtomicUsize::new(0));
    let items: Vec<_> = (0..ITEMS)
        .map(|_| {
            let started = started.clone();
            let meet = move || {
                started.fetch_add(1, Ordering::SeqCst);
                burn_until(|| started.load(Ordering::SeqCst) == ITEMS)
            };
            queue.spawn_on(cpu, async move { meet() })
        })
        .collect();
    for item in items {
        assert!(item.wait().unwrap(), "one of them holds the others back");
    }
}

/// The poll after a suspension is as free as the first: an item that burns in its second poll,
/// until one that is queued later has run.
#[test]
fn resumed_items_hold_nobody_back() {
    let system = system();
    let (queue, cpu) = intensive(&system);
    let ran = Arc::new(AtomicBool::new(false));
    let (other, sees) = (system.default_queue(), ran.clone());
    let burner = queue.spawn_on(cpu, async move {
        other.spawn(async {}).await.unwrap();
        burn_until(|| sees.load(Ordering::SeqCst))
    });
    let plain = Workqueue::percpu("plain").system(&system).build().unwrap();
    let marks = ran.clone();
    plain.spawn_on(cpu, async move { marks.store(true, Ordering::SeqCst) });
    assert!(burner.wait().unwrap(), "it holds normal items back");
    // Again with the burner in its second poll for certain.
    ran.store(false, Ordering::SeqCst);
    let (inside, other) = (Arc::new(AtomicBool::new(false)), system.default_queue());
    let (says, sees) = (inside.clone(), ran.clone());
    let burner = queue.spawn_on(cpu, async move {
        other.spawn(async {}).await.unwrap();
        says.store(true, Ordering::SeqCst);
        burn_until(|| sees.load(Ordering::SeqCst))
    });
    assert!(burn_until(|| inside.load(Ordering::SeqCst)));
    plain.spawn_on(cpu, async move { ran.store(true, Ordering::SeqCst) });
    assert!(
        burner.wait().unwrap(),
        "a resumed item holds normal items back"
    );
}

/// An item of such a queue starts after the normal one that runs, though that one burns.
#[test]
fn their_start_waits_for_normal_items() {
    let system = system();
    let (queue, cpu) = intensive(&system);
    let plain = Workqueue::percpu("plain").system(&system).build().unwrap();
    let (began, queued, started) = (flag(), flag(), flag());
    let (says, sees, looks) = (began.clone(), queued.clone(), started.clone());
    let normal = plain.spawn_on(cpu, async move {
        says.store(true, Ordering::SeqCst);
        let in_time = burn_until(|| sees.load(Ordering::SeqCst));
        (in_time, looks.load(Ordering::SeqCst))
    });
    assert!(burn_until(|| began.load(Ordering::SeqCst)));
    let item = queue.spawn_on(cpu, async move { started.store(true, Ordering::SeqCst) });
    // A whole item of another queue later it would have begun.
    system.spawn(async {}).wait().unwrap();
    queued.store(true, Ordering::SeqCst);
    assert_eq!(normal.wait().unwrap(), (true, false));
    item.wait().unwrap();
}

/// Something that is not so yet.
fn flag() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(false))
}

/// Nothing marks, counts or reports the items of such a queue; the same function on another queue
/// is counted.
#[test]
#[cfg(all(target_os = "linux", not(wq_portable)))]
fn nobody_marks_intensive_items() {
    let system = System::builder()
        .cpu_intensive_thresh(Duration::from_millis(1))
        .cpu_intensive_warning_thresh(0)
        .build()
        .expect("a System");
    let (queue, cpu) = intensive(&system);
    async fn burner(until: Box<dyn Fn() -> bool + Send>) -> bool {
        burn_until(until)
    }
    for _ in 0..3 {
        let end = Instant::now() + Duration::from_millis(30);
        let item = queue.spawn_on(cpu, burner(Box::new(move || Instant::now() > end)));
        item.wait().unwrap();
    }
    assert_eq!(
        (system.stats().cpu_intensive, system.cpu_hogs().len()),
        (0, 0)
    );
    let plain = Workqueue::percpu("plain").system(&system).build().unwrap();
    let looks = system.clone();
    let counted = move || looks.stats().cpu_intensive > 0;
    assert!(
        plain
            .spawn_on(cpu, burner(Box::new(counted)))
            .wait()
            .unwrap()
    );
}
