//! Timers under a virtual clock, and the service thread under both; nothing here waits by time.

use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;
use std::task::Wake;
use std::thread;

use super::*;

const MS: Duration = Duration::from_millis(1);

/// Writes its number, and when it fired, to a channel.
struct Note {
    number: usize,
    clock: Clock,
    sender: mpsc::Sender<(usize, Instant)>,
}

impl OnTimer for Note {
    fn fire(self: Arc<Self>) {
        let now = self.clock.now();
        self.sender
            .send((self.number, now))
            .expect("the test listens to the end");
    }
}

/// Makes notes that arrive at one receiver.
struct Trace {
    clock: Clock,
    sender: mpsc::Sender<(usize, Instant)>,
    receiver: mpsc::Receiver<(usize, Instant)>,
}

impl Trace {
    fn new(timers: &Timers) -> Self {
        let (sender, receiver) = mpsc::channel();
        Self {
            clock: timers.clock.clone(),
            sender,
            receiver,
        }
    }

    /// A timer's action that is seen here as `number`.
    fn note(&self, number: usize) -> Fire {
        let (clock, sender) = (self.clock.clone(), self.sender.clone());
        Fire::Call(Arc::new(Note {
            number,
            clock,
            sender,
        }))
    }

    /// The numbers that have arrived.
    fn so_far(&self) -> Vec<usize> {
        self.receiver.try_iter().map(|(number, _)| number).collect()
    }

    /// Waits for one number.
    fn wait(&self) -> usize {
        self.receiver.recv().expect("the trace holds a sender").0
    }
}

/// A waker that counts.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Timers by a virtual clock, and what their clock shows.
fn virtual_timers() -> (Arc<Timers>, Instant) {
    let timers = Timers::with_clock(Clock::Virtual(VirtualClock::new()));
    let now = timers.now();
    (timers, now)
}

/// A service thread that the test joins.
fn serve(timers: &Arc<Timers>) -> thread::JoinHandle<()> {
    let timers = Arc::clone(timers);
    thread::spawn(move || timers.run())
}

/// Waits until the service thread sleeps, and says for what deadline.
fn asleep_until(timers: &Timers) -> u64 {
    loop {
        let until_ns = timers.lock().asleep_until_ns;
        if until_ns != AWAKE {
            return until_ns;
        }
        thread::yield_now();
    }
}

/// Deadlines decide, not the order of arming; and a nanosecond early is early.
#[test]
fn timers_fire_by_deadline_and_never_early() {
    let (timers, now) = virtual_timers();
    let trace = Trace::new(&timers);
    for (number, after) in [(1, 3 * MS), (2, 2 * MS), (3, 3 * MS), (4, Duration::ZERO)] {
        timers.arm(now + after, trace.note(number)).expect("armed");
    }
    assert_eq!(timers.next_deadline(), Some(now));
    assert_eq!((timers.expire_due(), trace.so_far()), (1, vec![4]));
    timers.advance(2 * MS - Duration::from_nanos(1));
    assert_eq!((timers.expire_due(), trace.so_far()), (0, vec![]));
    timers.advance(Duration::from_nanos(1));
    assert_eq!((timers.expire_due(), trace.so_far()), (1, vec![2]));
    timers.advance(100 * MS);
    assert_eq!((timers.expire_due(), trace.so_far()), (2, vec![1, 3]));
    assert_eq!((timers.len(), timers.fired()), (0, 4));
    assert_eq!(timers.next_deadline(), None);
}

/// More timers than a batch holds, all due at once, still fire in order by one call.
#[test]
fn many_timers_due_at_once_fire_in_order() {
    let (timers, now) = virtual_timers();
    let trace = Trace::new(&timers);
    let count = 10 * FIRE_BATCH + 1;
    for number in 0..count {
        timers.arm(now + MS, trace.note(number)).expect("armed");
    }
    timers.advance(MS);
    assert_eq!(timers.expire_due(), count);
    assert!(trace.so_far().into_iter().eq(0..count));
}

/// Cancelling gives the action back once, and it does not fire.
#[test]
fn a_cancelled_timer_does_not_fire() {
    let (timers, now) = virtual_timers();
    let trace = Trace::new(&timers);
    let key = timers.arm(now + MS, trace.note(1)).expect("armed");
    let fire = timers.cancel(key).expect("still armed");
    assert!(timers.cancel(key).is_none());
    assert!(timers.is_empty());
    timers.advance(2 * MS);
    assert_eq!(timers.expire_due(), 0);
    let key = timers.arm(now, fire).expect("armed again");
    assert_eq!((timers.expire_due(), trace.so_far()), (1, vec![1]));
    assert!(timers.cancel(key).is_none());
}

