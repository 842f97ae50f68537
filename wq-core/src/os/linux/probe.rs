//! Is that thread blocked? One small read of procfs tells it apart from a preempted one.
//!
//! `task/TID/syscall` is asked first: it says "running", or the number of the system call that
//! the thread sleeps in, or -1 for a sleep outside of one (a page fault). A process that is not
//! dumpable may not read its own; then `task/TID/stat` answers, at three times the price.
//! A thread must not look at itself: `syscall` then tells the very `pread` that reads it.
//! `wchan` is not used: it says "not blocked" for a thread that has gone to sleep a moment ago
//! and is still on the run queue.
//!
//! Nothing here allocates or locks once [`probe_works`] has been called.

use std::ffi::CStr;
use std::hint;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::uio::pread;

use super::super::{MAX_PROBES, ProbeKind, Sight, ThreadState, Tid};
use super::trial::START_PATIENCE;
use super::{block_all_signals, futex_wait, futex_wake, gettid, sched_yield};

/// Room for the longest path, `/proc/self/task/-2147483648/syscall`, and its zero.
const PATH_BYTES: usize = 40;

/// Bytes read of a file: enough for the state in `stat`, behind a name of up to 64 bytes.
const LOOK_BYTES: usize = 128;

/// How long the self-test waits for its thread to fall asleep. A loaded machine may need
/// several scheduler rounds; nothing else waits for this.
const SELF_TEST_PATIENCE: Duration = Duration::from_millis(500);

/// Descriptors that [`ThreadProbe`]s hold at the moment.
static OPEN_PROBES: AtomicUsize = AtomicUsize::new(0);

/// What the self-test found, if it ran.
static WORKING_KIND: OnceLock<ProbeKind> = OnceLock::new();

/// The file that a look reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// `task/TID/syscall`.
    Syscall,
    /// `task/TID/stat`.
    Stat,
}

impl Source {
    /// The file's name in the thread's directory.
    fn file_name(self) -> &'static str {
        match self {
            Source::Syscall => "syscall",
            Source::Stat => "stat",
        }
    }

    /// What it says of a thread that sleeps.
    fn sleeping(self) -> ThreadState {
        match self {
            Source::Syscall => ThreadState::Asleep,
            Source::Stat => ThreadState::Blocked,
        }
    }

    /// Opens the file of one thread, building the path on the stack.
    fn open(self, tid: Tid) -> Result<OwnedFd, Errno> {
        let mut path = [0; PATH_BYTES];
        // The room left after the last byte written stays zero and ends the string.
        write!(
            &mut path[..PATH_BYTES - 1],
            "/proc/self/task/{tid}/{}",
            self.file_name()
        )
        .map_err(|_| Errno::ENAMETOOLONG)?;
        let path = CStr::from_bytes_until_nul(&path).map_err(|_| Errno::ENAMETOOLONG)?;
        open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
    }

    /// Reads an open file once and says what it means.
    fn read(self, file: &OwnedFd) -> Result<Sight, Errno> {
        let mut buffer = [0; LOOK_BYTES];
        let length = pread(file, &mut buffer, 0)?;
        let text = &buffer[..length.min(LOOK_BYTES)];
        Ok(match self {
            Source::Syscall => Sight {
                state: parse_syscall(text),
                futex: parse_futex(text),
            },
            Source::Stat => parse_stat(text).into(),
        })
    }

    /// Opens, reads and closes.
    fn look_once(self, tid: Tid) -> Result<Sight, Errno> {
        self.read(&self.open(tid)?)
    }
}

/// "running", or the number of a system call, or -1. The latter two are written only if the
/// kernel's `wait_task_inactive` found the thread off its run queue, under that queue's lock. (On a
/// kernel for one CPU it need not look: who reads this file has the CPU.)
fn parse_syscall(text: &[u8]) -> ThreadState {
    match text.first() {
        Some(b'r') => ThreadState::Running,
        Some(b'-' | b'0'..=b'9') => ThreadState::Asleep,
        _ => ThreadState::Unknown,
    }
}

/// The address in "202 0x7f0123456789 ..", the wait for a futex; 0 for all else.
fn parse_futex(text: &[u8]) -> usize {
    let mut words = text.split(|&byte| byte == b' ');
    let number = words.next().and_then(|word| std::str::from_utf8(word).ok());
    if number.and_then(|word| word.parse().ok()) != Some(nix::libc::SYS_futex) {
        return 0;
    }
    let address = words.next().and_then(|word| std::str::from_utf8(word).ok());
    address
        .and_then(|word| usize::from_str_radix(word.strip_prefix("0x")?, 16).ok())
        .unwrap_or(0)
}

