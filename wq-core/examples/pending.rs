//! What a queue with very many pending items costs: memory for each, and time for each queueing,
//! cancel and end, and for a flush that begins. What pends is a closure or a future that holds one
//! pointer, a re-queueable item, or one whose timer is armed.
//!
//! `cargo run --release -p wq-core --example pending -- --items 1000000`
//!
//! The queue is frozen while its items are made, so that all of them wait; after one half was
//! cancelled it is thawed and flushed. Items with timers wait for an hour, and a destroy takes the
//! second half back. It is done with a hundredth, a tenth and all of the items, each in a process
//! of its own: memory is what that has more of in RAM, items and handles together.

#![expect(clippy::print_stdout, reason = "a program's answer")]

use std::ops::RangeInclusive;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use wq_core::{DelayedWork, JoinHandle, Queued, System, Work, Workqueue};

/// How to call it.
const USAGE: &str = "\
pending [--items N] [--kind spawn_fn|spawn|Work|DelayedWork]
  --items N  the most of them (1000000), 200 at least
  --kind K   so many of this kind and nothing else, in this process";

/// The kinds of items.
const KINDS: [&str; 4] = ["spawn_fn", "spawn", "Work", "DelayedWork"];

/// Fewer items tell nothing, and more are not for this program.
const ITEMS: RangeInclusive<usize> = 200..=1 << 30;

/// A process of its own gets so much less than was asked for: what stays flat is seen.
const SHARES: [usize; 3] = [100, 10, 1];

/// Flushes that are begun while all items pend.
const FLUSHES: u32 = 1_000;

/// Longer than the program.
const AN_HOUR: Duration = Duration::from_secs(3600);

/// Result of anything here.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// What one kind of item costs; each time is that of one item, but the flush's.
struct Row {
    bytes: Option<f64>,
    queue: Duration,
    flush: Duration,
    cancel: Duration,
    end: Duration,
}

/// A run of one kind.
struct Bench {
    items: usize,
    system: System,
    ran: Arc<AtomicU64>,
}

/// Memory of the process in RAM, in bytes; `None` where the kernel does not say.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// How long `f` takes.
fn timed<R>(f: impl FnOnce() -> R) -> (R, Duration) {
    let begun = Instant::now();
    let answer = f();
    (answer, begun.elapsed())
}

impl Bench {
    /// A queue that can be frozen, and is.
    fn frozen_queue(&self) -> Outcome<Workqueue> {
        let queue = Workqueue::unbound("pending")
            .system(&self.system)
            .freezable()
            .build()?;
        drop(queue.freeze()?);
        Ok(queue)
    }

    /// Items of one kind: made, one half cancelled, the others run and flushed.
    fn frozen<H>(
        &self,
        make: impl Fn(&Workqueue, Arc<AtomicU64>) -> H,
        cancel: impl Fn(&H),
    ) -> Outcome<Row> {
        let queue = self.frozen_queue()?;
        let mut handles = Vec::with_capacity(self.items);
        let before = resident();
        let ((), queued) = timed(|| {
            handles.extend((0..self.items).map(|_| make(&queue, Arc::clone(&self.ran))));
        });
        let bytes = self.bytes_since(before);
        let flush = flush_begins(&queue);
        let half = self.items / 2;
        let ((), cancelled) = timed(|| handles[..half].iter().for_each(&cancel));
        let (flushed, ended) = timed(|| {
            queue.thaw();
            queue.flush().wait()
        });
        let report = flushed?;
        assert_eq!(report.completed + report.cancelled, self.items as u64);
        Ok(Row {
            bytes,
            flush,
            queue: queued / self.items as u32,
            cancel: cancelled / half as u32,
            end: ended / self.items as u32,
        })
    }

