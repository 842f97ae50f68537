//! Scopes: items that borrow from the frame that waits for them.

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use wq_core::{Queue, System, Workqueue};

/// What no wait of these tests takes, unless something hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// A System of so many lanes.
fn system(lanes: usize) -> System {
    System::builder().workers(lanes).build().expect("a System")
}

/// The text of a caught panic.
fn text_of<T>(caught: Result<T, Box<dyn std::any::Any + Send>>) -> String {
    let Err(payload) = caught else {
        return "no panic".to_owned();
    };
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no text".to_owned())
}

/// Runs `f` and gives the text of its panic.
fn panic_text<T>(f: impl FnOnce() -> T) -> String {
    text_of(catch_unwind(AssertUnwindSafe(f)))
}

/// Runs `f` on a thread of its own, and fails if that takes too long.
fn within_limit<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(f()));
    told.recv_timeout(LIMIT)
        .expect("it panicked, or waits for itself")
}

/// Goal: closures and futures write into the frame's own variables, and the results come back.
#[test]
fn items_borrow_from_their_frame() {
    let system = system(2);
    let mut squares = vec![0_u64; 100];
    let sum = system.default_queue().scope(|s| {
        let mut handles = Vec::new();
        for (n, square) in squares.iter_mut().enumerate() {
            let n = n as u64;
            if n % 2 == 0 {
                s.spawn_fn(move || *square = n * n);
            } else {
                handles.push(s.spawn(async move {
                    tick().await;
                    *square = n * n;
                    n
                }));
            }
        }
        handles.into_iter().map(|h| h.join().unwrap()).sum::<u64>()
    });
    assert_eq!(sum, (0..50).map(|n| 2 * n + 1).sum());
    assert!(
        squares
            .iter()
            .enumerate()
            .all(|(n, s)| *s == (n * n) as u64)
    );
}

/// Suspends once, woken by itself.
async fn tick() {
    let mut first = true;
    std::future::poll_fn(|cx| {
        if std::mem::take(&mut first) {
            cx.waker().wake_by_ref();
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(())
    })
    .await;
}

/// Goal: the frame does not go on before an item that is still running, whose handle it has
/// dropped. Method: the item ends when another thread says so, which looks first whether the frame
/// has gone on.
#[test]
fn the_frame_waits_for_items_without_a_handle() {
    let system = system(2);
    let (begun, has_begun) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let gone_on = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&gone_on);
    let other = std::thread::spawn(move || {
        has_begun.recv_timeout(LIMIT).expect("the item begins");
        let seen = seen.load(Ordering::SeqCst);
        release.send(()).expect("the item waits");
        seen
    });
    let ended = AtomicBool::new(false);
    let flag = &ended;
    system.default_queue().scope(|s| {
        drop(s.spawn_fn(move || {
            begun.send(()).expect("somebody listens");
            released.recv_timeout(LIMIT).expect("it is released");
            flag.store(true, Ordering::SeqCst);
        }));
    });
    gone_on.store(true, Ordering::SeqCst);
    assert!(ended.load(Ordering::SeqCst));
    assert!(!other.join().expect("it does not panic"));
}

