//! Channels and locks of others on wq, those that suspend a task and those that block its thread:
//! what `docs/channels.md` promises of each.
//!
//! Whatever blocks here does so on one lane, where others wait behind it: without a worker that
//! takes over, these tests would hang.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{self as blocking, Arc, mpsc};
use std::time::Duration;

use futures::channel::{mpsc as futures_mpsc, oneshot as futures_oneshot};
use futures::future::{join, join_all};
use futures::{SinkExt, StreamExt};
use tokio::sync::{self as tokio_sync, broadcast, mpsc as tokio_mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use wq::{System, TaskGroup, spawn, spawn_fn, yield_now};

/// What each producer sends, from 1 on.
const SENT: u64 = 300;
const PRODUCERS: u64 = 3;
/// What the consumers get, in sum.
const SUM: u64 = PRODUCERS * SENT * (SENT + 1) / 2;

/// Producers and consumers that block their threads, on one lane: all that was sent arrives.
fn through_blocking<S, R>(sender: S, receivers: Vec<R>)
where
    S: FnMut(u64) + Clone + Send + 'static,
    R: FnMut() -> Option<u64> + Send + 'static,
{
    let system = System::builder().workers(1).build().expect("a System");
    let consume = |mut receive: R| {
        let sum = move || std::iter::from_fn(&mut receive).sum::<u64>();
        system.default_queue().spawn_fn(sum)
    };
    let consumers: Vec<_> = receivers.into_iter().map(consume).collect();
    let produce = |mut send: S| move || (1..=SENT).for_each(&mut send);
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|_| system.default_queue().spawn_fn(produce(sender.clone())))
        .collect();
    drop(sender);
    producers.into_iter().for_each(|task| task.wait().unwrap());
    let sums = consumers.into_iter().map(|task| task.wait().unwrap());
    assert_eq!(sums.sum::<u64>(), SUM);
    assert_eq!(system.stats().rescues, 0);
}

/// Producers and consumers that suspend, as tasks of the test's System.
async fn through_async<S, F, R, G>(sender: S, send: fn(S) -> F, receivers: Vec<R>, sum: fn(R) -> G)
where
    S: Clone + Send + 'static,
    R: Send + 'static,
    F: Future<Output = ()> + Send + 'static,
    G: Future<Output = u64> + Send + 'static,
{
    let consumers: Vec<_> = receivers.into_iter().map(|r| spawn(sum(r))).collect();
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|_| spawn(send(sender.clone())))
        .collect();
    drop(sender);
    for producer in producers {
        producer.await.unwrap();
    }
    let mut total = 0;
    for consumer in consumers {
        total += consumer.await.unwrap();
    }
    assert_eq!(total, SUM);
}

/// The channels of `std`: unbounded, bounded, and where both sides meet.
#[test]
fn std_channels_block_their_task_alone() {
    let (send, receive) = mpsc::channel();
    through_blocking(
        move |n| send.send(n).unwrap(),
        vec![move || receive.recv().ok()],
    );
    for room in [0, 1, 16] {
        let (send, receive) = mpsc::sync_channel(room);
        through_blocking(
            move |n| send.send(n).unwrap(),
            vec![move || receive.recv().ok()],
        );
    }
}

/// crossbeam's channels, with several receivers, and its `select!`.
#[test]
fn crossbeam_channels_block_their_task_alone() {
    for room in [0, 1, 16] {
        let (send, receive) = crossbeam_channel::bounded(room);
        let consumer = |_| {
            let receive = receive.clone();
            move || receive.recv().ok()
        };
        through_blocking(
            move |n| send.send(n).unwrap(),
            (0..3).map(consumer).collect(),
        );
    }
    let system = System::builder().workers(1).build().unwrap();
    let (quiet, other) = (
        crossbeam_channel::never::<u64>(),
        crossbeam_channel::bounded(0),
    );
    let (send, receive) = other;
    let chosen = system.default_queue().spawn_fn(move || {
        crossbeam_channel::select! {
            recv(quiet) -> _ => 0,
            recv(receive) -> n => n.unwrap(),
        }
    });
    let sent = system.default_queue().spawn_fn(move || send.send(7));
    assert_eq!(chosen.wait().unwrap(), 7);
    sent.wait().unwrap().unwrap();
}

