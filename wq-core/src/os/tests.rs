//! What both implementations promise; `linux/tests.rs` has what only one does.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};

use super::*;
use crate::cpuset::CpuSet;

/// Long enough for any loaded machine, short enough to fail before somebody gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Yields until a condition holds; false if it does not within [`PATIENCE`].
pub(super) fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        thread::yield_now();
    }
    true
}

/// Goal: a wait on a word that has changed does not sleep.
#[test]
fn futex_wait_on_changed_word_returns_at_once() {
    assert_eq!(futex_wait(&AtomicU32::new(1), 0, None), FutexWait::Mismatch);
}

/// Goal: a wait ends with its timeout, not before. Method: nobody wakes; a signal may come.
#[test]
fn futex_wait_times_out() {
    let word = AtomicU32::new(0);
    let start = Instant::now();
    let timeout = Duration::from_millis(5);
    while futex_wait(&word, 0, Some(timeout)) != FutexWait::TimedOut {}
    assert!(start.elapsed() >= timeout);
    assert_eq!(
        futex_wait(&word, 0, Some(Duration::ZERO)),
        FutexWait::TimedOut
    );
}

/// Goal: the longest timeout is as good as none. Method: it is ended by a wake-up.
#[test]
fn longest_timeout_does_not_end_early() {
    let word = AtomicU32::new(0);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| futex_wait(&word, 0, Some(Duration::MAX)));
        assert!(eventually(|| futex_wake(&word, 1) == 1));
        assert!(matches!(waiter.join(), Ok(FutexWait::Woken)));
    });
}

/// Goal: a wake-up wakes at most `n`, all sleepers are found in the end, and other words are
/// left alone. Method: five sleepers on one word, woken two at a time; a sixth elsewhere.
#[test]
fn futex_wake_counts_sleepers_of_its_word_only() {
    let (word, other) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        let sixth = scope.spawn(|| futex_wait(&other, 0, None));
        let five: Vec<_> = (0..5)
            .map(|_| scope.spawn(|| futex_wait(&word, 0, None)))
            .collect();
        let mut woken = 0;
        assert!(eventually(|| {
            let now = futex_wake(&word, 2);
            assert!(now <= 2, "woke {now} of 2");
            woken += now;
            woken == 5
        }));
        assert_eq!(futex_wake(&word, u32::MAX), 0);
        for waiter in five {
            assert!(matches!(waiter.join(), Ok(FutexWait::Woken)));
        }
        assert!(eventually(|| futex_wake(&other, 1) == 1));
        assert!(matches!(sixth.join(), Ok(FutexWait::Woken)));
    });
}

/// Goal: no wake-up is lost. Method: two threads hand a word back and forth; a lost wake-up
/// would hang the test.
#[test]
fn no_futex_wake_up_is_lost() {
    const ROUNDS: u32 = 5_000;
    let word = AtomicU32::new(0);
    // Waits for the own turn, then passes it on.
    let play = |own: u32| {
        for round in 0..ROUNDS {
            let turn = 2 * round + own;
            loop {
                // Acquire pairs with the other player's Release store.
                let seen = word.load(Ordering::Acquire);
                if seen == turn {
                    break;
                }
                futex_wait(&word, seen, None);
            }
            // Release pairs with the other player's Acquire load.
            word.store(turn + 1, Ordering::Release);
            futex_wake(&word, 1);
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| play(0));
        play(1);
    });
    assert_eq!(word.into_inner(), 2 * ROUNDS);
}

/// Goal: thread numbers are positive, stable and different.
#[test]
fn thread_numbers_are_unique() {
    let own = gettid();
    let other = thread::spawn(gettid)
        .join()
        .expect("the thread does not panic");
    assert!(own > 0 && other > 0 && own != other);
    assert_eq!(gettid(), own);
}

/// Goal: the clock moves, forward only.
#[test]
fn clock_is_monotonic() {
    let mut last = monotonic_ns();
    let start = last;
    assert!(eventually(|| {
        let now = monotonic_ns();
        assert!(now >= last);
        last = now;
        now - start > 1_000_000
    }));
}

/// Goal: a barrier on one side orders a store-buffer handshake, whichever form it takes.
/// Method: both sides announce and then look; they must never both miss the other. Where the
/// kernel helps, the other side has a compiler fence only.
#[test]
fn membarrier_orders_the_handshake() {
    use std::sync::atomic::{compiler_fence, fence};
    const ROUNDS: usize = 2_000;
    let helped = membarrier_register();
    assert_eq!(helped, membarrier_register(), "the answer is remembered");
    let (a, b) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let barrier = std::sync::Barrier::new(2);
    let (misses_a, misses_b) = thread::scope(|scope| {
        let light = scope.spawn(|| {
            let mut misses = Vec::new();
            for round in 1..=ROUNDS {
                barrier.wait();
                // Relaxed, here and below: the fences under test order the accesses.
                a.store(round, Ordering::Relaxed);
                if helped {
                    compiler_fence(Ordering::SeqCst);
                } else {
                    // Pairs with the fence in `membarrier`.
                    fence(Ordering::SeqCst);
                }
                misses.push(b.load(Ordering::Relaxed) < round);
            }
            misses
        });
        let mut misses = Vec::new();
        for round in 1..=ROUNDS {
            barrier.wait();
            b.store(round, Ordering::Relaxed);
            membarrier();
            misses.push(a.load(Ordering::Relaxed) < round);
        }
        (light.join().expect("the thread does not panic"), misses)
    });
    assert!(
        misses_a.iter().zip(&misses_b).all(|(a, b)| !(a & b)),
        "both sides missed"
    );
}

