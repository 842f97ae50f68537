//! How often the monitor looks.
//!
//! It backs up the spotters, or stands in for them, or (sensors off) only repairs lost wake-ups. A
//! pure function of what it found: `service/monitor.rs` sleeps accordingly.

use std::time::Duration;

/// Shortest and longest pause between rounds.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(10));
/// Pause while a lane of high priority waits.
const PAUSE_HIGHPRI: Duration = Duration::from_micros(200);
/// Pause after a lane was taken: a row of items that all sleep is worked off at this pace where
/// the spotter cannot.
const PAUSE_ACTED: Duration = Duration::from_micros(100);
/// Pause when work has begun to wait where no spotter looks. It doubles while nothing is found:
/// rounds at this pace cost some hundredths of a CPU.
const PAUSE_ALONE: Duration = Duration::from_micros(200);
/// Longest pause while work waits behind items that come to their ends: a wake-up of the monitor
/// costs those that it interrupts more than itself, their caches above all.
const PAUSE_MOVING: Duration = Duration::from_millis(2);
/// Items that a lane has begun since the last round, at least, if it moves.
const MOVES: u64 = 8;
/// A round that comes this many times too late judges nobody.
const TOO_LATE: u32 = 10;
/// A scheduler's turn; who comes so soon is not late.
const NEVER_LATE: Duration = Duration::from_millis(10);
/// Time without any work after which the monitor sleeps until it is woken, by the clock: rounds
/// would be no measure where each is late. A program is promised to be quiet after half a minute.
const IDLE_FOR: Duration = Duration::from_secs(10);
/// The same where nobody is looked at.
const IDLE_FOR_RESCUE: Duration = Duration::from_millis(100);

/// What a round found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Activity {
    /// No lane runs, nothing waits.
    Idle,
    /// All lanes that run come along with short items, one after the other; work may wait there.
    Moving,
    /// Lanes run and nothing waits behind.
    Busy,
    /// Some are busy, and work waits behind others, which come along.
    Both,
    /// Lanes run items that last: work may wait behind one at any moment.
    Dear,
    /// Work waits.
    Waiting,
    /// Work of high priority waits.
    Highpri,
    /// A lane was taken from a sleeping worker; its next item may sleep as well.
    Acted,
}

/// Who looks besides the monitor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Company {
    /// Each CPU in use has a spotter.
    Spotters,
    /// There is a CPU without a spotter.
    Nobody,
    /// Nobody is to look at all, the monitor neither: it only repairs lost wake-ups.
    NotWanted,
}

/// The monitor's pace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pace {
    /// Before the next round.
    pub(crate) pause: Duration,
    /// Since there was work.
    idle: Duration,
    /// Between the last two rounds: more than the pause on a full machine.
    passed: Duration,
    /// The last round came late.
    late: bool,
    /// What the last round saw moves, and nobody is to be called for it.
    moving: bool,
}

/// Whether a lane that began so many items since the last round, `passed` ago, is one that moves.
/// Not if that was long ago, or (zero) says nothing of what happened meanwhile: the last item of
/// many may be a long one.
pub(crate) fn moves(begun: u64, passed: Duration) -> bool {
    begun >= MOVES && !passed.is_zero() && passed <= PAUSE_MOVING * 2
}

impl Pace {
    /// After a sleep without limit, or when work has begun to wait and nobody else looks.
    pub(crate) fn fresh(company: Company) -> Pace {
        let pause = match company {
            Company::Nobody => PAUSE_ALONE,
            Company::Spotters | Company::NotWanted => PAUSE.0,
        };
        Pace {
            pause,
            idle: Duration::ZERO,
            passed: Duration::ZERO,
            late: false,
            moving: false,
        }
    }

    /// A round comes `after` the last one: is it to judge nobody, because the whole process may
    /// have been stopped meanwhile? Not if the one before was late as well: that is how a crowded
    /// machine looks, and who judges never helps nobody.
    pub(crate) fn note_arrival(&mut self, after: Duration) -> bool {
        self.passed = after;
        let was_late = self.late;
        self.late = after > (self.pause * TOO_LATE).max(NEVER_LATE);
        self.late && !was_late
    }

    /// Whether the pause is to be cut short when work begins to wait: it is longer than it would be
    /// if work waited, and not because all comes along anyway.
    pub(crate) fn is_long(&self, company: Company) -> bool {
        self.pause > PAUSE.0 && !self.moving && company != Company::NotWanted
    }

    /// The pause was cut short because work began to wait: the next one is the shortest, whatever
    /// is found, so that this happens once in a millisecond at most.
    pub(crate) fn hurried(self) -> Pace {
        Pace {
            pause: PAUSE.0 / 2,
            ..self
        }
    }

    /// After a round.
    pub(crate) fn next(self, found: Activity, company: Company) -> Pace {
        let backed_off = (self.pause * 2).clamp(PAUSE.0, PAUSE.1);
        let pause = match (found, company) {
            (Activity::Idle | Activity::Busy, _) => backed_off,
            (_, Company::NotWanted) => PAUSE.1,
            (Activity::Acted, _) => PAUSE_ACTED,
            (Activity::Highpri, _) => PAUSE_HIGHPRI,
            (Activity::Moving | Activity::Both, Company::Spotters) => backed_off.min(PAUSE_MOVING),
            (Activity::Waiting, Company::Nobody) => (self.pause * 2).clamp(PAUSE_ALONE, PAUSE.0),
            (Activity::Moving | Activity::Both | Activity::Waiting | Activity::Dear, _) => PAUSE.0,
        };
        let idle = if found == Activity::Idle {
            self.idle + self.passed.max(self.pause)
        } else {
            Duration::ZERO
        };
        Pace {
            pause,
            idle,
            moving: found == Activity::Moving && company == Company::Spotters,
            ..self
        }
    }

