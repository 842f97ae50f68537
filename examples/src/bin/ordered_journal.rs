//! Many writers, one journal: an ordered queue keeps records whole and in order without a lock.
//!
//! Each record is written in two halves with an `await` between them. On any other queue the
//! halves of different records would mix.

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wq::Workqueue;

/// Who writes.
const WRITERS: [&str; 3] = ["ann", "ben", "cia"];

/// Records a writer.
const RECORDS: usize = 100;

/// The journal's medium. The lock guards a push, not a record.
type Medium = Arc<Mutex<Vec<String>>>;

#[wq::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let medium = Medium::default();
    let journal = Workqueue::ordered("journal").build()?;
    let writers = WRITERS.map(|name| {
        let (medium, journal) = (Arc::clone(&medium), journal.clone());
        // The writers themselves run side by side on the default queue.
        wq::spawn(async move {
            for number in 0..RECORDS {
                drop(journal.spawn(record(Arc::clone(&medium), name, number)));
                wq::yield_now().await;
            }
        })
    });
    for writer in writers {
        writer.await?;
    }
    let report = wq::flush(&journal).await?;
    let medium = medium.lock().map_err(|error| error.to_string())?;
    println!("{} halves, {} panicked", medium.len(), report.panicked);
    println!("every record is whole: {}", medium.chunks(2).all(is_whole));
    for name in WRITERS {
        let order: Vec<_> = medium
            .iter()
            .filter_map(|half| number_of(half, name))
            .collect();
        println!(
            "{name}: {} halves, in order: {}",
            order.len(),
            order.is_sorted()
        );
    }
    Ok(())
}

/// Writes one record; its number says which of the writer's it is.
async fn record(medium: Medium, name: &'static str, number: usize) {
    let write = |half: &str| {
        if let Ok(mut halves) = medium.lock() {
            halves.push(format!("{name} {number} {half}"));
        }
    };
    write("begin");
    // A record suspended here still holds its place: the queue polls no other one meanwhile.
    match number % 10 {
        0 => wq::time::sleep(Duration::from_micros(200)).await,
        _ => wq::yield_now().await,
    }
    write("end");
}

/// Whether two neighbours are the two halves of one record.
fn is_whole(halves: &[String]) -> bool {
    let begin = halves[0].strip_suffix(" begin");
    begin.is_some() && halves.get(1).and_then(|half| half.strip_suffix(" end")) == begin
}

/// The record's number, if this half is of that writer.
fn number_of(half: &str, name: &str) -> Option<usize> {
    half.strip_prefix(name)?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}
