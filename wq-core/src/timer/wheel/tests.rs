//! The wheel against a model that is plainly right: a map ordered by deadline and age.

use std::collections::BTreeMap;

use super::*;

/// Marsaglia's xorshift: repeatable randomness without a dependency.
struct Random(u64);

impl Random {
    /// The next of 2^64 - 1 numbers.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A span of time with a random order of magnitude, below 2^`bits`.
    fn span(&mut self, bits: u64) -> u64 {
        let bits = self.below(bits + 1);
        self.next() & (1_u64 << bits).wrapping_sub(1)
    }
}

/// The wheel and the model, given the same orders and compared after each.
struct Pair {
    /// What is tested.
    wheel: Wheel<u64>,
    /// Key and value by deadline and age.
    model: BTreeMap<(u64, u64), TimerKey>,
    /// Each key ever issued, with its place in the model.
    issued: Vec<(TimerKey, (u64, u64))>,
    /// The time.
    now_ns: u64,
    /// Timers armed so far: the value that the next one carries.
    armed: u64,
    /// Has no timer been cancelled?
    pristine: bool,
}

impl Pair {
    /// Both empty, at time zero.
    fn new() -> Self {
        let (wheel, model, issued) = (Wheel::new(), BTreeMap::new(), Vec::new());
        Self {
            wheel,
            model,
            issued,
            now_ns: 0,
            armed: 0,
            pristine: true,
        }
    }

    /// Arms a timer in both.
    fn insert(&mut self, deadline_ns: u64) {
        let place = (deadline_ns, self.armed);
        let key = self
            .wheel
            .insert(deadline_ns, self.armed)
            .expect("far from the limit");
        self.armed += 1;
        self.model.insert(place, key);
        self.issued.push((key, place));
        self.compare();
    }

    /// Cancels a timer that was armed at some time, and may have ended since.
    fn cancel(&mut self, random: &mut Random) {
        if self.issued.is_empty() {
            return;
        }
        let victim = random.below(self.issued.len() as u64) as usize;
        let (key, place) = self.issued.swap_remove(victim);
        let expected = self.model.remove(&place).map(|_| place.1);
        assert_eq!(self.wheel.payload_mut(key).copied(), expected);
        assert_eq!(self.wheel.cancel(key), expected);
        assert_eq!(
            self.wheel.cancel(key),
            None,
            "a key is good for one cancellation"
        );
        self.pristine = false;
        self.compare();
    }

    /// Lets `by` nanoseconds pass and expires `max` timers at a time.
    fn pass(&mut self, by: u64, max: usize) {
        self.now_ns = self.now_ns.saturating_add(by);
        let later = self.model.split_off(&(self.now_ns.saturating_add(1), 0));
        let mut expected = std::mem::replace(&mut self.model, later);
        if self.now_ns == u64::MAX {
            expected.append(&mut self.model);
        }
        let mut expired = Vec::new();
        loop {
            let before = expired.len();
            let more = self.wheel.expire(self.now_ns, &mut expired, max);
            assert!(
                expired.len() - before <= max,
                "the limit of a call was ignored"
            );
            if more == Expired::Done {
                break;
            }
        }
        assert!(
            expired
                .iter()
                .copied()
                .eq(expected.into_keys().map(|(_, value)| value))
        );
        self.compare();
    }

    /// Checks what can be seen from outside.
    fn compare(&self) {
        assert_eq!(self.wheel.len(), self.model.len());
        let first = self
            .model
            .keys()
            .next()
            .map(|&(deadline_ns, _)| deadline_ns);
        let next = self.wheel.next_deadline();
        assert_eq!(next.is_some(), first.is_some());
        assert!(
            next <= first,
            "sleeping until {next:?} is too long for {first:?}"
        );
        if self.pristine {
            assert_eq!(
                next, first,
                "only a cancelled timer makes a wake-up in vain"
            );
        }
    }
}

