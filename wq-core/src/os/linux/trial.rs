//! What the kernel lets this process do with its threads, found by trying on a thread that ends
//! right after: its class and priority are nobody else's.
//!
//! Its settings are changed from outside, while it sleeps. A thread that changed its own would have
//! to run on as one of the idle class, or on a CPU that it was bound to; where others keep that CPU
//! busy, the System that is being made would wait for it. What is waited for is its start, and that
//! not for ever.

use std::io;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;

use super::super::{Tid, Trial};
use super::{block_all_signals, get_affinity, gettid, leave_idle_class, set_affinity, set_nice};
use super::{to_idle_class, to_short_slice};
use crate::CpuSet;

/// The slice that is asked for, ns; any that differs from the default would do.
const SLICE_NS: u64 = 200_000;

/// How long the start of a thread is waited for, which takes microseconds. If real-time threads
/// have its CPU, the kernel lets others run at least once in each second.
pub(super) const START_PATIENCE: Duration = Duration::from_secs(1);

/// Tries until there was an answer, once in the life of the process; `nice` is the value that high
/// priority needs. A trial whose thread does not start in time says so, and is not remembered.
///
/// Makes a short-lived thread, which inherits the caller's mask and class: not for a spotter.
pub(crate) fn try_abilities(nice: i8) -> Trial {
    /// What was found.
    static TRIED: OnceLock<Trial> = OnceLock::new();

    if let Some(tried) = TRIED.get() {
        return *tried;
    }
    let start = |body: Body| {
        let builder = thread::Builder::new().name("wq/trial".into());
        // Nobody waits for its end: see above.
        builder.spawn(|| body.run()).map(drop)
    };
    match try_on(start, START_PATIENCE) {
        Ok(thread) => *TRIED.get_or_init(|| try_all(thread.tid, nice)),
        Err(why) => why,
    }
}

/// What the thread of a trial does. All that it touches is its own.
struct Body {
    /// Tells its number.
    tell: Sender<Tid>,
    /// Ends when the trial is over.
    over: Receiver<()>,
}

impl Body {
    /// Sleeps until the trial is over.
    fn run(self) {
        block_all_signals();
        if self.tell.send(gettid()).is_ok() {
            // Nothing is ever sent.
            let _ = self.over.recv();
        }
        // Else the trial was over before this began.
    }
}

/// A thread that sleeps until this is dropped.
struct Sleeper {
    tid: Tid,
    _over: Sender<()>,
}

/// Has `start` start a thread, and waits for it for so long. `Err`: the answer to all tries.
fn try_on(
    start: impl FnOnce(Body) -> io::Result<()>,
    patience: Duration,
) -> Result<Sleeper, Trial> {
    let ((tell, told), (_over, over)) = (channel(), channel());
    if start(Body { tell, over }).is_err() {
        // Without a thread nothing else will work either.
        return Err(Trial::NOTHING_WORKS);
    }
    match told.recv_timeout(patience) {
        Ok(tid) => Ok(Sleeper { tid, _over }),
        Err(RecvTimeoutError::Timeout) => Err(Trial::all(Err(Errno::ETIMEDOUT as i32))),
        Err(RecvTimeoutError::Disconnected) => Err(Trial::NOTHING_WORKS),
    }
}

/// The tries. The idle class comes last: there may be no way back. The thread is then let be what
/// it was as far as it may: a process has ended when its last thread has.
fn try_all(tid: Tid, nice: i8) -> Trial {
    let own = number_of(get_affinity(tid));
    let placement = own.as_ref().map_err(|errno| *errno).and_then(|own| {
        let one = own.first().ok_or(Errno::EINVAL as i32)?;
        number_of(set_affinity(tid, &CpuSet::from_iter([one])))
    });
    let slices = to_short_slice(tid, SLICE_NS);
    let high_priority = set_nice(tid, nice);
    let idle_class = to_idle_class(tid);
    let _ = leave_idle_class(tid);
    let _ = own.map(|own| set_affinity(tid, &own));
    Trial {
        placement,
        slices: number_of(slices),
        high_priority: number_of(high_priority),
        idle_class: number_of(idle_class),
    }
}

/// The outcome as a number, which can be kept.
fn number_of<T>(outcome: io::Result<T>) -> Result<T, i32> {
    outcome.map_err(|error| error.raw_os_error().unwrap_or(Errno::EINVAL as i32))
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::eventually;
    use super::*;

    /// Goal: a thread that does not start stalls nobody, and may start whenever it likes. Method:
    /// one that is started when the trial has given up.
    #[test]
    fn a_thread_that_starts_late_is_not_waited_for() {
        let mut kept = None;
        let start = |body| {
            kept = Some(body);
            Ok(())
        };
        let late = try_on(start, Duration::from_millis(1));
        let errno = Errno::ETIMEDOUT as i32;
        assert_eq!(late.map(drop), Err(Trial::all(Err(errno))));
        kept.expect("it was to be started").run();
    }

    /// Goal: the trial's thread need not run to be tried on. Method: it sleeps all the time, as the
    /// kernel says at each step, and is then let go.
    #[test]
    fn the_thread_of_a_trial_sleeps_meanwhile() {
        let started = |body: Body| {
            thread::spawn(|| body.run());
            Ok(())
        };
        let sleeper = try_on(started, Duration::from_secs(60)).expect("a thread");
        let tid = sleeper.tid;
        let read = |file| std::fs::read_to_string(format!("/proc/self/task/{tid}/{file}"));
        let switches = || {
            let status = read("status").unwrap_or_default();
            let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
            lines.collect::<String>()
        };
        // On its way to sleep a thread is shown as one that sleeps, but not by `syscall`.
        let sleeps = || {
            read("stat").is_ok_and(|stat| stat.contains(") S "))
                && read("syscall").map_or(true, |call| !call.starts_with("running"))
        };
        assert!(eventually(sleeps));
        let before = switches();
        let trial = try_all(tid, 0);
        assert_eq!(trial.placement, Ok(()));
        assert_eq!(switches(), before);
        drop(sleeper);
        assert!(eventually(|| read("stat").is_err()));
    }
}
