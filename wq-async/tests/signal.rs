//! Listeners for signals, in and out of tasks. Tests of one process share its signals, so each kind
//! is used by one test.

#![cfg(all(target_os = "linux", not(wq_portable)))]

mod deadline;

use std::error::Error;
use std::fs::File;
use std::future::Future;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::Command;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use futures::StreamExt;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::Pid;
use wq::signal::{SignalKind, Signals, ctrl_c, signal};
use wq_core::driver;

use deadline::Deadline;

/// Nothing in here takes as long.
const LIMIT: Duration = Duration::from_secs(60);

/// A real-time signal that no test shares.
fn real_time(offset: i32) -> SignalKind {
    SignalKind::from_raw(nix::libc::SIGRTMIN() + offset)
}

/// Sends a signal, which may have no name, to this thread.
fn raise_raw(kind: SignalKind) {
    signal_hook::low_level::raise(kind.as_raw_value()).expect("it is sent");
}

/// Goal: what comes before the first poll, and before a wait that was given up, is not lost.
#[wq::test]
async fn signals_before_the_first_poll_are_heard() {
    let _deadline = Deadline::start();
    let mut heard = signal(SignalKind::user_defined1()).expect("a listener");
    raise(Signal::SIGUSR1).expect("sent");
    assert_eq!(
        heard.recv().await.expect("heard"),
        SignalKind::user_defined1()
    );

    let given_up = pin!(heard.recv()).poll(&mut Context::from_waker(Waker::noop()));
    assert!(given_up.is_pending(), "it was taken once");
    kill(Pid::this(), Signal::SIGUSR1).expect("sent");
    let next = heard.next().await.expect("it does not end");
    assert_eq!(next.expect("heard"), SignalKind::user_defined1());
}

/// Goal: each of several listeners hears a signal once, however often it came; one that was dropped
/// does no harm. Method: signals to this thread are handled before `raise` returns.
#[test]
fn each_listener_hears_many_as_one() {
    let _deadline = Deadline::start();
    let kind = real_time(1);
    let mut listeners = [(); 3].map(|()| signal(kind).expect("a listener"));
    drop(signal(kind).expect("a listener"));
    // More than a socket has room for.
    for _ in 0..2000 {
        raise_raw(kind);
    }
    for listener in &mut listeners {
        assert_eq!(listener.wait_timeout(LIMIT).expect("heard"), Some(kind));
        let more = listener.wait_timeout(Duration::from_millis(1));
        assert_eq!(more.expect("it waits"), None);
    }
    let [first, ..] = &mut listeners;
    raise_raw(kind);
    assert_eq!(first.wait_timeout(LIMIT).expect("heard"), Some(kind));
}

/// Goal: one listener for several kinds tells which came, and a kind that comes all the time hides
/// no other.
#[test]
fn no_kind_hides_another() {
    let _deadline = Deadline::start();
    let kinds = [2, 3, 4].map(real_time);
    let mut signals = Signals::new(kinds).expect("a listener");
    let mut heard = Vec::new();
    for _ in 0..3 {
        kinds.into_iter().for_each(raise_raw);
        heard.push(
            signals
                .wait_timeout(LIMIT)
                .expect("heard")
                .expect("in time"),
        );
    }
    heard.sort_unstable();
    assert_eq!(heard, kinds);
}

/// Goal: a wait ends in a task, in a nested `block_on`, on a thread that is no worker and under an
/// executor that is not ours. Method: all of them for one signal, which may come before or after
/// the wait begins.
#[test]
fn waits_end_wherever_they_are() {
    let _deadline = Deadline::start();
    let kind = real_time(5);
    let listener = || signal(kind).expect("a listener");
    let (mut in_task, mut nested, mut on_thread, mut elsewhere) =
        (listener(), listener(), listener(), listener());
    let tasks = [
        wq::spawn(async move { in_task.recv().await }),
        wq::spawn(async move { wq::block_on(nested.recv()) }),
    ];
    let threads = [
        thread::spawn(move || on_thread.wait()),
        thread::spawn(move || futures::executor::block_on(elsewhere.recv())),
    ];
    raise_raw(kind);
    for task in tasks {
        let heard = task.wait_timeout(LIMIT).expect("in time");
        assert_eq!(heard.expect("no panic").expect("heard"), kind);
    }
    for thread in threads {
        assert_eq!(thread.join().expect("no panic").expect("heard"), kind);
    }
}

/// Goal: Ctrl-C reaches all who wait for it, and does not end the program afterwards. Method: the
/// last one comes when nobody listens, to this very process.
#[wq::test]
async fn ctrl_c_does_not_end_the_program_any_more() {
    let _deadline = Deadline::start();
    let (one, other) = (ctrl_c(), ctrl_c());
    let unused = ctrl_c();
    raise(Signal::SIGINT).expect("sent");
    one.await.expect("heard");
    wq::spawn(other).await.expect("no panic").expect("heard");
    drop(unused);
    raise(Signal::SIGINT).expect("sent");
    let late = pin!(ctrl_c()).poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(late, Poll::Pending), "it came before");
}

