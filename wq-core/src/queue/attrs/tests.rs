//! Which pool an item goes to, before and after a change of attributes.
//!
//! On machines that are made up: the threads are real, and what they cannot be pinned to is not
//! there. An item tells the pod of the worker that runs it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::*;
use crate::current::Current;
use crate::pool::Pool;
use crate::system::pools::MAX_POOLS_PER_CPU;
use crate::{FakeSpec, JoinHandle, Queue, Topology};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// A System on this machine.
fn system(spec: FakeSpec) -> System {
    let builder = System::builder().topology(Topology::fake(spec));
    builder.build().expect("a System")
}

/// Two nodes, each of one cache with two CPUs: the machine of the kernel's documentation.
fn two_nodes() -> System {
    system(FakeSpec::new().nodes(2).cores(2))
}

/// What an item returned.
fn ended<T>(task: JoinHandle<T>) -> T {
    let ended = task.wait_timeout(FOR_EVER).expect("it ends in time");
    ended.expect("it does not panic")
}

/// The pool whose worker calls this.
fn pool_here() -> Arc<Pool> {
    Current::with(|current| Arc::clone(&current.expect("on a worker").pool))
}

/// The CPUs that share the pool whose worker calls this.
fn pod_here() -> String {
    pool_here().attrs.pod.to_string()
}

/// The pods of items that are queued on each CPU.
fn pods_by_cpu(queue: &Queue, cpus: usize) -> Vec<String> {
    let pod = |cpu| ended(queue.spawn_on(cpu, async { pod_here() }));
    (0..cpus).map(pod).collect()
}

/// The kernel's number of each CPU's pool, and of the default one: normal and high priority pools
/// of each CPU in turn, then unbound ones as they are made.
fn numbers(system: &System, queue: &Queue) -> Vec<u32> {
    let map = queue.inner().map();
    let of_percpu = 2 * system.inner.cpus.len() as u32;
    let unbound = system.inner.lock_pools().clone();
    let unbound: Vec<_> = unbound.iter().filter(|p| !p.is_percpu()).collect();
    let number = |pool: &Pool| {
        if pool.is_percpu() {
            let highpri = u32::from(pool.attrs.nice < 0);
            return 2 * pool.lanes()[0].cpu as u32 + highpri;
        }
        let place = unbound.iter().position(|it| it.id == pool.id);
        of_percpu + place.expect("it is one of them") as u32
    };
    let by_cpu = (0..system.inner.cpus.len()).map(|cpu| number(map.pool(cpu)));
    by_cpu.chain([number(map.default_pool())]).collect()
}

/// The map of CPUs to pools that the kernel's documentation shows for its machine.
#[test]
fn cpus_map_to_the_documented_pools() {
    let system = two_nodes();
    let unbound = |name: &str| {
        let builder = Workqueue::unbound(name).system(&system);
        builder.affinity(AffinityScope::Cache)
    };
    let percpu = Workqueue::percpu("percpu").system(&system);
    let percpu = percpu.build().expect("a queue");
    let highpri = Workqueue::percpu("highpri").system(&system).highpri();
    let highpri = highpri.build().expect("a queue");
    let cache = unbound("cache").build().expect("a queue");
    let twin = unbound("highpri twin").highpri().build().expect("a queue");
    let ordered = Workqueue::ordered("ordered").system(&system);
    let ordered = ordered.build().expect("a queue");
    assert_eq!(numbers(&system, &percpu)[..4], [0, 2, 4, 6]);
    assert_eq!(numbers(&system, &highpri)[..4], [1, 3, 5, 7]);
    assert_eq!(numbers(&system, &cache), [9, 9, 10, 10, 8]);
    assert_eq!(numbers(&system, &twin), [12, 12, 13, 13, 11]);
    assert_eq!(numbers(&system, &ordered), [8, 8, 8, 8, 8]);
    let narrow = system.set_default_affinity(AffinityScope::Cpu);
    narrow.expect("a scope");
    assert_eq!(numbers(&system, &ordered), [8, 8, 8, 8, 8]);
}

