//! The floor: what the task cell, the allocator and the kernel cost without any runtime.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::{self, Thread};

use async_task::Runnable;
use wq_benches::{Bench, machine};

/// Tasks in one batch: the queue stays short and warm.
const BATCH: usize = 64;
/// Boxes in one batch of the allocator's rows.
const BOXES: usize = 1_000;
/// Size of a small task with its header.
const BOX_BYTES: usize = 80;
/// Round trips in one iteration.
const TRIPS: u64 = 1_000;
/// The word that ends the partner of a hand-over.
const STOP: u64 = u64::MAX;

thread_local! {
    /// The bare queue of `floor_task_local`.
    static QUEUE: RefCell<VecDeque<Runnable>> = RefCell::new(VecDeque::with_capacity(BATCH));
}

/// Appends a task to the thread's queue; a plain function, so the task cell holds no closure.
fn push(runnable: Runnable) {
    QUEUE.with_borrow_mut(|queue| queue.push_back(runnable));
}

/// Spawn, run and drop of an empty detached future by the task cell alone.
pub(super) fn task_local(bench: &mut Bench) {
    bench.iter(BATCH as u64, || {
        for _ in 0..BATCH {
            let (runnable, task) = async_task::spawn(async {}, push);
            task.detach();
            runnable.schedule();
        }
        while let Some(runnable) = QUEUE.with_borrow_mut(VecDeque::pop_front) {
            runnable.run();
        }
    });
}

/// Allocation and release on one thread.
pub(super) fn malloc_local(bench: &mut Bench) {
    bench.iter(BOXES as u64, || {
        (0..BOXES).for_each(|_| drop(hint::black_box(Box::new([0_u8; BOX_BYTES]))));
    });
}

/// Allocation on one thread, release on another, in batches.
pub(super) fn malloc_remote(bench: &mut Bench) {
    let (boxes, received) = mpsc::channel::<Vec<Box<[u8; BOX_BYTES]>>>();
    let (emptied, back) = mpsc::channel();
    thread::spawn(move || {
        for mut batch in received {
            batch.clear();
            // The vector goes back to be filled again; nobody waits for it at the very end.
            let _ = emptied.send(batch);
        }
    });
    let mut batch = Vec::with_capacity(BOXES);
    bench.iter(BOXES as u64, || {
        let mut filled = std::mem::take(&mut batch);
        filled.extend((0..BOXES).map(|_| hint::black_box(Box::new([0_u8; BOX_BYTES]))));
        boxes.send(filled).expect("the other thread lives");
        batch = back.recv().expect("the other thread answers");
    });
}

/// Two threads on one CPU wake each other.
pub(super) fn wake_one_cpu(bench: &mut Bench) {
    let cpus = machine::allowed_cpus();
    wake_round_trips(bench, cpus[0], cpus[0]);
}

/// Two threads on two CPUs wake each other; on one if there is only one.
pub(super) fn wake_two_cpus(bench: &mut Bench) {
    let cpus = machine::allowed_cpus();
    wake_round_trips(bench, cpus[0], cpus[1 % cpus.len()]);
}

/// Round trips of `unpark` and `park` between this thread and another.
fn wake_round_trips(bench: &mut Bench, here: usize, there: usize) {
    let word = Arc::new(AtomicU64::new(0));
    let (echoed, main) = (Arc::clone(&word), thread::current());
    let partner = thread::spawn(move || {
        machine::pin_to(there);
        echo(&echoed, thread::park, || main.unpark());
    });
    machine::pin_to(here);
    let other: Thread = partner.thread().clone();
    bench.iter(TRIPS, || send_trips(&word, || other.unpark(), thread::park));
    // Release pairs with the partner's Acquire, though the last word carries nothing.
    word.store(STOP, Ordering::Release);
    other.unpark();
    partner.join().expect("the partner ends");
}

/// Round trips of one word between two spinning threads: cache traffic alone.
pub(super) fn handover_spin(bench: &mut Bench) {
    let cpus = machine::allowed_cpus();
    let word = Arc::new(AtomicU64::new(0));
    let echoed = Arc::clone(&word);
    let there = cpus[1 % cpus.len()];
    let partner = thread::spawn(move || {
        machine::pin_to(there);
        // While nothing is measured this spins on: the row is the only one of its case, so the
        // parent has nobody else to measure meanwhile.
        echo(&echoed, hint::spin_loop, || ());
    });
    machine::pin_to(cpus[0]);
    bench.iter(TRIPS, || send_trips(&word, || (), hint::spin_loop));
    // Release pairs with the partner's Acquire, though the last word carries nothing.
    word.store(STOP, Ordering::Release);
    partner.join().expect("the partner ends");
}

/// Sends odd words and waits for the next even one.
fn send_trips(word: &AtomicU64, notify: impl Fn(), wait: impl Fn()) {
    // Relaxed: this thread has seen the last word already.
    let start = word.load(Ordering::Relaxed);
    for trip in 0..TRIPS {
        let sent = start + 2 * trip + 1;
        // Release and Acquire pair with those of `echo`: a hand-over passes memory on.
        word.store(sent, Ordering::Release);
        notify();
        while word.load(Ordering::Acquire) == sent {
            wait();
        }
    }
}

/// Answers each odd word with the next even one until told to stop.
fn echo(word: &AtomicU64, wait: impl Fn(), notify: impl Fn()) {
    loop {
        // Acquire and Release pair with those of `send_trips`.
        match word.load(Ordering::Acquire) {
            STOP => return,
            sent if sent % 2 == 1 => {
                word.store(sent + 1, Ordering::Release);
                notify();
            }
            _ => wait(),
        }
    }
}
