//! Delayed work: one item, queued again and again, put off, brought forward and cancelled.

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::time::{Duration, Instant};

use wq::{DelayedWork, Workqueue};

/// Between two ticks.
const PERIOD: Duration = Duration::from_millis(10);

/// Longer than anybody waits for this program.
const HOUR: Duration = Duration::from_secs(3600);

#[wq::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let urgent = Workqueue::percpu("urgent").highpri().build()?;
    let mut number = 0;
    let tick = DelayedWork::new(move || {
        number += 1;
        println!("tick {number}");
    });

    for _ in 0..3 {
        let asked = Instant::now();
        println!("{:?}", urgent.queue_after(&tick, PERIOD));
        // Waits for the timer as well: pending is pending, whatever for.
        tick.flush().await?;
        println!("not too early: {}", asked.elapsed() >= PERIOD);
    }

    // Queueing what is pending changes nothing; modifying does.
    println!("{:?}", urgent.queue_after(&tick, HOUR));
    println!("{:?}", urgent.queue_after(&tick, PERIOD));
    println!("pending: {}", tick.is_pending());
    let _ = urgent.modify_after(&tick, PERIOD);
    tick.flush().await?;
    println!("pending: {}", tick.is_pending());

    // What was cancelled does not run, and can be queued again.
    let _ = urgent.queue_after(&tick, HOUR);
    println!("cancelled while pending: {}", tick.cancel());
    println!("cancelled again: {}", tick.cancel());
    println!("{:?}", urgent.queue_after(&tick, Duration::ZERO));
    tick.flush().await?;
    Ok(())
}