/// For each scope an item goes to the pool of its CPU's pod, and equal pods are one pool.
#[test]
fn items_go_to_the_pod_of_their_cpu() {
    // Two nodes of two caches of two cores of two threads.
    let spec = FakeSpec::new().nodes(2).caches(2).cores(2).threads(2);
    let system = system(spec);
    let cases = [
        (AffinityScope::Cpu, "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"),
        (AffinityScope::Smt, "0-1 2-3 4-5 6-7 8-9 10-11 12-13 14-15"),
        (AffinityScope::CacheShard, "0-3 4-7 8-11 12-15"),
        (AffinityScope::Cache, "0-3 4-7 8-11 12-15"),
        (AffinityScope::Numa, "0-7 8-15"),
        (AffinityScope::System, "0-15"),
        (AffinityScope::Default, "0-15"),
    ];
    for (scope, pods) in cases {
        let queue = Workqueue::unbound("q").system(&system).affinity(scope);
        let queue = queue.build().expect("a queue");
        let mut seen = pods_by_cpu(&queue, 16);
        seen.dedup();
        assert_eq!(seen.join(" "), pods, "{scope}");
    }
    let shared = |pool: &&Arc<Pool>| pool.attrs.pod == CpuSet::from(0..4);
    assert_eq!(system.inner.lock_pools().iter().filter(shared).count(), 1);
}

/// A pod is cut to the queue's CPUs; a CPU of whose pod nothing is left has the queue's own pool.
#[test]
fn pods_are_cut_to_the_queue() {
    let system = two_nodes();
    let queue = |cpus: &str| {
        let builder = Workqueue::unbound("q").system(&system).cpus(cpus);
        let builder = builder.affinity(AffinityScope::Numa);
        pods_by_cpu(&builder.build().expect("a queue"), 4)
    };
    assert_eq!(queue("1-3"), ["1", "1", "2-3", "2-3"]);
    assert_eq!(queue("1"), ["1", "1", "1", "1"]);
    assert_eq!(queue("0,1"), ["0-1", "0-1", "0-1", "0-1"]);
}

/// Workers of a strict queue may use their pod, those of another one all of the queue's CPUs; the
/// two share no pool.
#[test]
fn strict_pools_are_their_own() {
    let system = two_nodes();
    let pool = |strict: bool| {
        let builder = Workqueue::unbound("q").system(&system).cpus("0-2");
        let mut builder = builder.affinity(AffinityScope::Numa);
        if strict {
            builder = builder.strict();
        }
        let queue = builder.build().expect("a queue");
        ended(queue.spawn_on(1, async { pool_here() }))
    };
    let masks = [false, true].map(|strict| pool(strict).mask.load().to_string());
    assert_eq!(masks, ["0-2", "0-1"]);
    let ids = [false, true, false, true].map(|strict| pool(strict).id);
    assert!(ids[0] != ids[1] && ids[..2] == ids[2..], "{ids:?}");
}

/// Two lanes that may count on one queue's lines have lines of their own.
#[test]
fn lanes_of_a_family_have_indices_of_their_own() {
    let system = system(FakeSpec::new().nodes(2).caches(2).cores(2));
    for scope in ["cache", "numa", "cpu", "system"] {
        for cpus in ["0-7", "1-6", "0,4"] {
            let builder = Workqueue::unbound("q").system(&system).cpus(cpus);
            let builder = builder.affinity(scope.parse().expect("a scope"));
            drop(builder.build().expect("a queue"));
        }
    }
    let mut seen = std::collections::HashSet::new();
    for pool in system.inner.lock_pools().iter() {
        for lane in pool.lanes() {
            assert!(lane.index < pool.family_lanes, "{lane:?}");
            assert!(seen.insert((pool.family, lane.index)), "{lane:?}");
        }
    }
}

/// An item of a pod adds to that pod's pool when it spawns on its own CPU, and counts are right
/// whoever counts: lanes of the pod, of other pods, or a foreign thread.
#[test]
fn counts_are_right_over_pods() {
    let system = system(FakeSpec::new().caches(4).cores(2));
    let queue = Workqueue::unbound("q").system(&system);
    let queue = queue.affinity(AffinityScope::Cache).build().expect("q");
    for round in 0..50 {
        for cpu in 0..8 {
            let inside = (*queue).clone();
            drop(queue.spawn_on(cpu, async move {
                for other in 0..8 {
                    drop(inside.spawn_on(other, async {}));
                    drop(inside.spawn(async {}));
                }
            }));
        }
        let flushed = queue.drain().wait_timeout(FOR_EVER);
        flushed.expect("all end in time");
        let stats = queue.stats();
        let all = (round + 1) * (8 + 8 * 16);
        assert_eq!((stats.accepted, stats.completed), (all, all));
    }
}

