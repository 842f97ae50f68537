//! Cutting one last-level cache into shards of about eight cores.
//!
//! A pool has one lock; a cache with many cores makes it a hot one, while shards that are too
//! small lose the cache's locality. Both ends were measured for the kernel, whose rule this is.

#![forbid(unsafe_code)]

use crate::cpuset::CpuSet;

/// The number of cores that a shard should have.
const SHARD_CORES: usize = 8;

/// The number of cores of each shard of a cache with `cores` of them, the larger ones first.
fn shard_sizes(cores: usize) -> impl Iterator<Item = usize> {
    let shards = ((cores + SHARD_CORES / 2) / SHARD_CORES).max(1);
    let (size, larger) = (cores / shards, cores % shards);
    (0..shards).map(move |shard| if shard < larger { size + 1 } else { size })
}

/// Cuts a cache's CPUs into shards, in the order of `cores`, none of which is split.
pub(super) fn split(cache: &CpuSet, cores: &[CpuSet]) -> Vec<CpuSet> {
    let inside = cores
        .iter()
        .map(|core| core.and(cache))
        .filter(|core| !core.is_empty());
    let cores: Vec<CpuSet> = inside.collect();
    let mut rest = cores.iter();
    let shards = shard_sizes(cores.len());
    shards
        .map(|size| rest.by_ref().take(size).fold(CpuSet::new(), |a, b| a.or(b)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the kernel's sizes. Method: its documented values, and those around the steps.
    #[test]
    fn shard_sizes_are_the_kernels() {
        let cases: [(usize, &[usize]); 11] = [
            (1, &[1]),
            (8, &[8]),
            (11, &[11]),
            (12, &[6, 6]),
            (16, &[8, 8]),
            (19, &[10, 9]),
            (20, &[7, 7, 6]),
            (24, &[8, 8, 8]),
            (36, &[8, 7, 7, 7, 7]),
            (64, &[8; 8]),
            (72, &[8; 9]),
        ];
        for (cores, sizes) in cases {
            assert_eq!(
                shard_sizes(cores).collect::<Vec<_>>(),
                sizes,
                "{cores} cores"
            );
        }
    }

    /// Goal: for any number of cores the rule holds: nothing lost, sizes differ by one at most,
    /// larger ones first. Method: all numbers up to the greatest machine.
    #[test]
    fn shards_are_even_and_complete() {
        for cores in 1..=CpuSet::MAX_CPUS {
            let sizes: Vec<usize> = shard_sizes(cores).collect();
            assert_eq!(sizes.iter().sum::<usize>(), cores);
            assert!(sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
            assert!(sizes[0] - sizes[sizes.len() - 1] <= 1, "{sizes:?}");
        }
    }
}
