//! Groups of tasks, on real threads.

use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::oneshot;
use wq::{GroupError, System, TaskGroup, Workqueue};

/// What no wait of these tests takes, unless something hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// A System of two lanes, entered.
fn system() -> System {
    System::builder().workers(2).build().expect("a System")
}

/// Counts how often it is dropped.
struct Count(Arc<AtomicUsize>);

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A task that waits for ever, with a destructor that counts.
fn sleeper<T>(dropped: &Arc<AtomicUsize>) -> impl Future<Output = T> + Send + use<T> {
    let count = Count(Arc::clone(dropped));
    async move {
        let _count = count;
        pending().await
    }
}

/// Goal: results come in the order in which tasks end, whatever the order of their spawns. Method:
/// each task ends when its sender says so, and the queue is seen to have counted its end.
#[test]
fn results_come_in_the_order_of_their_ends() {
    let system = system();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let mut group = TaskGroup::on(&queue);
    let mut senders: Vec<_> = (0..5)
        .map(|n| {
            let (sender, receiver) = oneshot::channel::<()>();
            group.spawn(async move {
                receiver.await.expect("a word");
                n
            });
            Some(sender)
        })
        .collect();
    let order = [3, 0, 4, 1, 2];
    for (nth, n) in (1..).zip(order) {
        senders[n].take().unwrap().send(()).unwrap();
        while queue.stats().completed < nth {
            std::thread::yield_now();
        }
    }
    assert_eq!(group.len(), 5);
    let results = group.join_all().wait_timeout(LIMIT).unwrap();
    let results: Vec<usize> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(results, order);
    assert!(group.is_empty());
}

/// Goal: a closure that blocks, a panic, an abort and a refusal each are one result.
#[test]
fn every_end_is_a_result() {
    let system = system();
    let closed = (*Workqueue::unbound("c").system(&system).build().unwrap()).clone();
    let mut group = TaskGroup::on(&system.default_queue());
    group.spawn_fn(|| 7);
    assert_eq!(group.join_next().wait().unwrap().unwrap(), 7);
    group.spawn(async { panic!("told") });
    let error = group.join_next().wait().unwrap().unwrap_err();
    assert_eq!(error.into_panic().downcast_ref(), Some(&"told"));
    group.add(closed.spawn(async { 8 }));
    assert!(group.join_next().wait().unwrap().unwrap_err().is_rejected());
    group.spawn(pending());
    assert!(group.try_join_next().is_none());
    let error = group.join_next().wait_timeout(Duration::from_millis(1));
    assert!(error.unwrap_err().is_timeout());
    group.abort_all();
    assert!(
        group
            .join_next()
            .wait()
            .unwrap()
            .unwrap_err()
            .is_cancelled()
    );
    assert!(group.join_next().wait().is_none());
}

/// Goal: a dropped group aborts what runs, and a detached one does not.
#[test]
fn a_dropped_group_aborts() {
    let system = system();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let dropped = Arc::new(AtomicUsize::new(0));
    let mut group = TaskGroup::<()>::on(&queue);
    (0..10).for_each(|_| group.spawn(sleeper(&dropped)));
    drop(group);
    assert_eq!(queue.flush().wait_timeout(LIMIT).unwrap().cancelled, 10);
    assert_eq!(dropped.load(Ordering::SeqCst), 10);
    let (sender, receiver) = oneshot::channel::<()>();
    let mut group = TaskGroup::on(&queue);
    group.spawn(async move { receiver.await.expect("a word") });
    group.detach_all();
    assert!(group.is_empty() && group.join_next().wait().is_none());
    drop(group);
    sender.send(()).unwrap();
    assert_eq!(queue.flush().wait_timeout(LIMIT).unwrap().completed, 1);
}

/// Goal: an end of a detached task is not taken for one of a task that came after it.
#[test]
fn a_detached_task_is_forgotten() {
    let system = system();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let mut group = TaskGroup::on(&queue);
    let senders = [(); 2].map(|()| {
        let (sender, receiver) = oneshot::channel::<()>();
        group.spawn(async move { receiver.await.map(|()| 1).expect("a word") });
        sender
    });
    group.detach_all();
    group.spawn(pending());
    senders
        .into_iter()
        .for_each(|sender| sender.send(()).unwrap());
    while queue.stats().completed < 2 {
        std::thread::yield_now();
    }
    assert!(group.try_join_next().is_none());
    assert_eq!(group.len(), 1);
}

