//! Where items run: pods, changed masks, CPUs that go away.

use std::sync::{Arc, Mutex, PoisonError};

use crate::sim::machine::Here;
use crate::sim::{Sim, burn, delay, ms, simulate_on, sleep};
use crate::{AffinityScope, CpuSet, FakeSpec, Queue, Workqueue};

/// Two nodes of two CPUs.
fn two_nodes() -> FakeSpec {
    FakeSpec::new().nodes(2).cores(2)
}

/// The virtual CPU of the caller.
fn cpu_here() -> usize {
    Here::get().expect("a virtual thread").current_cpu()
}

/// What items tell, in their order.
type Told<T> = Arc<Mutex<Vec<T>>>;

/// Tells something.
fn tell<T>(told: &Told<T>, what: T) {
    told.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(what);
}

/// All that was told so far.
fn all<T>(told: &Told<T>) -> Vec<T> {
    std::mem::take(&mut told.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A queue of narrow pools whose workers may roam.
fn numa(sim: &Sim) -> Workqueue {
    let queue = Workqueue::unbound("numa").system(&sim.system);
    let queue = queue.affinity(AffinityScope::Numa);
    queue.build().expect("a good queue")
}

/// An item starts on a CPU of its pod if one is free, wherever its worker slept and whoever wakes
/// it. Method: burners drive the worker out of its pod, and then a lone item comes.
#[test]
fn a_worker_is_brought_into_its_pod() {
    let mut repatriated = 0;
    for seed in 0..8 {
        simulate_on(two_nodes(), seed, |sim| {
            let queue = numa(sim);
            let burners = sim.system.percpu_queue();
            let told = Told::default();
            for round in 0..20_usize {
                let wanted = round % 4;
                let pod = wanted / 2 * 2;
                for cpu in pod..pod + 2 {
                    drop(burners.spawn_on(cpu, async { burn(ms(8)) }));
                }
                sleep(ms(1));
                drop(queue.spawn_on(wanted, async { burn(ms(1)) }));
                sleep(ms(10));
                sim.here.stand_on(round / 4 % 4);
                let told = Arc::clone(&told);
                let lone = queue.spawn_on(wanted, async move { tell(&told, (pod, cpu_here())) });
                lone.wait().expect("it ends");
            }
            for (pod, cpu) in all(&told) {
                assert_eq!(
                    pod,
                    cpu / 2 * 2,
                    "an item for {pod} and the next began on {cpu}"
                );
            }
            repatriated += sim.system.stats().repatriated;
        });
    }
    assert!(repatriated > 0, "no worker was outside: nothing was tested");
}

/// Items from a CPU that unbound items are kept off are spread over the others.
#[test]
fn items_from_outside_the_mask_are_spread() {
    simulate_on(FakeSpec::new().cores(4), 1, |sim| {
        let queue = Workqueue::unbound("cpu").system(&sim.system);
        let queue = queue.affinity(AffinityScope::Cpu).strict().build();
        let queue = queue.expect("a good queue");
        sim.system.set_unbound_cpus("1-3").expect("CPUs in use");
        let ran_on = |stands_on: usize| {
            let told = Told::default();
            for _ in 0..6 {
                sim.here.stand_on(stands_on);
                let told = Arc::clone(&told);
                let run = queue.spawn(async move { tell(&told, cpu_here()) });
                run.wait().expect("it ends");
            }
            all(&told)
        };
        assert_eq!(ran_on(0), [1, 2, 3, 1, 2, 3]);
        assert_eq!(ran_on(2), [2; 6]);
    });
}

/// T15: the CPUs of an ordered queue change three times while a hundred items are queued: they run
/// one after the other in their order, and what starts after a change runs on the new CPUs.
#[test]
fn t15_changed_masks_keep_the_order() {
    for seed in 0..8 {
        simulate_on(two_nodes(), seed, |sim| {
            let queue = Workqueue::ordered("t15").system(&sim.system);
            let queue = queue.build().expect("a good queue");
            let told = Told::default();
            for n in 0..100_u64 {
                let told = Arc::clone(&told);
                let item = async move {
                    let began = sim_ms();
                    burn(ms(1));
                    if n % 3 == 0 {
                        delay(ms(1)).await;
                    }
                    tell(&told, (n, began, cpu_here()));
                };
                drop(queue.spawn_on(n as usize % 4, item));
                match n {
                    25 => queue.set_cpus("1").expect("a CPU"),
                    50 => queue.set_cpus("2-3").expect("CPUs"),
                    75 => queue.set_cpus("0").expect("a CPU"),
                    _ => {}
                }
                sleep(ms(1));
            }
            let queued = sim_ms();
            queue.flush().wait().expect("all end");
            let told = all(&told);
            let order: Vec<u64> = told.iter().map(|(n, ..)| *n).collect();
            assert_eq!(order, (0..100).collect::<Vec<_>>());
            let late: Vec<_> = told.iter().filter(|(_, at, _)| *at > queued).collect();
            assert!(
                late.len() > 10 && late.iter().all(|(.., cpu)| *cpu == 0),
                "{late:?}"
            );
        });
    }
}

/// Milliseconds since the start.
fn sim_ms() -> u64 {
    Here::get().expect("a virtual thread").now_ns() / 1_000_000
}

/// Where an item of `queue` for `cpu` runs before and after it was suspended, a change of the CPUs
/// between.
fn halves(queue: &Queue, cpu: usize, change: impl FnOnce()) -> (usize, usize) {
    let run = queue.spawn_on(cpu, async move {
        let first = cpu_here();
        delay(ms(5)).await;
        (first, cpu_here())
    });
    sleep(ms(2));
    change();
    run.wait().expect("it ends")
}

/// G16: items of a per-CPU queue run on their CPU as long as it is there. When it is taken away,
/// those that wait, are suspended, or come, run elsewhere; when it is back, there again.
#[test]
fn items_of_a_lost_cpu_run_elsewhere_until_it_is_back() {
    for seed in 0..8 {
        simulate_on(FakeSpec::new().cores(3), seed, |sim| {
            let queue = Workqueue::percpu("bound").system(&sim.system);
            let queue = queue.build().expect("a good queue");
            let allow = |cpus: CpuSet| sim.system.inner.apply_limits(None, cpus);
            assert_eq!(halves(&queue, 1, || {}), (1, 1));
            let without = || CpuSet::from_iter([0, 2]);
            let (first, second) = halves(&queue, 1, || allow(without()));
            assert!(first == 1 && second != 1, "{first}, {second}");
            let (first, second) = halves(&queue, 1, || {});
            assert!(first != 1 && second != 1, "{first}, {second}");
            assert_eq!(halves(&queue, 2, || {}), (2, 2), "others are as they were");
            let (first, second) = halves(&queue, 1, || allow(CpuSet::from(0..3)));
            assert!(first != 1 && second == 1, "{first}, {second}");
        });
    }
}

/// What waits behind a running item on a CPU that is taken away runs on another one.
#[test]
fn a_backlog_on_a_lost_cpu_runs_elsewhere() {
    for seed in 0..8 {
        simulate_on(FakeSpec::new().cores(2), seed, |sim| {
            let queue = Workqueue::percpu("bound").system(&sim.system);
            let queue = queue.build().expect("a good queue");
            let told = Told::default();
            for _ in 0..10 {
                let told = Arc::clone(&told);
                drop(queue.spawn_on(1, async move {
                    tell(&told, cpu_here());
                    burn(ms(2));
                }));
            }
            sleep(ms(3));
            sim.system.inner.apply_limits(None, CpuSet::from(0..1));
            queue.flush().wait().expect("all end");
            let told = all(&told);
            assert_eq!((told.len(), told[0], told[9]), (10, 1, 0), "{told:?}");
        });
    }
}

/// How many of a hundred items for each of two CPUs were in flight at a time, at most. They all
/// suspend.
fn most_in_flight(sim: &Sim, queue: &Workqueue, nodes: [usize; 2]) -> [usize; 2] {
    let told = Told::default();
    for _ in 0..100 {
        for (place, cpu) in nodes.into_iter().enumerate() {
            let told = Arc::clone(&told);
            drop(queue.spawn_on(cpu, async move {
                tell(&told, (place, 1));
                delay(ms(5)).await;
                tell(&told, (place, -1));
            }));
        }
    }
    queue.flush().wait().expect("all end");
    let (mut now, mut most) = ([0_i32; 2], [0; 2]);
    for (place, change) in all(&told) {
        now[place] += change;
        most[place] = most[place].max(now[place] as usize);
    }
    assert_eq!(now, [0, 0], "{:?}", sim.here.now());
    most
}

/// T13: the limit of an unbound queue is divided by CPUs among the nodes, and no node's part is
/// less than `min_active`; one pool for all nodes has all of it.
#[test]
fn t13_nodes_have_their_part_of_the_limit() {
    let numa = |sim: &Sim, cpus: &str, max: usize, scope: AffinityScope| {
        let queue = Workqueue::unbound("t13").system(&sim.system).cpus(cpus);
        let queue = queue.affinity(scope).max_active(max).build();
        queue.expect("a good queue")
    };
    simulate_on(FakeSpec::new().nodes(2).cores(12), 1, |sim| {
        let queue = numa(sim, "0-23", 16, AffinityScope::Numa);
        assert_eq!(most_in_flight(sim, &queue, [0, 12]), [8, 8]);
        queue.set_max_active(40).expect("a limit");
        assert_eq!(most_in_flight(sim, &queue, [3, 20]), [20, 20]);
        queue.set_max_active(4).expect("a limit");
        assert_eq!(most_in_flight(sim, &queue, [0, 12]), [4, 4]);
        queue.set_min_active(0).expect("a limit");
        assert_eq!(most_in_flight(sim, &queue, [0, 12]), [2, 2]);
        queue.set_cpus("0-11,12-14").expect("CPUs");
        queue.set_max_active(5).expect("a limit");
        assert_eq!(most_in_flight(sim, &queue, [0, 12]), [4, 1]);
        let wide = numa(sim, "0-23", 16, AffinityScope::System);
        let [first, second] = most_in_flight(sim, &wide, [0, 12]);
        assert_eq!(first + second, 16);
    });
    simulate_on(FakeSpec::new().nodes(2).cores(22), 1, |sim| {
        let queue = numa(sim, "20-43", 24, AffinityScope::Cache);
        assert_eq!(most_in_flight(sim, &queue, [20, 22]), [8, 22]);
        // The first node's CPUs are taken away: the other one has all.
        sim.system.inner.apply_limits(None, CpuSet::from(22..44));
        let [first, second] = most_in_flight(sim, &queue, [22, 43]);
        assert_eq!(first + second, 24);
    });
}

/// Where the limit is divided, a place that a used permit leaves over goes to who waits for one:
/// the permit counted for every node, its item for its own one.
#[test]
fn a_used_permit_gives_the_others_places_back() {
    simulate_on(two_nodes(), 1, |sim| {
        let queue = Workqueue::unbound("small").system(&sim.system).cpus("1-3");
        let queue = queue.affinity(AffinityScope::Numa).max_active(3);
        let queue = queue.max_pending(0).build().expect("a good queue");
        queue.set_min_active(0).expect("a limit");
        // One slot of the first node, two of the other one; whose items may come is not known.
        sim.here.stand_on(3);
        let first = queue.reserve().wait().expect("a place");
        let mut second = queue.reserve();
        let full = second.wait_timeout(ms(1)).expect_err("there is one place");
        assert!(full.is_timeout());
        let item = first.spawn(std::future::pending::<()>());
        let second = second.wait_timeout(ms(1)).expect("there is one for each");
        drop(second);
        item.abort();
    });
}

/// Q3: on the caller's CPU if it is of the node, else on the node's first one that may be used;
/// without such a node or CPU as if nobody had asked.
#[test]
fn items_go_to_the_node_that_was_asked_for() {
    simulate_on(two_nodes(), 1, |sim| {
        let queue = Workqueue::percpu("near").system(&sim.system);
        let queue = queue.build().expect("a good queue");
        let ran_on = |stands_on: usize, node: usize| {
            sim.here.stand_on(stands_on);
            let run = queue.spawn_on_node(node, async { cpu_here() });
            run.wait().expect("it ends")
        };
        assert_eq!([ran_on(3, 0), ran_on(3, 1), ran_on(1, 0)], [0, 3, 1]);
        assert_eq!([ran_on(1, 1), ran_on(1, 7)], [2, 1]);
        sim.system
            .inner
            .apply_limits(None, CpuSet::from_iter([0, 1, 3]));
        assert_eq!(ran_on(1, 1), 3);
        sim.system.inner.apply_limits(None, CpuSet::from(0..2));
        assert_eq!(ran_on(1, 1), 1);
    });
}

/// An unbound queue is made ordered while items are in flight, and free again: order begins when
/// those have ended, is that of acceptance, and ends at once. On two nodes, so that several lines
/// are made one.
#[test]
fn order_is_switched_on_a_live_queue() {
    for seed in 0..8 {
        simulate_on(two_nodes(), seed, |sim| {
            let queue = Workqueue::unbound("toggled").system(&sim.system);
            let queue = queue.affinity(AffinityScope::Numa).max_active(4);
            let queue = queue.build().expect("a good queue");
            queue.set_min_active(0).expect("a limit");
            let told = Told::default();
            let spawn = |n: usize| {
                let told = Arc::clone(&told);
                drop(queue.spawn_on(n * 3 % 4, async move {
                    let began = sim_ms();
                    delay(ms(10)).await;
                    tell(&told, (n, began));
                }));
            };
            (0..8).for_each(spawn);
            sleep(ms(5));
            queue.set_ordered(true).expect("it has a limit");
            (8..12).for_each(spawn);
            assert_eq!(queue.attrs().map(|attrs| attrs.ordered), Some(true));
            sleep(ms(60));
            queue.set_ordered(false).expect("it has a limit");
            queue.flush().wait().expect("all end");
            let mut told = all(&told);
            told.sort_unstable();
            let began: Vec<u64> = told.iter().map(|(_, at)| *at).collect();
            // Four at a time; then one after the other; at 65 ms, with the one of 60 in flight, the
            // last two.
            assert_eq!(began[..4], [0; 4]);
            assert_eq!(began[4..], [10, 20, 30, 40, 50, 60, 65, 65], "{told:?}");
        });
    }
}

/// An ordered queue stays so when it moves from node to node, each of which counts for itself.
#[test]
fn an_ordered_queue_is_ordered_over_nodes() {
    simulate_on(two_nodes(), 1, |sim| {
        let queue = Workqueue::ordered("moves").system(&sim.system);
        let queue = queue.cpus("0-1").build().expect("a good queue");
        let told = Told::default();
        for n in 0..20 {
            queue.set_cpus(["0-1", "2-3", "0-3"][n % 3]).expect("CPUs");
            let told = Arc::clone(&told);
            drop(queue.spawn(async move {
                let began = sim_ms();
                delay(ms(5)).await;
                tell(&told, (n, began));
            }));
        }
        queue.flush().wait().expect("all end");
        let wanted: Vec<_> = (0..20).map(|n| (n, 5 * n as u64)).collect();
        assert_eq!(all(&told), wanted);
    });
}
