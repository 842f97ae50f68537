//! How often items of each kind were marked CPU intensive, for people.
//!
//! A table of bounded size: kinds beyond it are counted together. When to report one is a pure
//! function with the kernel's rhythm (`workqueue.cpu_intensive_warning_thresh`).

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::kind::{Kind, KindNumber};

/// Kinds that are counted one by one (the kernel's `WCI_MAX_ENTS`).
const MAX_KINDS: usize = 128;

/// What [`CpuHog::name`] says of all types that the table has no room for.
const OTHERS: &str = "(other types)";

/// A type of futures or closures whose items hogged a CPU.
///
/// # Examples
/// ```
/// let system = wq_core::System::builder().build()?;
/// for hog in system.cpu_hogs() {
///     println!("{} hogged a CPU {} times", hog.name, hog.times);
/// }
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CpuHog {
    /// What the compiler calls the type; `"(other types)"` stands for all those that a table of 128
    /// has no room for.
    pub name: &'static str,
    /// How often an item of it was marked CPU intensive.
    pub times: u64,
}

/// The counts.
#[derive(Debug)]
pub(crate) struct Table(Mutex<Rows>);

/// What the lock guards.
#[derive(Debug)]
struct Rows {
    kinds: Vec<(KindNumber, CpuHog)>,
    others: u64,
}

/// What a count gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Counted {
    /// So often by now.
    Kind(CpuHog),
    /// There was no room for the kind, for the first time.
    FirstWithoutRoom,
    /// There was no room for the kind.
    WithoutRoom,
}

impl Table {
    /// Nothing is counted.
    pub(crate) fn new() -> Table {
        Table(Mutex::new(Rows {
            kinds: Vec::with_capacity(MAX_KINDS),
            others: 0,
        }))
    }

    /// The counts, whole also after a panic.
    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An item of this kind was marked.
    pub(crate) fn count(&self, kind: &Kind) -> Counted {
        let (number, name) = (kind.number(), kind.name());
        let mut rows = self.lock();
        if let Some((_, hog)) = rows.kinds.iter_mut().find(|(known, _)| *known == number) {
            hog.times += 1;
            return Counted::Kind(*hog);
        }
        if rows.kinds.len() < MAX_KINDS {
            let hog = CpuHog { name, times: 1 };
            rows.kinds.push((number, hog));
            return Counted::Kind(hog);
        }
        rows.others += 1;
        if rows.others == 1 {
            Counted::FirstWithoutRoom
        } else {
            Counted::WithoutRoom
        }
    }

    /// All counts, most frequent first.
    pub(crate) fn list(&self) -> Vec<CpuHog> {
        let (mut hogs, others) = {
            let rows = self.lock();
            let hogs: Vec<CpuHog> = rows.kinds.iter().map(|(_, hog)| *hog).collect();
            (hogs, rows.others)
        };
        if others > 0 {
            hogs.push(CpuHog {
                name: OTHERS,
                times: others,
            });
        }
        hogs.sort_by_key(|hog| std::cmp::Reverse(hog.times));
        hogs
    }
}

/// Whether the `times`th mark of a kind is reported, if the first report is due at the `first`th:
/// 4, 5, 7, 11, 19, .. for 4. 0: never.
pub(crate) fn is_report_due(times: u64, first: u64) -> bool {
    first != 0 && times >= first && (times - first + 1).is_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: reports come at the kernel's times, and never if they are off.
    #[test]
    fn reports_have_doubling_gaps() {
        let due = |first| -> Vec<u64> { (1..40).filter(|&n| is_report_due(n, first)).collect() };
        assert_eq!(due(4), [4, 5, 7, 11, 19, 35]);
        assert_eq!(due(1), [1, 2, 4, 8, 16, 32]);
        assert!(due(0).is_empty());
    }

    /// A type for each number.
    struct Nth<const N: usize>;

    /// Counts one mark for each of 4 types in a row.
    fn count_four<const A: usize, const B: usize, const C: usize, const D: usize>(
        table: &Table,
    ) -> [Counted; 4] {
        [
            Kind::of::<Nth<A>>(),
            Kind::of::<Nth<B>>(),
            Kind::of::<Nth<C>>(),
            Kind::of::<Nth<D>>(),
        ]
        .map(|kind| table.count(kind))
    }

    /// Goal: a full table counts further types together, says so once, and keeps counting those it
    /// has. Method: the table is filled with one type's row, then meets others.
    #[test]
    fn a_full_table_counts_the_others_together() {
        let table = Table::new();
        let known = Kind::of::<u8>();
        let row = (
            known.number(),
            CpuHog {
                name: "u8",
                times: 1,
            },
        );
        table.lock().kinds.resize(MAX_KINDS, row);
        let counted = count_four::<0, 1, 2, 3>(&table);
        assert_eq!(counted[0], Counted::FirstWithoutRoom);
        assert!(counted[1..].iter().all(|c| *c == Counted::WithoutRoom));
        let again = CpuHog {
            name: "u8",
            times: 2,
        };
        assert_eq!(table.count(known), Counted::Kind(again));
        let list = table.list();
        assert_eq!((list[0].name, list[0].times), (OTHERS, 4));
        assert_eq!(list.len(), MAX_KINDS + 1);
    }
}
