//! Limits: how many items of a queue are active at a time, and how many may wait.
//!
//! A suspended future is active: three downloads at a time means three, whether they compute,
//! block or wait for the network.

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use wq::Workqueue;
use wq_examples::gauge::Gauge;

#[wq::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    println!("suspended items: {} at a time", suspended(3).await?);
    println!("blocked items: {} at a time", blocked(3).await?);
    let (taken, given_back) = refused()?;
    println!("two active, four waiting: {taken} taken, {given_back} given back");
    match Workqueue::unbound("none").max_active(0).build() {
        Ok(_) => println!("a limit of zero was accepted"),
        Err(error) => println!("a limit of zero: {error}"),
    }
    Ok(())
}

/// Forty futures that sleep without a thread.
async fn suspended(limit: usize) -> Result<usize, Box<dyn Error + Send + Sync>> {
    let gauge = Arc::new(Gauge::default());
    let queue = Workqueue::unbound("suspended").max_active(limit).build()?;
    for _ in 0..40 {
        let gauge = Arc::clone(&gauge);
        drop(queue.spawn(async move {
            gauge.enter();
            wq::time::sleep(Duration::from_millis(2)).await;
            gauge.leave();
        }));
    }
    wq::flush(&queue).await?;
    Ok(gauge.most())
}

/// Forty closures that keep their threads.
async fn blocked(limit: usize) -> Result<usize, Box<dyn Error + Send + Sync>> {
    let gauge = Arc::new(Gauge::default());
    let queue = Workqueue::unbound("blocked").max_active(limit).build()?;
    for _ in 0..40 {
        let gauge = Arc::clone(&gauge);
        drop(queue.spawn_fn(move || {
            gauge.enter();
            thread::sleep(Duration::from_millis(2));
            gauge.leave();
        }));
    }
    wq::flush(&queue).await?;
    Ok(gauge.most())
}

/// Offers ten futures that never end to a queue where two are active and four may wait: what it
/// cannot take comes back.
fn refused() -> Result<(usize, usize), Box<dyn Error + Send + Sync>> {
    let queue = Workqueue::unbound("small")
        .max_active(2)
        .max_pending(4)
        .build()?;
    let offers = (0..10).map(|_| queue.try_spawn(std::future::pending::<()>()));
    let (taken, given_back): (Vec<_>, Vec<_>) = offers.partition(Result::is_ok);
    let counts = (taken.len(), given_back.len());
    // What never ends is aborted, so that the program can.
    taken.iter().flatten().for_each(|handle| handle.abort());
    Ok(counts)
}
