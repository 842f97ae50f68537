//! Where counting begins and ends: two functions that the counting program looks for by name.
//!
//! `callgrind` sets its counts to nothing when a thread enters the one and writes them down when a
//! thread enters the other. They differ, lest a compiler make one of both.

use std::hint::black_box;

/// Counting begins here.
#[inline(never)]
pub(crate) fn counting_begins() {
    black_box("begins");
}

/// Counting ends here.
#[inline(never)]
pub(crate) fn counting_ends() {
    black_box(2_u64);
}
