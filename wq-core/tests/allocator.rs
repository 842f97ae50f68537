//! An allocator that sleeps: a lane may be taken from a thread that is inside of it, and nothing
//! of the engine that must not wait ever calls it.
#![cfg(target_os = "linux")]

use std::alloc::{GlobalAlloc, Layout, System as Machine};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nix::libc;
use wq_core::{Queue, System, Workqueue};

/// One call in so many sleeps.
const ONE_IN: u64 = 128;

/// Sleeps now and then, on every thread.
struct Sleepy;

#[global_allocator]
static ALLOCATOR: Sleepy = Sleepy;

/// It sleeps from here on.
static ARMED: AtomicBool = AtomicBool::new(false);

/// How often it slept.
static SLEPT: AtomicU64 = AtomicU64::new(0);

/// Memory taken by threads of the idle class, in the calls that were looked at.
static TAKEN_BY_SPOTTERS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The thread's dice.
    static DICE: Cell<u64> = const { Cell::new(0x9e37_79b9_7f4a_7c15) };
}

/// Throws the dice; sleeps if it says so.
fn perhaps_sleep(takes: bool) {
    if !ARMED.load(Ordering::Relaxed) {
        return;
    }
    let throw = DICE.try_with(|dice| {
        let mut number = dice.get();
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        dice.set(number);
        number >> 20
    });
    let Ok(number) = throw else {
        return;
    };
    // SAFETY: a question about the calling thread.
    let class = unsafe { libc::sched_getscheduler(0) };
    if class == libc::SCHED_IDLE {
        TAKEN_BY_SPOTTERS.fetch_add(u64::from(takes), Ordering::Relaxed);
    } else if number % ONE_IN == 0 {
        SLEPT.fetch_add(1, Ordering::Relaxed);
        // Takes no memory.
        thread::sleep(Duration::from_micros(50 + number % 200));
    }
}

// SAFETY: everything is left to the machine's allocator, which is one.
unsafe impl GlobalAlloc for Sleepy {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        perhaps_sleep(true);
        // SAFETY: the caller's promise is passed on.
        unsafe { Machine.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        perhaps_sleep(false);
        // SAFETY: the caller's promise is passed on.
        unsafe { Machine.dealloc(memory, layout) }
    }
}

/// An item that takes memory, queues items that do, and gives it back.
fn grow(queue: Queue, ran: Arc<AtomicU64>, depth: u32) {
    let memory: Vec<Box<u32>> = (0..4).map(Box::new).collect();
    if depth > 0 {
        for _ in 0..3 {
            let (next, ran) = (queue.clone(), Arc::clone(&ran));
            drop(queue.spawn_fn(move || grow(next, ran, depth - 1)));
        }
    }
    ran.fetch_add(u64::from(memory.len() == 4), Ordering::Relaxed);
}

/// Goal: lanes are handed over while their threads are inside the allocator, nothing is lost, and
/// spotters take no memory. Method: an allocator that sleeps at random while items breed.
#[test]
fn lanes_change_hands_inside_the_allocator() {
    const ITEMS: u64 = (3_u64.pow(8) - 1) / 2;
    let system = System::builder().workers(2).build().expect("a System");
    let queue = Workqueue::unbound("q").system(&system).build();
    let queue = queue.expect("a queue");
    let ran = Arc::new(AtomicU64::new(0));
    // The spotters are made with the first workers, and take memory for that.
    drop(queue.spawn_fn(|| ()).wait());
    ARMED.store(true, Ordering::Relaxed);
    let (handle, counted) = ((*queue).clone(), Arc::clone(&ran));
    drop(queue.spawn_fn(move || grow(handle, counted, 7)));
    let _ = queue.drain().wait().expect("the queue ends");
    ARMED.store(false, Ordering::Relaxed);
    // With the one that came first.
    assert_eq!(queue.stats().completed, ITEMS + 1);
    assert_eq!(ran.load(Ordering::Relaxed), ITEMS);
    assert!(SLEPT.load(Ordering::Relaxed) > 100, "it hardly slept");
    assert_eq!(TAKEN_BY_SPOTTERS.load(Ordering::Relaxed), 0);
    let stats = system.stats();
    let taken = stats.handovers_spotter + stats.handovers_monitor + stats.handovers_sibling;
    assert!(taken + stats.handovers_producer > 0, "{stats:?}");
}