/// Only the waker given last is woken; the one in place is neither cloned nor dropped for itself.
#[test]
fn the_latest_waker_is_woken() {
    let (timers, now) = virtual_timers();
    let (first, second) = (Arc::<Wakes>::default(), Arc::<Wakes>::default());
    let key = timers
        .arm(now + MS, Fire::Wake(first.clone().into()))
        .expect("armed");
    assert!(timers.update_waker(key, &first.clone().into()));
    assert_eq!(Arc::strong_count(&first), 2, "ours and the armed one");
    assert!(timers.update_waker(key, &second.clone().into()));
    assert_eq!(
        Arc::strong_count(&first),
        1,
        "the waker replaced is dropped"
    );
    timers.advance(MS);
    assert_eq!(timers.expire_due(), 1);
    assert_eq!((first.count(), second.count()), (0, 1));
    assert!(!timers.update_waker(key, &first.clone().into()), "too late");
    assert_eq!(Arc::strong_count(&first), 1);
}

/// Exchanging the waker of a timer that calls back changes nothing.
#[test]
fn a_callback_keeps_its_target() {
    let (timers, now) = virtual_timers();
    let trace = Trace::new(&timers);
    let wakes = Arc::<Wakes>::default();
    let key = timers.arm(now, trace.note(1)).expect("armed");
    assert!(timers.update_waker(key, &wakes.clone().into()));
    assert_eq!(
        (timers.expire_due(), trace.so_far(), wakes.count()),
        (1, vec![1], 0)
    );
}

/// Panics when fired, with a payload that panics when dropped.
struct Bomb;

/// The payload of [`Bomb`].
struct Shrapnel;

impl Drop for Shrapnel {
    fn drop(&mut self) {
        panic!("a payload panics, as the test wants");
    }
}

impl OnTimer for Bomb {
    fn fire(self: Arc<Self>) {
        std::panic::panic_any(Shrapnel);
    }
}

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("a waker panics, as the test wants");
    }
}

/// Panics of callbacks, wakers and payloads are counted and keep nothing else from firing.
#[test]
fn a_panic_does_not_stop_other_timers() {
    let (timers, now) = virtual_timers();
    let trace = Trace::new(&timers);
    timers.arm(now, Fire::Call(Arc::new(Bomb))).expect("armed");
    timers
        .arm(now, Fire::Wake(Arc::new(Bomb).into()))
        .expect("armed");
    timers.arm(now, trace.note(1)).expect("armed");
    assert_eq!((timers.expire_due(), trace.so_far()), (3, vec![1]));
    assert_eq!((timers.fired(), timers.panicked()), (3, 2));
}

/// Arms itself again until it has fired three times, and uses the timers in every other way.
struct Again {
    timers: Arc<Timers>,
    fired: AtomicUsize,
}

impl OnTimer for Again {
    fn fire(self: Arc<Self>) {
        let timers = Arc::clone(&self.timers);
        let spare = timers
            .arm(timers.now(), Fire::Call(self.clone()))
            .expect("armed");
        assert!(timers.cancel(spare).is_some() && timers.is_empty());
        if self.fired.fetch_add(1, Ordering::Relaxed) < 2 {
            timers
                .arm(timers.now() + MS, Fire::Call(self))
                .expect("armed");
        }
    }
}

/// Callbacks may arm and cancel: no lock is held while they run.
#[test]
fn a_callback_may_use_the_timers() {
    let (timers, now) = virtual_timers();
    let again = Arc::new(Again {
        timers: timers.clone(),
        fired: AtomicUsize::new(0),
    });
    timers.arm(now, Fire::Call(again.clone())).expect("armed");
    for round in 1..=3 {
        assert_eq!(timers.expire_due(), 1);
        assert_eq!(again.fired.load(Ordering::Relaxed), round);
        timers.advance(MS);
    }
    assert_eq!(timers.expire_due(), 0);
}

/// A waker that uses the timers when it is dropped, as the last waker of a task may.
struct DropUser(Arc<Timers>);

impl Wake for DropUser {
    fn wake(self: Arc<Self>) {}
}

