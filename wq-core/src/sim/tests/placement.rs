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
