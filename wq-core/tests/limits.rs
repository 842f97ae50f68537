//! Quota and allowed CPUs change while work runs; the System follows. Each test in a process of its
//! own, since they bind the whole process.
#![cfg(all(target_os = "linux", not(wq_portable)))]

#[path = "guest/scenario.rs"]
mod scenario;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, unshare};
use nix::unistd::Pid;
use wq_core::{Queue, System};

use scenario::{inside, skip};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// Work that goes on until the end: short items on every queue.
struct Load {
    system: System,
    ended: Arc<AtomicBool>,
    items: Arc<AtomicU64>,
}

impl Load {
    /// Starts it.
    fn start() -> Load {
        let system = System::builder().build().expect("a System");
        let load = Load {
            system,
            ended: Arc::default(),
            items: Arc::default(),
        };
        let all = allowed();
        for &cpu in &all {
            // What is queued from a CPU is bound to it.
            bind_caller(&[cpu]);
            for _ in 0..4 {
                load.chain(load.system.default_queue());
                load.chain(load.system.percpu_queue());
            }
        }
        bind_caller(&all);
        load
    }

    /// An item that spawns its successor, until the end.
    fn chain(&self, queue: Queue) {
        fn link(queue: Queue, ended: Arc<AtomicBool>, items: Arc<AtomicU64>) {
            let next = queue.clone();
            drop(queue.spawn_fn(move || {
                // Relaxed: a count, and a flag that carries no data.
                items.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_micros(100));
                if !ended.load(Ordering::Relaxed) {
                    link(next, ended, items);
                }
            }));
        }
        link(queue, Arc::clone(&self.ended), Arc::clone(&self.items));
    }

    /// Waits until a condition holds, and then until work has gone on for a while.
    fn until(&self, what: &str, mut holds: impl FnMut(&System) -> bool) {
        let deadline = Instant::now() + FOR_EVER;
        while !holds(&self.system) {
            assert!(
                Instant::now() < deadline,
                "{what}: {}",
                self.system.sensors()
            );
            std::thread::yield_now();
        }
        let goal = self.items.load(Ordering::Relaxed) + 1_000;
        while self.items.load(Ordering::Relaxed) < goal {
            assert!(Instant::now() < deadline, "{what}: work stands still");
            std::thread::yield_now();
        }
    }

    /// Ends it; nothing may be lost.
    fn end(self) {
        self.ended.store(true, Ordering::Relaxed);
        let report = self.system.shutdown(FOR_EVER);
        assert_eq!((report.dropped, report.detached), (0, 0), "{report:?}");
    }
}

/// Whether there are so many lanes, by the report and in each unbound pool.
fn has_lanes(system: &System, lanes: usize) -> bool {
    let pools = system.pools().into_iter();
    let mut unbound = pools.filter(|pool| pool.name.starts_with('u')).peekable();
    let found = unbound.peek().is_some();
    found && system.sensors().lanes == lanes && unbound.all(|pool| pool.lanes == lanes)
}

/// Masks of all worker threads whose name begins so, each once.
fn masks(begin: &str) -> Vec<String> {
    let mut masks = Vec::new();
    for thread in fs::read_dir("/proc/self/task").expect("procfs") {
        let thread = thread.expect("procfs").path();
        // It may be gone.
        let read = |file| fs::read_to_string(thread.join(file)).unwrap_or_default();
        if read("comm").starts_with(begin) {
            let status = read("status");
            let mut lines = status.lines();
            let mask = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
            masks.extend(mask.map(|mask| mask.trim().to_owned()));
        }
    }
    masks.sort();
    masks.dedup();
    masks
}

/// A set of CPUs, as the kernel takes it.
fn set_of(cpus: &[usize]) -> CpuSet {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        set.set(cpu).expect("a CPU's number");
    }
    set
}

/// Binds the calling thread.
fn bind_caller(cpus: &[usize]) {
    sched_setaffinity(Pid::from_raw(0), &set_of(cpus)).expect("some of them are allowed");
}

