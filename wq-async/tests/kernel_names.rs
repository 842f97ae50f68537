//! Whoever knows the kernel finds each of its names: as an alias in the documentation, or in a row
//! of `docs/semantics.md` that says that there is none, or not yet.

use std::path::Path;

/// The names of the kernel's interface, in the order of its documentation.
const NAMES: &str = "
    DECLARE_WORK INIT_WORK INIT_WORK_ONSTACK destroy_work_on_stack destroy_delayed_work_on_stack
    DECLARE_DELAYED_WORK INIT_DELAYED_WORK DECLARE_DEFERRABLE_WORK INIT_DEFERRABLE_WORK
    INIT_RCU_WORK queue_rcu_work flush_rcu_work work_pending delayed_work_pending work_busy
    current_work set_worker_desc current_is_workqueue_rescuer current_is_workqueue_mem_reclaim
    queue_work queue_work_on queue_work_node queue_delayed_work queue_delayed_work_on
    mod_delayed_work mod_delayed_work_on schedule_work schedule_work_on schedule_delayed_work
    schedule_delayed_work_on enable_and_queue_work schedule_on_each_cpu
    execute_in_process_context work_on_cpu WORK_CPU_UNBOUND
    flush_work flush_delayed_work flush_workqueue flush_scheduled_work drain_workqueue
    destroy_workqueue cancel_work cancel_work_sync cancel_delayed_work cancel_delayed_work_sync
    disable_work disable_work_sync disable_delayed_work disable_delayed_work_sync enable_work
    enable_delayed_work
    alloc_workqueue alloc_ordered_workqueue alloc_workqueue_lockdep_map
    alloc_ordered_workqueue_lockdep_map devm_alloc_workqueue devm_alloc_ordered_workqueue
    create_workqueue create_singlethread_workqueue create_freezable_workqueue
    alloc_workqueue_attrs free_workqueue_attrs apply_workqueue_attrs workqueue_set_max_active
    workqueue_set_min_active workqueue_congested workqueue_sysfs_register
    WQ_BH WQ_UNBOUND WQ_FREEZABLE WQ_MEM_RECLAIM WQ_HIGHPRI WQ_CPU_INTENSIVE WQ_SYSFS
    WQ_POWER_EFFICIENT WQ_PERCPU
    system_wq system_percpu_wq system_highpri_wq system_long_wq system_unbound_wq system_dfl_wq
    system_dfl_long_wq system_freezable_wq system_power_efficient_wq
    system_freezable_power_efficient_wq system_bh_wq system_bh_highpri_wq
    cpu_intensive_thresh_us cpu_intensive_warning_thresh power_efficient default_affinity_scope
    cache_shard_size unbound_cpus debug_force_rr_cpu watchdog_thresh panic_on_stall
    panic_on_stall_time disable_numa
    workqueue_queue_work workqueue_activate_work workqueue_execute_start workqueue_execute_end
    show_all_workqueues show_one_workqueue show_freezable_workqueues
    freeze_workqueues_begin freeze_workqueues_busy thaw_workqueues workqueue_prepare_cpu
    workqueue_online_cpu workqueue_offline_cpu workqueue_softirq_dead
    workqueue_unbound_housekeeping_update wq_watchdog_touch wq_worker_running wq_worker_sleeping
    wq_worker_tick wq_worker_last_func workqueue_init_early workqueue_init
    workqueue_init_topology
    work_struct delayed_work workqueue_struct workqueue_attrs worker_pool
";

/// All Rust sources below a directory.
fn sources_below(directory: &Path, into: &mut String) {
    for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources_below(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&std::fs::read_to_string(&path).expect("a source"));
        }
    }
}

/// Goal: no name of the kernel's is missing. Method: each is looked for in the sources, as an alias
/// or as a public function, and else in the table.
#[test]
fn every_name_of_the_kernel_is_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut sources = String::new();
    for directory in ["wq-core/src", "wq-async/src"] {
        sources_below(&root.join(directory), &mut sources);
    }
    let table = std::fs::read_to_string(root.join("docs/semantics.md")).expect("the table");
    let is_absent = |name: &str| {
        let rows = table.lines().filter(|line| line.starts_with('|'));
        let mut of_name = rows.filter(|row| row.contains(&format!("`{name}`")));
        of_name.any(|row| {
            let mut cells = row.split('|').map(str::trim);
            cells.any(|cell| cell.starts_with("none") || cell.starts_with("later"))
        })
    };
    let missing: Vec<&str> = NAMES
        .split_whitespace()
        .filter(|name| {
            let alias = sources.contains(&format!("doc(alias = \"{name}\")"));
            let function = sources.contains(&format!("pub fn {name}("));
            !alias && !function && !is_absent(name)
        })
        .collect();
    assert!(missing.is_empty(), "not to be found: {missing:?}");
    assert!(NAMES.split_whitespace().count() > 110);
}
