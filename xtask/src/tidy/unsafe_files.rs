//! The files that may contain unsafe code, and why each one must.
//!
//! Adding a line here is a design decision: say in it what the safe language cannot express.

/// A file, or a folder if the path ends with `/`, and its reason.
pub(super) const ALLOWED: &[(&str, &str)] = &[
    (
        "wq-core/src/os/linux/",
        "system calls that the safe wrappers lack",
    ),
    (
        "wq-core/src/entry.rs",
        "a task as one word: raw pointers of its allocation",
    ),
    (
        "wq-core/src/list.rs",
        "lists through links inside of the tasks' own allocations",
    ),
    (
        "wq-core/src/lane.rs",
        "the queue behind the biased lock, which only the protocol guards",
    ),
    (
        "wq-core/src/proto/inbox.rs",
        "a lock-free list of what foreign threads push",
    ),
];
