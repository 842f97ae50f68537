//! A quick look at the hot paths, for whoever tunes them: ns per operation, best of rounds.
//!
//! Run: `cargo run --release -p wq-core --example probe`. The benchmark package compares with
//! other runtimes; this only tells whether a change to the engine helped.
//! Smoke: none, it measures

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use wq_core::{System, Workqueue};

/// Yields once.
struct Yield(bool);

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Runs `body` a few times and prints the best and the median time for each of `n` operations.
fn measure(name: &str, n: u32, mut body: impl FnMut()) {
    let mut times: Vec<f64> = (0..15)
        .map(|_| {
            let begun = Instant::now();
            body();
            begun.elapsed().as_nanos() as f64 / f64::from(n)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    eprintln!(
        "{name:<24} best {:>9.1} ns   median {:>9.1} ns",
        times[0], times[7]
    );
}

fn main() {
    let system = System::builder().workers(2).build().expect("a System");
    let n = 10_000;
    let filter = std::env::args().nth(1).unwrap_or_default();
    let on = |name: &str| name.contains(&filter);
    if on("spawn_worker") {
        measure("spawn_worker", n, || {
            let inner = system.clone();
            system.run(async move {
                for _ in 0..n {
                    drop(inner.spawn(async {}));
                }
                Yield(false).await;
            });
        });
    }
    if on("yield") {
        measure("yield", 200 * 200, || {
            let tasks: Vec<_> = (0..200)
                .map(|_| {
                    system.spawn(async {
                        for _ in 0..200 {
                            Yield(false).await;
                        }
                    })
                })
                .collect();
            tasks.into_iter().for_each(|t| t.wait().unwrap());
        });
    }
    if on("yield_one") {
        measure("yield_one", n, || {
            system.run(async move {
                for _ in 0..n {
                    Yield(false).await;
                }
            });
        });
    }
    measure_outside(&system, n, on);
    eprintln!("{:?}", system.stats());
}

/// The cases that begin on a foreign thread.
fn measure_outside(system: &System, n: u32, on: impl Fn(&str) -> bool) {
    if on("join_remote") {
        measure("join_remote", 2_000, || {
            for _ in 0..2_000 {
                system.spawn(async {}).wait().unwrap();
            }
        });
    }
    if on("remote_idle") {
        measure("remote_idle", n, || {
            let tasks: Vec<_> = (0..n).map(|_| system.spawn(async {})).collect();
            tasks.into_iter().for_each(|t| t.wait().unwrap());
        });
    }
    if on("ordered") {
        let queue = Workqueue::ordered("o")
            .system(system)
            .build()
            .expect("a queue");
        measure("ordered", n, || {
            for _ in 0..n {
                drop(queue.spawn(async {}));
            }
            queue.flush().wait().unwrap();
        });
    }
    if on("flush") {
        let queue = Workqueue::unbound("f")
            .system(system)
            .build()
            .expect("a queue");
        measure("flush_1000", n, || {
            for _ in 0..10 {
                for _ in 0..1000 {
                    drop(queue.spawn(async {}));
                }
                queue.flush().wait().unwrap();
            }
        });
    }
}
