//! The runtimes there are, by name.

use std::fmt;
use std::str::FromStr;

/// The names of the runtimes, as `--runtimes` takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeId {
    /// wq, one default configuration; a program's root is `System::run`.
    Wq,
    /// The same System; a program's root is `System::block_on`.
    WqBlockOn,
    /// The same build and System without sensing: only what is declared is seen.
    WqDeclared,
    /// The same System; what blocks is marked by `wq::blocking`.
    WqMarked,
    /// The same System; urgent work goes to a per-CPU queue.
    WqPercpu,
    /// tokio `multi_thread`, the usual base of the ratios.
    TokioMt,
    /// The same, each worker pinned to one CPU.
    TokioPinned,
    /// The same, what blocks wrapped in `spawn_blocking`.
    TokioBlocking,
    /// tokio `current_thread`.
    TokioCt,
    /// async-executor: two threads, and the main thread runs tasks while it waits for its root.
    AsyncExecutor,
    /// async-executor as smol composes it: two threads that also poll async-io.
    Smol,
    /// No runtime: the floor rows.
    Bare,
}

impl RuntimeId {
    /// All, in the order of tables.
    pub(crate) const ALL: &[Self] = &[
        Self::Wq,
        Self::WqBlockOn,
        Self::WqDeclared,
        Self::WqMarked,
        Self::WqPercpu,
        Self::TokioMt,
        Self::TokioPinned,
        Self::TokioBlocking,
        Self::TokioCt,
        Self::AsyncExecutor,
        Self::Smol,
        Self::Bare,
    ];

    /// The name on the command line, in tables and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wq => "wq",
            Self::WqBlockOn => "wq-block_on",
            Self::WqDeclared => "wq-declared",
            Self::WqMarked => "wq-marked",
            Self::WqPercpu => "wq-percpu",
            Self::TokioMt => "tokio-mt",
            Self::TokioPinned => "tokio-mt-pinned",
            Self::TokioBlocking => "tokio-mt-blocking",
            Self::TokioCt => "tokio-ct",
            Self::AsyncExecutor => "async-executor",
            Self::Smol => "smol",
            Self::Bare => "bare",
        }
    }

    /// One sentence for `--list`.
    pub(crate) fn summary(self) -> &'static str {
        match self {
            Self::Wq => "one System with 2 lanes, all defaults; the root is System::run",
            Self::WqBlockOn => "the same; the root is System::block_on",
            Self::WqDeclared => "the same without sensing (Sensing::Declared)",
            Self::WqMarked => "the same; what blocks is marked by wq::blocking",
            Self::WqPercpu => "the same; urgent work goes to a per-CPU highpri queue",
            Self::TokioMt => "tokio multi_thread, 2 workers",
            Self::TokioPinned => "the same, workers pinned by on_thread_start",
            Self::TokioBlocking => "the same, what blocks wrapped in spawn_blocking",
            Self::TokioCt => "tokio current_thread",
            Self::AsyncExecutor => "async-executor, 2 threads, the root's thread helps",
            Self::Smol => "async-executor as smol runs it, 2 threads, the root's thread waits",
            Self::Bare => "no runtime: the floor, or a thread for each task",
        }
    }
}

impl fmt::Display for RuntimeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `pad` keeps the width that a table asks for.
        f.pad(self.name())
    }
}

impl FromStr for RuntimeId {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|id| id.name() == name);
        found.copied().ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|id| id.name()).collect();
            format!(
                "no runtime is called `{name}`; there are {}",
                known.join(", ")
            )
        })
    }
}
