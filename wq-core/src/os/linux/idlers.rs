//! The threads of the idle class, and the end of the program. A process has ended when its last
//! thread has, and one of this class gets no CPU for that where others keep it busy: a program's
//! exit takes them out of the class, so that nobody waits seconds for it to be gone.

use std::io;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::libc;

use super::fork::generation;
use super::sched::{get_affinity, leave_idle_class, set_affinity, to_idle_class};
use super::{Tid, gettid};
use crate::CpuSet;

/// One for each CPU that there may be. Those of further Systems may hold up the exit.
const ROOM: usize = CpuSet::MAX_CPUS;

/// Their numbers, each behind that of its process (`generation`); 0 is a free place.
static THREADS: [AtomicU64; ROOM] = [const { AtomicU64::new(0) }; ROOM];

thread_local! {
    /// The calling thread's place among them.
    static PLACE: Place = Place::take();
}

/// A place that is free again when its thread ends.
struct Place(Option<&'static AtomicU64>);

impl Place {
    /// One for the calling thread, if there is one.
    fn take() -> Place {
        let own = u64::from(generation()) << 32 | gettid() as u64;
        // Relaxed, throughout this file: a thread that the exit does not see is late.
        let take = |place: &&AtomicU64| {
            let taken = place.compare_exchange(0, own, Ordering::Relaxed, Ordering::Relaxed);
            taken.is_ok()
        };
        Place(THREADS.iter().find(take))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(place) = self.0 {
            place.store(0, Ordering::Relaxed);
        }
    }
}

/// Has the calling thread run only where nobody else wants the CPU, until the program's exit.
///
/// # Errors
///
/// As those of `to_idle_class`.
pub(crate) fn enter_idle_class() -> io::Result<()> {
    static WATCH_EXIT: Once = Once::new();

    WATCH_EXIT.call_once(|| {
        // SAFETY: `at_exit` may be called at any time, on any thread: it reads atomics, makes
        // system calls, and does not unwind.
        // If there is no room for it (there is for 32 at least), the exit may be late.
        let _ = unsafe { libc::atexit(at_exit) };
    });
    PLACE.with(|_| ());
    to_idle_class(0)
}

/// The program ends: they are to end soon.
extern "C" fn at_exit() {
    take_all_out();
}

/// Takes all threads of this process out of the class; where that needs a right that it has not,
/// they may use other CPUs at least. (A forked child has its parent's numbers, too.)
fn take_all_out() {
    let wide = get_affinity(0);
    for place in &THREADS {
        let known = place.load(Ordering::Relaxed);
        let tid = known as u32 as Tid;
        if tid == 0 || known >> 32 != u64::from(generation()) {
            continue;
        }
        if leave_idle_class(tid).is_err() {
            let _ = wide.as_ref().map(|wide| set_affinity(tid, wide));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use super::super::tests::policy_of;
    use super::*;

    /// Goal: the exit takes a thread out of the class, and knows none that has ended. Method: what
    /// the exit does, beside a thread that stays, and after it.
    #[test]
    fn the_exit_takes_them_out() {
        let (tell, told) = channel();
        let (go, may_go) = channel::<()>();
        let thread = thread::spawn(move || {
            enter_idle_class().expect("needs no right");
            tell.send(gettid()).expect("the test waits");
            may_go.recv().expect_err("the test lets it go");
        });
        let tid = told.recv().expect("it is up");
        let is_known = || {
            let known = |place: &AtomicU64| place.load(Ordering::Relaxed) as u32 as Tid;
            THREADS.iter().any(|place| known(place) == tid)
        };
        assert!(is_known());
        assert_eq!(policy_of(tid), libc::SCHED_IDLE);
        let allowed = leave_idle_class(tid).is_ok();
        to_idle_class(tid).expect("needs no right");
        take_all_out();
        let expected = [libc::SCHED_IDLE, libc::SCHED_OTHER][usize::from(allowed)];
        assert_eq!(policy_of(tid), expected);
        drop(go);
        thread.join().expect("it does not panic");
        assert!(!is_known());
    }
}
