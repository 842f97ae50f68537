//! The probe on threads in known states, by both sources.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::sync::atomic::AtomicBool;

use super::super::super::tests::eventually;
use super::*;

/// Starts a thread, waits for its number and hands both to `look`; then `end`s and joins it.
fn with_thread(body: impl FnOnce() + Send, look: impl FnOnce(Tid), end: impl FnOnce()) {
    let tid = AtomicU32::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Relaxed, here and below: the number is all that is passed.
            tid.store(gettid() as u32, Ordering::Relaxed);
            body();
        });
        assert!(eventually(|| tid.load(Ordering::Relaxed) != 0));
        look(tid.load(Ordering::Relaxed) as Tid);
        end();
    });
}

/// The sources that this process may use.
fn usable_sources() -> Vec<Source> {
    let sources = [Source::Syscall, Source::Stat];
    sources
        .into_iter()
        .filter(|source| source.look_once(gettid()).is_ok())
        .collect()
}

/// Asserts that each source, a kept probe and a single look come to see the thread blocked.
fn assert_seen_blocked(tid: Tid) {
    for source in usable_sources() {
        assert!(
            eventually(|| source.look_once(tid).map(|s| s.state) == Ok(source.sleeping())),
            "{source:?}"
        );
    }
    assert!(eventually(|| ThreadProbe::look_once(tid)
        .state
        .is_blocked()));
    if let Ok(probe) = ThreadProbe::open(tid) {
        assert!(eventually(|| probe.look().state.is_blocked()));
    }
}

/// Goal: what the kernel writes is read right, and what it does not write is `Unknown`.
#[test]
fn state_files_are_parsed() {
    use ThreadState::{Asleep, Blocked, Running, Unknown};
    let syscall = [
        ("running\n", Running),
        ("202 0x7ffd 0x80 0x0 0x0 0x0 0x0 0x7ffd 0x7f\n", Asleep),
        ("0 0x3 0x7ffd 0x80 0x0 0x0 0x0 0x7ffd 0x7f\n", Asleep),
        ("-1 0x7ffd 0x7f\n", Asleep),
        ("", Unknown),
        ("\n", Unknown),
    ];
    for (text, state) in syscall {
        assert_eq!(parse_syscall(text.as_bytes()), state, "{text:?}");
    }
    assert_eq!(
        parse_futex(b"202 0x7ffd 0x80 0x0 0x0 0x0 0x0 0x7ffd 0x7f\n"),
        0x7ffd
    );
    for text in [
        "running\n",
        "0 0x3 0x7ffd\n",
        "-1 0x7ffd 0x7f\n",
        "202",
        "202 7ffd",
        "",
    ] {
        assert_eq!(parse_futex(text.as_bytes()), 0, "{text:?}");
    }
    let stat = [
        ("12 (wq/1:3) R 1 12 12 0", Running),
        ("12 (wq/1:3) S 1 12 12 0", Blocked),
        ("12 (wq/1:3) D 1 12 12 0", Blocked),
        ("12 (wq/1:3) t 1 12 12 0", Blocked),
        ("12 (a) R (b) S 1 12 12 0", Blocked),
        ("12 (a) S ) R 1 12 12 0", Running),
        ("12 (wq/1:3) Z 1 12 12 0", Unknown),
        ("12 (wq/1:3)", Unknown),
        ("12 (wq", Unknown),
        ("", Unknown),
    ];
    for (text, state) in stat {
        assert_eq!(parse_stat(text.as_bytes()), state, "{text:?}");
    }
}

/// Goal: a thread in nanosleep reads as blocked. Method: it sleeps again and again.
#[test]
fn nanosleep_is_seen() {
    let stop = AtomicBool::new(false);
    let body = || {
        // Relaxed, here and below: a flag of a test.
        while !stop.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(200));
        }
    };
    with_thread(body, assert_seen_blocked, || {
        stop.store(true, Ordering::Relaxed);
    });
}

