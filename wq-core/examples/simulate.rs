//! Plays many seeds of the simulator: random programs on virtual machines, each step of which is
//! held against a model of the rules. Says how often what happened, or how a seed failed.
//!
//! `cargo run --release -p wq-core --example simulate -- --seeds 100000`
//! `cargo run --release -p wq-core --example simulate -- --seed 17`

#![expect(clippy::print_stdout, reason = "a program's answer")]

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use wq_core_sim::sim::fuzz::{self, Counts, Failure, Outcome};

/// What the command line says.
#[derive(Clone, Copy, Debug)]
struct Args {
    /// The first seed.
    from: u64,
    /// How many.
    seeds: u64,
    /// Operations of each.
    ops: usize,
    /// Seeds that are played at a time.
    jobs: usize,
}

/// How to call it.
const USAGE: &str = "\
simulate [--seeds N] [--from FIRST] [--seed ONE] [--ops N] [--jobs N]
  --seeds N     seeds to play (1000)
  --from FIRST  the first of them (0)
  --seed ONE    the same as --from ONE --seeds 1
  --ops N       operations of each (200)
  --jobs N      seeds at a time (one for each CPU)";

/// A bar has so many characters.
const BAR: u64 = 40;

/// It is drawn so often.
const REDRAW: Duration = Duration::from_millis(200);

/// Where nobody sees the bar, a line is written so often.
const LINES: Duration = Duration::from_secs(60);

/// In so many seeds every transition is seen; of fewer none is asked that they show all.
const ENOUGH: u64 = 1_500;

/// A plan has so many operations at most: the limit of what takes a second.
const MAX_OPS: u64 = 100_000;

impl Args {
    /// Reads the command line.
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, String> {
        let mut args = Args {
            from: 0,
            seeds: 1_000,
            ops: 200,
            jobs: thread::available_parallelism().map_or(1, usize::from),
        };
        while let Some(word) = words.next() {
            let value = words.next().and_then(|text| text.parse::<u64>().ok());
            let value = value.ok_or_else(|| format!("{word} wants a number\n{USAGE}"))?;
            match word.as_str() {
                "--seeds" => args.seeds = value,
                "--from" => args.from = value,
                "--seed" => (args.from, args.seeds) = (value, 1),
                "--ops" if (1..=MAX_OPS).contains(&value) => args.ops = value as usize,
                "--ops" => return Err(format!("--ops: take 1 to {MAX_OPS}")),
                "--jobs" if value > 0 => args.jobs = value as usize,
                "--jobs" => return Err("--jobs: take 1 or more".to_owned()),
                _ => return Err(format!("what is {word}?\n{USAGE}")),
            }
        }
        Ok(args)
    }
}

/// Plays seeds until there are no more.
fn play(args: Args, next: &AtomicU64, told: &Sender<Result<Outcome, Failure>>) {
    loop {
        // Relaxed: a ticket.
        let nth = next.fetch_add(1, Ordering::Relaxed);
        if nth >= args.seeds || told.send(fuzz::run(args.from + nth, args.ops)).is_err() {
            return;
        }
    }
}

/// Adds up what is told, and draws the bar.
fn collect(args: Args, told: &Receiver<Result<Outcome, Failure>>) -> Result<Counts, Failure> {
    let (mut sum, begun) = (Counts::default(), Instant::now());
    let (mut done, mut drawn) = (0, None::<Instant>);
    let draws = std::io::stdout().is_terminal();
    for outcome in told {
        sum.merge(&outcome?.counts);
        done += 1;
        let often = if draws { REDRAW } else { LINES };
        let due = drawn.get_or_insert_with(Instant::now).elapsed() >= often;
        if due || done == args.seeds {
            drawn = Some(Instant::now());
            match draws {
                true => draw(done, args.seeds, begun.elapsed()),
                false => println!("{done} of {} seeds", args.seeds),
            }
        }
    }
    if draws {
        println!();
    }
    let each = begun.elapsed().as_secs_f64() * 1e3 / done.max(1) as f64;
    println!(
        "{done} seeds of {} operations in {:.1} s, {each:.2} ms each",
        args.ops,
        begun.elapsed().as_secs_f64()
    );
    Ok(sum)
}

/// The bar.
fn draw(done: u64, of: u64, passed: Duration) {
    let full = (done * BAR / of.max(1)) as usize;
    let left = passed.as_secs_f64() * (of - done) as f64 / done.max(1) as f64;
    let bar = format!("{}{}", "#".repeat(full), ".".repeat(BAR as usize - full));
    print!("\r[{bar}] {done} of {of}, {left:.0} s left   ");
    // A terminal that is gone is no reason to stop.
    let _ = std::io::stdout().flush();
}

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(why) => {
            println!("{why}");
            return ExitCode::FAILURE;
        }
    };
    let (next, jobs) = (AtomicU64::new(0), AtomicUsize::new(0));
    let result = thread::scope(|scope| {
        let (told, hear) = channel();
        for _ in 0..args.jobs {
            let (told, next, jobs) = (told.clone(), &next, &jobs);
            scope.spawn(move || {
                // Relaxed: a number for each.
                fuzz::keep_to_one_cpu(jobs.fetch_add(1, Ordering::Relaxed));
                play(args, next, &told);
            });
        }
        drop(told);
        collect(args, &hear)
    });
    match result {
        Ok(counts) => {
            print!("{counts}");
            let missing = counts.missing();
            if args.seeds > 1 && !missing.is_empty() {
                println!("never seen: {missing:?}");
            }
            if args.seeds >= ENOUGH && !missing.is_empty() {
                return ExitCode::FAILURE;
            }
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("\n{failure}");
            // The threads of a machine that stands still never end.
            ExitCode::FAILURE
        }
    }
}
