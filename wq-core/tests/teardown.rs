//! The end of a queue that is stuck: `destroy` says what with, and goes on when that was mended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::time::Duration;

use wq_core::{DelayedWork, Queue, Queued, Work, Workqueue};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// Long enough to be seen as an age.
const A_WHILE: Duration = Duration::from_millis(30);

/// A semaphore for threads and futures, down to begin with.
#[derive(Default)]
struct Semaphore(Mutex<(usize, Vec<Waker>)>, Condvar);

impl Semaphore {
    /// Takes one; blocks the thread until there is one.
    fn down(&self) {
        let state = self.0.lock().expect("nobody panics here");
        let state = self.1.wait_while(state, |state| state.0 == 0);
        state.expect("nobody panics here").0 -= 1;
    }

    /// As [`Semaphore::down`], for futures.
    async fn down_async(self: Arc<Self>) {
        std::future::poll_fn(|cx| {
            let mut state = self.0.lock().expect("nobody panics here");
            if state.0 == 0 {
                state.1.push(cx.waker().clone());
                return Poll::Pending;
            }
            state.0 -= 1;
            Poll::Ready(())
        })
        .await;
    }

    /// Adds `n`.
    fn up(&self, n: usize) {
        let mut state = self.0.lock().expect("nobody panics here");
        state.0 += n;
        state.1.drain(..).for_each(Waker::wake);
        self.1.notify_all();
    }
}

/// §1.3, the recipe for teardown. Goal: destroying a queue with blocked items is a report that
/// names them with their ages, and no hang; when what blocks them is mended and the items are
/// cancelled, the same destroy succeeds. Method: a closure item and an async one that wait for a
/// semaphore, a task, and an item whose timer is armed.
#[test]
fn a_stuck_destroy_names_what_is_stuck_and_goes_on() {
    let owner = Workqueue::unbound("teardown").build().expect("a queue");
    let queue = Queue::clone(&owner);
    let semaphore = Arc::new(Semaphore::default());
    let down = Arc::clone(&semaphore);
    let closure = Work::new(move || down.down());
    let down = Arc::clone(&semaphore);
    let future = Work::new_async(move || Arc::clone(&down).down_async());
    let late = DelayedWork::new(|| unreachable!("it is taken back"));
    assert_eq!(queue.queue(&closure), Queued::New);
    assert_eq!(queue.queue(&future), Queued::New);
    assert_eq!(queue.queue_after(&late, FOR_EVER), Queued::New);
    let task = queue
        .builder()
        .name("writer")
        .spawn(Arc::clone(&semaphore).down_async());

    let mut destroy = owner.destroy();
    assert!(!late.is_pending(), "armed timers are taken back at once");
    let (stuck, text) = loop {
        let error = destroy.wait_timeout(A_WHILE).expect_err("it is stuck");
        assert!(error.is_timeout() && !error.is_deadlock());
        let stuck = error.stuck().expect("it was a timeout").clone();
        if (stuck.running.len(), stuck.suspended.len()) == (1, 2) {
            let text = error.to_string();
            assert!(text.contains("3 items in flight"), "{text}");
            assert!(text.contains("the oldest: "), "{text}");
            break (stuck, text);
        }
    };
    assert_eq!((stuck.name.as_str(), stuck.closed), ("teardown", true));
    let here = "a_stuck_destroy_names_what_is_stuck_and_goes_on";
    assert!(stuck.running[0].type_name.contains(here));
    assert!(
        stuck
            .suspended
            .iter()
            .any(|it| it.name.as_deref() == Some("writer"))
    );
    let is_item = |type_name: &str| type_name.contains("down_async");
    assert!(
        stuck.suspended.iter().all(|it| is_item(it.type_name)),
        "{stuck}"
    );
    assert!(stuck.oldest() >= Some(Duration::from_millis(5)), "{stuck}");
    let ages = stuck.running.iter().map(|it| (it.lasts, it.to_string()));
    let ages = ages.chain(stuck.suspended.iter().map(|it| (it.oldest, it.to_string())));
    let (age, oldest) = ages.max().expect("there are some");
    assert_eq!(stuck.oldest(), Some(age));
    assert!(text.ends_with(&oldest), "{text}, not {oldest}");
    assert_eq!(
        queue.queue(&closure),
        Queued::Closed,
        "nothing new meanwhile"
    );

    // 1. What they wait for; 2. the items; 3. the queue.
    semaphore.up(3);
    for work in [&closure, &future, &late.work()] {
        work.cancel_and_wait().wait().expect("no deadlock");
        assert!(work.busy().is_idle());
    }
    let report = destroy.wait_timeout(FOR_EVER).expect("nothing is left");
    assert_eq!(
        (report.completed, report.panicked, report.cancelled),
        (3, 0, 1)
    );
    task.wait().expect("it returned");
}

/// Goal: a wait that timed out is asked again and is the same: what was waited for does not grow.
#[test]
fn a_wait_goes_on_after_its_timeout() {
    let queue = Workqueue::unbound("again").build().expect("a queue");
    let (release, hold) = mpsc::channel::<()>();
    let first = queue.spawn_fn(move || {
        let _ = hold.recv();
    });
    let mut flush = queue.flush();
    assert!(
        flush
            .wait_timeout(Duration::from_millis(1))
            .expect_err("stuck")
            .is_timeout()
    );
    let never = queue.spawn(std::future::pending::<()>());
    drop(release);
    assert_eq!(
        flush
            .wait_timeout(FOR_EVER)
            .expect("the first has ended")
            .completed,
        1
    );
    first.wait().expect("it returned");
    never.abort();

    let semaphore = Arc::new(Semaphore::default());
    let (down, is_in) = (Arc::clone(&semaphore), Arc::new(AtomicBool::new(false)));
    let tell = Arc::clone(&is_in);
    let work = Work::new(move || {
        tell.store(true, Ordering::SeqCst);
        down.down();
    });
    assert_eq!(queue.queue(&work), Queued::New);
    while !is_in.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    let (mut flush, mut cancel) = (work.flush(), work.cancel_and_wait());
    let text = flush
        .wait_timeout(Duration::from_millis(1))
        .expect_err("stuck")
        .to_string();
    assert!(text.contains("a_wait_goes_on_after_its_timeout"), "{text}");
    assert!(text.ends_with("still runs"), "{text}");
    assert!(
        cancel
            .wait_timeout(Duration::from_millis(1))
            .expect_err("stuck")
            .is_timeout()
    );
    assert_eq!(
        queue.queue(&work),
        Queued::Disabled,
        "still being cancelled"
    );
    semaphore.up(1);
    assert_eq!(flush.wait_timeout(FOR_EVER), Ok(true));
    assert_eq!(cancel.wait_timeout(FOR_EVER), Ok(false));
    drop(cancel);
    semaphore.up(1);
    assert_eq!(queue.queue(&work), Queued::New);
    work.flush().wait().expect("no deadlock");
}
