//! What a program has each worker thread do first.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use wq_core::driver::refuse_threads;
use wq_core::{System, Workqueue, blocking, current_is_rescuer};

thread_local! {
    /// What the hooks have written on this thread.
    static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes a number on the calling thread.
fn write(number: u8) {
    WRITTEN.with_borrow_mut(|written| written.push(number));
}

/// What is written on the calling thread.
fn written() -> Vec<u8> {
    WRITTEN.with_borrow(Clone::clone)
}

/// Goal: every worker has called all hooks, once and in order, before its first item. Method: items
/// that hold their threads until all of them run, on unbound, per-CPU and urgent queues.
#[test]
fn every_worker_has_called_the_hooks_before_its_first_item() {
    let threads: Arc<Mutex<HashSet<ThreadId>>> = Arc::default();
    let seen = Arc::clone(&threads);
    let system = System::builder()
        .workers(2)
        .on_thread_start(|| write(1))
        .on_thread_start(move || {
            let new = seen.lock().unwrap().insert(thread::current().id());
            write(if new { 2 } else { 99 });
        })
        .build()
        .unwrap();
    let together = Arc::new(Barrier::new(9));
    let queues = [
        system.default_queue(),
        system.percpu_queue(),
        system.highpri_queue(),
    ];
    let items: Vec<_> = (0..8)
        .map(|n| {
            let (queue, together) = (&queues[n % 3], Arc::clone(&together));
            queue.spawn_fn(move || {
                together.wait();
                (thread::current().id(), written())
            })
        })
        .collect();
    together.wait();
    let mut ran = HashSet::new();
    for item in items {
        let (thread, written) = item.wait().unwrap();
        assert_eq!(written, [1, 2]);
        ran.insert(thread);
    }
    assert_eq!(ran.len(), 8, "each item held a thread of its own");
    assert!(ran.is_subset(&threads.lock().unwrap()));
}

/// Goal: a rescuer has called the hooks as well. Method: an item of a queue with one, while all
/// workers are blocked and the machine refuses threads.
#[test]
fn a_rescuer_has_called_the_hooks() {
    let system = System::builder()
        .workers(1)
        .on_thread_start(|| write(1))
        .on_thread_start(|| write(2))
        .build()
        .unwrap();
    let queue = Workqueue::unbound("writeback").rescuer().system(&system);
    let queue = queue.build().unwrap();
    refuse_threads(&system, true);
    let together = Arc::new(Barrier::new(21));
    // More than there are workers by now.
    let blocked: Vec<_> = (0..20)
        .map(|_| {
            let together = Arc::clone(&together);
            system.spawn(async move {
                blocking(|| together.wait());
            })
        })
        .collect();
    let rescued = queue.spawn_fn(|| (current_is_rescuer(), written()));
    assert_eq!(rescued.wait().unwrap(), (true, vec![1, 2]));
    refuse_threads(&system, false);
    together.wait();
    blocked.into_iter().for_each(|item| item.wait().unwrap());
}

/// Goal: a hook that panics ends neither the process nor its worker nor the hooks after it.
#[test]
fn a_panic_ends_that_call_alone() {
    let called = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&called);
    let system = System::builder()
        .workers(1)
        .on_thread_start(|| panic!("on purpose"))
        .on_thread_start(move || {
            count.fetch_add(1, Ordering::SeqCst);
        })
        .build()
        .unwrap();
    assert_eq!(system.run(async { 7 }), 7);
    assert!(called.load(Ordering::SeqCst) > 0);
}

/// Goal: what a hook keeps alive ends with the System, and not before its last item. Method: an
/// item that ends only when the shutdown has begun; the captured value notes whether it had ended.
#[test]
fn what_hooks_captured_goes_at_the_end() {
    /// The item has ended.
    static ENDED: AtomicBool = AtomicBool::new(false);
    /// What that was when the captured value went.
    static SEEN: Mutex<Option<bool>> = Mutex::new(None);

    /// What the hook captures.
    struct Captured;
    impl Drop for Captured {
        fn drop(&mut self) {
            *SEEN.lock().unwrap() = Some(ENDED.load(Ordering::SeqCst));
        }
    }

    let captured = Captured;
    let system = System::builder()
        .workers(2)
        .on_thread_start(move || {
            let _ = &captured;
        })
        .build()
        .unwrap();
    let queue = system.default_queue();
    let item = system.spawn(async move {
        // Until the queue is closed, which is the shutdown's first step.
        while queue.try_spawn(async {}).is_ok() {
            thread::yield_now();
        }
        ENDED.store(true, Ordering::SeqCst);
    });
    assert_eq!(*SEEN.lock().unwrap(), None);
    let report = system.shutdown(Duration::from_secs(60));
    assert_eq!(report.dropped, 0);
    assert!(item.wait().is_ok());
    assert_eq!(*SEEN.lock().unwrap(), Some(true));
}

/// Goal: hooks of a System that could not be made, or was never asked for, go with its builder.
#[test]
fn hooks_go_with_an_unused_builder() {
    let shared = Arc::new(());
    let theirs = Arc::clone(&shared);
    let builder = System::builder().on_thread_start(move || drop(Arc::clone(&theirs)));
    assert!(builder.clone().workers(0).build().is_err());
    assert_eq!(Arc::strong_count(&shared), 2);
    drop(builder);
    assert_eq!(Arc::strong_count(&shared), 1);
}

/// Goal: who must not wait for a rescuer has not asked for one either: it would be made for a queue
/// that has gone by then. Method: one is built with a queue inside a BH item, where that is a
/// mistake, then one elsewhere; hooks see whose threads there were. In a release build all is well.
#[test]
fn no_rescuer_is_asked_for_where_nobody_may_wait() {
    let started: Arc<Mutex<Vec<String>>> = Arc::default();
    let names = Arc::clone(&started);
    let system = System::builder().name("r").on_thread_start(move || {
        let name = thread::current().name().map(String::from);
        names.lock().unwrap().extend(name);
    });
    let system = system.build().unwrap();
    let build = |name: &'static str| {
        let system = system.clone();
        move || drop(Workqueue::unbound(name).rescuer().system(&system).build())
    };
    let soft = Workqueue::bh("soft").system(&system).build().unwrap();
    let is_mistake = soft.spawn_fn(build("inside")).wait().is_err();
    assert_eq!(is_mistake, cfg!(debug_assertions));
    // Whoever makes rescuers makes them in the order in which they were asked for.
    build("outside")();
    let report = system.shutdown(Duration::from_secs(60));
    assert!(report.detached_threads.is_empty());
    let mut expected = vec!["r/R-inside", "r/R-outside"];
    expected.retain(|name| !is_mistake || *name == "r/R-outside");
    let names = started.lock().unwrap();
    let mut rescuers: Vec<_> = names.iter().filter(|name| name.contains("/R-")).collect();
    // The second one may have been on its CPU first.
    rescuers.sort();
    assert_eq!(rescuers, expected);
}
