//! Tasks that block their threads for 50 ms, unmarked, and a ticker that hardly notices.
//!
//! The naps stand for whatever blocks without saying so: a file on a slow disk, a lock, a
//! foreign library. On a runtime with as many threads as processors, the ticker would wait for
//! them; here others take the processor over as soon as a nap begins.

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use wq::Workqueue;
use wq_examples::treesum::heartbeat::Lateness;

/// How many tasks nap.
const NAPPERS: usize = 64;

/// How many of them at a time.
const AT_A_TIME: usize = 16;

/// How long each.
const NAP: Duration = Duration::from_millis(50);

/// Between two ticks.
const PERIOD: Duration = Duration::from_millis(1);

#[wq::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let naps = Workqueue::unbound("naps").max_active(AT_A_TIME).build()?;
    let began = Instant::now();
    for _ in 0..NAPPERS {
        drop(naps.spawn(async { thread::sleep(NAP) }));
    }
    let ended = wq::flush(&naps);
    let ticker = wq::spawn(tick_until(began + NAP * (NAPPERS / AT_A_TIME) as u32));
    ended.await?;
    let elapsed = began.elapsed();
    let lateness = ticker.await?;

    println!("{NAPPERS} naps of {NAP:?} ended in {elapsed:.0?}");
    let [p50, p99] = [0.5, 0.99].map(|share| lateness.quantile(share));
    println!(
        "{} ticks, late by p50 {p50:.0?}, p99 {p99:.0?}",
        lateness.beats()
    );
    println!("at most {:.0?}, a nap being {NAP:?}", lateness.max());
    Ok(())
}

/// Ticks until then; returns how late the ticks were.
async fn tick_until(end: Instant) -> Lateness {
    let mut lateness = Lateness::default();
    let mut due = Instant::now() + PERIOD;
    while due < end {
        wq::time::sleep_until(due).await;
        lateness.record(due.elapsed());
        due += PERIOD;
    }
    lateness
}