/// flume's channels, which do both: each side blocks, or suspends.
#[test]
fn flume_channels_block_or_suspend() {
    for room in [0, 1, 16] {
        let (send, receive) = flume::bounded(room);
        let consumer = |_| {
            let receive = receive.clone();
            move || receive.recv().ok()
        };
        through_blocking(
            move |n| send.send(n).unwrap(),
            (0..3).map(consumer).collect(),
        );
        let (send, receive) = flume::bounded(room);
        System::builder().workers(2).build().unwrap().run(async {
            let produce = |send: flume::Sender<u64>| async move {
                for n in 1..=SENT {
                    send.send_async(n).await.unwrap();
                }
            };
            let consume = |receive: flume::Receiver<u64>| async move {
                let all = receive.into_stream();
                all.fold(0, |sum, n| async move { sum + n }).await
            };
            through_async(send, produce, vec![receive.clone(), receive], consume).await;
        });
    }
}

/// async-channel, from tasks that suspend and from tasks that block.
#[test]
fn async_channel_suspends_or_blocks() {
    System::builder().workers(2).build().unwrap().run(async {
        let (send, receive) = async_channel::bounded(1);
        let produce = |send: async_channel::Sender<u64>| async move {
            for n in 1..=SENT {
                send.send(n).await.unwrap();
            }
        };
        let consume = |receive: async_channel::Receiver<u64>| async move {
            let mut sum = 0;
            while let Ok(n) = receive.recv().await {
                sum += n;
            }
            sum
        };
        through_async(send, produce, vec![receive.clone(), receive], consume).await;
    });
    let (send, receive) = async_channel::bounded(1);
    let receivers = vec![receive.clone(), receive];
    let consumers = receivers
        .into_iter()
        .map(|r| move || r.recv_blocking().ok());
    through_blocking(move |n| send.send_blocking(n).unwrap(), consumers.collect());
}

/// tokio's `mpsc`, from tasks that suspend and from tasks that block.
#[test]
fn tokio_mpsc_suspends_or_blocks() {
    System::builder().workers(2).build().unwrap().run(async {
        let (send, receive) = tokio_mpsc::channel(2);
        let produce = |send: tokio_mpsc::Sender<u64>| async move {
            for n in 1..=SENT / 2 {
                send.send(n).await.unwrap();
            }
            // Room first, then what goes there.
            for n in SENT / 2 + 1..=SENT {
                send.reserve().await.unwrap().send(n);
            }
        };
        let consume = |mut receive: tokio_mpsc::Receiver<u64>| async move {
            let (mut sum, mut some) = (0, Vec::new());
            while receive.recv_many(&mut some, 8).await > 0 {
                sum += some.drain(..).sum::<u64>();
            }
            sum
        };
        through_async(send, produce, vec![receive], consume).await;
    });
    let (send, mut receive) = tokio_mpsc::channel(1);
    through_blocking(
        move |n| send.blocking_send(n).unwrap(),
        vec![move || receive.blocking_recv()],
    );
    let (send, mut receive) = tokio_mpsc::unbounded_channel();
    through_blocking(
        move |n| send.send(n).unwrap(),
        vec![move || receive.blocking_recv()],
    );
}

