//! Requests on queues: limits, refusals, panics, and clients that go away.

#![cfg(feature = "tower")]

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::join_all;
use tower::{Layer, Service, ServiceExt, service_fn};
use wq::tower::{OnQueue, OnQueueError, OnQueueLayer};
use wq::{System, Workqueue};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// A System of two lanes.
fn system() -> System {
    System::builder().workers(2).build().expect("a System")
}

/// The error of the adapter itself.
fn of_queue(error: Box<dyn Error + Send + Sync>) -> OnQueueError {
    *error.downcast().expect("an error of the queue")
}

/// Requests run on the queue, no more at a time than it allows; results and errors come back.
#[test]
fn requests_run_on_the_queue() {
    static INSIDE: AtomicUsize = AtomicUsize::new(0);
    system().run(async {
        let queue = Workqueue::unbound("reports").max_active(2).build().unwrap();
        let service = OnQueueLayer::new(&queue).layer(service_fn(async |n: u32| {
            let inside = INSIDE.fetch_add(1, Ordering::SeqCst) + 1;
            assert!(inside <= 2, "{inside} requests at a time");
            assert_eq!(wq::current().name(), "reports");
            wq::yield_now().await;
            INSIDE.fetch_sub(1, Ordering::SeqCst);
            if n == 5 {
                return Err(io::Error::other("five"));
            }
            Ok(n * n)
        }));
        let responses = (0..50).map(|n| service.clone().oneshot(n));
        for (n, response) in join_all(responses).await.into_iter().enumerate() {
            match response {
                Ok(square) => assert_eq!(square as usize, n * n),
                Err(error) => {
                    assert!(error.is::<io::Error>());
                    assert_eq!((n, error.to_string().as_str()), (5, "five"));
                }
            }
        }
        assert_eq!(queue.flush().await.unwrap().panicked, 0);
    });
}

/// A full queue and a closed one refuse at once, and say which; a panic is told as one.
#[test]
fn what_has_no_response_says_why() {
    system().run(async {
        let queue = Workqueue::unbound("q")
            .max_active(1)
            .max_pending(1)
            .build()
            .unwrap();
        let (go, may_go) = oneshot::channel::<()>();
        let first = queue.spawn(async move { may_go.await.unwrap() });
        let second = queue.spawn(async {});
        let mut service = OnQueue::new(&queue, service_fn(async |()| Ok::<_, Infallible>(())));
        let refused = service.ready().await.unwrap().call(()).await;
        let error = of_queue(refused.unwrap_err());
        assert!(error.is_full() && !error.is_closed());
        go.send(()).unwrap();
        first.await.unwrap();
        second.await.unwrap();
        service.ready().await.unwrap().call(()).await.unwrap();

        let panics = service_fn(async |()| -> Result<(), Infallible> { panic!("on purpose") });
        let panicked = OnQueue::new(&queue, panics).oneshot(()).await;
        let error = of_queue(panicked.unwrap_err());
        assert!(error.is_panic() && !error.is_cancelled());
        assert!(error.to_string().contains("panic"), "{error}");

        drop(queue);
        let error = of_queue(service.oneshot(()).await.unwrap_err());
        assert!(error.is_closed() && !error.is_full());
    });
}

/// Goal: a request whose client goes away is aborted. Method: its response is dropped while it
/// waits for what never comes; its destructor tells.
#[test]
fn a_dropped_response_aborts_the_request() {
    let system = system();
    let (told, tell) = std::sync::mpsc::channel::<()>();
    system.run(async {
        let queue = Workqueue::unbound("requests").build().unwrap();
        let service = service_fn(move |inside: oneshot::Sender<()>| {
            let told = told.clone();
            async move {
                inside.send(()).unwrap();
                std::future::pending::<()>().await;
                drop(told);
                Ok::<_, Infallible>(())
            }
        });
        let (inside, is_inside) = oneshot::channel();
        let response = OnQueue::new(&queue, service).oneshot(inside);
        let response = wq::spawn(response);
        is_inside.await.unwrap();
        response.abort();
        let flush = wq::time::timeout(FOR_EVER, queue.flush()).await;
        let report = flush.expect("it is aborted").unwrap();
        assert_eq!((report.completed, report.cancelled), (0, 1));
    });
    // All senders are gone, with the request and the service.
    let gone = tell.recv_timeout(FOR_EVER).unwrap_err();
    assert_eq!(gone, std::sync::mpsc::RecvTimeoutError::Disconnected);
}