/// Goal: who cannot listen is told why. Method: every reason; what is allowed stands beside.
#[test]
fn refusals_say_why() {
    let _deadline = Deadline::start();
    for name in ["KILL", "STOP", "SEGV", "BUS", "FPE", "ILL"] {
        let number: Signal = format!("SIG{name}").parse().expect("a signal");
        let kind = SignalKind::from_raw(number as i32);
        let error = signal(kind).expect_err("forbidden");
        assert!(error.is_forbidden() && !error.is_unknown(), "{error}");
        assert!(error.to_string().contains(name), "{error}");
        let error = std::io::Error::from(error);
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
    for number in [-1, 0, 65, 4711] {
        let error = signal(SignalKind::from_raw(number)).expect_err("no such signal");
        assert!(error.is_unknown() && !error.is_forbidden(), "{error}");
        assert!(error.to_string().contains(&number.to_string()), "{error}");
    }
    let error = Signals::new([]).expect_err("nothing to wait for");
    assert!(error.is_empty(), "{error}");
    let twice = Signals::new([real_time(6), real_time(6)]).expect("one listener");
    raise_raw(real_time(6));
    assert_eq!(twice.take(1).collect::<Vec<_>>().now_or_panic().len(), 1);
}

/// Has the child of the next test do its part, with this number.
const BAD_KIND: &str = "WQ_TEST_BAD_KIND";

/// Goal: a refused listener leaves nothing behind: the default action of every kind stays. Method:
/// a child whose listener is refused, for a bad kind in any order or for want of descriptors, is
/// ended by the good kind's signal.
#[test]
fn a_refusal_changes_nothing_for_the_other_kinds() {
    let _deadline = Deadline::start();
    for bad in [FEW_DESCRIPTORS, 0, 9, 19, 32, 65, 4711] {
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "refused_and_then_told_to_end"])
            .env(BAD_KIND, bad.to_string())
            .output()
            .expect("started");
        // `SIGUSR1`, which a shell does not ignore for what it starts in the background.
        assert_eq!(child.status.signal(), Some(10), "beside {bad}: {child:?}");
    }
}

/// In place of a bad kind: there are descriptors for one kind only.
const FEW_DESCRIPTORS: i32 = -1;

/// Leaves the process room for two descriptors more.
fn leave_two_descriptors() {
    let free = [(); 3].map(|()| File::open("/dev/null").expect("a descriptor"));
    let [.., first_without] = free.each_ref().map(AsRawFd::as_raw_fd);
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit");
    setrlimit(Resource::RLIMIT_NOFILE, first_without as u64, hard).expect("a lower limit");
}

/// The child's part; in this process it does nothing.
#[test]
fn refused_and_then_told_to_end() {
    let _deadline = Deadline::start();
    let Ok(bad) = std::env::var(BAD_KIND) else {
        return;
    };
    let bad = bad.parse().expect("a number");
    if bad == FEW_DESCRIPTORS {
        // The reactor has its own by then.
        drop(signal(real_time(6)).expect("a listener"));
        leave_two_descriptors();
        let kinds = [SignalKind::user_defined1(), SignalKind::user_defined2()];
        let error = Signals::new(kinds).expect_err("refused");
        assert!(error.source().is_some(), "the machine's word: {error}");
    } else {
        let kinds = [SignalKind::from_raw(bad), SignalKind::user_defined1()];
        let error = Signals::new(kinds).expect_err("refused");
        assert!(error.is_forbidden() || error.is_unknown(), "{error}");
    }
    raise(Signal::SIGUSR1).expect("sent");
}

/// What is ready at once.
trait Now: Future + Sized {
    /// Its output.
    fn now_or_panic(self) -> Self::Output {
        match pin!(self).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("it is not ready"),
        }
    }
}

impl<F: Future> Now for F {}

/// Goal: no signal that comes after a wait has ended is missed, however they meet. Method: each
/// round is over only when its signal was heard.
#[test]
fn no_signal_is_missed_under_load() {
    let _deadline = Deadline::start();
    const ROUNDS: usize = 2000;
    let kind = real_time(7);
    let mut signals = signal(kind).expect("a listener");
    let listener = wq::spawn(async move {
        for _ in 0..ROUNDS {
            signals.recv().await.expect("heard");
            raise_raw(real_time(8));
        }
    });
    let mut answers = signal(real_time(8)).expect("a listener");
    for round in 0..ROUNDS {
        raise_raw(kind);
        let answer = answers.wait_timeout(LIMIT).expect("it waits");
        assert!(answer.is_some(), "round {round} was not heard");
    }
    listener.wait().expect("no panic");
}

/// Goal: in a forked child a listener is an error and not a hang. Method: its parent has used one.
#[test]
fn a_forked_child_is_refused() {
    let _deadline = Deadline::start();
    let kind = real_time(9);
    let _parents = signal(kind).expect("a listener");
    let answer = driver::in_forked_child(LIMIT, || u8::from(signal(kind).is_err()));
    assert_eq!(answer.expect("forked"), Some(1));
}