/// What is queued after a change goes to the new pools; attributes read back as they were asked.
#[test]
fn changes_take_effect_for_what_is_queued_next() {
    let system = two_nodes();
    let queue = Workqueue::unbound("q").system(&system).build().expect("q");
    let seen = |queue: &Queue| {
        let pool = ended(queue.spawn_on(3, async { pool_here() }));
        (pool.attrs.nice, pool.attrs.pod.to_string())
    };
    assert_eq!(seen(&queue), (0, "0-3".to_owned()));
    queue.set_nice(7).expect("a nice value");
    assert_eq!(seen(&queue), (7, "0-3".to_owned()));
    queue.set_affinity(AffinityScope::Numa).expect("a scope");
    assert_eq!(seen(&queue), (7, "2-3".to_owned()));
    queue.set_cpus("0-2,99").expect("some are in use");
    assert_eq!(seen(&queue), (7, "2".to_owned()));
    let mut attrs = queue.attrs().expect("it is unbound");
    assert_eq!((attrs.nice, attrs.cpus.to_string()), (7, "0-2".to_owned()));
    attrs.strict = true;
    attrs.affinity = AffinityScope::Cpu;
    queue.apply(&attrs).expect("good attributes");
    assert_eq!(queue.attrs(), Some(attrs));
    // The CPU is not one of the queue's.
    assert_eq!(seen(&queue), (7, "0-2".to_owned()));
}

/// A suspended run continues under the attributes that its queue has when it is woken.
#[test]
fn suspended_runs_move_when_they_are_woken() {
    let system = two_nodes();
    for queue in [
        Workqueue::unbound("q").system(&system).build(),
        Workqueue::ordered("o").system(&system).build(),
    ] {
        let queue = queue.expect("a queue");
        let (wake, woken) = futures_channel();
        let run = queue.spawn(async move {
            let before = pool_here().attrs.nice;
            woken.await;
            (before, pool_here().attrs.nice)
        });
        wake.until_somebody_waits();
        queue.set_nice(3).expect("a nice value");
        wake.complete();
        assert_eq!(ended(run), (0, 3));
    }
}

/// A bad change names what is bad, and changes nothing.
#[test]
fn a_bad_change_changes_nothing() {
    let system = two_nodes();
    let queue = Workqueue::unbound("q").system(&system).build().expect("q");
    let before = (queue.attrs(), std::ptr::from_ref(queue.inner().map()));
    let mut attrs = queue.attrs().expect("it is unbound");
    (attrs.nice, attrs.cpus) = (20, CpuSet::from(7..9));
    attrs.affinity = AffinityScope::Cpu;
    let error = queue.apply(&attrs).expect_err("bad values");
    assert_eq!(error.fields().collect::<Vec<_>>(), ["nice", "cpus"]);
    queue.set_cpus("x").expect_err("no list");
    queue.set_cpus("9").expect_err("not in use");
    let after = (queue.attrs(), std::ptr::from_ref(queue.inner().map()));
    assert_eq!(before, after);
    let percpu = Workqueue::percpu("p").system(&system).build().expect("p");
    assert_eq!(percpu.attrs(), None);
    let error = percpu.set_nice(1).expect_err("its pools are fixed");
    assert_eq!(error.fields().collect::<Vec<_>>(), ["attrs"]);
}

/// Who cannot be ordered, or cannot be without order, says so.
#[test]
fn order_is_for_limited_unbound_queues() {
    let system = two_nodes();
    let free = Workqueue::unbound("free")
        .system(&system)
        .build()
        .expect("q");
    let few = Workqueue::unbound("few").system(&system).max_active(2);
    let few = few.build().expect("a queue");
    let row = Workqueue::ordered("row")
        .system(&system)
        .build()
        .expect("q");
    let percpu = Workqueue::percpu("p").system(&system).max_active(2);
    let percpu = percpu.build().expect("a queue");
    let refused = |answer: Result<(), BuildError>| {
        let error = answer.expect_err("it cannot be");
        error.fields().collect::<Vec<_>>()
    };
    assert_eq!(refused(free.set_ordered(true)), ["ordered"]);
    assert_eq!(refused(row.set_ordered(false)), ["ordered"]);
    assert_eq!(refused(percpu.set_ordered(true)), ["attrs"]);
    for queue in [&free, &few] {
        queue.set_ordered(false).expect("it is so");
    }
    row.set_ordered(true).expect("it is so");
    few.set_ordered(true).expect("it has a limit");
    assert_eq!(few.dump().kind, crate::QueueKind::Ordered);
    few.set_max_active(3).expect("for later");
    assert_eq!(refused(few.set_min_active(4)), ["min_active"]);
    for queue in [&free, &row, &percpu] {
        assert_eq!(refused(queue.set_min_active(1)), ["min_active"]);
    }
}

