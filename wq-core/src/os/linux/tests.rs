//! Each call does what it says, read back from procfs or from the kernel's own answer.

use std::fs;
use std::hint;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use super::super::tests::eventually;
use super::*;

/// The calling thread's scheduling policy.
fn policy() -> i32 {
    policy_of(gettid())
}

/// A thread's scheduling policy, which is the 41st word of its `stat` file.
pub(super) fn policy_of(tid: Tid) -> i32 {
    let stat = fs::read_to_string(format!("/proc/self/task/{tid}/stat")).expect("procfs");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
    // The state is the third word.
    fields
        .split(' ')
        .nth(41 - 3)
        .and_then(|field| field.parse().ok())
        .expect("a number")
}

/// Runs the test's body in a thread that dies with its settings.
fn in_own_thread(body: impl FnOnce() + Send + 'static) {
    thread::spawn(body).join().expect("the body does not panic");
}

/// Goal: a thread of the idle class is one by the kernel's word.
#[test]
fn idle_class_is_entered() {
    in_own_thread(|| {
        assert_eq!(policy(), libc::SCHED_OTHER);
        enter_idle_class().expect("needs no right");
        assert_eq!(policy(), libc::SCHED_IDLE);
    });
}

/// Goal: a short slice is set, and the nice value stays. Method: ask for the attributes; kernels
/// before 6.12 answer 0 for the slice.
#[test]
fn short_slice_is_set_and_nice_stays() {
    in_own_thread(|| {
        set_nice(0, 7).expect("nicer needs no right");
        set_short_slice(200_000).expect("needs no right");
        assert_eq!(
            (policy(), get_nice(0).expect("own thread")),
            (libc::SCHED_OTHER, 7)
        );
        let slice = sched::tests::slice_of_caller();
        assert!(slice == 200_000 || slice == 0, "{slice}");
    });
}

/// Goal: the timer slack is what was asked for, and never "the default" by accident.
#[test]
fn timer_slack_is_set() {
    in_own_thread(|| {
        for (asked, kept) in [(1_000, 1_000), (0, 1)] {
            set_timer_slack_ns(asked);
            assert_eq!(prctl::get_timerslack(), Ok(kept));
        }
    });
}

/// Goal: CPU time of another thread grows while it works, stays while it sleeps, and is an error
/// when it is gone.
#[test]
fn thread_cpu_time_counts_the_other_threads_work() {
    let (stop, parked) = (AtomicBool::new(false), AtomicU32::new(0));
    let tid = thread::scope(|scope| {
        let worker = scope.spawn(|| {
            parked.store(gettid() as u32, Ordering::Relaxed);
            // Relaxed, here and below: flags of a test; joining orders the rest.
            while !stop.load(Ordering::Relaxed) {
                hint::spin_loop();
            }
            thread::park();
            gettid()
        });
        assert!(eventually(|| parked.load(Ordering::Relaxed) != 0));
        let tid = parked.load(Ordering::Relaxed) as Tid;
        let start = thread_cpu_time(tid).expect("the thread lives");
        let worked = || thread_cpu_time(tid).expect("the thread lives") - start;
        assert!(eventually(|| worked() > Duration::from_millis(2)));
        stop.store(true, Ordering::Relaxed);
        assert!(eventually(|| ThreadProbe::look_once(tid)
            .state
            .is_blocked()));
        let asleep = worked();
        assert_eq!(worked(), asleep);
        worker.thread().unpark();
        worker.join().expect("the thread does not panic")
    });
    assert!(eventually(|| thread_cpu_time(tid).is_err()));
    assert!(thread_cpu_time(0).is_ok(), "zero is the caller");
}

/// Goal: a thread that is gone is an error everywhere. Method: a number beyond any thread's.
#[test]
fn unknown_thread_is_an_error() {
    assert!(get_affinity(i32::MAX).is_err());
    assert!(get_nice(i32::MAX).is_err());
    assert!(set_nice(i32::MAX, 5).is_err());
    assert!(thread_cpu_time(i32::MAX).is_err());
}