/// tokio's other channels: one value, the latest value, all values to everybody.
#[wq::test(workers = 2)]
async fn tokio_oneshot_watch_and_broadcast() {
    let (answer, asked) = oneshot::channel();
    let asker = spawn_fn(move || asked.blocking_recv());
    spawn(async move { answer.send(7) }).await.unwrap().unwrap();
    assert_eq!(asker.await.unwrap(), Ok(7));
    let (gone, waits) = oneshot::channel::<()>();
    let waiter = spawn(waits);
    drop(gone);
    assert!(waiter.await.unwrap().is_err());

    let (tell, told) = watch::channel(0);
    let watchers: Vec<_> = (0..4)
        .map(|_| {
            let mut told = told.clone();
            spawn(async move {
                let mut seen = 0;
                while told.changed().await.is_ok() {
                    let now = *told.borrow_and_update();
                    assert!(now > seen, "newer ones only");
                    seen = now;
                }
                seen
            })
        })
        .collect();
    for n in 1..=100 {
        tell.send(n).unwrap();
        yield_now().await;
    }
    drop(tell);
    for seen in join_all(watchers).await {
        assert_eq!(seen.unwrap(), 100, "the last one is never missed");
    }

    let (say, mut late) = broadcast::channel(8);
    let listeners: Vec<_> = (0..3)
        .map(|_| {
            let mut heard = say.subscribe();
            spawn(async move {
                let mut sum = 0;
                while let Ok(n) = heard.recv().await {
                    sum += n;
                }
                sum
            })
        })
        .collect();
    for n in 1..=8u64 {
        say.send(n).unwrap();
    }
    let mut sum = 0;
    for _ in 0..8 {
        sum += late.recv().await.unwrap();
    }
    drop(say);
    assert_eq!(sum, 36);
    for heard in join_all(listeners).await {
        assert_eq!(heard.unwrap(), 36);
    }
}

/// Takes a lock of some kind in many tasks at once, each of which adds to what it holds in two
/// steps: nothing is lost.
macro_rules! adds_in_turn {
    ($lock:expr, |$held:ident| $acquire:expr, $look:expr) => {{
        let lock = Arc::new($lock);
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let $held = Arc::clone(&lock);
                spawn(async move {
                    for _ in 0..20 {
                        let mut value = $acquire;
                        let before = *value;
                        yield_now().await;
                        *value = before + 1;
                    }
                })
            })
            .collect();
        for task in join_all(tasks).await {
            task.unwrap();
        }
        let $held = lock;
        assert_eq!($look, 400);
    }};
}

/// Locks that suspend, held across awaits: tokio's, async-lock's, futures'.
#[wq::test(workers = 2)]
async fn locks_that_suspend() {
    adds_in_turn!(
        tokio_sync::Mutex::new(0),
        |lock| lock.lock().await,
        *lock.lock().await
    );
    adds_in_turn!(
        tokio_sync::RwLock::new(0),
        |lock| lock.write().await,
        *lock.read().await
    );
    adds_in_turn!(
        async_lock::Mutex::new(0),
        |lock| lock.lock().await,
        *lock.lock().await
    );
    adds_in_turn!(
        async_lock::RwLock::new(0),
        |lock| lock.write().await,
        *lock.read().await
    );
    let lock = futures::lock::Mutex::new(0);
    adds_in_turn!(lock, |lock| lock.lock().await, *lock.lock().await);
}

/// Locks of `std`, fought for by tasks that sleep while they hold them, on one lane: who waits
/// blocks, and whoever has the lock gets on.
#[test]
fn std_locks_block_their_task_alone() {
    let system = System::builder().workers(1).build().unwrap();
    let (mutex, rwlock) = (blocking::Mutex::new(0), blocking::RwLock::new(0));
    let (full, filled) = (blocking::Mutex::new(false), blocking::Condvar::new());
    let barrier = blocking::Barrier::new(8);
    let leaders = AtomicU64::new(0);
    system.default_queue().scope(|scope| {
        for n in 0..8u32 {
            let (mutex, rwlock, barrier) = (&mutex, &rwlock, &barrier);
            let (full, filled, leaders) = (&full, &filled, &leaders);
            scope.spawn_fn(move || {
                {
                    let mut held = mutex.lock().unwrap();
                    std::thread::sleep(Duration::from_micros(200));
                    *held += n;
                }
                let is_leader = barrier.wait().is_leader();
                leaders.fetch_add(u64::from(is_leader), Ordering::SeqCst);
                if is_leader {
                    *full.lock().unwrap() = true;
                    filled.notify_all();
                }
                let full = full.lock().unwrap();
                drop(filled.wait_while(full, |full| !*full).unwrap());
                *rwlock.write().unwrap() += *mutex.lock().unwrap();
            });
        }
    });
    assert_eq!(mutex.into_inner().unwrap(), 28);
    assert_eq!(rwlock.into_inner().unwrap(), 8 * 28);
    assert_eq!(leaders.into_inner(), 1);
    assert_eq!(system.stats().rescues, 0);
}