/// No node has more than its part of a limit at any moment, also not while the limit is set: one
/// thread sets it again and again, while items of one node come that never end.
#[test]
fn a_limit_that_is_set_is_never_exceeded_by_a_node() {
    let system = two_nodes();
    let queue = Workqueue::unbound("parts").system(&system).max_active(6);
    let queue = queue.affinity(AffinityScope::Numa).build();
    let queue = queue.expect("a queue");
    queue.set_min_active(0).expect("a limit");
    let over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            // Relaxed: the scope's end orders what is looked at.
            while !over.load(Ordering::Relaxed) {
                queue.set_max_active(6).expect("a limit");
            }
        });
        let mut most = 0;
        for _ in 0..200 {
            let item = |_| queue.spawn_on(0, std::future::pending::<()>());
            let items: Vec<_> = (0..50).map(item).collect();
            most = most.max(queue.inner().limiter(0).nr_active());
            items.iter().for_each(JoinHandle::abort);
            queue.flush().wait().expect("all end");
        }
        over.store(true, Ordering::Relaxed);
        assert_eq!(most, 3);
    });
}

/// When a CPU comes back, and there is no room for the pool that a queue would have then, its nodes
/// have their parts of the limit by the CPUs that there are all the same.
#[test]
fn a_limit_is_divided_by_the_cpus_there_are_without_room_for_a_pool() {
    let system = two_nodes();
    system.inner.apply_limits(None, CpuSet::from(0..2));
    let queue = Workqueue::unbound("parts").system(&system).max_active(6);
    let queue = queue.affinity(AffinityScope::Numa).build();
    let queue = queue.expect("a queue");
    queue.set_min_active(0).expect("a limit");
    let shares = || {
        let limiter = queue.inner().limiter(0);
        [1, 2].map(|node| limiter.max_active_of(node))
    };
    assert_eq!(shares(), [6, 1]);
    let map = || std::ptr::from_ref(queue.inner().map());
    let before = map();
    let filled = fill_cpu_3(&system);
    assert!(filled.len() < MAX_POOLS_PER_CPU, "no room is left");
    system
        .inner
        .apply_limits(None, CpuSet::from_iter([0, 1, 3]));
    assert_eq!(before, map(), "there was room, and nothing is tested");
    assert_eq!(shares(), [4, 2]);
}

/// Uses up the places for pools on CPU 3.
fn fill_cpu_3(system: &System) -> Vec<Workqueue> {
    let mut queues = Vec::new();
    for n in 0..MAX_POOLS_PER_CPU {
        let builder = Workqueue::unbound("fill").system(system).cpus("3");
        let builder = builder.nice((n % 20) as i8);
        let builder = match n / 20 {
            0 => builder,
            1 => builder.strict(),
            2 => builder.cpus("1,3"),
            _ => builder.cpus("1,3").strict(),
        };
        queues.extend(builder.build());
    }
    queues
}

/// A change for which there is no room changes nothing: of one queue, and of all of them.
#[test]
fn a_change_without_room_changes_nothing() {
    let system = two_nodes();
    let queue = |name: &str| Workqueue::unbound(name).system(&system);
    let one = queue("one").cpus("0-1").build().expect("a queue");
    let other = queue("other").nice(2).build().expect("a queue");
    let filled = fill_cpu_3(&system);
    assert!(filled.len() < MAX_POOLS_PER_CPU, "no room is left");
    let maps = || [&one, &other].map(|queue| std::ptr::from_ref(queue.inner().map()));
    let before = (maps(), one.attrs(), system.unbound_cpus());
    let error = one.set_cpus("0,3").expect_err("no room on CPU 3");
    assert!(error.to_string().contains("worker pools"), "{error}");
    // The other queue has none for these CPUs, while the first one's are as they were.
    system.set_unbound_cpus("0-1,3").expect_err("no room");
    system
        .set_default_affinity(AffinityScope::Cpu)
        .expect_err("no room");
    assert_eq!(before, (maps(), one.attrs(), system.unbound_cpus()));
    assert_eq!(system.default_affinity(), AffinityScope::System);
    system.set_unbound_cpus("0-3").expect("as it is");
    assert_eq!(pods_by_cpu(&other, 4), ["0-3", "0-3", "0-3", "0-3"]);
}