/// The state letter behind the name. The name is in parentheses and may hold some itself, but
/// nothing behind it does.
fn parse_stat(text: &[u8]) -> ThreadState {
    let state = text
        .iter()
        .rposition(|&byte| byte == b')')
        .and_then(|end| text.get(end + 2));
    match state {
        Some(b'R') => ThreadState::Running,
        // Zombie and dead: there is no thread to speak of.
        Some(b'Z' | b'X' | b'x') | None => ThreadState::Unknown,
        Some(_) => ThreadState::Blocked,
    }
}

/// Says whether an error means that this source is not for us, rather than that the thread is
/// gone: no rights, or a kernel without the file (which looks like a thread that is gone).
fn wants_other_source(error: Errno) -> bool {
    matches!(error, Errno::EACCES | Errno::EPERM | Errno::ENOENT)
}

/// The source to try first: what the self-test found, else the better one.
fn preferred_source() -> Source {
    match WORKING_KIND.get() {
        Some(ProbeKind::Stat) => Source::Stat,
        _ => Source::Syscall,
    }
}

/// A descriptor kept for looking at one thread again and again.
#[derive(Debug)]
pub(crate) struct ThreadProbe {
    /// The open file.
    file: OwnedFd,
    /// Which file it is.
    source: Source,
    /// The thread, for the case that the process loses the right to read `file`.
    tid: Tid,
    /// Our place among the [`MAX_PROBES`]; given back last.
    _permit: ProbePermit,
}

impl ThreadProbe {
    /// Opens the state file of a thread of this process.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if [`MAX_PROBES`] are open (then use [`look_once`](ThreadProbe::look_once)),
    /// `NotFound` if the thread is gone, and what `open` says.
    pub(crate) fn open(tid: Tid) -> io::Result<ThreadProbe> {
        let permit = ProbePermit::take().ok_or(Errno::EAGAIN)?;
        let source = preferred_source();
        let (file, source) = match source.open(tid) {
            Ok(file) => (file, source),
            Err(error) if wants_other_source(error) => (Source::Stat.open(tid)?, Source::Stat),
            Err(error) => return Err(error.into()),
        };
        Ok(ThreadProbe {
            file,
            source,
            tid,
            _permit: permit,
        })
    }

    /// Looks at the thread: one `pread`. If the process has become non-dumpable since the file
    /// was opened, three more calls on `stat`.
    pub(crate) fn look(&self) -> Sight {
        let looked = match self.source.read(&self.file) {
            Err(error) if wants_other_source(error) => Source::Stat.look_once(self.tid),
            looked => looked,
        };
        looked.unwrap_or(ThreadState::Unknown.into())
    }

    /// Looks at a thread of this process once, without keeping a descriptor: about four times
    /// the price of [`look`](ThreadProbe::look), but there is no limit.
    pub(crate) fn look_once(tid: Tid) -> Sight {
        let looked = match preferred_source().look_once(tid) {
            Err(error) if wants_other_source(error) => Source::Stat.look_once(tid),
            looked => looked,
        };
        looked.unwrap_or(ThreadState::Unknown.into())
    }
}

/// One place among the [`MAX_PROBES`]; dropping it gives the place back.
#[derive(Debug)]
struct ProbePermit;

impl ProbePermit {
    /// Takes a place if there is one.
    fn take() -> Option<ProbePermit> {
        // Relaxed: the count guards nothing but itself.
        let before = OPEN_PROBES.fetch_add(1, Ordering::Relaxed);
        // Made before the check: if the place was one too many, the drop gives it back.
        let permit = ProbePermit;
        (before < MAX_PROBES).then_some(permit)
    }
}

