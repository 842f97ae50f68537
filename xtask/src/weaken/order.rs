//! What an ordering can be weakened to, by the kind of operation that has it.

/// How much an ordering promises; a fence or barrier that is gone promises as little as `Relaxed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strength {
    /// Nothing to other threads.
    Relaxed,
    /// To see what was released.
    Acquire,
    /// To show what was done before.
    Release,
    /// Both.
    AcqRel,
    /// Both, and one order for all.
    SeqCst,
}

/// The kind of operation that an ordering belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Also the failure of a compare-exchange.
    Load,
    /// A plain store.
    Store,
    /// Read-modify-write; also where the operation cannot be told.
    Change,
    /// A fence, which may also be taken away altogether.
    Fence,
}

impl Strength {
    /// All that make a promise.
    const STRONG: [Self; 4] = [Self::SeqCst, Self::AcqRel, Self::Acquire, Self::Release];

    /// The strength that this name stands for; none for `Relaxed`, which cannot be weakened.
    pub(super) fn of(name: &str) -> Option<Self> {
        Self::STRONG
            .into_iter()
            .find(|strength| strength.name() == name)
    }

    /// As it is written.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Relaxed => "Relaxed",
            Self::Acquire => "Acquire",
            Self::Release => "Release",
            Self::AcqRel => "AcqRel",
            Self::SeqCst => "SeqCst",
        }
    }

    /// Whether it promises strictly less than the other; `Acquire` and `Release` do not compare.
    pub(super) fn is_weaker_than(self, other: Self) -> bool {
        let rank = |strength| match strength {
            Self::Relaxed => 0,
            Self::Acquire | Self::Release => 1,
            Self::AcqRel => 2,
            Self::SeqCst => 3,
        };
        rank(self) < rank(other)
    }
}

impl Operation {
    /// All weaker orderings that the operation may have, strongest first.
    pub(super) fn weaker(self, than: Strength) -> Vec<Strength> {
        use Strength::{AcqRel, Acquire, Relaxed, Release};
        let possible: &[Strength] = match self {
            Self::Load => &[Acquire, Relaxed],
            Self::Store => &[Release, Relaxed],
            Self::Change => &[AcqRel, Acquire, Release, Relaxed],
            Self::Fence => &[AcqRel, Acquire, Release],
        };
        possible
            .iter()
            .copied()
            .filter(|it| it.is_weaker_than(than))
            .collect()
    }
}

/// The operation and the role of an ordering that is argument `index` of a call of `method`.
pub(super) fn operation(method: &str, index: usize) -> (Operation, &'static str) {
    match (method, index) {
        ("load", _) => (Operation::Load, ""),
        ("store", _) => (Operation::Store, ""),
        ("fence", _) => (Operation::Fence, ""),
        ("compare_exchange" | "compare_exchange_weak", 3) | ("fetch_update", 1) => {
            (Operation::Load, "failure ")
        }
        ("compare_exchange" | "compare_exchange_weak" | "fetch_update", _) => {
            (Operation::Change, "success ")
        }
        _ => (Operation::Change, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::Strength::{AcqRel, Acquire, Relaxed, Release, SeqCst};
    use super::*;

    /// Each operation is weakened to what it may have, one step at a time and strongest first.
    #[test]
    fn each_operation_is_weakened_to_what_it_may_have() {
        assert_eq!(Operation::Load.weaker(SeqCst), [Acquire, Relaxed]);
        assert_eq!(Operation::Load.weaker(Acquire), [Relaxed]);
        assert_eq!(Operation::Store.weaker(SeqCst), [Release, Relaxed]);
        assert_eq!(
            Operation::Change.weaker(AcqRel),
            [Acquire, Release, Relaxed]
        );
        assert_eq!(Operation::Change.weaker(Release), [Relaxed]);
        assert_eq!(Operation::Fence.weaker(SeqCst), [AcqRel, Acquire, Release]);
        assert!(
            Operation::Fence.weaker(Acquire).is_empty(),
            "it can only go"
        );
    }

    /// Acquire and Release do not compare: noticing one says nothing about the other.
    #[test]
    fn acquire_and_release_do_not_compare() {
        assert!(!Acquire.is_weaker_than(Release) && !Release.is_weaker_than(Acquire));
        assert!(Relaxed.is_weaker_than(Acquire) && Release.is_weaker_than(AcqRel));
    }

    /// The two orderings of a compare-exchange have different duties.
    #[test]
    fn both_orderings_of_a_compare_exchange_are_told_apart() {
        assert_eq!(
            operation("compare_exchange", 2),
            (Operation::Change, "success ")
        );
        assert_eq!(
            operation("compare_exchange_weak", 3),
            (Operation::Load, "failure ")
        );
        assert_eq!(
            operation("fetch_update", 0),
            (Operation::Change, "success ")
        );
        assert_eq!(operation("fetch_or", 1), (Operation::Change, ""));
    }
}