/// Goal: a panic of the frame's closure goes on, after its items have ended.
#[test]
fn a_panic_of_the_frame_waits_for_its_items() {
    let system = system(2);
    let ended = AtomicUsize::new(0);
    let text = panic_text(|| {
        system.default_queue().scope(|s| {
            for _ in 0..8 {
                s.spawn_fn(|| {
                    std::thread::yield_now();
                    ended.fetch_add(1, Ordering::SeqCst);
                });
                s.spawn(async {
                    tick().await;
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            }
            panic!("of the frame");
        })
    });
    assert_eq!(text, "of the frame");
    assert_eq!(ended.load(Ordering::SeqCst), 16);
}

/// Goal: a handle yields its item's panic with the payload; one that nobody asks for makes the
/// scope panic, after all others have ended. Queues count both.
#[test]
fn panics_of_items_are_told_once() {
    let system = system(2);
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    queue.scope(|s| {
        let closure = s.spawn_fn(|| panic!("of a closure")).join();
        assert_eq!(text_of(closure.map_err(|e| e.into_panic())), "of a closure");
        let future = s.spawn(async {
            tick().await;
            panic!("of a future")
        });
        assert_eq!(
            text_of(future.join().map_err(|e| e.into_panic())),
            "of a future"
        );
    });
    let ended = AtomicUsize::new(0);
    let text = panic_text(|| {
        queue.scope(|s| {
            s.spawn_fn(|| panic!("and nobody asks"));
            for _ in 0..8 {
                s.spawn_fn(|| ended.fetch_add(1, Ordering::SeqCst));
            }
        });
    });
    assert_eq!(text, "an item of a scope panicked");
    assert_eq!(ended.load(Ordering::SeqCst), 8);
    queue.flush().wait().unwrap();
    assert_eq!(queue.stats().panicked, 3);
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("of a destructor");
    }
}

/// Goal: destructors that panic are the item's panic: of what it captured, of a future's
/// variables, of a result that nobody takes.
#[test]
fn panics_of_destructors_are_the_items() {
    let system = system(2);
    let queue = system.default_queue();
    let captured = Bomb;
    let text = panic_text(|| {
        queue.scope(|s| {
            s.spawn_fn(move || {
                let _captured = &captured;
            });
        });
    });
    assert_eq!(text, "an item of a scope panicked");
    let error = queue.scope(|s| {
        let handle = s.spawn(async {
            let _bomb = Bomb;
            tick().await;
            7
        });
        handle.join().unwrap_err()
    });
    assert_eq!(error.to_string(), "the task panicked: of a destructor");
    let text = panic_text(|| queue.scope(|s| drop(s.spawn_fn(|| Bomb))));
    assert_eq!(text, "an item of a scope panicked");
}

/// Sets a borrowed flag when it is dropped.
struct Flag<'a>(&'a AtomicBool);

impl Drop for Flag<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Goal: an aborted item has run its destructors before the scope ends, which does not complain;
/// its handle says that it was cancelled.
#[test]
fn aborted_items_are_gone_before_the_scope_ends() {
    let system = system(1);
    let (dropped, joined) = (AtomicBool::new(false), AtomicBool::new(false));
    system.default_queue().scope(|s| {
        let item = |flag| {
            let flag = Flag(flag);
            async move {
                let _flag = flag;
                pending::<()>().await;
            }
        };
        s.spawn(item(&dropped)).abort();
        let other = s.spawn(item(&joined));
        other.abort();
        assert!(other.join().unwrap_err().is_cancelled());
        assert!(joined.load(Ordering::SeqCst));
    });
    assert!(dropped.load(Ordering::SeqCst));
}

/// Goal: scopes work inside tasks and inside each other on a single lane, because the frames hand
/// it over while they wait. Method: a tree of sums, each level a scope inside an item.
#[test]
fn scopes_nest_inside_tasks() {
    fn sum(queue: &Queue, numbers: &[u64]) -> u64 {
        if numbers.len() <= 2 {
            return numbers.iter().sum();
        }
        let (left, right) = numbers.split_at(numbers.len() / 2);
        queue.scope(|s| {
            let left = s.spawn_fn(move || sum(queue, left));
            let right = s.spawn(async move { sum(queue, right) });
            left.join().unwrap() + right.join().unwrap()
        })
    }
    let total = within_limit(|| {
        let system = system(1);
        let queue = system.default_queue();
        let task = system.spawn(async move {
            let numbers: Vec<u64> = (1..=32).collect();
            sum(&queue, &numbers)
        });
        task.wait().unwrap()
    });
    assert_eq!(total, 32 * 33 / 2);
}

/// Goal: an item may spawn more of them, and wait for one as a future.
#[test]
fn items_spawn_items() {
    let system = system(2);
    let list = Mutex::new(Vec::new());
    system.default_queue().scope(|s| {
        s.spawn_fn(|| {
            for n in 0..4 {
                let list = &list;
                s.spawn_fn(move || list.lock().unwrap().push(n));
            }
            s.spawn(async {
                let four = s.spawn(async { 4 }).await.unwrap();
                list.lock().unwrap().push(four);
            });
        });
    });
    let mut list = list.into_inner().unwrap();
    list.sort_unstable();
    assert_eq!(list, [0, 1, 2, 3, 4]);
}

