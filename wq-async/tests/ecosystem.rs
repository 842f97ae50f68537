//! Crates that know nothing of wq run on it as they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::channel::oneshot;
use futures::executor::LocalPool;
use futures::future::{Either, join_all, select, try_join_all};
use futures::stream::{FuturesUnordered, StreamExt};
use futures::task::LocalSpawnExt;
use futures::{AsyncReadExt, AsyncWriteExt, select_biased};
use wq::{System, Workqueue};

/// A System of two lanes.
fn system() -> System {
    System::builder().workers(2).build().expect("a System")
}

/// An echo server and its clients over async-net, which has a reactor thread of its own.
#[test]
fn async_net_echoes() {
    let system = system();
    system.run(async {
        let listener = async_net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Workqueue::unbound("connections")
            .max_active(8)
            .build()
            .unwrap();
        let handle = (*connections).clone();
        let server = wq::spawn(async move {
            let mut incoming = listener.incoming();
            while let Some(Ok(mut stream)) = incoming.next().await {
                drop(handle.spawn(async move {
                    let mut copy = stream.clone();
                    futures::io::copy(&mut stream, &mut copy).await.unwrap()
                }));
            }
        });
        let clients = (0..20u8).map(|n| {
            wq::spawn(async move {
                let mut stream = async_net::TcpStream::connect(address).await.unwrap();
                let sent = vec![n; 10_000];
                stream.write_all(&sent).await.unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let mut echoed = Vec::new();
                stream.read_to_end(&mut echoed).await.unwrap();
                assert_eq!(echoed, sent);
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
        server.abort();
        assert!(server.await.unwrap_err().is_cancelled());
        let report = wq::flush(&connections).await.unwrap();
        assert_eq!((report.completed, report.panicked), (20, 0));
    });
    assert_eq!(system.stats().rescues, 0);
}

/// Channels and locks of the smol family, with many tasks on each.
#[test]
fn async_channel_and_async_lock() {
    let system = system();
    let (total, most) = system.run(async {
        let (send, receive) = async_channel::bounded(4);
        let sum = Arc::new(async_lock::Mutex::new(0u64));
        let room = Arc::new(async_lock::Semaphore::new(3));
        let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let readers: Vec<_> = (0..8)
            .map(|_| {
                let (receive, sum, room) = (receive.clone(), Arc::clone(&sum), Arc::clone(&room));
                let (inside, most) = (Arc::clone(&inside), Arc::clone(&most));
                wq::spawn(async move {
                    while let Ok(n) = receive.recv().await {
                        let _room = room.acquire().await;
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        wq::yield_now().await;
                        *sum.lock().await += n;
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        drop(receive);
        for n in 1..=1000u64 {
            send.send(n).await.unwrap();
        }
        drop(send);
        for reader in readers {
            reader.await.unwrap();
        }
        let total = *sum.lock().await;
        (total, most.load(Ordering::SeqCst))
    });
    assert_eq!(total, 500_500);
    assert!(most <= 3, "{most} tasks had a permit at once");
}

/// The combinators of the futures crate over handles, waits and delays.
#[test]
fn futures_combinators() {
    system().run(async {
        let squares = join_all((0..100u32).map(|n| wq::spawn(async move { n * n }))).await;
        assert!(
            squares
                .into_iter()
                .zip(0..)
                .all(|(square, n)| square.unwrap() == n * n)
        );

        let failing = (0..10).map(|n| wq::spawn(async move { assert!(n != 5, "five") }));
        assert!(try_join_all(failing).await.unwrap_err().is_panic());

        let never = Box::pin(std::future::pending::<()>());
        match select(never, wq::spawn(async { 1 })).await {
            Either::Right((first, _)) => assert_eq!(first.unwrap(), 1),
            Either::Left(_) => panic!("it never ends"),
        }

        let mut unordered: FuturesUnordered<_> = (0..200u64)
            .map(|n| {
                wq::spawn(async move {
                    for _ in 0..n % 7 {
                        wq::yield_now().await;
                    }
                    n
                })
            })
            .collect();
        let mut sum = 0;
        while let Some(n) = unordered.next().await {
            sum += n.unwrap();
        }
        assert_eq!(sum, 19_900);
    });
}

/// A `select!` over a channel and a flush, in a loop.
#[test]
fn futures_select_macro() {
    system().run(async {
        let queue = Workqueue::unbound("jobs").build().unwrap();
        let (send, receive) = async_channel::unbounded();
        let mut handles = Vec::new();
        for n in 0..50u32 {
            let send = send.clone();
            handles.push(queue.spawn(async move { send.send(n).await.unwrap() }));
        }
        drop(send);
        let mut flush = futures::FutureExt::fuse(queue.flush());
        let mut receive = Box::pin(receive.fuse());
        let mut sum = 0;
        loop {
            select_biased! {
                n = receive.next() => match n {
                    Some(n) => sum += n,
                    None => break,
                },
                report = flush => assert_eq!(report.unwrap().completed, 50),
            }
        }
        assert_eq!(sum, 1225);
    });
}

/// tokio's channels and locks need no tokio runtime.
#[test]
fn tokio_sync() {
    use tokio::sync::{Barrier, Notify, Semaphore, broadcast, mpsc, oneshot, watch};
    system().run(async {
        let (send, mut receive) = mpsc::channel(2);
        let producer = wq::spawn(async move {
            for n in 0..500u32 {
                send.send(n).await.unwrap();
            }
        });
        let mut sum = 0;
        while let Some(n) = receive.recv().await {
            sum += n;
        }
        producer.await.unwrap();
        assert_eq!(sum, 124_750);

        let (answer, answered) = oneshot::channel();
        drop(wq::spawn(async move { answer.send("yes").unwrap() }));
        assert_eq!(answered.await.unwrap(), "yes");

        let (tell, mut told) = watch::channel(0);
        let watcher = wq::spawn(async move { *told.wait_for(|&n| n == 9).await.unwrap() });
        (1..10).for_each(|n| tell.send(n).unwrap());
        assert_eq!(watcher.await.unwrap(), 9);

        let (say, _) = broadcast::channel(16);
        let listeners: Vec<_> = (0..4)
            .map(|_| {
                let mut heard = say.subscribe();
                wq::spawn(async move { heard.recv().await.unwrap() })
            })
            .collect();
        say.send(3).unwrap();
        for heard in join_all(listeners).await {
            assert_eq!(heard.unwrap(), 3);
        }

        let (barrier, notify) = (Arc::new(Barrier::new(4)), Arc::new(Notify::new()));
        let semaphore = Arc::new(Semaphore::new(2));
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let (barrier, semaphore) = (Arc::clone(&barrier), Arc::clone(&semaphore));
                wq::spawn(async move {
                    let _permit = semaphore.acquire().await.unwrap();
                    wq::yield_now().await;
                    drop(_permit);
                    barrier.wait().await.is_leader()
                })
            })
            .collect();
        let leaders = join_all(tasks)
            .await
            .into_iter()
            .filter(|l| *l.as_ref().unwrap())
            .count();
        assert_eq!(leaders, 1);
        let waiting = Arc::clone(&notify);
        let notified = wq::spawn(async move { waiting.notified().await });
        notify.notify_one();
        notified.await.unwrap();
    });
}

/// A whole single-threaded executor inside a task: it blocks the thread as it likes, and what it
/// waits for runs on the lane meanwhile.
#[test]
fn a_local_pool_inside_a_task() {
    let system = System::builder().workers(1).build().unwrap();
    let task = system.default_queue().spawn_fn(|| {
        let mut pool = LocalPool::new();
        let spawner = pool.spawner();
        let sum = std::rc::Rc::new(std::cell::Cell::new(0));
        for n in 1..=10 {
            let sum = std::rc::Rc::clone(&sum);
            let part = async move {
                let n = wq::spawn(async move { n }).await.unwrap();
                sum.set(sum.get() + n);
            };
            spawner.spawn_local(part).unwrap();
        }
        pool.run();
        sum.get()
    });
    assert_eq!(task.wait().unwrap(), 55);
    assert_eq!(system.stats().rescues, 0);
}

/// Results travel to executors that are not wq, and wakes come back from there.
#[test]
fn other_executors_await_handles() {
    let system = system();
    let (ask, asked) = oneshot::channel::<u32>();
    let doubled = system
        .default_queue()
        .spawn(async move { asked.await.unwrap() * 2 });
    ask.send(21).unwrap();
    assert_eq!(futures::executor::block_on(doubled).unwrap(), 42);
}

/// Queues are what the futures crate spawns on: tasks keep the queue's order, and a closed queue
/// says that it takes no more.
#[test]
fn futures_spawn() {
    use futures::task::{Spawn, SpawnExt};
    /// As a library that is told where to spawn.
    fn library(spawner: &dyn Spawn, sum: &async_channel::Sender<u32>) {
        for n in 0..10 {
            let sum = sum.clone();
            spawner
                .spawn(async move { sum.send(n).await.unwrap() })
                .unwrap();
        }
    }
    let system = system();
    let order = system.run(async {
        let journal = Workqueue::ordered("journal").build().unwrap();
        let (send, receive) = async_channel::unbounded();
        library(&*journal, &send);
        drop(send);
        let double = journal.spawn_with_handle(async { 2 * 21 }).unwrap();
        assert_eq!(double.await, 42);
        receive.collect::<Vec<_>>().await
    });
    assert!(order.into_iter().eq(0..10));

    let full = Workqueue::unbound("full").max_active(1).max_pending(1);
    let full = full.system(&system).build().unwrap();
    let never = full.spawn(std::future::pending::<()>());
    full.spawn_obj(Box::new(async {}).into()).unwrap();
    assert!(
        full.spawn_obj(Box::new(async {}).into())
            .unwrap_err()
            .is_shutdown()
    );
    assert!(full.status().is_ok(), "it is full and not closed");
    let handle = (*full).clone();
    drop(full);
    assert!(handle.status().unwrap_err().is_shutdown());
    never.abort();
}
