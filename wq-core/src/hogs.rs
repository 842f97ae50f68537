//! Items that burn CPU: what counts as burning, who is known for it, who is counted and reported.
//!
//! `knobs` has the settings, `memory` the kinds of items that burnt lately and fades, `table` the
//! counts for people, `mark` decides that an item is CPU intensive, `stretch` says how much CPU
//! time a poll took where that matters. Who loses a lane because of it is decided in `sense` and
//! by the monitor.

pub(crate) mod knobs;
pub(crate) mod mark;
pub(crate) mod memory;
pub(crate) mod stretch;
pub(crate) mod table;

use knobs::{HogSettings, Knobs};
use memory::Memory;
use table::Table;

/// All that a System knows of burners.
#[derive(Debug)]
pub(crate) struct Hogs {
    /// The settings.
    pub(crate) knobs: Knobs,
    /// Kinds that burnt lately.
    pub(crate) memory: Memory,
    /// How often each kind was marked.
    pub(crate) table: Table,
}

impl Hogs {
    /// Nothing has burnt yet.
    pub(crate) fn new(settings: HogSettings) -> Hogs {
        Hogs {
            knobs: Knobs::new(settings),
            memory: Memory::new(),
            table: Table::new(),
        }
    }
}
