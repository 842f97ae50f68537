//! The machine's shape as the kernel shows it in `sys/devices/system`.
//!
//! All reading is relative to a root directory, so that tests can bring a machine of their own.
//! A file that is missing or makes no sense counts as "not known"; nothing fails.

#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

use super::Partition;
use crate::cpuset::CpuSet;

/// The CPUs that are online, if that is known.
pub(super) fn online(root: &Path) -> Option<CpuSet> {
    cpulist(&root.join("sys/devices/system/cpu/online"))
}

/// Groups the CPUs into cores. Without files each CPU is one.
pub(super) fn cores(root: &Path, all: &CpuSet) -> Partition {
    Partition::new(all, |cpu| {
        let topology = cpu_directory(root, cpu).join("topology");
        // The second name is the older one.
        let siblings = first_cpulist(&topology, &["core_cpus_list", "thread_siblings_list"]);
        siblings.unwrap_or_default()
    })
}

/// Groups the CPUs by last-level cache. A CPU whose caches are not known counts its package as
/// one, and if that is not known either, its node.
pub(super) fn caches(root: &Path, all: &CpuSet, nodes: &Partition) -> Partition {
    Partition::new(all, |cpu| {
        let directory = cpu_directory(root, cpu);
        let package = || {
            let names = ["package_cpus_list", "core_siblings_list"];
            first_cpulist(&directory.join("topology"), &names)
        };
        let cache = last_level_cache(&directory.join("cache")).or_else(package);
        cache.unwrap_or_else(|| nodes.group_of(cpu).clone())
    })
}

/// Groups the CPUs by NUMA node. CPUs that no node claims are one node of their own.
pub(super) fn nodes(root: &Path, all: &CpuSet) -> Partition {
    let directory = root.join("sys/devices/system/node");
    let lists = numbered(&directory, "node")
        .into_iter()
        .map(|(_, node)| node.join("cpulist"));
    let nodes: Vec<CpuSet> = lists.filter_map(|list| cpulist(&list)).collect();
    let is_claimed = |cpu: &usize| nodes.iter().any(|node| node.contains(*cpu));
    let unclaimed: CpuSet = all.iter().filter(|cpu| !is_claimed(cpu)).collect();
    Partition::new(all, |cpu| {
        let own = nodes.iter().find(|node| node.contains(cpu));
        own.unwrap_or(&unclaimed).clone()
    })
}

/// The CPUs that share the highest cache level listed in a CPU's cache directory. Levels are
/// compared, not directory numbers, whose order is a habit only.
fn last_level_cache(directory: &Path) -> Option<CpuSet> {
    let caches = numbered(directory, "index")
        .into_iter()
        .filter_map(|(_, cache)| {
            let level: u32 = read_text(&cache.join("level"))?.trim().parse().ok()?;
            // Instructions are not what work items share.
            let is_for_data =
                read_text(&cache.join("type")).is_none_or(|kind| kind != "Instruction");
            let cpus = cpulist(&cache.join("shared_cpu_list"))?;
            is_for_data.then_some((level, cpus))
        });
    caches.max_by_key(|&(level, _)| level).map(|(_, cpus)| cpus)
}

/// Where the files of one CPU are.
fn cpu_directory(root: &Path, cpu: usize) -> PathBuf {
    root.join(format!("sys/devices/system/cpu/cpu{cpu}"))
}

/// The entries of a directory that are called `prefix` and a number, by that number.
fn numbered(directory: &Path, prefix: &str) -> Vec<(u32, PathBuf)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    found.sort();
    found
}

/// The first of some files that holds a CPU list.
fn first_cpulist(directory: &Path, names: &[&str]) -> Option<CpuSet> {
    names.iter().find_map(|name| cpulist(&directory.join(name)))
}

/// Reads a CPU list; an empty one (a node of memory only) tells nothing.
fn cpulist(path: &Path) -> Option<CpuSet> {
    let cpus: CpuSet = read_text(path)?.parse().ok()?;
    (!cpus.is_empty()).then_some(cpus)
}

/// A whole small file, without the end of the line.
fn read_text(path: &Path) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}
