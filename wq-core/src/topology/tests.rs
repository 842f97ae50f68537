//! Fixture machines written to a temporary directory, and made-up ones.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use super::*;

/// All scopes; `AffinityScope` keeps its own list to itself.
const SCOPES: [AffinityScope; 6] = [
    AffinityScope::Cpu,
    AffinityScope::Smt,
    AffinityScope::CacheShard,
    AffinityScope::Cache,
    AffinityScope::Numa,
    AffinityScope::System,
];

/// A directory with the files of a machine, removed at the end.
struct Fixture(PathBuf);

impl Fixture {
    /// An empty one. The name keeps tests of one process apart.
    fn new(name: &str) -> Fixture {
        let directory = format!("wq-topology-{name}-{}", std::process::id());
        let fixture = Fixture(std::env::temp_dir().join(directory));
        fs::create_dir_all(&fixture.0).expect("a temporary directory");
        fixture
    }

    /// Writes a file, given its path below `sys/devices/system`.
    fn write(&self, path: &str, text: &str) {
        let path = self.0.join("sys/devices/system").join(path);
        fs::create_dir_all(path.parent().expect("a file in a directory")).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }

    /// Writes the files of each CPU of a machine as the kernel does, with instruction and data
    /// caches of the first level, a second level per core and a third level.
    fn write_cpus(&self, machine: &Topology, package: impl Fn(usize) -> CpuSet) {
        let cpus = machine.allowed();
        self.write("cpu/online", &cpus.to_string());
        for cpu in cpus.iter() {
            let core = machine.smt_siblings(cpu).to_string();
            let cache = machine.cache(cpu).to_string();
            let levels = [
                ("1", "Data", &core),
                ("1", "Instruction", &core),
                ("2", "Unified", &core),
                ("3", "Unified", &cache),
            ];
            for (index, (level, kind, shared)) in levels.into_iter().enumerate() {
                let directory = format!("cpu/cpu{cpu}/cache/index{index}");
                self.write(&format!("{directory}/level"), level);
                self.write(&format!("{directory}/type"), kind);
                self.write(&format!("{directory}/shared_cpu_list"), shared);
            }
            let directory = format!("cpu/cpu{cpu}/topology");
            self.write(&format!("{directory}/thread_siblings_list"), &core);
            self.write(
                &format!("{directory}/core_siblings_list"),
                &package(cpu).to_string(),
            );
        }
    }

    /// Deletes a file or a directory of each of `count` CPUs.
    fn forget(&self, count: usize, path: &str) {
        for cpu in 0..count {
            let path = self
                .0
                .join(format!("sys/devices/system/cpu/cpu{cpu}/{path}"));
            fs::remove_dir_all(&path)
                .or_else(|_| fs::remove_file(&path))
                .expect("it was there");
        }
    }

