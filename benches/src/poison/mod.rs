//! Ways to block a thread without a word to its runtime, each for a given time.
//!
//! Every kind lets several threads wait *side by side*: no thread waits for another that blocks.
//! What ends the wait is a thread of this module, never one of the runtime's, which sleeps until
//! the moment comes; nothing here polls. The module knows no runtime and measures nothing. Unsafe
//! code stands in `userfault.rs` alone.

mod feeder;
mod file;
mod lock;
mod pipe;
mod userfault;

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// A prepared way to block, shared by those who do.
pub trait Poison: Send + Sync + 'static {
    /// Blocks the calling thread; at most one thread at a time may use the same `place`.
    fn block(&self, place: usize);
}

/// The kinds there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `std::thread::sleep`.
    Sleep,
    /// A `std::sync::Mutex` that a foreign thread holds.
    Mutex,
    /// A read from an empty pipe that a foreign thread writes to.
    Pipe,
    /// A read from a file of a slow file system: FUSE, served by a thread of this process.
    File,
    /// A page fault that a thread of this process serves late, through `userfaultfd`.
    Fault,
}

impl Kind {
    /// All, in the order of tables.
    pub const ALL: [Self; 5] = [
        Self::Sleep,
        Self::Mutex,
        Self::Pipe,
        Self::File,
        Self::Fault,
    ];

    /// The word in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sleep => "sleep",
            Self::Mutex => "mutex",
            Self::Pipe => "pipe",
            Self::File => "file",
            Self::Fault => "fault",
        }
    }

    /// Makes what it takes to block for `time` in each of `places` at once; its threads end some
    /// time after the last clone is dropped.
    ///
    /// # Errors
    /// Says why this machine does not allow it; only files and faults can be refused.
    pub fn prepare(self, time: Duration, places: usize) -> Result<Arc<dyn Poison>, String> {
        Ok(match self {
            Self::Sleep => Arc::new(Sleep(time)),
            Self::Mutex => Arc::new(lock::Locks::new(time, places)),
            Self::Pipe => Arc::new(pipe::Pipes::new(time, places)),
            Self::File => Arc::new(file::SlowFiles::mount(time, places)?),
            Self::Fault => Arc::new(userfault::LatePages::map(time, places)?),
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `pad` keeps the width that a table asks for.
        f.pad(self.name())
    }
}

/// [`Kind::Sleep`].
struct Sleep(Duration);

impl Poison for Sleep {
    fn block(&self, _place: usize) {
        thread::sleep(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// Each kind blocks its thread for the time asked for, again and again, and several threads
    /// side by side; a kind that the machine refuses says why.
    #[test]
    fn each_kind_blocks_side_by_side() {
        const TIME: Duration = Duration::from_millis(30);
        const PLACES: usize = 4;
        const TIMES: u32 = 3;
        for kind in Kind::ALL {
            let poison = match kind.prepare(TIME, PLACES) {
                Ok(poison) => poison,
                Err(reason) => {
                    assert!(matches!(kind, Kind::File | Kind::Fault), "{kind}: {reason}");
                    eprintln!("{kind} is refused here: {reason}");
                    continue;
                }
            };
            let start = Instant::now();
            thread::scope(|scope| {
                for place in 0..PLACES {
                    let poison = &poison;
                    scope.spawn(move || {
                        for _ in 0..TIMES {
                            let begun = Instant::now();
                            poison.block(place);
                            assert!(begun.elapsed() >= TIME, "{kind}: {:?}", begun.elapsed());
                        }
                    });
                }
            });
            // One after the other they would take four times as long.
            let one_by_one = TIME * TIMES * PLACES as u32;
            assert!(
                start.elapsed() < one_by_one,
                "{kind}: {:?}",
                start.elapsed()
            );
        }
    }
}
