//! Those that suspend a task.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::channel::{mpsc as futures_mpsc, oneshot as futures_oneshot};
use futures::future::{join, join_all};
use futures::{SinkExt, Stream, StreamExt};
use tokio::sync::{self as tokio_sync, broadcast, mpsc as tokio_mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use wq::{System, TaskGroup, spawn, yield_now};

use super::deadline::Deadline;
use super::{PRODUCERS, SENT, SUM};

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

/// The sum of all that comes.
async fn total(numbers: impl Stream<Item = u64>) -> u64 {
    numbers.fold(0, |sum, n| async move { sum + n }).await
}

/// flume's channels.
#[test]
fn flume_channels_suspend() {
    let _deadline = Deadline::start();
    for room in [0, 1, 16] {
        let (send, receive) = flume::bounded(room);
        System::builder().workers(2).build().unwrap().run(async {
            let produce = |send: flume::Sender<u64>| async move {
                for n in 1..=SENT {
                    send.send_async(n).await.unwrap();
                }
            };
            let consume = |receive: flume::Receiver<u64>| total(receive.into_stream());
            through_async(send, produce, vec![receive.clone(), receive], consume).await;
        });
    }
}

/// async-channel.
#[test]
fn async_channel_suspends() {
    let _deadline = Deadline::start();
    System::builder().workers(2).build().unwrap().run(async {
        let (send, receive) = async_channel::bounded(1);
        let produce = |send: async_channel::Sender<u64>| async move {
            for n in 1..=SENT {
                send.send(n).await.unwrap();
            }
        };
        through_async(send, produce, vec![receive.clone(), receive], total).await;
    });
}

/// tokio's `mpsc`.
#[test]
fn tokio_mpsc_suspends() {
    let _deadline = Deadline::start();
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
}

/// tokio's other channels: one value, the latest value, all values to everybody.
#[wq::test(workers = 2)]
async fn tokio_oneshot_watch_and_broadcast() {
    let _deadline = Deadline::start();
    let (answer, asked) = oneshot::channel();
    let asker = spawn(asked);
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
    let _deadline = Deadline::start();
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

/// What else tokio and async-lock have to wait at: semaphores, notifications, barriers, cells.
#[wq::test(workers = 2)]
async fn permits_notifications_barriers_and_cells() {
    let _deadline = Deadline::start();
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
    let _deadline = Deadline::start();
    let (send, receive) = futures_mpsc::channel(1);
    let produce = |mut send: futures_mpsc::Sender<u64>| async move {
        for n in 1..=SENT {
            send.send(n).await.unwrap();
        }
    };
    through_async(send, produce, vec![receive], total).await;
    let (answer, asked) = futures_oneshot::channel();
    let (sent, received) = join(spawn(async { answer.send(7) }), spawn(asked)).await;
    assert_eq!((sent.unwrap(), received.unwrap()), (Ok(()), Ok(7)));
}

/// A token stops all tasks that look at it, children too, and a dropped guard does as well.
#[wq::test(workers = 2)]
async fn cancellation_tokens() {
    let _deadline = Deadline::start();
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

/// Whoever wakes a task may be anywhere. Method: a task of one System answers one of another, then
/// a plain thread; each has asked, and waits, before it gets its answer, and the other way round.
#[test]
fn tasks_are_woken_from_another_system_and_from_a_plain_thread() {
    let _deadline = Deadline::start();
    const ROUNDS: u64 = 200;
    let [one, other] = [(); 2].map(|()| System::builder().workers(1).build().unwrap());
    let (ask, mut asked) = tokio_mpsc::channel::<(u64, oneshot::Sender<u64>)>(1);
    let (also_ask, also_asked) = async_channel::bounded::<(u64, oneshot::Sender<u64>)>(1);
    let answers = one.spawn(async move {
        let mut answered = 0;
        while let Some((n, answer)) = asked.recv().await {
            answer.send(n + 1).unwrap();
            answered += 1;
        }
        while let Ok((n, answer)) = also_asked.recv().await {
            answer.send(n + 1).unwrap();
            answered += 1;
        }
        answered
    });
    let asker = other.spawn(async move {
        for n in 0..ROUNDS {
            let (answer, answered) = oneshot::channel();
            ask.send((n, answer)).await.unwrap();
            assert_eq!(answered.await, Ok(n + 1));
        }
    });
    asker.wait().unwrap();
    let asker = std::thread::spawn(move || {
        for n in 0..ROUNDS {
            let (answer, answered) = oneshot::channel();
            also_ask.send_blocking((n, answer)).unwrap();
            assert_eq!(answered.blocking_recv(), Ok(n + 1));
        }
    });
    asker.join().unwrap();
    assert_eq!(answers.wait().unwrap(), 2 * ROUNDS);
}