    /// Whether there was no work for so long that the monitor is to sleep until it is woken.
    pub(crate) fn is_over(self, company: Company) -> bool {
        let limit = match company {
            Company::Spotters | Company::Nobody => IDLE_FOR,
            Company::NotWanted => IDLE_FOR_RESCUE,
        };
        self.idle >= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: fn(u64) -> Duration = Duration::from_micros;

    /// The pauses before, and after each of, some rounds that all find the same.
    fn pauses(found: Activity, company: Company) -> Vec<u128> {
        let mut pace = Pace::fresh(company);
        let mut pauses = vec![pace.pause.as_micros()];
        for _ in 0..5 {
            pace = pace.next(found, company);
            pauses.push(pace.pause.as_micros());
        }
        pauses
    }

    /// Without a spotter the monitor looks at fresh work five times as often, and then less.
    #[test]
    fn alone_it_looks_sooner() {
        let with = pauses(Activity::Waiting, Company::Spotters);
        assert_eq!(with, [1_000; 6]);
        let alone = pauses(Activity::Waiting, Company::Nobody);
        assert_eq!(alone, [200, 400, 800, 1_000, 1_000, 1_000]);
    }

    /// Where all moves it looks seldom, and need not be called; the first that does not move
    /// changes that. Without spotters it is the only one who looks.
    #[test]
    fn what_moves_is_looked_at_less() {
        let with = pauses(Activity::Moving, Company::Spotters);
        assert_eq!(with, [1_000, 2_000, 2_000, 2_000, 2_000, 2_000]);
        let alone = pauses(Activity::Moving, Company::Nobody);
        assert_eq!(alone[1..], [1_000; 5]);
        let company = Company::Spotters;
        let moving = Pace::fresh(company).next(Activity::Moving, company);
        assert!(!moving.is_long(company));
        assert!(moving.next(Activity::Busy, company).is_long(company));
        assert_eq!(moving.next(Activity::Waiting, company).pause, PAUSE.0);
        assert_eq!(moving.next(Activity::Dear, company).pause, PAUSE.0);
        let both = pauses(Activity::Both, company);
        assert_eq!(
            both, with,
            "what moves may come to a stop, behind which work waits"
        );
        assert!(moving.next(Activity::Both, company).is_long(company));
        assert!(
            Activity::Moving < Activity::Busy,
            "one that may stand is more"
        );
        assert!(moves(MOVES, PAUSE_MOVING) && !moves(MOVES - 1, PAUSE_MOVING));
        assert!(!moves(1_000, Duration::ZERO) && !moves(1_000, PAUSE.1));
    }

    /// Whatever it found, a later finding is answered at its own pace.
    #[test]
    fn high_priority_and_successes_are_followed_closely() {
        let slow = Pace {
            pause: PAUSE.1,
            ..Pace::fresh(Company::Spotters)
        };
        for company in [Company::Spotters, Company::Nobody] {
            assert_eq!(slow.next(Activity::Acted, company).pause, US(100));
            assert_eq!(slow.next(Activity::Highpri, company).pause, US(200));
            assert_eq!(slow.next(Activity::Dear, company).pause, US(1_000));
        }
    }

    /// A lone late round judges nobody; late ones in a row are how the machine is.
    #[test]
    fn only_a_lone_late_round_judges_nobody() {
        let mut pace = Pace::fresh(Company::Spotters);
        let answers = [5, 10, 11, 300, 300, 5, 11].map(|ms| pace.note_arrival(US(ms * 1_000)));
        assert_eq!(answers, [false, false, true, false, false, false, true]);
        pace.pause = PAUSE.1;
        assert!(!pace.note_arrival(US(100_000)) && pace.note_arrival(US(100_001)));
    }

    /// Who was called a moment ago is not to be called again.
    #[test]
    fn a_hurried_round_is_followed_by_a_short_pause() {
        let company = Company::Spotters;
        let mut pace = Pace::fresh(company);
        while !pace.is_long(company) {
            pace = pace.next(Activity::Busy, company);
        }
        assert!(
            !pace.is_long(Company::NotWanted),
            "nobody is to be called there"
        );
        for found in [Activity::Idle, Activity::Busy, Activity::Waiting] {
            assert!(
                !pace.hurried().next(found, company).is_long(company),
                "{found:?}"
            );
        }
    }

    /// Where nobody is looked at there is nothing to be quick for.
    #[test]
    fn rescues_can_wait() {
        for found in [Activity::Acted, Activity::Highpri, Activity::Waiting] {
            let pace = Pace::fresh(Company::NotWanted).next(found, Company::NotWanted);
            assert_eq!(pace.pause, PAUSE.1, "{found:?}");
        }
    }

    /// Without work it comes to rest after its time, and not before; work starts that anew.
    #[test]
    fn idleness_ends_the_rounds() {
        for (company, limit) in [
            (Company::Spotters, IDLE_FOR),
            (Company::Nobody, IDLE_FOR),
            (Company::NotWanted, IDLE_FOR_RESCUE),
        ] {
            let mut pace = Pace::fresh(company);
            let mut rested = Duration::ZERO;
            while !pace.is_over(company) {
                assert!(rested < limit + PAUSE.1, "{company:?}");
                rested += pace.pause;
                pace = pace.next(Activity::Idle, company);
            }
            assert!(rested >= limit, "{company:?}");
            assert!(!pace.next(Activity::Busy, company).is_over(company));
        }
    }
}
