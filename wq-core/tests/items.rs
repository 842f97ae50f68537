//! Re-queueable items beyond the basics: statics, items that know themselves, async items,
//! disabling with a wait.

use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use wq_core::{Busy, DelayedWork, Queue, Queued, System, Work, WorkFlush, Workqueue, current_work};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// A queue of a System of its own.
fn queue() -> (System, Workqueue) {
    let system = System::builder().workers(2).build().expect("a System");
    let queue = Workqueue::unbound("items")
        .system(&system)
        .build()
        .expect("a queue");
    (system, queue)
}

/// Waits for `done`.
fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + FOR_EVER;
    while !done() {
        assert!(Instant::now() < deadline, "not {what}");
        std::thread::yield_now();
    }
}

/// A gate that futures wait at.
#[derive(Default)]
struct Gate(Mutex<(bool, Vec<Waker>)>);

impl Gate {
    /// Whoever waits goes on.
    fn open(&self) {
        let mut state = self.0.lock().expect("nobody panics here");
        state.0 = true;
        state.1.drain(..).for_each(Waker::wake);
    }

    /// Waits until it is open.
    async fn pass(self: Arc<Self>) {
        std::future::poll_fn(|cx| {
            let mut state = self.0.lock().expect("nobody panics here");
            if state.0 {
                return Poll::Ready(());
            }
            state.1.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Whether somebody waits.
    fn is_waited_for(&self) -> bool {
        !self.0.lock().expect("nobody panics here").1.is_empty()
    }
}

/// W1: a static item is made at its first use, is queued by reference, and stays.
#[test]
fn a_static_item_is_queued_like_others() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    static ITEM: LazyLock<Work> = LazyLock::new(|| {
        Work::new(|| {
            RUNS.fetch_add(1, Ordering::SeqCst);
        })
    });
    let (_system, queue) = queue();
    for run in 1..=2 {
        assert_eq!(queue.queue(&ITEM), Queued::New);
        ITEM.flush().wait().expect("no deadlock");
        assert_eq!(RUNS.load(Ordering::SeqCst), run);
    }
}

/// An item queues itself through the handle that it gets, and goes with the last handle outside.
#[test]
fn an_item_that_knows_itself_queues_itself_and_goes() {
    let (_system, owner) = queue();
    let kept = Arc::new(());
    let (queue, runs, captured) = (
        Queue::clone(&owner),
        Arc::new(AtomicUsize::new(0)),
        Arc::clone(&kept),
    );
    let counted = Arc::clone(&runs);
    let work = Work::with_self(move |this| {
        let _held = &captured;
        let is_current = current_work().is_some_and(|work| work.is_running());
        assert!(is_current && this.is_running());
        if counted.fetch_add(1, Ordering::SeqCst) < 9 {
            assert_eq!(queue.queue(this), Queued::New);
        }
    });
    assert_eq!(owner.queue(&work), Queued::New);
    drop(work);
    owner.drain().wait().expect("no deadlock");
    assert_eq!(runs.load(Ordering::SeqCst), 10);
    until("freed", || Arc::strong_count(&kept) == 1);
}

/// W9: the current item is known in closures, across suspensions, and nowhere else.
#[test]
fn the_current_item_is_known_inside_of_it_alone() {
    let (_system, queue) = queue();
    let (tell, told) = mpsc::channel();
    let (gate, done) = (Arc::new(Gate::default()), tell.clone());
    let passed = Arc::clone(&gate);
    let slow = Work::new_async(move || {
        let (gate, done) = (Arc::clone(&passed), done.clone());
        async move {
            let before = current_work().expect("an item");
            gate.pass().await;
            let after = current_work().expect("an item");
            before.disable();
            done.send(after.enable() == Some(true))
                .expect("the test waits");
        }
    });
    assert_eq!(queue.queue(&slow), Queued::New);
    until("suspended", || gate.is_waited_for());
    let done = tell.clone();
    let quick = Work::new(move || {
        let here = current_work().expect("an item");
        here.disable();
        done.send(here.is_running()).expect("the test waits");
    });
    assert_eq!(queue.queue(&quick), Queued::New);
    assert_eq!(told.recv_timeout(FOR_EVER), Ok(true));
    quick.flush().wait().expect("no deadlock");
    assert_eq!(
        quick.enable(),
        Some(true),
        "it was the item that disabled itself"
    );
    gate.open();
    assert_eq!(told.recv_timeout(FOR_EVER), Ok(true));
    slow.flush().wait().expect("no deadlock");
    let nobody = queue.spawn(async { current_work().is_none() });
    assert!(nobody.wait().expect("it returned"));
    assert!(current_work().is_none());
}

/// §5.5: a suspended execution runs: requests lead to one more execution after it, a flush and a
/// cancel wait for it, and it does not wait for itself.
#[test]
fn a_suspended_execution_is_one_that_runs() {
    let (_system, queue) = queue();
    let gates: Arc<Mutex<Vec<Arc<Gate>>>> = Arc::default();
    let (made, inside) = (Arc::clone(&gates), Arc::new(AtomicUsize::new(0)));
    let (in_it, selfish) = (Arc::clone(&inside), Arc::new(AtomicBool::new(false)));
    let refused = Arc::clone(&selfish);
    let work = Work::new_async(move || {
        let gate = Arc::new(Gate::default());
        made.lock()
            .expect("nobody panics here")
            .push(Arc::clone(&gate));
        let (in_it, refused) = (Arc::clone(&in_it), Arc::clone(&refused));
        async move {
            assert_eq!(in_it.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
            let this = current_work().expect("an item");
            let waits = this.flush().await.expect_err("it would wait for itself");
            refused.store(waits.is_deadlock(), Ordering::SeqCst);
            gate.pass().await;
            in_it.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let gate = |n: usize| gates.lock().expect("nobody panics here").get(n).cloned();
    let suspended = |n: usize| gate(n).is_some_and(|gate| gate.is_waited_for());
    assert_eq!(queue.queue(&work), Queued::New);
    until("suspended", || suspended(0));
    assert!(selfish.load(Ordering::SeqCst));
    assert_eq!(work.busy(), busy(false, true));
    for queued in [Queued::New, Queued::AlreadyPending, Queued::AlreadyPending] {
        assert_eq!(queue.queue(&work), queued);
    }
    assert_eq!(work.busy(), busy(true, true));
    // The second one has come to its turn, and waits beside the first: items of one type.
    until("deferred", || {
        let suspended = queue.dump().suspended;
        suspended.len() == 1 && suspended[0].count == 2
    });
    assert!(pending_once(&mut work.flush()));
    gate(0).expect("it was made").open();
    until("suspended again", || suspended(1));
    assert!(gate(2).is_none(), "three requests, one more execution");
    let mut cancel = work.cancel_and_wait();
    assert!(pending_once(&mut cancel));
    assert_eq!(queue.queue(&work), Queued::Disabled);
    gate(1).expect("it was made").open();
    assert!(!cancel.wait().expect("no deadlock"), "it was not pending");
    assert!(work.busy().is_idle());
    assert_eq!(inside.load(Ordering::SeqCst), 0);
}

/// What [`Work::busy`] answers.
fn busy(pending: bool, running: bool) -> Busy {
    let mut busy = Busy::default();
    (busy.pending, busy.running) = (pending, running);
    busy
}

/// Whether a wait is not over at this moment.
fn pending_once(wait: &mut (impl Future + Unpin)) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    pin!(wait).poll(&mut cx).is_pending()
}

/// The future of an execution.
type RunFuture = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Panics where it is dropped, if it is told to.
struct Bomb(bool);

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.0, "dropped");
    }
}

impl Future for Bomb {
    type Output = ();

    fn poll(self: std::pin::Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

/// A panic in the making, a poll or the destructor of an async item's future ends that execution;
/// it is counted, those who wait are told, and the item can be queued again.
#[test]
fn panics_end_an_execution_of_an_async_item() {
    let (_system, queue) = queue();
    for place in 0..3 {
        let mut runs = 0;
        let work = Work::new_async(move || {
            runs += 1;
            let panics = move |here: usize| assert!(runs > 1 || place != here, "planned");
            panics(0);
            let bomb = Bomb(runs == 1 && place == 1);
            let poll = std::future::poll_fn(move |_| {
                panics(2);
                Poll::Ready(())
            });
            let both: RunFuture = if place == 1 {
                Box::pin(bomb)
            } else {
                Box::pin(poll)
            };
            both
        });
        assert_eq!(queue.queue(&work), Queued::New);
        work.flush().wait().expect("no deadlock");
        assert!(work.busy().is_idle());
        assert_eq!(queue.queue(&work), Queued::New);
        work.flush().wait().expect("no deadlock");
        let report = queue.flush().wait().expect("no deadlock");
        assert_eq!((report.completed, report.panicked), (1, 1), "{place}");
    }
}

/// A shutdown drops a suspended execution, which ends the waits for the item.
#[test]
fn a_shutdown_ends_a_suspended_execution() {
    let (system, queue) = queue();
    let work = Work::new_async(pending::<()>);
    assert_eq!(queue.queue(&work), Queued::New);
    until("suspended", || !queue.dump().suspended.is_empty());
    let mut flush: WorkFlush = work.flush();
    let report = system.shutdown(Duration::ZERO);
    assert_eq!((report.dropped, report.detached), (1, 0));
    assert_eq!(flush.wait_timeout(FOR_EVER), Ok(true));
    assert!(work.busy().is_idle());
}

/// Q8: enabling queues when the last level of disabling goes, whether or not somebody asked
/// meanwhile.
#[test]
fn enabling_queues_at_depth_zero() {
    let (_system, queue) = queue();
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let work = Work::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    work.disable();
    work.disable();
    assert_eq!(queue.enable_and_queue(&work), Queued::Disabled);
    assert!(work.busy().is_idle());
    assert_eq!(queue.enable_and_queue(&work), Queued::New);
    work.flush().wait().expect("no deadlock");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    assert_eq!(
        queue.enable_and_queue(&work),
        Queued::New,
        "it was enabled already"
    );
    work.flush().wait().expect("no deadlock");
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

/// F11: disabling with a wait takes back what is pending, waits for what runs, and lasts.
#[test]
fn disabling_can_wait_for_a_run() {
    let (_system, queue) = queue();
    let (begun, has_begun) = mpsc::channel();
    let (release, hold) = mpsc::channel::<()>();
    let work = Work::new(move || {
        begun.send(()).expect("the test waits");
        let _ = hold.recv();
    });
    assert_eq!(queue.queue(&work), Queued::New);
    has_begun.recv_timeout(FOR_EVER).expect("it runs");
    assert_eq!(queue.queue(&work), Queued::New);
    let mut disabled = work.disable_and_wait();
    assert!(pending_once(&mut disabled));
    assert_eq!(
        work.busy(),
        busy(false, true),
        "the pending one was taken back"
    );
    drop(release);
    assert!(disabled.wait().expect("no deadlock"), "it was pending");
    assert!(work.busy().is_idle());
    assert_eq!(queue.queue(&work), Queued::Disabled);
    drop(work.disable_and_wait());
    assert_eq!((work.enable(), work.enable()), (Some(false), Some(true)));
}

/// F10, F11: disabling a delayed item disarms its timer.
#[test]
fn disabling_disarms() {
    let (_system, queue) = queue();
    let work = DelayedWork::new(|| unreachable!("it is never due"));
    for disable in [false, true] {
        assert_eq!(queue.queue_after(&work, FOR_EVER), Queued::New);
        assert_eq!(queue.dump().delayed, Some(1));
        let was_pending = if disable {
            work.disable()
        } else {
            work.disable_and_wait().wait().expect("no deadlock")
        };
        assert!(was_pending && !work.is_pending());
        assert_eq!(queue.dump().delayed, Some(0));
        assert_eq!(queue.queue_after(&work, FOR_EVER), Queued::Disabled);
        assert_eq!(work.enable(), Some(true));
    }
}

/// A delayed item arms itself again and again, with and without a handle outside; one outside
/// cancels it.
#[test]
fn a_delayed_item_arms_itself() {
    let (_system, owner) = queue();
    for keeps_handle in [true, false] {
        let queue = Queue::clone(&owner);
        let (beat, beats) = mpsc::channel();
        let mut left = 5;
        let work = DelayedWork::with_self(move |this| {
            left -= 1;
            if left > 0 || keeps_handle {
                let again = queue.queue_after(this, Duration::from_micros(50));
                assert!(matches!(again, Queued::New | Queued::Disabled), "{again:?}");
            }
            let _ = beat.send(());
        });
        assert_eq!(
            owner.queue_after(&work, Duration::from_micros(50)),
            Queued::New
        );
        let kept = keeps_handle.then_some(work);
        for _ in 0..5 {
            beats.recv_timeout(FOR_EVER).expect("it goes on");
        }
        if let Some(work) = kept {
            work.cancel_and_wait().wait().expect("no deadlock");
            assert!(!work.is_pending() && owner.dump().delayed == Some(0));
            while beats.try_recv().is_ok() {}
        }
        // The item is gone, or will not run any more.
        owner.flush().wait().expect("no deadlock");
        assert!(beats.try_recv().is_err());
    }
}

/// Q4, Q5: a delayed item runs on the CPU that was asked for.
#[test]
fn delayed_items_run_on_the_cpu_that_was_asked_for() {
    let system = System::builder().build().expect("a System");
    let queue = Workqueue::percpu("cpus")
        .system(&system)
        .build()
        .expect("a queue");
    let (tell, told) = mpsc::channel();
    let work = DelayedWork::new(move || {
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        let _ = tell.send(thread);
    });
    let soon = Duration::from_micros(50);
    for cpu in system.topology().allowed().iter() {
        for delay in [Duration::ZERO, soon] {
            assert_eq!(queue.queue_after_on(cpu, &work, delay), Queued::New);
            let thread = told.recv_timeout(FOR_EVER).expect("it ran");
            assert!(
                thread.contains(&format!("/{cpu}:")),
                "{thread}, not on CPU {cpu}"
            );
            work.flush().wait().expect("no deadlock");
            let _ = queue.modify_after_on(cpu, &work, delay);
            let thread = told.recv_timeout(FOR_EVER).expect("it ran");
            assert!(
                thread.contains(&format!("/{cpu}:")),
                "{thread}, not on CPU {cpu}"
            );
            work.flush().wait().expect("no deadlock");
        }
    }
}

/// A waker that looks at the item when its last copy goes.
struct Nosy(Work);

impl Wake for Nosy {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Nosy {
    fn drop(&mut self) {
        // Takes the lock of those who wait for the item.
        drop(self.0.flush());
    }
}

/// The drop of a waker may use the item. Method: a wait is polled with one waker and then another,
/// and dropped, on a thread that is given up if it hangs.
#[test]
fn the_drop_of_a_waker_may_use_the_item() {
    let (_system, queue) = queue();
    let gate = Arc::new(Gate::default());
    let passed = Arc::clone(&gate);
    let work = Work::new_async(move || Arc::clone(&passed).pass());
    assert_eq!(queue.queue(&work), Queued::New);
    let (done, is_done) = mpsc::channel();
    let item = work.clone();
    std::thread::spawn(move || {
        let mut flush = item.flush();
        for _ in 0..3 {
            let waker = Waker::from(Arc::new(Nosy(item.clone())));
            assert!(
                pin!(&mut flush)
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
        }
        drop(flush);
        let _ = done.send(());
    });
    is_done
        .recv_timeout(FOR_EVER)
        .expect("no lock is held while a waker is dropped");
    gate.open();
    work.flush().wait().expect("no deadlock");
}

/// F11: the depth of disabling is bounded, and one more is a panic that changes nothing.
#[test]
fn disabling_too_often_is_a_panic() {
    let work = Work::new(|| ());
    for _ in 0..65_535 {
        work.disable();
    }
    assert!(catch_unwind(AssertUnwindSafe(|| work.disable())).is_err());
    for left in (0..65_535).rev() {
        assert_eq!(work.enable(), Some(left == 0));
    }
    assert_eq!(work.enable(), None);
}