/// Goal: a thread can be put on a CPU and read back. Method: each allowed CPU in turn, in a
/// thread of its own; a platform without placement says so.
#[test]
fn affinity_is_set_and_read_back() {
    let allowed = match get_affinity(0) {
        Ok(allowed) => allowed,
        Err(error) => return assert_eq!(error.kind(), ErrorKind::Unsupported),
    };
    assert!(!allowed.is_empty());
    thread::scope(|scope| {
        scope.spawn(|| {
            for cpu in allowed.iter() {
                let one = CpuSet::from(cpu..cpu + 1);
                set_affinity(0, &one).expect("an allowed CPU");
                assert_eq!(get_affinity(gettid()).expect("own thread"), one);
                assert_eq!(current_cpu(), cpu);
            }
        });
    });
    assert_eq!(
        get_affinity(0).expect("own thread"),
        allowed,
        "other threads keep theirs"
    );
    set_affinity(0, &CpuSet::new()).expect_err("no CPU is not enough");
}

/// Goal: nice values are of one thread. Method: make a new thread nicer, which anybody may.
#[test]
fn nice_is_per_thread() {
    let before = match get_nice(0) {
        Ok(nice) => nice,
        Err(error) => return assert_eq!(error.kind(), ErrorKind::Unsupported),
    };
    let nicer = (before + 3).min(19);
    let read = thread::spawn(move || {
        set_nice(gettid(), nicer).expect("nicer needs no right");
        get_nice(0).expect("own thread")
    });
    assert_eq!(read.join().expect("the thread does not panic"), nicer);
    assert_eq!(get_nice(0).expect("own thread"), before);
}

/// Goal: negative values are no errors. Method: ask for one; without the right it is refused.
#[test]
fn negative_nice_is_told_from_an_error() {
    let read = thread::spawn(|| set_nice(0, -1).map(|()| get_nice(0)));
    match read.join().expect("the thread does not panic") {
        Ok(nice) => assert_eq!(nice.expect("own thread"), -1),
        Err(error) => {
            let kinds = [ErrorKind::PermissionDenied, ErrorKind::Unsupported];
            assert!(kinds.contains(&error.kind()), "{error}");
        }
    }
}

/// Goal: a service thread gets no signal. Method: the thread's own mask.
#[test]
fn all_signals_are_blocked_for_the_calling_thread() {
    let mask = thread::spawn(|| {
        block_all_signals();
        SigSet::thread_get_mask()
    });
    let mask = mask
        .join()
        .expect("the thread does not panic")
        .expect("a mask");
    for signal in [
        Signal::SIGUSR1,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGPROF,
    ] {
        assert!(mask.contains(signal));
    }
    let own = SigSet::thread_get_mask().expect("a mask");
    assert!(!own.contains(Signal::SIGTERM));
}

/// Goal: what the self-test says of the probe is true of looks too. Method: a thread that sleeps.
#[test]
fn looks_keep_what_the_self_test_promises() {
    let (tid, word) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        let sleeper = scope.spawn(|| {
            // Relaxed, here and below: the number is all that is passed.
            tid.store(gettid() as u32, Ordering::Relaxed);
            futex_wait(&word, 0, None)
        });
        assert!(eventually(|| tid.load(Ordering::Relaxed) != 0));
        let tid = tid.load(Ordering::Relaxed) as Tid;
        match probe_works() {
            ProbeKind::None => {
                assert_eq!(ThreadProbe::look_once(tid).state, ThreadState::Unknown);
                assert!(ThreadProbe::open(tid).is_err());
            }
            ProbeKind::Syscall | ProbeKind::Stat => {
                assert!(eventually(|| ThreadProbe::look_once(tid)
                    .state
                    .is_blocked()));
                if let Ok(probe) = ThreadProbe::open(tid) {
                    assert!(probe.look().state.is_blocked());
                }
            }
        }
        assert!(eventually(|| futex_wake(&word, 1) == 1));
        assert!(matches!(sleeper.join(), Ok(FutexWait::Woken)));
    });
    assert_eq!(ThreadProbe::look_once(i32::MAX).state, ThreadState::Unknown);
    assert!(ThreadProbe::open(i32::MAX).is_err());
}

/// Goal: CPU time can be asked for, or the platform says that it cannot.
#[test]
fn own_cpu_time_is_known_or_unsupported() {
    if let Err(error) = thread_cpu_time(0) {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}

/// Goal: a quota is a positive number of CPUs.
#[test]
fn quota_is_positive_or_none() {
    assert!(cgroup_cpu_quota().is_none_or(|quota| quota > 0.0));
}

/// Goal: the calls without an answer do no harm, on any platform.
#[test]
fn settings_without_answer_are_harmless() {
    thread::spawn(|| {
        set_timer_slack_ns(0);
        set_timer_slack_ns(u64::MAX);
        sched_yield();
        // Both may be refused, by a sandbox or for want of the ability.
        let _ = set_short_slice(100_000);
        let _ = enter_idle_class();
    })
    .join()
    .expect("no call panics");
}
