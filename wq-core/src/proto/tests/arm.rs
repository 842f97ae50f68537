//! Models of arming.

use loom::sync::atomic::{AtomicUsize, Ordering};

use super::race;
use crate::proto::arm::Armed;

/// A CPU's flag and the work that waits there.
struct Cpu {
    armed: Armed,
    /// Relaxed throughout: the flag's fences are all that orders it.
    waiting: AtomicUsize,
}

impl Cpu {
    /// The spotter is awake, no work waits.
    fn armed() -> Cpu {
        let cpu = Cpu {
            armed: Armed::new(),
            waiting: AtomicUsize::new(0),
        };
        assert!(cpu.armed.arm(), "the first arming wakes the spotter");
        cpu
    }

    /// Leaves work waiting; 1 if the spotter is to be woken.
    fn bring(&self) -> usize {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        usize::from(self.armed.arm())
    }

    /// The spotter's last look before it sleeps.
    fn last_look(&self) -> usize {
        self.armed.disarm();
        self.waiting.load(Ordering::Relaxed)
    }
}

/// Goal: no arming is lost: work left waiting is seen by the spotter's last look, or one of those
/// who brought it is told to wake the spotter. Method: two bringers against a spotter that
/// disarms and looks; the flag is set when the model begins.
#[test]
fn loom_arming_is_not_lost() {
    race::<Cpu, usize, _>(
        Cpu::armed,
        [Cpu::bring, Cpu::bring, Cpu::last_look],
        |cpu, [first, second, seen]| {
            let wakes = first + second;
            assert!(wakes <= 1, "the spotter is woken once for one sleep");
            assert!(seen == 2 || wakes == 1, "an arming was lost");
            assert_eq!(wakes == 0, cpu.armed.arm(), "clear means that nobody woke");
        },
    );
}

/// Goal: nor is one lost by a spotter that first clears the flag without a barrier, looks, and
/// sleeps for a while. Method: as above; what the first look finds, or who arms before the end of
/// the short sleep, keeps the spotter awake.
#[test]
fn loom_brief_sleep_loses_no_arming() {
    race::<Cpu, usize, _>(
        Cpu::armed,
        [Cpu::bring, Cpu::bring, |cpu| {
            cpu.armed.disarm_briefly();
            // The short sleep ends whenever it likes.
            let seen = cpu.waiting.load(Ordering::Relaxed);
            if seen > 0 { seen } else { cpu.last_look() }
        }],
        |cpu, [first, second, seen]| {
            let wakes = first + second;
            assert!(seen > 0 || wakes >= 1, "an arming was lost");
            assert!(seen == 2 || wakes >= 1 || cpu.armed.arm(), "the flag lies");
        },
    );
}