/// Goal: a thread in a futex wait reads as blocked.
#[test]
fn futex_wait_is_seen() {
    let word = AtomicU32::new(0);
    let body = || {
        // Relaxed, here and below: a flag of a test.
        while word.load(Ordering::Relaxed) == 0 {
            futex_wait(&word, 0, None);
        }
    };
    with_thread(body, assert_seen_blocked, || {
        word.store(1, Ordering::Relaxed);
        futex_wake(&word, 1);
    });
}

/// Goal: a thread in a read of an empty pipe reads as blocked.
#[test]
fn pipe_read_is_seen() {
    let (reader, writer) = nix::unistd::pipe().expect("two descriptors");
    let body = || {
        let end = File::from(reader)
            .read(&mut [0])
            .expect("the writer closes");
        assert_eq!(end, 0);
    };
    with_thread(body, assert_seen_blocked, || drop(writer));
}

/// Goal: a thread that computes reads as running each time, preempted or not. Method: a thousand
/// looks, on as few CPUs as there are.
#[test]
fn spinning_thread_is_never_called_blocked() {
    let (stop, spinning) = (AtomicBool::new(false), AtomicBool::new(false));
    let body = || {
        // Relaxed, here and below: flags of a test.
        spinning.store(true, Ordering::Relaxed);
        while !stop.load(Ordering::Relaxed) {
            hint::spin_loop();
        }
    };
    let look = |tid| {
        assert!(eventually(|| spinning.load(Ordering::Relaxed)));
        for source in usable_sources() {
            for _ in 0..1_000 {
                assert_eq!(
                    source.look_once(tid),
                    Ok(ThreadState::Running.into()),
                    "{source:?}"
                );
            }
        }
    };
    with_thread(body, look, || stop.store(true, Ordering::Relaxed));
}

/// Goal: a probe outlives its thread and then knows nothing.
#[test]
fn probe_of_a_gone_thread_is_unknown() {
    let mut kept = None;
    with_thread(|| {}, |tid| kept = ThreadProbe::open(tid).ok(), || {});
    if let Some(probe) = kept {
        assert!(eventually(|| probe.look().state == ThreadState::Unknown));
    }
}

/// Goal: the number of descriptors is bounded, and a dropped probe makes room. Method: open up
/// to the bound; other tests may hold some.
#[test]
fn probes_are_bounded() {
    let mut probes = Vec::new();
    let error = loop {
        match ThreadProbe::open(gettid()) {
            Ok(probe) => probes.push(probe),
            Err(error) => break error,
        }
        assert!(probes.len() <= MAX_PROBES);
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert_ne!(
        ThreadProbe::look_once(gettid()).state,
        ThreadState::Unknown,
        "single looks are not bounded"
    );
    drop(probes);
    assert!(eventually(|| ThreadProbe::open(gettid()).is_ok()));
}

/// Goal: the self-test agrees with what can be seen here, and is remembered.
#[test]
fn self_test_finds_a_usable_source() {
    let kind = probe_works();
    assert_eq!(kind, probe_works());
    let expected = match usable_sources().first() {
        Some(Source::Syscall) => ProbeKind::Syscall,
        Some(Source::Stat) => ProbeKind::Stat,
        None => ProbeKind::None,
    };
    assert_eq!(kind, expected);
}

/// Goal: a thread that does not start stalls nobody, and may start whenever it likes. Method: one
/// that is started when the self-test has given up.
#[test]
fn a_thread_that_starts_late_is_not_waited_for() {
    let mut kept = None;
    let start = |words| {
        kept = Some(words);
        Ok(())
    };
    assert!(KnownThread::start_by(start, Duration::from_millis(1)).is_none());
    kept.expect("it was to be started").obey();
}

/// Goal: the fallback is taken for missing rights only, not for a thread that is gone.
#[test]
fn fallback_is_for_missing_rights() {
    assert!(wants_other_source(Errno::EACCES));
    assert!(wants_other_source(Errno::EPERM));
    assert!(!wants_other_source(Errno::ESRCH));
    assert!(!wants_other_source(Errno::EMFILE));
}
