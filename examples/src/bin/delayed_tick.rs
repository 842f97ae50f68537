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
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let urgent = Workqueue::percpu("urgent").highpri().build()?;
    let (ticked, ticks) = async_channel::unbounded();
    let mut number = 0;
    // One item, made once: between its runs it keeps what it captured.
    let tick = DelayedWork::new(move || {
        number += 1;
        // The channel is unbounded: this neither blocks nor fails while `ticks` is there.
        let _ = ticked.try_send(number);
    });

    for _ in 0..3 {
        let asked = Instant::now();
        let _ = urgent.queue_after(&tick, PERIOD);
        let number = ticks.recv().await?;
        println!(
            "tick {number}, not too early: {}",
            asked.elapsed() >= PERIOD
        );
    }

    // Queueing what is pending changes nothing; modifying does.
    println!("{:?}", urgent.queue_after(&tick, HOUR));
    println!("{:?}", urgent.queue_after(&tick, PERIOD));
    println!("pending: {}", tick.is_pending());
    let _ = urgent.modify_after(&tick, PERIOD);
    println!("tick {}, put forward", ticks.recv().await?);

    // A flush does not wait for the timer: it queues the item at once and waits for its end.
    let _ = urgent.queue_after(&tick, HOUR);
    tick.flush().await?;
    println!(
        "tick {}, flushed, pending: {}",
        ticks.recv().await?,
        tick.is_pending()
    );

    // What was cancelled does not run, and can be queued again.
    let _ = urgent.queue_after(&tick, HOUR);
    println!("cancelled while pending: {}", tick.cancel());
    println!("cancelled again: {}", tick.cancel());
    println!("{:?}", urgent.queue_after(&tick, Duration::ZERO));
    println!("tick {}", ticks.recv().await?);
    Ok(())
}
