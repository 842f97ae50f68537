//! What a small cached read costs: `std::fs` in a task, `wq::fs`, `tokio::fs`.
//!
//! `cargo run --release -p wq-benches --example fs_reads -- [READS]`
//!
//! One task reads a file of 4 KiB again and again: the whole of it by name, and one page at an
//! offset of an open file. Medians of rounds in turns, in nanoseconds for each read.

#![expect(clippy::print_stdout, reason = "a program's answer")]

use std::fs::File;
use std::future::Future;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use wq::System;

/// The size of the file.
const SIZE: usize = 4096;
/// Reads of a round, if the command line says nothing.
const READS: u32 = 20_000;
/// Rounds of which the median is taken.
const ROUNDS: usize = 9;

/// Nanoseconds for each of `reads` turns of `f`.
async fn time<F: Future>(reads: u32, mut f: impl FnMut() -> F) -> f64 {
    let begun = Instant::now();
    for _ in 0..reads {
        f().await;
    }
    begun.elapsed().as_nanos() as f64 / f64::from(reads)
}

/// What is read: a name, and an open file of it.
#[derive(Clone)]
struct Input {
    path: PathBuf,
    std: Arc<File>,
    wq: Arc<wq::fs::File>,
    reads: u32,
}

/// By name, with `std::fs`.
async fn std_whole(input: Input) -> f64 {
    time(input.reads, || async {
        std::fs::read(&input.path).expect("it is there").len()
    })
    .await
}

/// By name, with `wq::fs`.
async fn wq_whole(input: Input) -> f64 {
    time(input.reads, || async {
        wq::fs::read(&input.path).await.expect("it is there").len()
    })
    .await
}

/// By name, with `tokio::fs`.
async fn tokio_whole(input: Input) -> f64 {
    time(input.reads, || async {
        tokio::fs::read(&input.path)
            .await
            .expect("it is there")
            .len()
    })
    .await
}

/// A page, with `std::fs`.
async fn std_page(input: Input) -> f64 {
    time(input.reads, || async {
        input.std.read_at(&mut [0; SIZE], 0).expect("it is there")
    })
    .await
}

/// A page, with `wq::fs`.
async fn wq_page(input: Input) -> f64 {
    time(input.reads, || async {
        let mut page = [0; SIZE];
        input.wq.read_at(&mut page, 0).await.expect("it is there")
    })
    .await
}

/// A page, with tokio's `spawn_blocking`, as its `File` does.
async fn tokio_page(input: Input) -> f64 {
    time(input.reads, || {
        let file = Arc::clone(&input.std);
        async move {
            let read = move || file.read_at(&mut [0; SIZE], 0).expect("it is there");
            tokio::task::spawn_blocking(read).await.expect("no panic")
        }
    })
    .await
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let reads = std::env::args().nth(1).map_or(Ok(READS), |n| n.parse())?;
    let path = std::env::temp_dir().join(format!("wq-fs-reads-{}", std::process::id()));
    std::fs::write(&path, [7; SIZE])?;
    let input = Input {
        std: Arc::new(File::open(&path)?),
        wq: Arc::new(File::open(&path)?.into()),
        path: path.clone(),
        reads,
    };
    let system = System::builder().workers(2).build()?;
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()?;
    let mut rows = [const { Vec::new() }; 6];
    for _ in 0..ROUNDS {
        let figures = [
            system.run(std_whole(input.clone())),
            system.run(wq_whole(input.clone())),
            tokio.block_on(tokio.spawn(tokio_whole(input.clone())))?,
            system.run(std_page(input.clone())),
            system.run(wq_page(input.clone())),
            tokio.block_on(tokio.spawn(tokio_page(input.clone())))?,
        ];
        rows.iter_mut()
            .zip(figures)
            .for_each(|(row, ns)| row.push(ns));
    }
    std::fs::remove_file(&path)?;
    let names = [
        "by name, std::fs in a task",
        "by name, wq::fs",
        "by name, tokio::fs",
        "a page, std::fs in a task",
        "a page, wq::fs",
        "a page, spawn_blocking",
    ];
    for (name, mut row) in names.into_iter().zip(rows) {
        row.sort_by(f64::total_cmp);
        let (low, mid, high) = (row[0], row[ROUNDS / 2], row[ROUNDS - 1]);
        println!("{name:28} {mid:9.0} ns  [{low:.0}, {high:.0}]");
    }
    Ok(())
}
