//! Items that wait for each other on their threads: found when the last of them is about to wait.
//!
//! An item that blocks in a wait without a limit enters what it waits for into a table; before, it
//! looks whether that waits for the item itself, however many others stand between. Such a wait
//! would never end, whatever happens elsewhere: a blocked thread is neither aborted nor cancelled.
//! So it is an error at once, which names all of them.
//!
//! What is entered is exact: a flush of an item waits for executions up to a request, one of a
//! queue for items of certain colours, a join for one task. Only items that are in the table are
//! followed, and these are inside of their wait. An entry whose wait is over and whose thread is
//! not up yet covers nobody who is blocked. So there is an alarm only where the wait would not end
//! by itself.
//!
//! It could end by somebody else's deed in one case: a request that waits behind its caller's turn
//! in an ordered queue might be cancelled. Nobody here can know, and it is told as the others are.
//!
//! Not for waits that are awaited: a future may wait for one of several things, and be dropped.
//! Those, and waits with a limit, the watchdog sees by their age.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::current::Current;
use crate::kind::Kind;
use crate::proto::counts::Colour;
use crate::proto::state::Request;
use crate::queue::QueueRef;
use crate::queue::handle::QueueHandle;
use crate::task::label;
use crate::work::{self, Work};

/// What a blocked item waits for.
#[derive(Debug)]
pub(crate) enum What {
    /// All executions of an item up to this request.
    Work(Work, Request),
    /// The wait with this number for a queue.
    Queue(Arc<QueueHandle>, u64),
    /// The end of the task whose metadata are here; its handle keeps them.
    Task(usize),
}

/// An item that is about to block, or does.
#[derive(Debug)]
struct Who {
    /// Where its metadata are.
    task: usize,
    /// The re-queueable item that this is an execution of.
    work: Option<(Work, Request)>,
    /// Its queue; in place while the item is.
    queue: QueueRef,
    colour: Colour,
    kind: Option<&'static Kind>,
}

impl Who {
    /// The item that runs on this thread.
    fn here() -> Option<Who> {
        Current::with(|current| {
            let current = current?;
            let (meta, queue) = (current.meta()?, current.queue()?);
            Some(Who {
                task: meta.address(),
                work: work::current_run(),
                queue,
                colour: meta.tag().colour(),
                kind: current.worker.kind(),
            })
        })
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = label::peek(self.task).and_then(|label| label.name);
        match (name, self.kind) {
            (Some(name), _) => write!(f, "task {name:?}"),
            (None, Some(kind)) => f.write_str(kind.name()),
            (None, None) => f.write_str("an item"),
        }
    }
}

impl What {
    /// Whether this waits for that item, which is inside of a wait.
    fn covers(&self, who: &Who) -> bool {
        match self {
            What::Work(item, request) => {
                let is_run = |(work, run): &(Work, Request)| {
                    work.is_same(item) && work::is_not_later(*run, *request)
                };
                who.work.as_ref().is_some_and(is_run) || item.is_behind(*request, who.queue)
            }
            What::Queue(handle, wait) => {
                handle.queue == who.queue && handle.queue.get().covers(*wait, who.colour)
            }
            What::Task(task) => *task == who.task,
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Work(work, _) => write!(f, "work item {}", work.type_name()),
            What::Queue(handle, _) => write!(f, "queue {:?}", handle.queue.get().name),
            What::Task(task) => match label::peek(*task).and_then(|label| label.name) {
                Some(name) => write!(f, "task {name:?}"),
                None => f.write_str("a task"),
            },
        }
    }
}

/// A blocked item and what it waits for.
#[derive(Debug)]
struct Edge {
    number: u64,
    who: Who,
    what: What,
}

/// The table: as many entries as there are items that block in a wait, which is at most one for
/// each worker.
#[derive(Debug)]
struct Table {
    edges: Vec<Edge>,
    last_number: u64,
}

static TABLE: Mutex<Table> = Mutex::new(Table {
    edges: Vec::new(),
    last_number: 0,
});

/// Locks the table. Under it the lists of those who wait for a queue or an item are locked.
fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Table {
    /// The way from a new wait back to who is about to begin it, by indices of entries; empty for
    /// who waits for itself. `None`: there is none.
    fn way_back(&self, who: &Who, what: &What) -> Option<Vec<usize>> {
        if what.covers(who) {
            return Some(Vec::new());
        }
        let mut came_from: Vec<Option<usize>> = vec![None; self.edges.len()];
        let mut seen = vec![false; self.edges.len()];
        let mut open: Vec<(Option<usize>, &What)> = vec![(None, what)];
        while let Some((from, what)) = open.pop() {
            for (n, edge) in self.edges.iter().enumerate() {
                if seen[n] || !what.covers(&edge.who) {
                    continue;
                }
                (seen[n], came_from[n]) = (true, from);
                if edge.what.covers(who) {
                    let mut way = vec![n];
                    while let Some(before) = came_from[way[way.len() - 1]] {
                        way.push(before);
                    }
                    way.reverse();
                    return Some(way);
                }
                open.push((Some(n), &edge.what));
            }
        }
        None
    }

    /// The cycle in words.
    fn tell(&self, who: &Who, what: &What, way: &[usize]) -> String {
        let mut text = format!("{who} would wait for {what}");
        for &n in way {
            let edge = &self.edges[n];
            text += &format!(", where {} waits for {}", edge.who, edge.what);
        }
        if way.is_empty() {
            text += ", which is where it is itself";
        }
        text
    }
}

/// The calling item is in the table while this lives.
#[derive(Debug)]
pub(crate) struct Blocked(Option<u64>);

impl Drop for Blocked {
    fn drop(&mut self) {
        let Some(number) = self.0 else {
            return;
        };
        let mut table = table();
        let at = table.edges.iter().position(|edge| edge.number == number);
        let gone = at.map(|at| table.edges.swap_remove(at));
        // A handle may be the last one of its queue or item.
        drop(table);
        drop(gone);
    }
}

/// The caller is about to block until `what` is over, without a limit. Outside of items that is
/// nobody's concern.
///
/// # Errors
/// The cycle in words, if `what` waits for the caller.
pub(crate) fn enter(what: impl FnOnce() -> Option<What>) -> Result<Blocked, String> {
    let Some(who) = Who::here() else {
        return Ok(Blocked(None));
    };
    let Some(what) = what() else {
        return Ok(Blocked(None));
    };
    let mut table = table();
    if let Some(way) = table.way_back(&who, &what) {
        let text = table.tell(&who, &what, &way);
        drop(table);
        return Err(text);
    }
    table.last_number += 1;
    let number = table.last_number;
    table.edges.push(Edge { number, who, what });
    Ok(Blocked(Some(number)))
}

/// What the item whose metadata are at this address is blocked in a wait for, for people.
pub(crate) fn waits_for(task: usize) -> Option<String> {
    let table = table();
    let edge = table.edges.iter().find(|edge| edge.who.task == task)?;
    Some(edge.what.to_string())
}
