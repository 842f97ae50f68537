//! Makes a failing plan short: operations are taken out as long as what is left fails.

use super::plan::{Act, Plan, Step};
use super::{Attempt, attempt};

/// Plans that are tried at most: each that stands still leaves its threads behind.
const MAX_TRIES: usize = 600;

/// The shortest failing plan that was found, and how it fails.
pub(super) fn shrink(plan: Plan) -> (Plan, Attempt) {
    let attempt = attempt(&plan);
    if attempt.result.is_ok() {
        // It does not fail each time: the plan as it is says most.
        return (plan, attempt);
    }
    let mut shrinker = Shrinker {
        plan,
        attempt,
        tries: 0,
    };
    shrinker.take_out_operations();
    shrinker.take_out_steps();
    shrinker.take_out_operations();
    (shrinker.plan, shrinker.attempt)
}

/// The shortest so far.
struct Shrinker {
    plan: Plan,
    attempt: Attempt,
    tries: usize,
}

impl Shrinker {
    /// Takes this one, if it fails.
    fn offer(&mut self, plan: Plan) -> bool {
        if self.tries >= MAX_TRIES {
            return false;
        }
        self.tries += 1;
        let attempt = attempt(&plan);
        if attempt.result.is_ok() {
            return false;
        }
        (self.plan, self.attempt) = (plan, attempt);
        true
    }

    /// Takes out halves, quarters, and so on down to single operations.
    fn take_out_operations(&mut self) {
        let mut chunk = self.plan.ops.len().div_ceil(2);
        while chunk > 0 {
            let mut at = 0;
            while at < self.plan.ops.len() {
                let mut plan = self.plan.clone();
                let end = (at + chunk).min(plan.ops.len());
                plan.ops.drain(at..end);
                if !self.offer(plan) {
                    at += chunk;
                }
            }
            chunk = if chunk == 1 { 0 } else { chunk.div_ceil(2) };
        }
    }

    /// Takes out what items do, one step at a time.
    fn take_out_steps(&mut self) {
        for at in 0..self.plan.bodies.len() {
            self.take_out_steps_of(|plan| Some(&mut plan.bodies[at]));
        }
        for at in 0..self.plan.ops.len() {
            self.take_out_steps_of(|plan| match &mut plan.ops[at].act {
                Act::Spawn { steps, .. } | Act::Crowd { steps, .. } => Some(steps),
                _ => None,
            });
        }
    }

    /// The same for one list of steps.
    fn take_out_steps_of(&mut self, list: impl Fn(&mut Plan) -> Option<&mut Vec<Step>>) {
        let mut at = 0;
        loop {
            let mut plan = self.plan.clone();
            match list(&mut plan) {
                Some(steps) if at < steps.len() => drop(steps.remove(at)),
                _ => return,
            }
            if !self.offer(plan) {
                at += 1;
            }
        }
    }
}
