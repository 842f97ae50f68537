//! Time that stands still, and goes on when nothing else does. Nothing here waits for real time,
//! but where that is what the test is about: the suite takes years by its own clock.

mod deadline;

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, TryRecvError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{join, pending, poll_fn};
use wq::time::{MissedTickBehavior, advance, interval, now, pause, resume, sleep, timeout};
use wq::{DelayedWork, JoinHandle, System, Workqueue, yield_now};

use deadline::Deadline;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// No wait in here takes as long, by the machine's clock.
const LIMIT: Duration = Duration::from_secs(30);

/// A System of some lanes whose clock stands.
fn paused(workers: usize) -> System {
    let builder = System::builder().workers(workers).paused_clock(true);
    builder.build().expect("a System")
}

/// Goal: thousands of sleeps of hours end at once, each at its own moment, in their order,
/// whichever workers they run on. Method: they are spawned in another order, and note themselves;
/// how long it took is of no interest as long as the test ends.
#[test]
fn thousands_sleep_for_hours_in_order() {
    let _deadline = Deadline::start();
    for workers in [1, 2, 4] {
        let system = paused(workers);
        let order = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&order);
        system.run(async move {
            let begun = now();
            let tasks: Vec<_> = (0..3000u32)
                .map(|n| {
                    let (delay, noted) = (HOUR * (n * 7 % 3000), Arc::clone(&noted));
                    wq::spawn(async move {
                        sleep(delay).await;
                        assert_eq!(now() - begun, delay, "it ends at its moment");
                        noted.lock().unwrap().push(delay);
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            assert_eq!(now() - begun, HOUR * 2999);
        });
        let order = order.lock().unwrap();
        assert!(order.is_sorted() && order.len() == 3000, "{workers} lanes");
    }
}

/// Goal: what a deadline has set off is over before the next one, however long the chain is and
/// whichever lanes it crosses. Method: each of a hundred sleepers starts a chain of tasks that hand
/// on to each other; the clock is the same at its end.
#[test]
fn what_a_deadline_sets_off_is_over_before_the_next() {
    let _deadline = Deadline::start();
    paused(3).run(async {
        let sleepers: Vec<_> = (1..100)
            .map(|n| {
                wq::spawn(async move {
                    sleep(SECOND * n).await;
                    let woken = now();
                    for _ in 0..20 {
                        let (left, right) =
                            join(wq::spawn(yield_now()), wq::spawn_fn(std::thread::yield_now))
                                .await;
                        left.and(right).unwrap();
                    }
                    assert_eq!(now(), woken, "time has overtaken a chain of tasks");
                })
            })
            .collect();
        for sleeper in sleepers {
            sleeper.await.unwrap();
        }
    });
}

/// Intervals, limits and sleeps inside of each other have exact moments.
#[wq::test(start_paused = true, workers = 2)]
async fn delays_nest() {
    let _deadline = Deadline::start();
    let begun = now();
    let mut ticks = interval(SECOND * 10);
    for n in 0..5 {
        assert_eq!(ticks.tick().await - begun, SECOND * 10 * n);
        assert_eq!(now() - begun, SECOND * 10 * n);
        sleep(SECOND * 3).await;
    }
    // The sixth tick is 7 s away: a limit of 5 s comes before, one of 5 s more does not.
    assert!(timeout(SECOND * 5, ticks.tick()).await.is_err());
    assert_eq!(now() - begun, SECOND * 48);
    assert_eq!(
        timeout(SECOND * 5, ticks.tick()).await,
        Ok(begun + SECOND * 50)
    );
    assert!(timeout(HOUR, pending::<()>()).await.is_err());
    assert_eq!(now() - begun, SECOND * 50 + HOUR);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks.tick().await;
    assert_eq!(ticks.tick().await - begun, HOUR + SECOND * 60);
    // A limit that was not reached takes no time, and leaves none.
    assert_eq!(timeout(HOUR, async { 7 }).await, Ok(7));
    assert_eq!(now() - begun, HOUR + SECOND * 60);
}

/// Delayed items go by the same clock as the sleeps, and in between.
#[wq::test(start_paused = true, workers = 2)]
async fn delayed_items_follow_the_clock() {
    let _deadline = Deadline::start();
    let queue = Workqueue::unbound("delayed").build().unwrap();
    let begun = now();
    let (ran, has_run) = async_channel::unbounded();
    let beat = DelayedWork::new(move || ran.try_send(now()).unwrap());
    let _ = queue.queue_after(&beat, HOUR);
    sleep(HOUR - SECOND).await;
    assert!(has_run.is_empty() && beat.is_pending());
    sleep(SECOND * 2).await;
    assert_eq!(has_run.recv().await, Ok(begun + HOUR));
    let _ = queue.queue_after(&beat, HOUR);
    let _ = queue.modify_after(&beat, HOUR * 3);
    let here = now();
    assert_eq!(has_run.recv().await, Ok(here + HOUR * 3));
    assert_eq!(now(), here + HOUR * 3);
    let _ = queue.queue_after(&beat, HOUR);
    assert!(beat.cancel());
    sleep(HOUR * 2).await;
    assert!(has_run.is_empty());
}

/// Goal: time never overtakes a task that computes. Method: on the other lane a task goes round
/// until the machine's clock has gone on by as much as would suffice for hundreds of steps, and
/// sees the same time all the while; a sleep of a moment ends only after it.
#[wq::test(start_paused = true, workers = 2)]
async fn who_computes_is_not_overtaken() {
    let _deadline = Deadline::start();
    let computed = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&computed);
    let begun = now();
    let task = wq::spawn_fn(move || {
        let real = Instant::now();
        while real.elapsed() < Duration::from_millis(30) {
            assert_eq!(now(), begun);
        }
        done.store(true, Ordering::SeqCst);
    });
    sleep(Duration::from_nanos(1)).await;
    assert!(
        computed.load(Ordering::SeqCst),
        "a nanosecond passed before"
    );
    task.await.unwrap();
}

/// Goal: a worker that is blocked holds the time still, with its lane and without. Method: items
/// block in a receive of the standard library, some with others behind them, so that lanes change
/// hands; while they do, a sleep does not end, whatever else runs.
#[test]
fn who_is_blocked_holds_the_time_still() {
    let _deadline = Deadline::start();
    let system = paused(2);
    let (gates, blocked): (Vec<_>, Vec<_>) = (0..4)
        .map(|_| {
            let (gate, opens) = mpsc::channel::<()>();
            let (begun, begins) = mpsc::channel();
            let task = system.default_queue().spawn_fn(move || {
                begun.send(()).unwrap();
                opens.recv().unwrap();
            });
            begins.recv().unwrap();
            (gate, task)
        })
        .unzip();
    let over = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&over);
    let sleeper = system.spawn(async move {
        sleep(Duration::from_nanos(1)).await;
        ends.store(true, Ordering::SeqCst);
    });
    for (gate, task) in gates.into_iter().zip(blocked) {
        // Many looks of the clock's: others run and rest meanwhile.
        for _ in 0..20 {
            system.run(async { yield_now().await });
            std::thread::park_timeout(Duration::from_millis(1));
        }
        assert!(!over.load(Ordering::SeqCst), "a task is blocked");
        gate.send(()).unwrap();
        task.wait().unwrap();
    }
    sleeper.wait().unwrap();
    assert!(over.load(Ordering::SeqCst));
}

/// Goal: waits of wq on a worker's thread are no block: what they wait for may be a delay. Method:
/// every kind, inside of items and inside of each other, on fewer lanes than waits.
#[test]
fn who_waits_in_wq_rests() {
    let _deadline = Deadline::start();
    let system = paused(1);
    let queue = Workqueue::ordered("ordered")
        .system(&system)
        .build()
        .unwrap();
    let handle = wq::Queue::clone(&queue);
    system.run(async move {
        let begun = now();
        wq::block_on(sleep(HOUR));
        let nested = wq::spawn_fn(|| wq::block_on(async { wq::block_on(sleep(HOUR)) }));
        nested.wait().unwrap();
        let task = handle.spawn(sleep(HOUR));
        task.wait().unwrap();
        assert_eq!(now() - begun, HOUR * 3);
    });
    let waits: Vec<_> = (1..6)
        .map(|n| {
            let task = queue.spawn(sleep(HOUR * n));
            system.default_queue().spawn_fn(move || task.wait())
        })
        .collect();
    queue.flush().wait().unwrap();
    for wait in waits {
        wait.wait().unwrap().unwrap();
    }
}

/// Goal: a thread outside that polls a future in the System is seen. Method: it computes for a
/// while between two awaits, and the time is the same; a sleep of its own passes.
#[test]
fn a_future_polled_outside_counts() {
    let _deadline = Deadline::start();
    let system = paused(2);
    let sleeper = system.spawn(async {
        sleep(SECOND).await;
        now()
    });
    system.block_on(async {
        let begun = now();
        let real = Instant::now();
        while real.elapsed() < Duration::from_millis(20) {
            assert_eq!(now(), begun, "it computes");
        }
        assert!(!sleeper.is_finished());
        sleep(SECOND * 2).await;
        assert_eq!(now() - begun, SECOND * 2);
        assert_eq!(sleeper.await.unwrap(), begun + SECOND);
    });
}

/// Goal: an advance lets everything on the way happen at its moment, and is over when that is.
/// Method: a task that is set anew by each of its ends, and one that takes a chain of tasks.
#[wq::test(start_paused = true, workers = 2)]
async fn an_advance_is_exact() {
    let _deadline = Deadline::start();
    let begun = now();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    wq::spawn(async move {
        loop {
            sleep(SECOND).await;
            for _ in 0..10 {
                wq::spawn(yield_now()).await.unwrap();
            }
            noted.lock().unwrap().push(now() - begun);
        }
    });
    advance(SECOND * 10).await;
    assert_eq!(now() - begun, SECOND * 10);
    let whole: Vec<_> = (1..=10).map(|n| SECOND * n).collect();
    assert_eq!(*seen.lock().unwrap(), whole);
    advance(SECOND / 2).await;
    assert_eq!(seen.lock().unwrap().len(), 10);
    assert_eq!(now() - begun, SECOND * 10 + SECOND / 2);
    // Dropped half-way, it leaves the rest of the time where it is.
    assert!(timeout(SECOND, advance(HOUR)).await.is_err());
    assert_eq!(now() - begun, SECOND * 11 + SECOND / 2);
}

/// An advance by nothing waits until everybody else rests, and takes no time.
#[wq::test(start_paused = true, workers = 2)]
async fn an_advance_by_nothing_lets_others_come_to_rest() {
    let _deadline = Deadline::start();
    let begun = now();
    let steps = Arc::new(AtomicU64::new(0));
    for _ in 0..8 {
        let steps = Arc::clone(&steps);
        wq::spawn(async move {
            for _ in 0..500 {
                steps.fetch_add(1, Ordering::SeqCst);
                yield_now().await;
            }
            sleep(HOUR).await;
        });
    }
    join(advance(Duration::ZERO), advance(Duration::ZERO)).await;
    assert_eq!(steps.load(Ordering::SeqCst), 4000);
    assert_eq!(now(), begun);
    assert!(advance(Duration::ZERO).now_or_never().is_none());
}

/// A clock is stopped and let go as often as one likes, and shows no jump; what was armed before
/// goes on.
#[wq::test(workers = 2)]
async fn a_clock_stops_and_goes_on() {
    let _deadline = Deadline::start();
    let mut last = now();
    let armed = wq::spawn(sleep(HOUR));
    for _ in 0..20 {
        pause();
        let stands = now();
        assert!(stands >= last);
        sleep(SECOND).await;
        assert_eq!(now() - stands, SECOND);
        resume();
        last = now();
        assert!(last >= stands + SECOND && last < stands + HOUR);
        sleep(Duration::from_micros(100)).await;
    }
    assert!(!armed.is_finished());
    pause();
    armed.await.unwrap();
}

/// Has a task hold the time still, which never rests, until the answer is dropped or sent to.
fn hold(system: &System) -> (mpsc::Sender<()>, JoinHandle<()>) {
    let (gate, opens) = mpsc::channel::<()>();
    let holds = system.spawn(async move {
        while opens.try_recv() == Err(TryRecvError::Empty) {
            yield_now().await;
        }
    });
    (gate, holds)
}

/// An advance, and a message when it waits.
fn told_advance(duration: Duration) -> (impl Future<Output = ()> + Send, mpsc::Receiver<()>) {
    let (tell, told) = mpsc::channel();
    let told_when_pending = async move {
        let mut advance = pin!(advance(duration));
        poll_fn(|cx| {
            let polled = advance.poll_unpin(cx);
            if polled.is_pending() {
                let _ = tell.send(());
            }
            polled
        })
        .await;
    };
    (told_when_pending, told)
}

/// Goal: whoever waits for rest is let go when the clock runs on. Method: a task holds the time
/// still, so that nothing but the resume can end the wait.
#[test]
fn a_resume_ends_waits_for_rest() {
    let _deadline = Deadline::start();
    let system = paused(2);
    let (gate, holds) = hold(&system);
    let (advance, waits) = told_advance(Duration::ZERO);
    let advance = system.spawn(advance);
    waits.recv().unwrap();
    {
        let _entered = system.enter();
        resume();
    }
    let ended = advance.wait_timeout(LIMIT);
    assert!(
        ended.is_ok_and(|result| result.is_ok()),
        "it waits for ever"
    );
    drop(gate);
    holds.wait().unwrap();
}

/// Goal: an advance ends when its System does, whatever it waits for. Method: threads outside are
/// in one by nothing and one by an hour while a task holds the time still, and the System ends.
#[test]
fn a_shutdown_ends_advances() {
    for duration in [Duration::ZERO, HOUR] {
        let _deadline = Deadline::start();
        let system = paused(2);
        let (_gate, _holds) = hold(&system);
        let (advance, waits) = told_advance(duration);
        let (ended, ends) = mpsc::channel();
        let outside = system.clone();
        let thread = thread::spawn(move || {
            outside.block_on(advance);
            // Nor does one begin to wait afterwards.
            outside.block_on(wq::time::advance(duration));
            ended.send(()).unwrap();
        });
        waits.recv().unwrap();
        system.shutdown(Duration::ZERO);
        ends.recv_timeout(LIMIT).expect("it waits for ever");
        thread.join().unwrap();
    }
}

/// What the clock cannot do is a panic that says so.
#[test]
fn misuse_is_told() {
    let _deadline = Deadline::start();
    fn told(system: &System, f: impl FnOnce() + Send + 'static) -> String {
        let error = system.default_queue().spawn_fn(f).wait().unwrap_err();
        let payload = error.try_into_panic().unwrap();
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned());
        text.or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap()
    }
    let runs = System::builder().workers(1).build().unwrap();
    assert!(told(&runs, resume).contains("is not paused"));
    assert!(told(&runs, || wq::block_on(advance(SECOND))).contains("is not paused"));
    assert!(told(&paused(1), pause).contains("paused already"));
}

