//! The table: poisons across the page's height, runtimes across its width.

use std::fmt::Write as _;
use std::sync::Arc;

use super::Runtime;
use super::load::{Load, Poison};
use crate::treesum::compare::Difference;
use crate::treesum::report::short;

/// Width of a runtime's column.
const COLUMN: usize = 30;
/// Width of the first column.
const FIRST: usize = 24;

/// The runs so far, the present one last.
#[derive(Debug, Default)]
pub struct View(pub Vec<(Runtime, Arc<Load>)>);

impl View {
    /// The table of lateness, a line for each poison; empty where nothing was measured yet.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!("{:FIRST$}", "pings late by");
        for runtime in Runtime::ALL {
            let _ = write!(text, "{runtime:^COLUMN$}");
        }
        let _ = write!(text, "\n{:FIRST$}", "");
        for _ in Runtime::ALL {
            let _ = write!(text, "{:>10}{:>10}{:>10}", "p50", "p99", "max");
        }
        text.push('\n');
        for poison in Poison::ALL {
            let _ = write!(text, "{:FIRST$}", poison.name());
            for runtime in Runtime::ALL {
                text.push_str(&self.cell(runtime, poison));
            }
            text.push('\n');
        }
        text
    }

    /// Three figures.
    fn cell(&self, runtime: Runtime, poison: Poison) -> String {
        let late = self.load(runtime).map(|load| load.lateness(poison));
        late.filter(|late| late.beats() > 0).map_or_else(
            || format!("{:>COLUMN$}", ""),
            |late| {
                let [p50, p99] = [0.5, 0.99].map(|share| short(late.quantile(share)));
                format!("{p50:>10}{p99:>10}{:>10}", short(late.max()))
            },
        )
    }

    /// The run on one runtime, if it has begun.
    fn load(&self, runtime: Runtime) -> Option<&Load> {
        let mut runs = self.0.iter();
        runs.find_map(|(of, load)| (*of == runtime).then_some(&**load))
    }

    /// What the table does not show: threads, pings that never ran, and the code.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut text = format!("{:FIRST$}", "threads");
        for runtime in Runtime::ALL {
            let threads = self.load(runtime).map_or(0, Load::threads);
            let _ = write!(text, "{threads:^COLUMN$}");
        }
        let _ = write!(text, "\n{:FIRST$}", "never answered");
        for runtime in Runtime::ALL {
            let left = self.load(runtime).map_or(0, Load::unanswered);
            let _ = write!(text, "{left:^COLUMN$}");
        }
        let _ = write!(text, "\n{:FIRST$}", "lines changed for it");
        for runtime in Runtime::ALL {
            let lines = Difference::between(Runtime::TokioPlain.source(), runtime.source());
            // What starts a runtime differs by necessity; what counts is the handler's own code.
            let own = lines.right - lines.common;
            let _ = write!(text, "{own:^COLUMN$}");
        }
        text.push('\n');
        text
    }
}