/// Random orders of all magnitudes, from a nanosecond to centuries, deadlines in the past among
/// them; a third of the runs never cancels and so also checks that wake-ups are exact.
#[test]
fn expiry_matches_an_ordered_map() {
    for seed in 1..=120 {
        eprintln!("seed {seed}");
        let mut random = Random(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        let mut pair = Pair::new();
        let magnitude = [12, 24, 40, 63][seed as usize % 4];
        for _ in 0..600 {
            match random.below(10) {
                0 => pair.insert(pair.now_ns.saturating_sub(random.span(magnitude))),
                1..=5 => pair.insert(pair.now_ns.saturating_add(random.span(magnitude))),
                6 | 7 if seed % 3 != 0 => pair.cancel(&mut random),
                6 | 7 => pair.insert(pair.now_ns.saturating_add(random.below(3000))),
                _ => {
                    let by = random.span(magnitude);
                    pair.pass(by, 1 + random.below(9) as usize);
                }
            }
        }
        pair.pass(u64::MAX, usize::MAX);
        assert_eq!(pair.wheel.len(), 0);
    }
}

/// Few distinct deadlines and many timers: order among equals is the order of arming.
#[test]
fn equal_deadlines_expire_first_come_first_served() {
    let mut random = Random(7);
    let mut pair = Pair::new();
    for round in 1..=50 {
        for _ in 0..40 {
            pair.insert(round * 5000 + random.below(3));
        }
        pair.cancel(&mut random);
        pair.pass(random.below(9000), 7);
    }
    pair.pass(u64::MAX, 7);
}

/// Deadlines on both sides of each level's edge, expired at the very nanosecond.
#[test]
fn timers_expire_at_their_nanosecond_and_not_before() {
    for bit in 0..u64::BITS {
        for offset in [0, 1, 1023, 1024, 1025] {
            let Some(deadline_ns) = (1_u64 << bit).checked_add(offset) else {
                continue;
            };
            let mut wheel = Wheel::new();
            let mut due = Vec::new();
            wheel
                .insert(deadline_ns, 'x')
                .expect("an empty wheel has room");
            assert_eq!(wheel.next_deadline(), Some(deadline_ns));
            assert_eq!(wheel.expire(deadline_ns - 1, &mut due, 1), Expired::Done);
            assert!(due.is_empty());
            assert_eq!(wheel.next_deadline(), Some(deadline_ns));
            assert_eq!(wheel.expire(deadline_ns, &mut due, 1), Expired::Done);
            assert_eq!(due, ['x']);
            assert_eq!(wheel.next_deadline(), None);
        }
    }
}

/// More timers in one slot than one call may move: calls say `More` and the order still holds,
/// also for timers that are cancelled or armed between the calls.
#[test]
fn a_crowded_slot_falls_in_several_calls() {
    let mut wheel = Wheel::new();
    let far_ns = 1 << 40;
    let count = 3 * MOVES_PER_CALL as u64;
    let keys: Vec<_> = (0..count)
        .map(|value| {
            wheel
                .insert(far_ns + (count - value) * 7, value)
                .expect("room")
        })
        .collect();
    let mut due = Vec::new();
    assert_eq!(
        wheel.expire(far_ns + count * 7, &mut due, usize::MAX),
        Expired::More
    );
    assert!(
        due.is_empty(),
        "nothing may expire before the slot has fallen"
    );
    assert!(wheel.next_deadline().is_some_and(|next| next <= far_ns + 7));
    for key in keys.iter().step_by(2) {
        assert!(wheel.cancel(*key).is_some());
    }
    wheel.insert(5, count).expect("room");
    assert_eq!(wheel.next_deadline(), Some(5));
    while wheel.expire(far_ns + count * 7, &mut due, usize::MAX) == Expired::More {}
    let expected = (0..count).rev().filter(|value| value % 2 == 1);
    assert!(
        due.iter()
            .copied()
            .eq(std::iter::once(count).chain(expected))
    );
}

/// A key that outlived its timer by many reuses of the entry names nothing.
#[test]
fn an_old_key_never_reaches_a_younger_timer() {
    let mut wheel = Wheel::new();
    let old = wheel.insert(10, 0).expect("room");
    assert_eq!(wheel.cancel(old), Some(0));
    for value in 1..100 {
        let young = wheel.insert(10, value).expect("room");
        assert_eq!(young.index(), old.index(), "the free entry is used again");
        assert_eq!(wheel.cancel(old), None);
        assert_eq!(wheel.payload_mut(old), None);
        assert_eq!(wheel.cancel(young), Some(value));
    }
}

/// At the limit the payload comes back; a timer's end makes room.
#[test]
fn a_full_wheel_hands_the_payload_back() {
    let mut wheel = Wheel::with_limit(2);
    let first = wheel.insert(1, 'a').expect("room");
    wheel.insert(2, 'b').expect("room");
    assert_eq!(wheel.insert(3, 'c'), Err('c'));
    assert_eq!(wheel.cancel(first), Some('a'));
    wheel.insert(3, 'c').expect("room again");
    assert_eq!(wheel.drain(), ['b', 'c']);
}

/// Timers armed and cancelled for ever, near and far, leave neither entries nor heap behind.
#[test]
fn a_warm_wheel_does_not_grow() {
    let mut wheel = Wheel::new();
    let mut due = Vec::new();
    let live: Vec<_> = (0..300)
        .map(|n| wheel.insert(1 << 50, n).expect("room"))
        .collect();
    for round in 0..20_000_u64 {
        let now_ns = round * 100;
        let near = wheel.insert(now_ns / 2, round).expect("room");
        let far = wheel.insert(now_ns + 5_000_000, round).expect("room");
        assert!(wheel.cancel(near).is_some());
        assert!(wheel.cancel(far).is_some());
        assert!(
            wheel.current.len() <= 2 * STALE_SLACK,
            "cancelled timers pile up"
        );
        if round % 100 == 0 {
            assert_eq!(wheel.expire(now_ns, &mut due, 64), Expired::Done);
        }
    }
    assert!(due.is_empty());
    assert_eq!(wheel.slab.chunks(), 1);
    assert_eq!(wheel.len(), live.len());
}

/// Cancelled timers of the current tick are swept from the heap behind a live top.
#[test]
fn cancelled_timers_behind_a_live_one_are_swept() {
    let mut wheel = Wheel::new();
    wheel.insert(0, 0).expect("room");
    for value in 1..10_000 {
        let key = wheel.insert(1, value).expect("room");
        assert_eq!(wheel.cancel(key), Some(value));
        assert!(wheel.current.len() <= 2 + 1 + STALE_SLACK);
    }
    assert_eq!(wheel.drain(), [0]);
}

/// Draining hands everything over in the order of expiry, wherever it hung.
#[test]
fn draining_keeps_the_order_of_expiry() {
    let mut random = Random(99);
    let mut wheel = Wheel::new();
    let mut model = BTreeMap::new();
    let old = wheel.insert(0, 0).expect("room");
    model.insert((0, 0), 0);
    for value in 1..2000 {
        let deadline_ns = random.span(63);
        wheel.insert(deadline_ns, value).expect("room");
        model.insert((deadline_ns, value), value);
    }
    assert!(wheel.drain().into_iter().eq(model.into_values()));
    assert_eq!(wheel.len(), 0);
    assert_eq!(wheel.next_deadline(), None);
    wheel.insert(0, 7).expect("room");
    assert_eq!(wheel.cancel(old), None, "keys stay out of date");
    assert_eq!(wheel.drain(), [7]);
}