/// Two Systems have two clocks: one stands, the other does not care.
#[test]
fn each_system_has_its_clock() {
    let _deadline = Deadline::start();
    let real = Instant::now();
    let (stands, runs) = (paused(1), System::builder().workers(1).build().unwrap());
    let far = stands.run(async {
        sleep(HOUR).await;
        now()
    });
    let near = runs.run(async { now() });
    assert!(far >= real + HOUR && near < real + HOUR);
    assert!(Instant::now() < real + HOUR);
}

/// Goal: a shutdown ends what sleeps on a stopped clock, also while somebody holds the time still,
/// and does not wait for them. Method: an item is blocked until the System has ended.
#[test]
fn a_shutdown_needs_no_time() {
    let _deadline = Deadline::start();
    let system = paused(2);
    let (gate, opens) = mpsc::channel::<()>();
    let (begun, begins) = mpsc::channel();
    let holds = system.default_queue().spawn_fn(move || {
        begun.send(()).unwrap();
        opens.recv().is_err()
    });
    begins.recv().unwrap();
    let sleeper = system.spawn(sleep(HOUR));
    let report = system.shutdown(Duration::ZERO);
    assert_eq!(report.detached, 1, "{report:?}");
    assert!(sleeper.wait().unwrap_err().is_cancelled());
    drop(gate);
    assert!(holds.wait().unwrap());
}