/// The System's own unbound queues are there whenever somebody asks, also where there is no room
/// for the pools that they would have then: they are served as the default one is.
#[test]
fn the_systems_own_queues_are_there_without_room() {
    let system = two_nodes();
    system.inner.apply_limits(None, CpuSet::from(0..2));
    let scope = system.set_default_affinity(AffinityScope::Numa);
    scope.expect("there is room");
    let filled = fill_cpu_3(&system);
    assert!(filled.len() < MAX_POOLS_PER_CPU, "no room is left");
    system.inner.apply_limits(None, CpuSet::from(0..4));
    let error = Workqueue::unbound("new").system(&system).build();
    error.expect_err("there was room, and nothing is tested");
    let long = system.default_long_queue();
    let maps = [&long, &system.default_queue()].map(|q| std::ptr::from_ref(q.inner().map()));
    assert_eq!(maps[0], maps[1]);
    assert_eq!(ended(long.spawn(async { 7 })), 7);
}

/// The mask of all unbound queues cuts each one's CPUs; one of which nothing is left uses all of
/// the mask; ones made later are cut as well, and so is the default queue.
#[test]
fn the_mask_of_all_cuts_every_queue() {
    let system = two_nodes();
    let queue = |cpus: &str| {
        let builder = Workqueue::unbound("q").system(&system).cpus(cpus);
        builder.build().expect("a queue")
    };
    let (low, high) = (queue("0-1"), queue("2-3"));
    let pod = |queue: &Queue| ended(queue.spawn(async { pod_here() }));
    system.set_unbound_cpus("0,2-3").expect("CPUs in use");
    assert_eq!([pod(&low), pod(&high)], ["0", "2-3"]);
    assert_eq!(pod(&system.default_queue()), "0,2-3");
    system.set_unbound_cpus("2-3").expect("CPUs in use");
    let made_later = queue("0-2");
    assert_eq!([pod(&low), pod(&made_later)], ["2-3", "2"]);
    assert_eq!(
        low.attrs().map(|a| a.cpus.to_string()).as_deref(),
        Some("0-1")
    );
    for bad in ["", "4-5", "x"] {
        system.set_unbound_cpus(bad).expect_err(bad);
    }
    assert_eq!(system.unbound_cpus(), CpuSet::from(2..4));
    system.set_unbound_cpus("0-3").expect("CPUs in use");
    assert_eq!([pod(&low), pod(&made_later)], ["0-1", "0-2"]);
    let percpu = system.percpu_queue();
    system.set_unbound_cpus("0").expect("a CPU in use");
    assert_eq!(pods_by_cpu(&percpu, 4), ["0", "1", "2", "3"]);
}

/// The default scope is resolved when it is used: queues that have it move when it changes.
#[test]
fn the_default_scope_moves_queues() {
    let system = two_nodes();
    let queue = |scope| {
        let builder = Workqueue::unbound("q").system(&system).affinity(scope);
        builder.build().expect("a queue")
    };
    let (default, fixed) = (queue(AffinityScope::Default), queue(AffinityScope::Numa));
    system
        .set_default_affinity(AffinityScope::Cpu)
        .expect("a scope");
    assert_eq!(pods_by_cpu(&default, 4), ["0", "1", "2", "3"]);
    assert_eq!(pods_by_cpu(&fixed, 4), ["0-1", "0-1", "2-3", "2-3"]);
    assert_eq!(
        default.attrs().map(|a| a.affinity),
        Some(AffinityScope::Default)
    );
    let error = system.set_default_affinity(AffinityScope::Default);
    let error = error.expect_err("it says nothing");
    assert_eq!(error.fields().collect::<Vec<_>>(), ["default_affinity"]);
}

