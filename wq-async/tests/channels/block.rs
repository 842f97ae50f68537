//! Those that block a thread. Whatever blocks here does so on one lane, where others wait behind
//! it: without a worker that takes over, these tests would hang.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{self as blocking, mpsc};
use std::time::Duration;

use tokio::sync::{mpsc as tokio_mpsc, oneshot};
use wq::System;

use super::deadline::Deadline;
use super::{PRODUCERS, SENT, SUM};

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
}

/// Some consumers that share a receiver, which goes with the last of them.
fn shared<R: Clone>(
    receiver: R,
    receive: fn(&R) -> Option<u64>,
) -> Vec<impl FnMut() -> Option<u64>> {
    let receivers = vec![receiver; 3];
    let consumer = |receiver| move || receive(&receiver);
    receivers.into_iter().map(consumer).collect()
}

/// The channels of `std`: unbounded, bounded, and where both sides meet.
#[test]
fn std_channels_block_their_task_alone() {
    let _deadline = Deadline::start();
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

/// Bounded channels of one kind with several receivers: where both sides meet, and with room.
fn with_each_room<S, R>(
    bounded: fn(usize) -> (S, R),
    send: fn(&S, u64),
    receive: fn(&R) -> Option<u64>,
) where
    S: Clone + Send + 'static,
    R: Clone + Send + 'static,
{
    for room in [0, 1, 16] {
        let (sender, receiver) = bounded(room);
        through_blocking(move |n| send(&sender, n), shared(receiver, receive));
    }
}

/// crossbeam's channels, with several receivers, and its `select!`.
#[test]
fn crossbeam_channels_block_their_task_alone() {
    let _deadline = Deadline::start();
    with_each_room(
        crossbeam_channel::bounded,
        |send, n| send.send(n).unwrap(),
        |receive| receive.recv().ok(),
    );
    let system = System::builder().workers(1).build().unwrap();
    let quiet = crossbeam_channel::never::<u64>();
    let (send, receive) = crossbeam_channel::bounded(0);
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

/// flume's channels, used as those of `std`.
#[test]
fn flume_channels_block_their_task_alone() {
    let _deadline = Deadline::start();
    with_each_room(
        flume::bounded,
        |send, n| send.send(n).unwrap(),
        |receive| receive.recv().ok(),
    );
}

/// The blocking calls of channels that suspend otherwise: async-channel's and tokio's.
#[test]
fn blocking_calls_block_their_task_alone() {
    let _deadline = Deadline::start();
    let (send, receive) = async_channel::bounded(1);
    let receivers = shared(receive, |receive| receive.recv_blocking().ok());
    through_blocking(move |n| send.send_blocking(n).unwrap(), receivers);

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

    let system = System::builder().workers(1).build().unwrap();
    let (answer, asked) = oneshot::channel();
    let asker = system
        .default_queue()
        .spawn_fn(move || asked.blocking_recv());
    let answer = system.spawn(async move { answer.send(7) });
    answer.wait().unwrap().unwrap();
    assert_eq!(asker.wait().unwrap(), Ok(7));
}

/// Locks of `std`, fought for by tasks that sleep while they hold them, on one lane: who waits
/// blocks, and whoever has the lock gets on.
#[test]
fn std_locks_block_their_task_alone() {
    let _deadline = Deadline::start();
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
}