/// Goal: from outside, a scope's items on an ordered queue run in order. From inside an item of
/// that queue, and of scopes around it, they are refused: at once, by name.
#[test]
fn a_scope_that_would_wait_for_itself_is_refused() {
    within_limit(|| {
        let system = system(2);
        let ordered = Workqueue::ordered("o").system(&system).build().unwrap();
        let limited = Workqueue::unbound("l")
            .max_active(1)
            .system(&system)
            .build()
            .unwrap();
        let free = system.default_queue();
        let order = Mutex::new(Vec::new());
        ordered.scope(|s| {
            for n in 0..5 {
                let order = &order;
                s.spawn(async move {
                    tick().await;
                    order.lock().unwrap().push(n);
                });
            }
        });
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
        let outside: [&Queue; 2] = [&ordered, &limited];
        for queue in outside {
            let (direct, through) = (queue.clone(), (queue.clone(), free.clone()));
            let task = queue.spawn_fn(move || {
                direct.scope(|s| s.spawn_fn(|| 7).join().unwrap_err().is_deadlock())
            });
            assert!(task.wait().unwrap());
            let task = queue.spawn_fn(move || {
                let (own, free) = &through;
                free.scope(|s| {
                    s.spawn_fn(|| own.scope(|t| t.spawn_fn(|| 7).join().unwrap_err().is_deadlock()))
                        .join()
                        .unwrap()
                })
            });
            assert!(task.wait().unwrap());
            let silent = queue.clone();
            let task =
                queue.spawn_fn(move || panic_text(|| silent.scope(|s| drop(s.spawn_fn(|| 7)))));
            assert!(task.wait().unwrap().contains("use another queue"));
        }
        // The other way round is none: the inner frame's queue is not held by anybody.
        let (ordered, inner) = ((*ordered).clone(), (*limited).clone());
        let task = free.spawn_fn(move || {
            ordered.scope(|s| {
                s.spawn_fn(|| inner.scope(|t| t.spawn_fn(|| 7).join().unwrap()))
                    .join()
            })
        });
        assert_eq!(task.wait().unwrap().unwrap(), 7);
    });
}

/// Goal: an item on an ordered queue that waits for a later one of its scope gets an error, and
/// both end.
#[test]
fn siblings_on_an_ordered_queue_do_not_wait_for_each_other() {
    within_limit(|| {
        let system = system(2);
        let ordered = Workqueue::ordered("o").system(&system).build().unwrap();
        let ran = AtomicUsize::new(0);
        ordered.scope(|s| {
            s.spawn_fn(|| {
                let later = s.spawn_fn(|| ran.fetch_add(1, Ordering::SeqCst));
                assert!(later.join().unwrap_err().is_deadlock());
            });
            s.spawn(async {
                let later = s.spawn(async { ran.fetch_add(1, Ordering::SeqCst) });
                assert!(later.await.unwrap_err().is_deadlock());
            });
        });
        assert_eq!(ran.load(Ordering::SeqCst), 2);
    });
}

/// Goal: what the queue refuses is told by the handle, or else by the scope.
#[test]
fn refused_items_are_told() {
    let system = system(1);
    let owner = Workqueue::unbound("q").system(&system).build().unwrap();
    let queue = (*owner).clone();
    drop(owner);
    assert!(queue.scope(|s| s.spawn_fn(|| 7).join().unwrap_err().is_rejected()));
    let text = panic_text(|| queue.scope(|s| drop(s.spawn(async { 7 }))));
    assert!(text.contains("closed, draining or full"), "{text}");
}