impl Drop for ProbePermit {
    fn drop(&mut self) {
        // Relaxed: as above.
        OPEN_PROBES.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tries the sources on a thread that is known to run and then to sleep; says which one tells
/// the two apart. The first answer is kept for the life of the process, unless it is that there was
/// no such thread in time.
///
/// Makes a short-lived thread, which inherits the caller's mask and class: not for a spotter.
pub(crate) fn probe_works() -> ProbeKind {
    if let Some(known) = WORKING_KIND.get() {
        return *known;
    }
    match find_source() {
        Some(kind) => *WORKING_KIND.get_or_init(|| kind),
        None => ProbeKind::None,
    }
}

/// The kind that works; `None` if it could not be tried.
fn find_source() -> Option<ProbeKind> {
    for (source, kind) in [
        (Source::Syscall, ProbeKind::Syscall),
        (Source::Stat, ProbeKind::Stat),
    ] {
        if KnownThread::start()?.is_seen_right_by(source) {
            return Some(kind);
        }
    }
    Some(ProbeKind::None)
}

/// What a [`KnownThread`] is to do; the values of [`KnownWords::order`].
mod order {
    /// Spin.
    pub(super) const RUN: u32 = 0;
    /// Sleep until the order changes.
    pub(super) const SLEEP: u32 = 1;
    /// End.
    pub(super) const LEAVE: u32 = 2;
}

/// A thread in a state that the self-test knows. Nobody waits for its end, which may be late where
/// others keep its CPU busy; what it touches is shared with it.
struct KnownThread {
    /// What the thread shares with us.
    shared: Arc<KnownWords>,
    /// The thread's number; 0 until it is known.
    tid: Tid,
}

/// The two words between the self-test and its thread.
#[derive(Default)]
struct KnownWords {
    /// The thread's number; 0 until it is known. Written by the thread.
    tid: AtomicU32,
    /// One of [`order`]. Written by the test.
    order: AtomicU32,
}

impl KnownWords {
    /// What the thread does: tells its number, and then as ordered.
    fn obey(&self) {
        block_all_signals();
        // Relaxed, here and below: the two words themselves are all that is passed.
        self.tid.store(gettid() as u32, Ordering::Relaxed);
        futex_wake(&self.tid, 1);
        loop {
            match self.order.load(Ordering::Relaxed) {
                order::RUN => hint::spin_loop(),
                order::SLEEP => drop(futex_wait(&self.order, order::SLEEP, None)),
                _ => return,
            }
        }
    }

    /// Gives an order.
    fn order(&self, order: u32) {
        // Relaxed: see `obey`.
        self.order.store(order, Ordering::Relaxed);
        futex_wake(&self.order, 1);
    }
}

impl KnownThread {
    /// Starts the thread and waits for its number; `None` if no thread is to be had in time.
    fn start() -> Option<KnownThread> {
        let start = |words: Arc<KnownWords>| {
            let builder = thread::Builder::new().name("wq/probe".into());
            builder.spawn(move || words.obey()).map(drop)
        };
        KnownThread::start_by(start, START_PATIENCE)
    }

    /// Has `start` start a thread that obeys, and waits for its number for so long.
    fn start_by(
        start: impl FnOnce(Arc<KnownWords>) -> io::Result<()>,
        patience: Duration,
    ) -> Option<KnownThread> {
        let shared = Arc::new(KnownWords::default());
        // Whatever comes of it, the thread is told to leave.
        let mut known = KnownThread { shared, tid: 0 };
        start(Arc::clone(&known.shared)).ok()?;
        let deadline = Instant::now() + patience;
        loop {
            // Relaxed: see `obey`.
            known.tid = known.shared.tid.load(Ordering::Relaxed) as Tid;
            let left = deadline.saturating_duration_since(Instant::now());
            if known.tid != 0 {
                return Some(known);
            }
            if left.is_zero() {
                return None;
            }
            futex_wait(&known.shared.tid, 0, Some(left));
        }
    }

    /// Says whether a source calls the thread running while it spins and blocked when it sleeps.
    fn is_seen_right_by(&self, source: Source) -> bool {
        self.is_seen(source, ThreadState::Running) && {
            self.shared.order(order::SLEEP);
            self.is_seen(source, source.sleeping())
        }
    }

    /// Looks until a source shows the thread in a state, for it may be on its way there.
    fn is_seen(&self, source: Source, state: ThreadState) -> bool {
        let deadline = Instant::now() + SELF_TEST_PATIENCE;
        loop {
            match source.look_once(self.tid) {
                Ok(seen) if seen.state == state => return true,
                Ok(_) if Instant::now() < deadline => sched_yield(),
                _ => return false,
            }
        }
    }
}

impl Drop for KnownThread {
    fn drop(&mut self) {
        self.shared.order(order::LEAVE);
    }
}

#[cfg(test)]
mod tests;