/// Allows these CPUs, and no others, to all threads of the process.
fn allow(cpus: &[usize]) {
    let set = set_of(cpus);
    for thread in fs::read_dir("/proc/self/task").expect("procfs") {
        let name = thread.expect("procfs").file_name();
        let tid = name.to_str().and_then(|name| name.parse().ok());
        // It may be gone.
        let _ = sched_setaffinity(Pid::from_raw(tid.expect("a number")), &set);
    }
}

/// The CPUs that the process may use.
fn allowed() -> Vec<usize> {
    let mask = nix::sched::sched_getaffinity(Pid::from_raw(0)).expect("a mask");
    (0..CpuSet::count())
        .filter(|&cpu| mask.is_set(cpu) == Ok(true))
        .collect()
}

/// Somebody narrows the mask of the whole program, and widens it again.
#[test]
fn masks_of_the_program_are_followed() {
    if !inside("masks_of_the_program_are_followed") {
        return;
    }
    let all = allowed();
    if all.len() < 2 {
        return skip("narrowing the mask", "there is one CPU");
    }
    let load = Load::start();
    let lanes = |n: usize| move |system: &System| has_lanes(system, n);
    load.until("all", lanes(all.len()));
    let (last, whole) = (all[all.len() - 1], masks("wq/u"));
    allow(&[last]);
    load.until("one CPU", lanes(1));
    load.until("workers on it", |_| masks("wq/u") == [last.to_string()]);
    allow(&all);
    load.until("all again", lanes(all.len()));
    load.until("workers on all", |_| masks("wq/u") == whole);
    let bound = format!("wq/{last}:");
    load.until("bound again", |_| masks(&bound) == [last.to_string()]);
    load.end();
}

/// A control group of the first kind, removed at the end.
struct Group(PathBuf);

impl Group {
    /// Makes one below the process's own of a controller, and moves the process there.
    fn enter(controller: &str, settings: &[&str]) -> std::io::Result<Group> {
        let groups = fs::read_to_string("/proc/self/cgroup")?;
        let own = groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let found = fields.next()?.split(',').any(|name| name == controller);
            found.then(|| fields.next().unwrap_or("/").to_owned())
        });
        let own = own.ok_or_else(|| std::io::Error::other("no such controller of version 1"))?;
        let top = Path::new("/sys/fs/cgroup").join(controller);
        // In a container the group's path may not be visible, and its top is.
        let own = [top.join(own.trim_start_matches('/')), top];
        let own = own.iter().find(|path| path.join("cgroup.procs").exists());
        let own = own.ok_or_else(|| std::io::Error::other("the group is not visible"))?;
        let group = Group(own.join(format!("wq-test-{}", std::process::id())));
        fs::create_dir(&group.0)?;
        for file in settings {
            group.set(file, &fs::read_to_string(own.join(file))?)?;
        }
        group.set("cgroup.procs", &std::process::id().to_string())?;
        Ok(group)
    }

    /// Writes one of its files.
    fn set(&self, file: &str, text: &str) -> std::io::Result<()> {
        fs::write(self.0.join(file), text)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(parent) = self.0.parent() {
            let _ = fs::write(parent.join("cgroup.procs"), std::process::id().to_string());
        }
        let _ = fs::remove_dir(&self.0);
    }
}

/// A container's CPU quota is changed.
#[test]
fn quotas_are_followed() {
    if !inside("quotas_are_followed") {
        return;
    }
    let group = match Group::enter("cpu", &[]) {
        Ok(group) => group,
        Err(error) => return skip("changing a quota", error),
    };
    let set = |quota: &str| group.set("cpu.cfs_quota_us", quota).expect("own group");
    let all = allowed().len();
    let load = Load::start();
    let lanes = |n: usize| move |system: &System| has_lanes(system, n);
    load.until("no quota", lanes(all));
    set("90000");
    load.until("one CPU's worth", lanes(1));
    assert_eq!(load.system.sensors().quota, Some(0.9));
    set("-1");
    load.until("no quota again", lanes(all));
    load.end();
}

