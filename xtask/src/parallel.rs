//! A few jobs at a time over a list, with the results in the order of the list.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Runs `work` on every item, `jobs` at a time; it is told which job it runs in.
///
/// Items are begun in order. A panic in `work` is propagated when all threads have ended.
pub(crate) fn map<T: Sync, R: Send>(
    jobs: usize,
    items: &[T],
    work: impl Fn(usize, &T) -> R + Sync,
) -> Vec<R> {
    // Relaxed: the counter only deals out indices; the items were there before the threads.
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for job in 0..jobs.clamp(1, items.len().max(1)) {
            let (next, results, work) = (&next, &results, &work);
            scope.spawn(move || {
                while let Some((at, item)) = deal(next, items) {
                    let result = work(job, item);
                    results
                        .lock()
                        .expect("no panic under this lock")
                        .push((at, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no panic under this lock");
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// The next item that nobody has begun.
fn deal<'item, T>(next: &AtomicUsize, items: &'item [T]) -> Option<(usize, &'item T)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    items.get(at).map(|item| (at, item))
}

/// How many jobs to run when nobody says: one for each CPU that we may use.
pub(crate) fn default_jobs() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::map;

    /// Every item is worked on once, and the results come in the items' order.
    #[test]
    fn results_keep_the_order_of_the_items() {
        let items: Vec<u32> = (0..100).collect();
        for jobs in [0, 1, 3, 200] {
            let doubled = map(jobs, &items, |_, item| item * 2);
            assert_eq!(
                doubled,
                items.iter().map(|item| item * 2).collect::<Vec<_>>()
            );
        }
        assert!(map(2, &[], |_, item: &u32| *item).is_empty());
    }
}