impl Drop for DropUser {
    fn drop(&mut self) {
        assert_eq!(self.0.len(), 1);
    }
}

/// The waker that `update_waker` replaces is dropped outside the lock.
#[test]
fn a_dropped_waker_may_use_the_timers() {
    let (timers, now) = virtual_timers();
    let user = Waker::from(Arc::new(DropUser(timers.clone())));
    let key = timers.arm(now, Fire::Wake(user)).expect("armed");
    assert!(timers.update_waker(key, &Arc::<Wakes>::default().into()));
}

/// The service thread sleeps until told that time has passed, and ends when stopped.
#[test]
fn the_service_thread_fires_and_stops() {
    let (timers, now) = virtual_timers();
    let trace = Trace::new(&timers);
    let service = serve(&timers);
    for number in 1..=3 {
        timers
            .arm(now + MS * number as u32, trace.note(number))
            .expect("armed");
    }
    timers.advance(2 * MS);
    assert_eq!([trace.wait(), trace.wait()], [1, 2]);
    let unfired = timers.stop();
    service.join().expect("the service thread ended in order");
    assert_eq!((unfired.len(), timers.len(), timers.fired()), (1, 0, 2));
    unfired.into_iter().for_each(Fire::fire);
    assert_eq!(trace.so_far(), [3]);
    assert!(timers.stop().is_empty());
}

/// After a stop nothing is armed, and the caller keeps what was to be fired.
#[test]
fn stopped_timers_hand_back_what_is_armed() {
    let (timers, now) = virtual_timers();
    let trace = Trace::new(&timers);
    assert!(!timers.is_stopped());
    assert!(timers.stop().is_empty() && timers.is_stopped());
    let error = timers.arm(now, trace.note(1)).expect_err("stopped");
    assert!(error.is_stopped() && !error.is_full());
    error.into_fire().fire();
    assert_eq!(trace.so_far(), [1]);
    timers.run();
}

/// Arming reads back from the thread's own note whether it was roused: for an earlier deadline
/// only.
#[test]
fn only_an_earlier_deadline_rouses_the_thread() {
    let (timers, now) = virtual_timers();
    let trace = Trace::new(&timers);
    let service = serve(&timers);
    assert_eq!(asleep_until(&timers), u64::MAX);
    timers.arm(now + 5 * MS, trace.note(1)).expect("armed");
    while asleep_until(&timers) != 5_000_000 {}
    timers.arm(now + 7 * MS, trace.note(2)).expect("armed");
    assert_eq!(timers.lock().asleep_until_ns, 5_000_000, "left asleep");
    timers.arm(now + 5 * MS, trace.note(3)).expect("armed");
    assert_eq!(timers.lock().asleep_until_ns, 5_000_000, "left asleep");
    timers.arm(now + 4 * MS, trace.note(4)).expect("armed");
    while asleep_until(&timers) != 4_000_000 {}
    assert_eq!(timers.stop().len(), 4);
    service.join().expect("the service thread ended in order");
}

/// A second service thread is a mistake that is told; the first is not disturbed.
#[test]
fn timers_are_served_by_one_thread() {
    let (timers, _) = virtual_timers();
    let service = serve(&timers);
    asleep_until(&timers);
    assert!(serve(&timers).join().is_err());
    timers.stop();
    service.join().expect("the first thread is unharmed");
}

/// By the machine's clock: none early, all of them, while another thread sleeps for them.
#[test]
fn ten_thousand_timers_fire_by_the_real_clock() {
    let timers = Timers::new();
    let trace = Trace::new(&timers);
    let service = serve(&timers);
    let start = timers.now();
    let deadline_of = |number: usize| start + Duration::from_micros(number as u64 * 37 % 20_000);
    for number in 0..10_000 {
        timers
            .arm(deadline_of(number), trace.note(number))
            .expect("armed");
    }
    let mut seen = vec![false; 10_000];
    for (number, fired_at) in trace.receiver.iter().take(10_000) {
        assert!(
            fired_at >= deadline_of(number),
            "timer {number} fired early"
        );
        assert!(
            !std::mem::replace(&mut seen[number], true),
            "timer {number} fired twice"
        );
    }
    assert_eq!((timers.len(), timers.fired()), (0, 10_000));
    timers.stop();
    service.join().expect("the service thread ended in order");
}

