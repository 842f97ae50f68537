//! Wakers whose clone is code that uses what they wait for: it runs outside of every lock.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::task::{Context, RawWaker, RawWakerVTable, Waker};
use std::time::Duration;

use wq_core::{Queue, Queued, Work, Workqueue};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// What the clones call, of the test whose turn it is.
static NOSY: Mutex<Option<Arc<dyn Fn() + Send + Sync>>> = Mutex::new(None);

/// Held by the one test that uses it.
static TURN: Mutex<()> = Mutex::new(());

/// Calls it.
fn be_nosy() {
    let nosy = NOSY.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(nosy) = nosy {
        nosy();
    }
}

/// A waker without data, whose clone calls back.
const TABLE: RawWakerVTable = RawWakerVTable::new(
    |_| {
        be_nosy();
        RawWaker::new(std::ptr::null(), &TABLE)
    },
    |_| (),
    |_| (),
    |_| be_nosy(),
);

/// Goal: the clone and the drop of a user's waker may call back into what is waited for. Method: a
/// flush of an item and one of a queue are polled with such a waker, on a thread that is given up
/// if it hangs.
#[test]
fn a_wakers_clone_may_use_what_it_waits_for() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let queue = Arc::new(Workqueue::unbound("nosy").build().expect("a queue"));
    let (release, hold) = mpsc::channel::<()>();
    let work = Work::new(move || {
        let _ = hold.recv();
    });
    assert_eq!(queue.queue(&work), Queued::New);
    let (used, uses) = mpsc::channel();
    let (item, of) = (work.clone(), Arc::clone(&queue));
    let nosy = move || {
        // Each takes the locks of those who wait.
        drop((item.flush(), of.flush()));
        let _ = Queue::clone(&of).stats();
        let _ = used.send(());
    };
    *NOSY.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(nosy));
    let (done, is_done) = mpsc::channel();
    let (item, of) = (work.clone(), Arc::clone(&queue));
    std::thread::spawn(move || {
        // SAFETY: the functions of the table use no data, and may be called from anywhere.
        let waker = unsafe { Waker::new(std::ptr::null(), &TABLE) };
        let mut cx = Context::from_waker(&waker);
        let (mut of_item, mut of_queue) = (item.flush(), of.flush());
        for _ in 0..2 {
            assert!(pin!(&mut of_item).poll(&mut cx).is_pending());
            assert!(pin!(&mut of_queue).poll(&mut cx).is_pending());
        }
        drop((of_item, of_queue));
        let _ = done.send(());
    });
    is_done
        .recv_timeout(FOR_EVER)
        .expect("no lock is held while a waker is cloned");
    assert!(uses.try_iter().count() >= 2, "it was cloned for both");
    drop(release);
    work.flush().wait().expect("no deadlock");
    *NOSY.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Goal: a wait for rest is over if the clock goes on, or the System ends, while it begins. Method:
/// that is what the waker does when it is cloned, between the first look at the clock and the note
/// of who waits; nobody would tell it afterwards.
#[cfg(feature = "test-util")]
#[test]
fn a_wait_for_rest_that_begins_too_late_is_over() {
    use wq_core::System;
    use wq_core::driver::pausable_timers;
    use wq_core::timer::Rest;

    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let ends: [fn(&System); 2] = [
        |_| _ = pausable_timers().resume(),
        |system| _ = system.shutdown(Duration::ZERO),
    ];
    for end in ends {
        let system = System::builder().paused_clock(true).build();
        let system = system.expect("a System");
        // It holds the time still.
        let (gate, opens) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let held = system.default_queue().spawn_fn(move || {
            let _ = begun.send(());
            opens.recv()
        });
        begins.recv_timeout(FOR_EVER).expect("it begins");
        let entered = system.enter();
        let (timers, ended) = (pausable_timers(), system.clone());
        *NOSY.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(move || end(&ended)));
        // SAFETY: the functions of the table use no data, and may be called from anywhere.
        let waker = unsafe { Waker::new(std::ptr::null(), &TABLE) };
        let mut rest = Rest::default();
        let polled = timers.poll_rest(&mut rest, &mut Context::from_waker(&waker));
        *NOSY.lock().unwrap_or_else(PoisonError::into_inner) = None;
        assert!(polled.is_ready(), "nobody would end this wait");
        drop((gate, entered));
        drop(held);
    }
}