/// Goal: a shutdown drops an item that sleeps for ever, so that the scope ends, and says so.
#[test]
fn a_shutdown_ends_a_scope() {
    let text = within_limit(|| {
        let system = system(1);
        let queue = system.default_queue();
        let (begun, has_begun) = mpsc::channel();
        let frame = std::thread::spawn(move || {
            panic_text(|| {
                let flag = AtomicBool::new(false);
                queue.scope(|s| {
                    s.spawn(async {
                        let _flag = Flag(&flag);
                        begun.send(()).unwrap();
                        pending::<()>().await;
                    });
                });
            })
        });
        has_begun.recv_timeout(LIMIT).expect("the item begins");
        system.shutdown(Duration::ZERO);
        frame.join().unwrap()
    });
    assert!(text.contains("by the shutdown of its System"), "{text}");
}

/// Goal: no item touches a frame that is gone. Method: many small frames at once on few lanes,
/// with nested scopes, panics and aborts, whose variables are written by their items; sanitizers
/// see what this test does not.
#[test]
fn stress_frames_come_and_go() {
    let system = system(2);
    let inner = &system.default_queue();
    let queue = Workqueue::unbound("q")
        .max_active(3)
        .system(&system)
        .build()
        .unwrap();
    let frame = |seed: usize| {
        let mut numbers = [0_usize; 8];
        let text = panic_text(|| {
            queue.scope(|s| {
                for (n, number) in numbers.iter_mut().enumerate() {
                    match (seed + n) % 5 {
                        0 => drop(s.spawn_fn(move || *number = n)),
                        1 => drop(s.spawn(async move {
                            tick().await;
                            *number = n;
                        })),
                        2 => s
                            .spawn(async move {
                                *number = n;
                                pending::<()>().await;
                            })
                            .abort(),
                        3 => drop(s.spawn_fn(move || {
                            inner.scope(|t| {
                                t.spawn_fn(|| *number = n);
                            });
                        })),
                        _ => drop(s.spawn_fn(move || *number = n).join()),
                    }
                }
                assert!(seed % 7 != 0, "of a frame");
            });
        });
        assert_eq!(text == "of a frame", seed % 7 == 0, "{text}");
        let written = numbers
            .iter()
            .enumerate()
            .all(|(n, number)| *number == n || (seed + n) % 5 == 2 && *number == 0);
        assert!(written, "{numbers:?}");
    };
    std::thread::scope(|threads| {
        for thread in 0..4 {
            let frame = &frame;
            threads.spawn(move || (0..200).map(|n| thread * 1000 + n).for_each(frame));
        }
    });
}

/// Goal: a queue that bounds only what waits, or takes part in freezes, has slots for everybody: a
/// scope on it from inside one of its items works. Method: the result comes back.
#[test]
fn a_bound_on_what_waits_bars_no_scope() {
    let system = system(2);
    let bounded = Workqueue::unbound("bounded").max_pending(100);
    let freezable = Workqueue::unbound("freezable").freezable();
    for builder in [bounded, freezable] {
        let owner = builder.system(&system).build().expect("a queue");
        let queue: Queue = (*owner).clone();
        let own = queue.clone();
        let item = queue.spawn_fn(move || own.scope(|s| s.spawn_fn(|| 7).join().unwrap()));
        assert_eq!(within_limit(move || item.wait().unwrap()), 7);
    }
}

/// Goal: a destructor of an item that never ran is seen if it panics. Method: an item that is
/// aborted while it waits for its slot.
#[test]
fn a_destructor_of_what_never_ran_is_seen() {
    /// Panics when it is dropped.
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("a test: this destructor is to panic");
        }
    }
    let system = system(2);
    let builder = Workqueue::unbound("one").max_active(1).system(&system);
    let owner = builder.build().expect("a queue");
    let (go, may_go) = mpsc::channel::<()>();
    let holder = owner.spawn_fn(move || may_go.recv());
    let text = panic_text(|| {
        owner.scope(|s| {
            let bad = Bad;
            let never = s.spawn_fn(move || drop(bad));
            never.abort();
            drop(never);
            go.send(()).expect("it waits");
        });
    });
    assert!(text.contains("an item of a scope panicked"), "{text}");
    drop(holder);
}
