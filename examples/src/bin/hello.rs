//! A first look at wq: queues that say what the work is, and work of each kind on them.

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::sync::Mutex;
use std::time::Duration;

use wq::{DelayedWork, Workqueue};

/// What the ordered queue has appended.
static PAGES: Mutex<Vec<u32>> = Mutex::new(Vec::new());

#[wq::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let journal = Workqueue::ordered("journal").build()?;
    let urgent = Workqueue::percpu("urgent").highpri().build()?;
    let heavy = Workqueue::unbound("heavy").max_active(4).build()?;

    // The default queue: unbound, for anything.
    let sum = wq::spawn(async { 1 + 1 });

    // An ordered queue runs one future to its end before it polls the next. Dropping a handle
    // detaches its task.
    drop(wq::spawn_on(&journal, append(1)));
    drop(wq::spawn_on(&journal, append(2)));

    // Blocking is fine in a task, and so is a plain closure.
    let own = heavy.spawn(async { std::fs::read(std::env::current_exe()?) });
    let burnt = heavy.spawn_fn(|| (1..=1_000_u64).sum::<u64>());

    // A flush waits for what was queued before it. Ended is not succeeded: the report tells.
    let report = wq::flush(&journal).await?;
    println!("panicked: {}", report.panicked);
    println!("pages: {:?}", PAGES.lock().map_err(|e| e.to_string())?);

    // A re-queueable item that runs later, or is cancelled before.
    let tick = DelayedWork::new(|| println!("tick"));
    println!(
        "queued: {:?}",
        urgent.queue_after(&tick, Duration::from_secs(3600))
    );
    println!(
        "queued again: {:?}",
        urgent.queue_after(&tick, Duration::from_secs(1))
    );
    tick.cancel_and_wait().await?;

    println!("sum {}, burnt {}", sum.await?, burnt.await?);
    println!(
        "read itself: {}",
        own.await?.is_ok_and(|bytes| !bytes.is_empty())
    );
    Ok(())
}

/// Appends one page, letting others run in the middle of it; on an ordered queue nobody can
/// come between.
async fn append(page: u32) {
    let before = PAGES.lock().map(|pages| pages.len()).unwrap_or(0);
    wq::yield_now().await;
    if let Ok(mut pages) = PAGES.lock() {
        assert_eq!(pages.len(), before, "another page came between");
        pages.push(page);
    }
}
