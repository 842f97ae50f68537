//! What is said of a pool that stands still with all the workers that it may have.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::policy::HARD_CAP_FACTOR;
use crate::pool::Pool;
use crate::stats::Running;
use crate::system::SystemInner;

use super::AT_BOUND;

/// Not said again of the same pool within this time.
pub(super) const REPORT_EVERY: Duration = Duration::from_secs(10);

/// Most types of items that are named; what others there are is counted.
const MOST_NAMED: usize = 8;

/// The report: whose pool, how many workers, and what holds them.
pub(super) fn line(system: &SystemInner, pool: &Pool) -> String {
    let (tag, name) = (&system.tag, pool.label());
    // Relaxed: a count for people.
    let workers = pool.nr_workers.load(Ordering::Relaxed);
    let bound = pool.bound;
    let cap = bound.saturating_mul(HARD_CAP_FACTOR);
    let next = if workers < cap {
        format!("one more comes each {AT_BOUND:?}, up to {cap}")
    } else {
        "no more come".to_owned()
    };
    format!(
        "wq: pool {tag}/{name} has {workers} workers (bound: {bound}) and no item has ended for \
         {AT_BOUND:?}. They run: {}. Meanwhile {next}. If so many items have to block at a time, \
         raise `max_workers`; if they wait for each other, limit their queue with `max_active`.",
        held_by(&Running::in_pool(system, pool))
    )
}

/// The most frequent types, with their counts.
fn held_by(running: &[Running]) -> String {
    let (named, others) = running.split_at(running.len().min(MOST_NAMED));
    let others: usize = others.iter().map(|it| it.workers).sum();
    let mut parts: Vec<String> = named
        .iter()
        .map(|it| format!("{} x {}", it.workers, it.name))
        .collect();
    if others > 0 {
        parts.push(format!("{others} x others"));
    }
    if parts.is_empty() {
        return "nothing that has a name".to_owned();
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a long list is cut, and nothing is left uncounted.
    #[test]
    fn few_types_are_named_and_all_counted() {
        let running = |n: usize| -> Vec<Running> {
            (1..=n)
                .map(|workers| Running { name: "f", workers })
                .collect()
        };
        assert_eq!(held_by(&running(0)), "nothing that has a name");
        assert_eq!(held_by(&running(2)), "1 x f, 2 x f");
        let long = held_by(&running(MOST_NAMED + 2));
        assert!(long.ends_with("8 x f, 19 x others"), "{long}");
    }
}
