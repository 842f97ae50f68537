//! What the items of a run told, with the instants.

use std::sync::{Arc, Mutex, PoisonError};

use super::machine::Here;

/// Events in the order in which they happened; a clone tells the same trace.
#[derive(Clone, Default, Debug)]
pub(super) struct Trace(Arc<Mutex<Vec<Event>>>);

/// One event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Event {
    /// When.
    pub(super) at_ns: u64,
    /// Which item.
    pub(super) item: String,
    /// `r` runs, `s` sleeps, `e` has ended.
    pub(super) what: char,
}

impl Trace {
    /// Something happens to `item` now.
    pub(super) fn mark(&self, item: &str, what: char) {
        let at_ns = Here::get().expect("only virtual threads tell").now_ns();
        let event = Event {
            at_ns,
            item: item.to_owned(),
            what,
        };
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(event);
    }

    /// All events so far.
    pub(super) fn events(&self) -> Vec<Event> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// One row for each item, in order of their names, as in the kernel's documentation:
    /// `w0 r0 s5 r15 e20`, in milliseconds.
    pub(super) fn rows(&self) -> Vec<String> {
        let events = self.events();
        let mut items: Vec<&str> = events.iter().map(|event| event.item.as_str()).collect();
        items.sort_unstable();
        items.dedup();
        let row = |item: &str| {
            let own = events.iter().filter(|event| event.item == item);
            let told = own.map(|event| format!("{}{}", event.what, in_ms(event.at_ns)));
            [item.to_owned()]
                .into_iter()
                .chain(told)
                .collect::<Vec<_>>()
                .join(" ")
        };
        items.into_iter().map(row).collect()
    }
}

/// Milliseconds, with a fraction only if there is one.
fn in_ms(ns: u64) -> String {
    if ns % 1_000_000 == 0 {
        (ns / 1_000_000).to_string()
    } else {
        format!("{:.6}", ns as f64 / 1e6)
    }
}