/// The file of a quota of the second kind, at the top of what is mounted; removed at the end.
///
/// Whether that hierarchy has the controller is the machine's choice. So a directory of ours lies
/// over it, for this process alone: the group and the mount are read as they are, the quota is what
/// we write, and nobody is slowed down by it.
struct Quota {
    folder: PathBuf,
}

impl Quota {
    /// What stands for no quota.
    const NONE: &str = "max 100000\n";

    /// Puts one without a limit over the hierarchy.
    fn lay_over() -> std::io::Result<Quota> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let point = mounts.lines().find_map(|line| {
            let point = line.split(' ').nth(4)?;
            line.contains(" - cgroup2 ").then_some(point)
        });
        let point = point.ok_or_else(|| std::io::Error::other("no hierarchy of version 2"))?;
        let folder = std::env::temp_dir().join(format!("wq-limits-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let quota = Quota { folder };
        quota.set(Quota::NONE)?;
        unshare(CloneFlags::CLONE_NEWNS)?;
        let nothing = None::<&str>;
        // What is mounted below stays ours.
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(nothing, "/", nothing, private, nothing)?;
        mount(
            Some(&quota.folder),
            point,
            nothing,
            MsFlags::MS_BIND,
            nothing,
        )?;
        Ok(quota)
    }

    /// Writes the file.
    fn set(&self, quota: &str) -> std::io::Result<()> {
        fs::write(self.folder.join("cpu.max"), quota)
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The same of the second kind, whose file is ours.
#[test]
fn quotas_of_version_2_are_followed() {
    if !inside("quotas_of_version_2_are_followed") {
        return;
    }
    let quota = match Quota::lay_over() {
        Ok(quota) => quota,
        Err(error) => return skip("changing a quota of version 2", error),
    };
    let all = allowed().len();
    let load = Load::start();
    let lanes = |n: usize| move |system: &System| system.sensors().lanes == n;
    load.until("no quota", lanes(all));
    quota.set("90000 100000\n").expect("own file");
    load.until("one CPU's worth", lanes(1));
    assert_eq!(load.system.sensors().quota, Some(0.9));
    quota.set(Quota::NONE).expect("own file");
    load.until("no quota again", |system| {
        let found = system.sensors();
        (found.lanes, found.quota) == (all, None)
    });
    load.end();
}

/// A container's CPUs are changed.
#[test]
fn cpusets_are_followed() {
    if !inside("cpusets_are_followed") {
        return;
    }
    let all = allowed();
    if all.len() < 2 {
        return skip("narrowing the cpuset", "there is one CPU");
    }
    let group = match Group::enter("cpuset", &["cpuset.mems", "cpuset.cpus"]) {
        Ok(group) => group,
        Err(error) => return skip("changing a cpuset", error),
    };
    let load = Load::start();
    let cpus = fs::read_to_string(group.0.join("cpuset.cpus")).expect("own group");
    let (first, last) = (all[0].to_string(), all[all.len() - 1]);
    let bound = format!("wq/{last}:");
    load.until("all", |system| has_lanes(system, all.len()));
    load.until("bound", |_| masks(&bound) == [last.to_string()]);
    let whole = masks("wq/u");
    group.set("cpuset.cpus", &first).expect("own group");
    load.until("one CPU", |system| {
        system.sensors().cpus.to_string() == first && has_lanes(system, 1)
    });
    load.until("all on it", |_| masks("wq/") == [first.clone()]);
    group.set("cpuset.cpus", &cpus).expect("own group");
    load.until("all again", |system| has_lanes(system, all.len()));
    load.until("unbound on all", |_| masks("wq/u") == whole);
    load.until("bound again", |_| masks(&bound) == [last.to_string()]);
    load.end();
}
