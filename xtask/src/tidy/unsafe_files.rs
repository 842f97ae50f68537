//! The files that may contain unsafe code, and why each one must.
//!
//! Adding a line here is a design decision: say in it what the safe language cannot express.

/// A file, or a folder if the path ends with `/`, and its reason.
pub(super) const ALLOWED: &[(&str, &str)] = &[
    (
        "benches/src/poison/userfault.rs",
        "page faults served late: memory of which the kernel asks us",
    ),
    (
        "wq-core/src/os/linux/",
        "system calls that the safe wrappers lack",
    ),
    (
        "wq-core/src/current.rs",
        "the state of the running item, on its worker's stack",
    ),
    (
        "wq-core/src/entry.rs",
        "a task as one word: raw pointers of its allocation",
    ),
    (
        "wq-core/src/kind.rs",
        "a reference to static memory in an atomic word",
    ),
    (
        "wq-core/src/lane.rs",
        "the queue behind the biased lock, which only the protocol guards",
    ),
    (
        "wq-core/src/list.rs",
        "lists through links inside of the tasks' own allocations",
    ),
    (
        "wq-core/src/proto/inbox.rs",
        "a lock-free list of what foreign threads push",
    ),
    (
        "wq-core/src/proto/tests.rs",
        "a cell that lets loom see who is inside of the lock",
    ),
    (
        "wq-core/src/proto/tests/inbox.rs",
        "nodes for the models of the list",
    ),
    (
        "wq-core/src/queue.rs",
        "a queue freed by count and not by owner: its items bear references",
    ),
    (
        "wq-core/src/scope/erase.rs",
        "items that borrow from a frame that waits for them",
    ),
    (
        "wq-core/src/system.rs",
        "queues bear references to their System, which outlives them",
    ),
    (
        "wq-core/src/system/grave.rs",
        "frees queues that nothing refers to any more",
    ),
    (
        "wq-core/src/task.rs",
        "futures polled in place, and dropped where panics are caught",
    ),
    (
        "wq-core/src/task/join.rs",
        "a handle that reads metadata in the task's own allocation",
    ),
    (
        "wq-core/tests/guest/sandbox.rs",
        "system calls that the safe wrappers lack, to take rights away from a test",
    ),
    (
        "wq-core/tests/unmarked/faults.rs",
        "system calls by which a test serves page faults itself",
    ),
    (
        "wq-core/tests/wakers.rs",
        "a waker with code of its own in its clone",
    ),
    (
        "wq-core/tests/allocator.rs",
        "an allocator for the whole test program, which sleeps",
    ),
];
