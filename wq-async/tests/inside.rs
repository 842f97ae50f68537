//! What items may do from inside: end queues and Systems, wait for others, block on one another.

use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use wq::{System, Workqueue};

/// A System with this many lanes.
fn system(lanes: usize) -> System {
    System::builder().workers(lanes).build().expect("a System")
}

/// The owner of a queue may go with one of the queue's own items.
#[test]
fn an_item_drops_the_owner_of_its_queue() {
    let system = system(2);
    let before = system.stats().queues;
    for _ in 0..200 {
        let owner = Workqueue::unbound("own").system(&system).build().unwrap();
        let queue = (*owner).clone();
        let task = queue.spawn(async move {
            drop(owner);
            wq::yield_now().await;
            5
        });
        drop(queue);
        assert_eq!(task.wait().unwrap(), 5);
    }
    while system.stats().queues > before {
        std::thread::yield_now();
    }
}

/// An item that destroys its own queue learns that it would wait for itself; the queue is closed.
#[test]
fn an_item_destroys_its_queue() {
    let system = system(2);
    let owner = Workqueue::unbound("own").system(&system).build().unwrap();
    let queue = (*owner).clone();
    let task = queue.spawn_fn(move || owner.destroy().wait());
    assert!(task.wait().unwrap().unwrap_err().is_deadlock());
    assert!(queue.is_closed());
}

/// A shutdown from inside only begins; it ends on a thread of its own, and nothing is forgotten.
#[test]
fn an_item_shuts_its_system_down() {
    for _ in 0..50 {
        let system = system(2);
        let own = system.clone();
        let task = system.spawn(async move { own.shutdown(Duration::from_millis(5)).only_begun });
        let never = system.spawn(std::future::pending::<()>());
        assert!(task.wait().unwrap());
        let error = never.wait().unwrap_err();
        assert!(error.is_cancelled() || error.is_rejected(), "{error}");
    }
}

/// The last handle of a System may go with one of its items.
#[test]
fn an_item_drops_its_system() {
    for _ in 0..100 {
        let system = system(2);
        let own = system.clone();
        let (release, hold) = mpsc::channel();
        let task = system.spawn(async move {
            hold.recv().unwrap();
            drop(own);
        });
        drop(system);
        release.send(()).unwrap();
        assert!(task.wait().is_ok());
    }
}

/// Many shutdowns at once: one does it, the others say that it has begun.
#[test]
fn shutdowns_meet() {
    for _ in 0..20 {
        let system = system(2);
        for n in 0..100 {
            drop(system.spawn(async move {
                for _ in 0..n % 10 {
                    wq::yield_now().await;
                }
            }));
        }
        let shutdowns = [(); 4].map(|()| {
            let system = system.clone();
            std::thread::spawn(move || system.shutdown(Duration::from_secs(10)))
        });
        let reports = shutdowns.map(|thread| thread.join().unwrap());
        let ended = reports.iter().filter(|report| !report.only_begun);
        assert_eq!(
            ended.map(|report| report.completed).collect::<Vec<_>>(),
            [100]
        );
    }
}

/// An item of one System awaits items of another, and blocks on them.
#[test]
fn systems_wait_for_each_other() {
    let (one, two) = (system(2), system(1));
    let task = one.spawn(async move {
        let mut sum = 0;
        for n in 0..200 {
            sum += two.spawn(async move { n }).await.unwrap();
            sum += two.block_on(two.spawn(async { 1 })).unwrap();
        }
        sum
    });
    assert_eq!(task.wait().unwrap(), 199 * 100 + 200);
}

/// Items of one queue flush another, all at once.
#[test]
fn items_flush_another_queue() {
    let system = system(2);
    let other = Arc::new(Workqueue::unbound("other").system(&system).build().unwrap());
    let queue = Workqueue::unbound("own").system(&system).build().unwrap();
    let tasks: Vec<_> = (0..100)
        .map(|n| {
            let other = Arc::clone(&other);
            queue.spawn(async move {
                let item = other.spawn(async move {
                    for _ in 0..n % 4 {
                        wq::yield_now().await;
                    }
                });
                other.flush().await.unwrap();
                assert!(item.is_finished());
            })
        })
        .collect();
    for task in tasks {
        task.wait().unwrap();
    }
}

/// A closure of an ordered queue waits on the thread for items of another, on one lane.
#[test]
fn a_closure_waits_for_another_queue() {
    let system = system(1);
    let ordered = Workqueue::ordered("ordered")
        .system(&system)
        .build()
        .unwrap();
    let other = Workqueue::unbound("other").system(&system).build().unwrap();
    let queue = (*other).clone();
    let sum = ordered.spawn_fn(move || {
        (0..100)
            .map(|n| queue.spawn_fn(move || n).wait().unwrap())
            .sum::<i32>()
    });
    assert_eq!(sum.wait().unwrap(), 4950);
}

/// Closures on one lane wait for each other with a condition variable, in the worst order.
#[test]
fn closures_wait_for_each_other() {
    let system = system(1);
    let turn = Arc::new((Mutex::new(0), Condvar::new()));
    let tasks: Vec<_> = (0..20)
        .rev()
        .map(|n| {
            let turn = Arc::clone(&turn);
            system.default_queue().spawn_fn(move || {
                let (now, changed) = &*turn;
                let mut now = changed
                    .wait_while(now.lock().unwrap(), |now| *now != n)
                    .unwrap();
                *now += 1;
                changed.notify_all();
            })
        })
        .collect();
    for task in tasks {
        task.wait().unwrap();
    }
    assert_eq!(system.stats().rescues, 0);
}