    /// Items whose timers are armed.
    fn armed(&self) -> Outcome<Row> {
        let queue = Workqueue::unbound("armed").system(&self.system).build()?;
        let mut items = Vec::with_capacity(self.items);
        let before = resident();
        let ((), queued) = timed(|| {
            items.extend((0..self.items).map(|_| {
                let ran = Arc::clone(&self.ran);
                let item = DelayedWork::new(move || count(&ran));
                assert_eq!(queue.queue_after(&item, AN_HOUR), Queued::New);
                item
            }));
        });
        let bytes = self.bytes_since(before);
        let flush = flush_begins(&queue);
        let half = self.items / 2;
        let (taken, cancelled) =
            timed(|| items[..half].iter().filter(|item| item.cancel()).count());
        assert_eq!(taken, half);
        let (destroyed, ended) = timed(|| queue.destroy().wait());
        let left = self.items - half;
        assert_eq!(destroyed?.cancelled, left as u64);
        Ok(Row {
            bytes,
            flush,
            queue: queued / self.items as u32,
            cancel: cancelled / half as u32,
            end: ended / left as u32,
        })
    }

    /// Bytes for each item since then.
    fn bytes_since(&self, before: Option<u64>) -> Option<f64> {
        let more = resident()?.saturating_sub(before?);
        Some(more as f64 / self.items as f64)
    }
}

/// What it takes to begin a flush and to give it up, while all items pend.
fn flush_begins(queue: &Workqueue) -> Duration {
    let ((), took) = timed(|| (0..FLUSHES).for_each(|_| drop(queue.flush())));
    took / FLUSHES
}

/// What the items do.
fn count(ran: &AtomicU64) {
    // Relaxed: a count.
    ran.fetch_add(1, Ordering::Relaxed);
}

/// So many of one kind.
fn row(kind: &str, items: usize) -> Outcome<Row> {
    let bench = Bench {
        items,
        system: System::builder().build()?,
        ran: Arc::default(),
    };
    let abort = |handle: &JoinHandle<()>| handle.abort();
    match kind {
        "spawn_fn" => bench.frozen(|queue, ran| queue.spawn_fn(move || count(&ran)), abort),
        "spawn" => bench.frozen(|queue, ran| queue.spawn(async move { count(&ran) }), abort),
        "Work" => bench.frozen(
            |queue, ran| {
                let item = Work::new(move || count(&ran));
                assert_eq!(queue.queue(&item), Queued::New);
                item
            },
            |item| assert!(item.cancel()),
        ),
        _ => bench.armed(),
    }
}

/// A line of the table.
fn line(kind: &str, items: usize) -> Outcome<String> {
    let row = row(kind, items)?;
    let bytes = row.bytes;
    let bytes = bytes.map_or_else(|| "?".to_owned(), |bytes| format!("{bytes:.0}"));
    let [queue, flush, cancel, end] =
        [row.queue, row.flush, row.cancel, row.end].map(|time| time.as_nanos());
    Ok(format!(
        "| `{kind}` | {items} | {bytes} | {queue} | {flush} | {cancel} | {end} |"
    ))
}

/// The whole table, each line from a process of its own.
fn table(items: usize) -> Outcome<()> {
    println!("ns; one half cancelled");
    println!("| item | pending | bytes each | queue | begin a flush | cancel | end |");
    println!("|---|---|---|---|---|---|---|");
    for kind in KINDS {
        for share in SHARES {
            let mut child = Command::new(std::env::current_exe()?);
            let items = (items / share).to_string();
            let ended = child.args(["--kind", kind, "--items", &items]).status()?;
            if !ended.success() {
                return Err(format!("{items} of {kind}: {ended}").into());
            }
        }
    }
    Ok(())
}

/// What the command line asks for: a kind, or all, and how many.
fn asked(mut words: impl Iterator<Item = String>) -> Option<(Option<&'static str>, usize)> {
    let (mut kind, mut items) = (None, 1_000_000);
    while let Some(word) = words.next() {
        let value = words.next()?;
        match word.as_str() {
            "--items" => items = value.parse().ok()?,
            "--kind" => kind = Some(*KINDS.iter().find(|known| **known == value)?),
            _ => return None,
        }
    }
    // A share of what is enough may be less.
    let enough = kind.is_some() || ITEMS.contains(&items);
    (enough && (2..=*ITEMS.end()).contains(&items)).then_some((kind, items))
}

fn main() -> ExitCode {
    let Some((kind, items)) = asked(std::env::args().skip(1)) else {
        println!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let told = match kind {
        None => table(items),
        Some(kind) => line(kind, items).map(|line| println!("{line}")),
    };
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}