    /// Reads the machine back; the affinity mask is not known.
    fn read(&self) -> Topology {
        Topology::read(&self.0, Err(ErrorKind::Unsupported.into()), None)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Parses a list that the test knows to be good.
fn cpus(list: &str) -> CpuSet {
    list.parse().expect("the list is well formed")
}

/// The pods as text, for comparing.
fn pods(topology: &Topology, scope: AffinityScope, list: &str) -> Vec<String> {
    topology
        .pods(scope, &cpus(list))
        .iter()
        .map(CpuSet::to_string)
        .collect()
}

/// Two sockets, each a node with two caches of two cores with two threads; CPUs 0-7 are the first
/// threads.
fn two_sockets() -> Topology {
    Topology::fake(
        FakeSpec::new()
            .nodes(2)
            .caches(2)
            .cores(2)
            .threads(2)
            .split_siblings(),
    )
}

/// Writes [`two_sockets`] with all its files.
fn write_two_sockets(name: &str) -> Fixture {
    let (fixture, machine) = (Fixture::new(name), two_sockets());
    fixture.write_cpus(&machine, |cpu| machine.nodes()[machine.node(cpu)].clone());
    for (index, node) in machine.nodes().iter().enumerate() {
        fixture.write(&format!("node/node{index}/cpulist"), &node.to_string());
    }
    fixture
}

/// Goal: a usual server is read right. Method: write a machine, read it, compare; and a few
/// sets by hand, lest the fake be wrong in the same way.
#[test]
fn two_socket_machine_is_read() {
    let topology = write_two_sockets("two-sockets").read();
    assert_eq!(topology, two_sockets());
    assert_eq!(topology.smt_siblings(11), &cpus("3,11"));
    assert_eq!(topology.cache(11), &cpus("2-3,10-11"));
    assert_eq!(topology.nodes(), [cpus("0-3,8-11"), cpus("4-7,12-15")]);
    assert_eq!((topology.node(11), topology.node(12)), (0, 1));
}

/// Goal: caches that are not known are packages, then nodes; nodes that are not known are one;
/// siblings that are not known are none. Method: take the files away one after the other.
#[test]
fn missing_files_fall_back_to_the_coarser_level() {
    let fixture = write_two_sockets("missing");
    fixture.write("cpu/cpu0/cache/index3/level", "unreadable");
    fixture.write("cpu/cpu1/cache/index3/shared_cpu_list", "x-y");
    let topology = fixture.read();
    assert_eq!(
        topology.cache(0),
        &cpus("0,8"),
        "the next lower cache is the last known one"
    );

    fixture.forget(16, "cache");
    fixture.write("node/node0/cpulist", "0-15");
    fixture.write("node/node1/cpulist", "");
    let topology = fixture.read();
    assert_eq!(topology.cache(0), &cpus("0-3,8-11"), "the package");
    assert_eq!(
        topology.nodes(),
        [cpus("0-15")],
        "a node of memory only is none"
    );

    fixture.forget(16, "topology");
    let topology = fixture.read();
    assert_eq!(topology.cache(0), &cpus("0-15"), "the node");
    assert_eq!(topology.smt_siblings(3), &cpus("3"));

    fs::remove_dir_all(fixture.0.join("sys/devices/system/node")).expect("it was there");
    assert_eq!(fixture.read().nodes(), [cpus("0-15")]);
}

/// Goal: a tree without a single file is a machine too.
#[test]
fn empty_tree_is_a_machine() {
    let fixture = Fixture::new("empty");
    let topology = Topology::read(&fixture.0, Ok(cpus("4-5")), Some(1.5));
    assert_eq!(
        (topology.allowed(), topology.quota()),
        (&cpus("4-5"), Some(1.5))
    );
    assert_eq!(topology.cache(4), &cpus("4-5"));
    assert_eq!(topology.smt_siblings(4), &cpus("4"));
    assert!(fixture.read().cpus() >= 1);
}

/// Goal: allowed is affinity and online together, and neither alone can make it empty.
#[test]
fn allowed_cpus_are_online_and_in_the_mask() {
    let fixture = Fixture::new("online");
    fixture.write("cpu/online", "0-3,6");
    let read = |mask: &str| Topology::read(&fixture.0, Ok(cpus(mask)), None);
    assert_eq!(read("2-7").allowed(), &cpus("2-3,6"));
    assert_eq!(
        read("4-5").allowed(),
        &cpus("4-5"),
        "the mask knows better than a stale file"
    );
    assert_eq!(read("").allowed(), &cpus("0-3,6"));
    assert_eq!(fixture.read().allowed(), &cpus("0-3,6"));
    assert_eq!(
        read("2").nodes(),
        [cpus("0-3,6")],
        "what is not allowed still exists"
    );
}

/// Goal: the levels stay partitions when the files contradict each other.
#[test]
fn contradicting_files_still_give_partitions() {
    let fixture = Fixture::new("contradiction");
    fixture.write("cpu/online", "0-3");
    fixture.write("cpu/cpu0/topology/thread_siblings_list", "0-1");
    fixture.write("cpu/cpu1/topology/thread_siblings_list", "1-2");
    fixture.write("cpu/cpu2/topology/thread_siblings_list", "0-3");
    fixture.write("cpu/cpu3/topology/thread_siblings_list", "9");
    let topology = fixture.read();
    assert_eq!(pods(&topology, AffinityScope::Smt, "0-3"), ["0-1", "2-3"]);
}

/// Goal: nodes with gaps in their numbers and CPUs without a node are handled. Method: node 2 and
/// 10 of three CPUs; the order is by CPU, not by name.
#[test]
fn sparse_nodes_are_counted_through() {
    let fixture = Fixture::new("sparse");
    fixture.write("cpu/online", "0-5");
    fixture.write("node/node10/cpulist", "0-1");
    fixture.write("node/node2/cpulist", "2-3");
    fixture.write("node/possible", "0-15");
    let topology = fixture.read();
    assert_eq!(topology.nodes(), [cpus("0-1"), cpus("2-3"), cpus("4-5")]);
    assert_eq!(topology.node(5), 2);
}

/// Goal: a CPU that does not exist is alone, and harmless.
#[test]
fn unknown_cpus_are_in_no_group() {
    let topology = two_sockets();
    for cpu in [16, 1023, 1024, usize::MAX] {
        assert!(topology.smt_siblings(cpu).is_empty() && topology.cache(cpu).is_empty());
        assert_eq!(topology.node(cpu), 0);
    }
}

/// Goal: each scope's pods. Method: by hand for a set that cuts through all levels.
#[test]
fn pods_are_the_groups_within_the_set() {
    let topology = two_sockets();
    let of = |scope| pods(&topology, scope, "0-3,8,12");
    assert_eq!(of(AffinityScope::Cpu), ["0", "1", "2", "3", "8", "12"]);
    assert_eq!(of(AffinityScope::Smt), ["0,8", "1", "2", "3", "12"]);
    assert_eq!(of(AffinityScope::Cache), ["0-1,8", "2-3", "12"]);
    assert_eq!(of(AffinityScope::CacheShard), ["0-1,8", "2-3", "12"]);
    assert_eq!(of(AffinityScope::Numa), ["0-3,8", "12"]);
    assert_eq!(of(AffinityScope::System), ["0-3,8,12"]);
}

/// Goal: a set without an allowed CPU means all allowed ones.
#[test]
fn set_without_an_allowed_cpu_is_one_pod_of_all() {
    let topology = Topology::fake(FakeSpec::new().cores(4).allowed(cpus("1-2")));
    for scope in SCOPES {
        assert_eq!(pods(&topology, scope, "3-9"), ["1-2"]);
        assert_eq!(pods(&topology, scope, ""), ["1-2"]);
    }
}

/// Goal: pods are disjoint, non-empty, ordered, and cover the set; for all scopes. Method: a
/// number of machines up to the greatest, with a set full of holes.
#[test]
fn pods_partition_the_set_on_any_machine() {
    let machines = [
        FakeSpec::new(),
        FakeSpec::new().cores(11).threads(2).split_siblings(),
        FakeSpec::new().nodes(2).caches(3).cores(5).threads(4),
        FakeSpec::new()
            .nodes(8)
            .caches(4)
            .cores(16)
            .threads(2)
            .split_siblings(),
    ];
    for spec in machines {
        let topology = Topology::fake(spec);
        let wanted: CpuSet = topology
            .allowed()
            .iter()
            .filter(|cpu| cpu % 7 != 3)
            .collect();
        for scope in SCOPES {
            let pods = topology.pods(scope, &wanted);
            assert!(pods.is_sorted_by(|a, b| a.first() < b.first()));
            assert!(pods.iter().all(|pod| !pod.is_empty()));
            assert_eq!(
                pods.iter().map(CpuSet::count).sum::<usize>(),
                wanted.count()
            );
            assert_eq!(pods.iter().fold(CpuSet::new(), |a, b| a.or(b)), wanted);
        }
    }
}

/// Goal: the kernel's shard sizes, in cores, with siblings kept together. Method: caches of each
/// documented size, with one and with two threads per core, in both numberings.
#[test]
fn cache_shards_have_the_kernels_sizes_and_whole_cores() {
    let cases: [(usize, &[usize]); 7] = [
        (8, &[8]),
        (11, &[11]),
        (12, &[6, 6]),
        (16, &[8, 8]),
        (20, &[7, 7, 6]),
        (36, &[8, 7, 7, 7, 7]),
        (72, &[8; 9]),
    ];
    for (cores, sizes) in cases {
        for threads in [1, 2] {
            let spec = FakeSpec::new().caches(2).cores(cores).threads(threads);
            for spec in [spec.clone(), spec.split_siblings()] {
                let topology = Topology::fake(spec);
                let shards = topology.pods(AffinityScope::CacheShard, topology.allowed());
                let counts: Vec<usize> = shards.iter().map(|s| s.count() / threads).collect();
                assert_eq!(
                    counts,
                    [sizes, sizes].concat(),
                    "{cores} cores, {threads} threads"
                );
                assert_cores_are_whole(&topology, &shards);
            }
        }
    }
}

/// Asserts that no shard has a part of a core, nor of two caches.
fn assert_cores_are_whole(topology: &Topology, shards: &[CpuSet]) {
    for shard in shards {
        for cpu in shard.iter() {
            let core = topology.smt_siblings(cpu);
            assert_eq!(&shard.and(core), core, "shard {shard} splits core {core}");
            assert_eq!(&shard.and(topology.cache(cpu)), shard);
        }
    }
}

/// Goal: shards are cut from the whole cache, then masked: the mask does not move them, so that
/// queues with different masks agree on the shards.
#[test]
fn masks_do_not_move_shards() {
    let topology = Topology::fake(FakeSpec::new().cores(16));
    assert_eq!(
        pods(&topology, AffinityScope::CacheShard, "6-9"),
        ["6-7", "8-9"]
    );
}

/// Goal: lanes are allowed CPUs, capped by the quota rounded up, at least one.
#[test]
fn lanes_are_capped_by_the_quota() {
    let lanes = |quota, list: &str| {
        let spec = FakeSpec::new().cores(8).allowed(cpus("0-5"));
        let spec = if let Some(quota) = quota {
            spec.quota(quota)
        } else {
            spec
        };
        Topology::fake(spec).lanes(&cpus(list))
    };
    assert_eq!(lanes(None, "0-7"), 6);
    assert_eq!(lanes(None, "4-7"), 2);
    assert_eq!(lanes(None, "7"), 1);
    assert_eq!(lanes(None, ""), 1);
    assert_eq!(lanes(Some(2.0), "0-7"), 2);
    assert_eq!(lanes(Some(2.01), "0-7"), 3);
    assert_eq!(lanes(Some(0.1), "0-7"), 1);
    assert_eq!(lanes(Some(1e300), "0-7"), 6);
}

/// Goal: impossible machines are programming errors.
#[test]
#[should_panic(expected = "at most 1024 CPUs")]
fn machine_with_1025_cpus_is_refused() {
    Topology::fake(FakeSpec::new().cores(1025));
}

/// Goal: as above, for the other end.
#[test]
#[should_panic(expected = "at least one CPU")]
fn machine_without_cpus_is_refused() {
    Topology::fake(FakeSpec::new().caches(0));
}

/// Goal: the real machine can be read and is consistent.
#[test]
fn own_machine_is_consistent() {
    let topology = Topology::detect();
    assert_eq!(topology.cpus(), topology.allowed().count());
    for cpu in topology.allowed().iter() {
        assert!(topology.smt_siblings(cpu).contains(cpu));
        assert!(topology.cache(cpu).contains(cpu));
        assert!(topology.nodes()[topology.node(cpu)].contains(cpu));
    }
    assert!((1..=topology.cpus()).contains(&topology.lanes(topology.allowed())));
}