/// Threads that arm, exchange and cancel while others fire: each timer ends in exactly one way.
#[test]
fn every_timer_is_fired_or_cancelled_once() {
    let timers = Timers::new();
    let wakes = Arc::<Wakes>::default();
    let service = serve(&timers);
    let cancelled: usize = thread::scope(|scope| {
        let handles: Vec<_> = (0..3)
            .map(|seed| {
                scope.spawn({
                    let (timers, wakes) = (&timers, &wakes);
                    move || arm_and_cancel(timers, wakes, seed)
                })
            })
            .collect();
        handles
            .into_iter()
            .map(|handle| handle.join().expect("no panic"))
            .sum()
    });
    let unfired = timers.stop().len();
    service.join().expect("the service thread ended in order");
    assert_eq!(wakes.count() + cancelled + unfired, 3 * 4000);
    assert_eq!(timers.fired(), wakes.count() as u64);
}

/// Arms 4000 timers within a millisecond of now and cancels every other one a little later; says
/// how many were cancelled in time.
fn arm_and_cancel(timers: &Timers, wakes: &Arc<Wakes>, seed: u64) -> usize {
    let mut older = None;
    let mut cancelled = 0;
    for round in 0..4000_u64 {
        let after = Duration::from_nanos((round + seed).wrapping_mul(7919) % 1_000_000);
        let fire = Fire::Wake(Arc::clone(wakes).into());
        let key = timers.arm(timers.now() + after, fire).expect("armed");
        timers.update_waker(key, &Arc::clone(wakes).into());
        if round % 2 == 0 {
            older = Some(key);
        } else if let Some(key) = older.take() {
            cancelled += usize::from(timers.cancel(key).is_some());
        }
    }
    cancelled
}

/// The machine's clock is not the test's to turn.
#[test]
#[should_panic(expected = "only a virtual clock")]
fn the_real_clock_is_not_advanced() {
    Timers::new().advance(MS);
}

/// Goal: a worker that keeps the timers sleeps until the first deadline, and is woken for an
/// earlier one only; one worker keeps them at a time. Method: a worker's record without a
/// thread; its parker's token is what would wake it.
#[test]
fn a_keeper_is_woken_for_earlier_deadlines() {
    let timers = Timers::new();
    let (keeper, other) = (Arc::new(Worker::new(1)), Arc::new(Worker::new(2)));
    assert_eq!(timers.keep(&keeper), None, "nothing is armed");
    let wakes = Arc::new(Wakes::default());
    let arm = |after| {
        let fire = Fire::Wake(Arc::clone(&wakes).into());
        timers.arm(timers.now() + after, fire).expect("armed")
    };
    arm(100 * 1000 * MS);
    let limit = timers.keep(&keeper).expect("somebody is needed");
    assert!(limit <= 100 * 1000 * MS && limit > 50 * 1000 * MS);
    assert_eq!(timers.keep(&other), None, "somebody does it already");
    arm(200 * 1000 * MS);
    assert!(
        !keeper.parker.has_token(),
        "the first deadline is as before"
    );
    arm(50 * 1000 * MS);
    assert!(keeper.parker.has_token(), "it is earlier");
    assert!(!other.parker.has_token());
    timers.end_keep();
    assert!(timers.keep(&other).is_some(), "the next one");
    timers.end_keep();
    timers.stop();
    assert_eq!(timers.keep(&keeper), None, "there is nothing any more");
}

/// Goal: a worker fires what is due, a batch at a time, and tells without the lock whether
/// something is. Method: more than a batch that is due, and one that is not.
#[test]
fn a_worker_fires_a_batch_at_a_time() {
    let timers = Timers::with_clock(Clock::Virtual(VirtualClock::new()));
    let wakes = Arc::new(Wakes::default());
    let is_due = || timers.is_due(|| timers.now());
    for after in [MS; FIRE_BATCH + 1].into_iter().chain([5 * MS]) {
        let fire = Fire::Wake(Arc::clone(&wakes).into());
        timers.arm(timers.now() + after, fire).expect("armed");
    }
    assert!(!is_due());
    timers.advance(MS);
    let mut due = Vec::new();
    for fired in [FIRE_BATCH, FIRE_BATCH + 1] {
        assert!(is_due());
        timers.fire_some(&mut due);
        assert_eq!(wakes.count(), fired);
    }
    assert!(!is_due() && due.is_empty());
    timers.advance(4 * MS);
    assert!(is_due());
}
