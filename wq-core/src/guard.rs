//! Panics outside of items: those of users' wakers, which end here, and those of the engine, which
//! end the process.

#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;
use std::thread;

use crate::task::drop_payload;

/// Writes a line on standard error, if it takes one: `eprintln` panics where it does not, and a
/// closed pipe is no reason to end a thread.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Wakes all of them, whichever panics: that is its maker's bug, of which the panic hook has told,
/// and neither the other waiters' nor the worker's.
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
            drop_payload(payload);
        }
    }
}

/// Runs the body of one of the engine's threads. If it panics the process ends: nobody else would
/// do that thread's work, and a program that hangs tells less than one that is gone.
pub(crate) fn run_or_abort(body: impl FnOnce()) {
    /// Dropped by unwinding alone.
    struct Abort;
    impl Drop for Abort {
        fn drop(&mut self) {
            let thread = thread::current();
            let name = thread.name().unwrap_or("without a name");
            say(format_args!(
                "wq: a bug in wq: its thread `{name}` panicked, as said above. The process ends, \
                 since what that thread should do would never be done. Please report this."
            ));
            std::process::abort();
        }
    }
    let abort = Abort;
    body();
    std::mem::forget(abort);
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Goal: a panic of an engine's thread ends the process, which says why. Method: a process of
    /// its own with such a thread, that would wait for ever otherwise.
    #[test]
    #[cfg(unix)]
    fn a_panic_of_the_engine_ends_the_process() {
        use std::os::unix::process::ExitStatusExt;
        if std::env::var_os("WQ_TEST_GUARD").is_some() {
            let name = "wq/broken".to_owned();
            crate::os::spawn_thread(name, || panic!("a test")).expect("a thread");
            // With a limit, so that a test that fails ends.
            thread::park_timeout(std::time::Duration::from_secs(60));
            return;
        }
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args([
                "--exact",
                "guard::tests::a_panic_of_the_engine_ends_the_process",
            ])
            .arg("--nocapture")
            .env("WQ_TEST_GUARD", "1")
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(nix::libc::SIGABRT), "{said}");
        assert!(
            said.contains("a bug in wq: its thread `wq/broken`"),
            "{said}"
        );
    }
}
