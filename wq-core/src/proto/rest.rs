//! Whether all rest: a moment at which no thread of a set was awake and nothing waited for one.
//!
//! For clocks of tests, which may go on only while nothing else does. Nobody who works pays for
//! it: threads count their sleeps (`proto/park.rs`), and who wants to know looks at all of them,
//! at what waits, and at all of them again. Two looks that show each thread in one and the same
//! sleep enclose a moment at which all slept.
//!
//! Not for threads that are not among those looked at. Proof and models:
//! `docs/memory-ordering.md`, "Rest".

use super::asym;

/// Whether there was a moment during this call at which all threads that `sleeps` looks at slept,
/// and `nothing_waits` was right. `None` of a look means that one of them is awake.
pub(crate) fn all_rest<T: PartialEq>(
    sleeps: impl Fn() -> Option<T>,
    nothing_waits: impl FnOnce() -> bool,
) -> bool {
    let Some(before) = sleeps() else {
        return false;
    };
    if !nothing_waits() {
        return false;
    }
    // The look at what waits before the second look at the sleepers; pairs with `asym::light` in
    // `Mark::shield`, of a worker that was woken and has taken what waited.
    asym::heavy();
    sleeps() == Some(before)
}
