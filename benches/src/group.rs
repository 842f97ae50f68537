//! The tables that cases stand in.

/// The tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// The shapes of tokio's `rt_multi_threaded`.
    Tokio,
    /// The shapes of async-executor's benchmarks.
    AsyncExecutor,
    /// Spawns and joins that the above leave out.
    Spawning,
    /// Order, limits and waiting for many.
    Queues,
    /// More tasks, queues, threads that submit.
    Growth,
    /// Sockets.
    Net,
    /// Lateness of timers.
    Timers,
    /// Lateness of short tasks among tasks that block without a word, after the first moments.
    Sensing,
    /// The same in a runtime's first moments.
    SensingCold,
    /// The same for urgent work while ordinary work uses all CPUs.
    SensingHighpri,
    /// Lateness of short tasks among tasks that burn CPU.
    SensingHogs,
    /// How much gets done where tasks block.
    SensingWork,
    /// What the machine and the task cell cost without any runtime.
    Floor,
}

impl Group {
    /// All, in the order of tables.
    pub(crate) const ALL: &[Self] = &[
        Self::Tokio,
        Self::AsyncExecutor,
        Self::Spawning,
        Self::Queues,
        Self::Growth,
        Self::Net,
        Self::Timers,
        Self::Sensing,
        Self::SensingCold,
        Self::SensingHighpri,
        Self::SensingHogs,
        Self::SensingWork,
        Self::Floor,
    ];

    /// The name on the command line and in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            Self::AsyncExecutor => "async-executor",
            Self::Spawning => "spawning",
            Self::Queues => "queues",
            Self::Growth => "growth",
            Self::Net => "net",
            Self::Timers => "timers",
            Self::Sensing => "sensing",
            Self::SensingCold => "sensing-cold",
            Self::SensingHighpri => "sensing-highpri",
            Self::SensingHogs => "sensing-hogs",
            Self::SensingWork => "sensing-work",
            Self::Floor => "floor",
        }
    }

    /// The line above the table.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Tokio => "the shapes of tokio's own scheduler benchmarks",
            Self::AsyncExecutor => "the shapes of async-executor's own benchmarks",
            Self::Spawning => "spawns and joins that these leave out",
            Self::Queues => "order, limits, waiting for many",
            Self::Growth => "what an operation costs as tasks, queues and producers grow",
            Self::Net => "echo over TCP on the loopback: a message there and back",
            Self::Timers => "lateness of timers",
            Self::Sensing => "lateness of short tasks among others that block unmarked; steady",
            Self::SensingCold => "the same in the first 200 ms of a process's runtime",
            Self::SensingHighpri => "the same on a highpri queue while plain work fills all CPUs",
            Self::SensingHogs => "lateness of short tasks among others that burn CPU; steady",
            Self::SensingWork => "how much gets done where tasks block",
            Self::Floor => "what the machine and the task cell cost without a runtime",
        }
    }

    /// Whether its cases measure lateness rather than time for each operation.
    pub(crate) fn is_about_lateness(self) -> bool {
        match self {
            Self::Timers
            | Self::Sensing
            | Self::SensingCold
            | Self::SensingHighpri
            | Self::SensingHogs => true,
            Self::Tokio
            | Self::AsyncExecutor
            | Self::Spawning
            | Self::Queues
            | Self::Growth
            | Self::Net
            | Self::SensingWork
            | Self::Floor => false,
        }
    }
}