/// What else tokio and async-lock have to wait at: semaphores, notifications, barriers, cells.
#[wq::test(workers = 2)]
async fn permits_notifications_barriers_and_cells() {
    let (inside, room) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(tokio_sync::Semaphore::new(2)),
    );
    let also = Arc::new(async_lock::Semaphore::new(2));
    let (meet, also_meet) = (
        Arc::new(tokio_sync::Barrier::new(10)),
        Arc::new(async_lock::Barrier::new(10)),
    );
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let (inside, room, also) = (inside.clone(), room.clone(), also.clone());
            let (meet, also_meet) = (meet.clone(), also_meet.clone());
            spawn(async move {
                let (_room, _also) = (room.acquire().await.unwrap(), also.acquire().await);
                assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                drop((_room, _also));
                let (one, other) = (meet.wait().await, also_meet.wait().await);
                u32::from(one.is_leader()) + 100 * u32::from(other.is_leader())
            })
        })
        .collect();
    let leaders: u32 = join_all(tasks).await.into_iter().map(Result::unwrap).sum();
    assert_eq!(leaders, 101);

    let notify = Arc::new(tokio_sync::Notify::new());
    let mut waits = TaskGroup::new();
    for _ in 0..5 {
        let notify = Arc::clone(&notify);
        waits.spawn(async move { notify.notified().await });
    }
    for _ in 0..5 {
        // Whoever it reaches: one.
        notify.notify_one();
        waits.join_next().await.unwrap().unwrap();
    }

    let (cell, other) = (
        Arc::new(tokio_sync::OnceCell::new()),
        Arc::new(async_lock::OnceCell::new()),
    );
    let made = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let (cell, other, made) = (cell.clone(), other.clone(), made.clone());
            spawn(async move {
                let make = || async {
                    yield_now().await;
                    made.fetch_add(1, Ordering::SeqCst)
                };
                *cell.get_or_init(make).await + *other.get_or_init(make).await
            })
        })
        .collect();
    for sum in join_all(tasks).await {
        assert_eq!(
            sum.unwrap(),
            1,
            "each is made once, the second after the first"
        );
    }
}

/// The channels of the futures crate: sinks and streams.
#[wq::test(workers = 2)]
async fn futures_channels() {
    let (send, receive) = futures_mpsc::channel(1);
    let produce = |mut send: futures_mpsc::Sender<u64>| async move {
        for n in 1..=SENT {
            send.send(n).await.unwrap();
        }
    };
    let consume = |receive: futures_mpsc::Receiver<u64>| async move {
        receive.fold(0, |sum, n| async move { sum + n }).await
    };
    through_async(send, produce, vec![receive], consume).await;
    let (answer, asked) = futures_oneshot::channel();
    let (sent, received) = join(spawn(async { answer.send(7) }), spawn(asked)).await;
    assert_eq!((sent.unwrap(), received.unwrap()), (Ok(()), Ok(7)));
}

/// A token stops all tasks that look at it, children too, and a dropped guard does as well.
#[wq::test(workers = 2)]
async fn cancellation_tokens() {
    let token = CancellationToken::new();
    let mut tasks = TaskGroup::new();
    for n in 0..20 {
        let token = if n % 2 == 0 {
            token.clone()
        } else {
            token.child_token()
        };
        tasks.spawn(async move {
            let work = async {
                loop {
                    yield_now().await;
                }
            };
            token.run_until_cancelled(work).await.is_none()
        });
    }
    let child = token.child_token();
    child.cancel();
    assert!(!token.is_cancelled());
    drop(token.drop_guard());
    let stopped = tasks.join_all().await;
    assert!(stopped.into_iter().all(|end| end.unwrap()));
}