/// Goal: waits that are dropped half-way lose no result, first one or all.
#[test]
fn dropped_waits_lose_nothing() {
    let system = system();
    let mut group = TaskGroup::on(&system.default_queue());
    let (sender, receiver) = oneshot::channel::<()>();
    (0..9).for_each(|n| group.spawn(async move { n }));
    group.spawn(async move { receiver.await.map(|()| 9).expect("a word") });
    for _ in 0..3 {
        // Long enough for the others to end, on most runs; it changes what is tested, not whether
        // it holds.
        let limit = Duration::from_millis(5);
        assert!(group.join_all().wait_timeout(limit).is_err());
    }
    system.block_on(async {
        let mut wait = std::pin::pin!(group.join_all());
        poll_fn(|cx| {
            assert!(wait.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
    });
    assert_eq!(group.len(), 10);
    sender.send(()).unwrap();
    let results = group.join_all().wait_timeout(LIMIT).unwrap();
    let mut results: Vec<i32> = results.into_iter().map(Result::unwrap).collect();
    results.sort_unstable();
    assert_eq!(results, (0..10).collect::<Vec<_>>());
}

/// Goal: the first failure aborts the others, which have ended when it is told; values come if
/// there is none. An error, a panic and a refusal are failures.
#[test]
fn the_first_failure_ends_the_group() {
    let system = system();
    let dropped = Arc::new(AtomicUsize::new(0));
    let mut group = TaskGroup::<Result<i32, &str>>::on(&system.default_queue());
    (0..3).for_each(|n| group.spawn(async move { Ok(n) }));
    let mut values = group.try_join_all().wait().unwrap();
    values.sort_unstable();
    assert_eq!(values, [0, 1, 2]);
    (0..5).for_each(|_| group.spawn(sleeper(&dropped)));
    group.spawn(async { Err("told") });
    let failure = group.try_join_all().wait_timeout(LIMIT).unwrap();
    assert!(
        matches!(failure, Err(GroupError::Failed("told"))),
        "{failure:?}"
    );
    assert_eq!(dropped.load(Ordering::SeqCst), 5);
    assert!(group.is_empty());
    (0..5).for_each(|_| group.spawn(sleeper(&dropped)));
    group.spawn(async { panic!("told") });
    match group.try_join_all().wait_timeout(LIMIT).unwrap() {
        Err(GroupError::Join(error)) => assert!(error.is_panic()),
        other => panic!("{other:?}"),
    }
    assert_eq!(dropped.load(Ordering::SeqCst), 10);
}

/// Goal: a group is a stream that ends; in a task, with more tasks than lanes, spawned while it is
/// read.
#[test]
fn a_group_is_a_stream() {
    let system = system();
    let sum = system.run(async {
        let mut group = TaskGroup::new();
        (0..100).for_each(|n| group.spawn(async move { n }));
        let (mut sum, mut more) = (0, 100);
        while let Some(n) = group.next().await {
            sum += n.unwrap();
            if more > 0 {
                more -= 1;
                group.spawn(async {
                    wq::yield_now().await;
                    1
                });
            }
        }
        sum
    });
    assert_eq!(sum, 99 * 100 / 2 + 100);
}

/// Goal: a group is cancelled from inside with other people's token: each task selects on it, and
/// cleans up before it ends, which an abort would not let it do.
#[test]
fn tasks_end_in_their_own_way_with_a_token() {
    let system = system();
    let token = tokio_util::sync::CancellationToken::new();
    let (tell, told) = mpsc::channel();
    let mut group = TaskGroup::on(&system.default_queue());
    for n in 0..3 {
        let (token, tell) = (token.child_token(), tell.clone());
        group.spawn(async move {
            token.cancelled().await;
            tell.send(n).expect("somebody listens");
            "cleaned up"
        });
    }
    token.cancel();
    let ends = group.join_all().wait_timeout(LIMIT).unwrap();
    assert!(ends.into_iter().all(|end| end.unwrap() == "cleaned up"));
    let mut told: Vec<i32> = told.try_iter().collect();
    told.sort_unstable();
    assert_eq!(told, [0, 1, 2]);
}

/// Goal: in a forked child a wait for the group ends at once, with an error for each task.
#[test]
#[cfg(all(target_os = "linux", not(wq_portable)))]
fn a_forked_child_does_not_wait() {
    let system = system();
    let mut group = TaskGroup::<()>::on(&system.default_queue());
    group.spawn(pending());
    let child = wq_core::driver::in_forked_child(Duration::from_secs(10), || {
        let ended = group.join_next().wait();
        u8::from(ended.is_some_and(|end| end.is_err_and(|error| error.is_forked())))
    });
    assert_eq!(child.expect("the machine forks"), Some(1));
}
