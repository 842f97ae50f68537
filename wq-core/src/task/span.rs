//! Spans of `tracing` around tasks, with the feature `tracing`; without it nothing.
//!
//! A task's span is entered around each poll and around the destructor of its future, so that what
//! is logged there says of which task. Its names are those that tokio's console reads. What nobody
//! listens to costs a look at a static word for each task, and the room of a span in it; nothing in
//! a build without the feature. Not for the engine's own doings, which `System::stats` counts.
//!
//! The span is a wrapper around the user's future and not a part of the item: a subscriber that
//! panics is treated as a future that does.

use crate::kind::Kind;
use crate::queue::QueueRef;

/// A future in its span.
#[cfg(feature = "tracing")]
pub(super) type Traced<F> = tracing::instrument::Instrumented<F>;

/// A future as it is.
#[cfg(not(feature = "tracing"))]
pub(super) type Traced<F> = F;

/// What a span says of its task.
#[derive(Clone, Copy)]
#[cfg_attr(
    not(feature = "tracing"),
    expect(dead_code, reason = "without the feature nobody asks")
)]
pub(super) struct Of<'a> {
    /// Where it was queued.
    pub(super) queue: QueueRef,
    /// What it is made of.
    pub(super) kind: &'static Kind,
    /// What it is called.
    pub(super) name: Option<&'a str>,
    /// It was a function, and may block.
    pub(super) is_function: bool,
}

/// The future in a span of its own, which has no parent: a task outlives who spawned it.
#[cfg(feature = "tracing")]
#[inline]
pub(super) fn around<F: Future>(of: Of<'_>, future: F) -> Traced<F> {
    let span = tracing::trace_span!(
        target: "wq::task",
        parent: None,
        "runtime.spawn",
        kind = if of.is_function { "blocking" } else { "task" },
        task.name = of.name,
        queue = of.queue.get().name.as_str(),
        future = of.kind.name(),
    );
    span.follows_from(tracing::Span::current());
    tracing::Instrument::instrument(future, span)
}

/// The future.
#[cfg(not(feature = "tracing"))]
#[inline(always)]
pub(super) fn around<F: Future>(_: Of<'_>, future: F) -> Traced<F> {
    future
}
