//! What a timer does when it fires, and what is left of it when it can't be armed.

#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use super::MAX_TIMERS;

/// What happens when a timer fires.
#[non_exhaustive]
pub enum Fire {
    /// Wake a task.
    Wake(Waker),
    /// Call back, on the thread that fires: brief, and without blocking, for the sake of others.
    Call(Arc<dyn OnTimer>),
}

/// Something that timers call back without allocating for each arming.
pub trait OnTimer: Send + Sync {
    /// The deadline has passed. A panic is caught and counted, and ends nothing else.
    fn fire(self: Arc<Self>);
}

impl Fire {
    /// Does it, on the calling thread; panics of wakers and callbacks come through.
    pub fn fire(self) {
        match self {
            Self::Wake(waker) => waker.wake(),
            Self::Call(target) => target.fire(),
        }
    }
}

impl fmt::Debug for Fire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wake(waker) => f.debug_tuple("Wake").field(waker).finish(),
            Self::Call(_) => f.debug_tuple("Call").finish_non_exhaustive(),
        }
    }
}

/// A refusal to arm a timer; holds what was to be fired.
#[derive(Debug)]
pub struct ArmError {
    /// What the timer was to do.
    fire: Fire,
    /// Why it was refused.
    kind: ArmErrorKind,
}

/// Reasons for refusing a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ArmErrorKind {
    /// [`Timers::stop`](super::Timers::stop) was called before.
    Stopped,
    /// [`MAX_TIMERS`] are armed.
    Full,
}

impl ArmError {
    /// Hands `fire` back for a reason.
    pub(super) fn new(fire: Fire, kind: ArmErrorKind) -> Self {
        Self { fire, kind }
    }

    /// Were the timers stopped? No later attempt can succeed.
    pub fn is_stopped(&self) -> bool {
        self.kind == ArmErrorKind::Stopped
    }

    /// Are [`MAX_TIMERS`] timers armed? A later attempt may succeed.
    pub fn is_full(&self) -> bool {
        self.kind == ArmErrorKind::Full
    }

    /// Returns what was to be fired.
    pub fn into_fire(self) -> Fire {
        self.fire
    }
}

impl fmt::Display for ArmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ArmErrorKind::Stopped => f.write_str("the timers were stopped"),
            ArmErrorKind::Full => write!(f, "{MAX_TIMERS} timers are armed already"),
        }
    }
}

impl std::error::Error for ArmError {}
