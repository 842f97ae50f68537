//! The cases: one hot path each.

mod items;
mod tasks;
mod timers;

use crate::ground::Ground;

/// One hot path.
pub(crate) struct Case {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// What one operation is.
    pub(crate) about: &'static str,
    /// Does so many operations between the marks.
    pub(crate) run: fn(&Ground, usize),
}

/// A line of the list.
const fn case(name: &'static str, run: fn(&Ground, usize), about: &'static str) -> Case {
    Case { name, about, run }
}

/// All, in the order of the table.
#[rustfmt::skip]
pub(crate) static ALL: &[Case] = &[
    case("spawn", tasks::spawn, "a task spawns an empty task"),
    case("spawn_outside", tasks::spawn_outside, "a foreign thread spawns one; the lane is busy"),
    case("run", tasks::run, "the lane runs and frees an empty task"),
    case("run_from_outside", tasks::run_from_outside, "the same, spawned by a foreign thread"),
    case("spawn_join", tasks::spawn_join, "a task spawns an empty task and awaits its end"),
    case("yield", tasks::yield_now, "a task yields and is polled again"),
    case("wake", tasks::wake, "a task wakes a suspended task"),
    case("wake_outside", tasks::wake_outside, "a foreign thread wakes one; the lane is busy"),
    case("resume", tasks::resume, "the lane ends a task that a task has woken"),
    case("resume_from_outside", tasks::resume_from_outside, "the same, woken by a foreign thread"),
    case("ordered_spawn", tasks::ordered_spawn, "a task spawns one on an ordered queue"),
    case("ordered_run", tasks::ordered_run, "the lane runs and frees one of an ordered queue"),
    case("queue", items::queue, "a task queues an item"),
    case("queue_pending", items::queue_pending, "a task queues an item that is pending"),
    case("queue_run", items::queue_run, "the lane runs an item"),
    case("flush_empty", items::flush_empty, "a task flushes a queue in which nothing is in flight"),
    case("flush_one", items::flush_one, "a task spawns an empty task and awaits a flush"),
    case("timer_arm", timers::arm, "a task polls a new `sleep` for the first time"),
    case("timer_cancel", timers::cancel, "a task drops a `sleep` that is armed"),
    case("delayed_arm", timers::delayed_arm, "a task queues a delayed item"),
    case("delayed_cancel", timers::delayed_cancel, "a task cancels it"),
];