/// A pod whose CPUs are all taken away is served by the queue's own pool, and by itself when one
/// is back; work goes on throughout, and none is lost.
#[test]
fn a_pod_without_cpus_is_the_whole_queue() {
    let system = two_nodes();
    let queue = Workqueue::unbound("q").system(&system);
    let queue = queue.affinity(AffinityScope::Numa).strict();
    let queue = queue.build().expect("a queue");
    let (wake, woken) = futures_channel();
    let suspended = queue.spawn_on(3, async move {
        woken.await;
        pod_here()
    });
    wake.until_somebody_waits();
    assert_eq!(pods_by_cpu(&queue, 4), ["0-1", "0-1", "2-3", "2-3"]);
    system.inner.apply_limits(None, CpuSet::from(0..2));
    assert_eq!(pods_by_cpu(&queue, 4), ["0-1", "0-1", "0-3", "0-3"]);
    wake.complete();
    assert_eq!(ended(suspended), "0-3");
    system.inner.apply_limits(None, CpuSet::from(1..3));
    assert_eq!(pods_by_cpu(&queue, 4), ["0-1", "0-1", "2-3", "2-3"]);
}

/// Changes under load lose nothing: from three threads queues get other attributes, all of them
/// another mask and another scope, while items spawn items, suspend, and end.
#[test]
fn changes_under_load_lose_nothing() {
    let system = system(FakeSpec::new().nodes(2).caches(2).cores(2));
    let queues: Vec<Workqueue> = [
        Workqueue::unbound("free").system(&system).build(),
        Workqueue::unbound("few")
            .system(&system)
            .max_active(3)
            .build(),
        Workqueue::ordered("row").system(&system).build(),
    ]
    .into_iter()
    .map(|queue| queue.expect("a queue"))
    .collect();
    let (mut tasks, scopes) = (Vec::new(), ["cpu", "cache", "numa", "system"]);
    std::thread::scope(|threads| {
        for queue in &queues {
            threads.spawn(|| {
                for round in 0..100 {
                    queue.set_nice((round % 3) as i8).expect("a nice value");
                    let scope = scopes[round % 4].parse().expect("a scope");
                    queue.set_affinity(scope).expect("there is room");
                    queue
                        .set_cpus(["0-7", "1", "2-5"][round % 3])
                        .expect("CPUs");
                }
            });
        }
        threads.spawn(|| {
            for round in 0..50 {
                let cpus = ["0-7", "0-3", "1,5"][round % 3];
                system.set_unbound_cpus(cpus).expect("there is room");
            }
        });
        for n in 0..2_000 {
            let queue = (*queues[n % 3]).clone();
            tasks.push(queues[n % 3].spawn_on(n % 8, async move {
                drop(queue.spawn_fn(|| ()));
                crate::driver::note_yield();
                std::future::poll_fn(yield_once()).await;
            }));
        }
    });
    tasks.into_iter().for_each(ended);
    for queue in &queues {
        let drained = queue.drain().wait_timeout(FOR_EVER);
        drained.expect("all end in time");
    }
    let sum: u64 = queues.iter().map(|queue| queue.stats().completed).sum();
    assert_eq!(sum, 4_000);
}

/// Pending once, awake at once.
fn yield_once() -> impl FnMut(&mut std::task::Context<'_>) -> std::task::Poll<()> {
    let mut first = true;
    move |cx| {
        if std::mem::take(&mut first) {
            cx.waker().wake_by_ref();
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(())
    }
}

/// Something to wait for, and who ends the wait.
fn futures_channel() -> (Opens, impl Future<Output = ()> + Send + 'static) {
    let gate = Arc::new(std::sync::Mutex::new((false, None::<std::task::Waker>)));
    let opens = Opens(Arc::clone(&gate));
    let wait = std::future::poll_fn(move |cx| {
        let mut gate = gate.lock().expect("nothing panics under it");
        if gate.0 {
            return std::task::Poll::Ready(());
        }
        gate.1 = Some(cx.waker().clone());
        std::task::Poll::Pending
    });
    (opens, wait)
}

/// See [`futures_channel`].
struct Opens(Arc<std::sync::Mutex<(bool, Option<std::task::Waker>)>>);

impl Opens {
    /// Waits until somebody waits.
    fn until_somebody_waits(&self) {
        let since = std::time::Instant::now();
        while self.0.lock().expect("nothing panics under it").1.is_none() {
            assert!(since.elapsed() < FOR_EVER, "it waits in time");
            std::thread::yield_now();
        }
    }

    /// Ends the wait.
    fn complete(self) {
        let waker = {
            let mut gate = self.0.lock().expect("nothing panics under it");
            gate.0 = true;
            gate.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
