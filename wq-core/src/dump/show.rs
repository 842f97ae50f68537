//! The text of a dump: a table of queues with what is in each, a table of pools, and the hogs.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use crate::stats::PoolStats;
use crate::task::TaskId;

use super::{Dump, QueueDump, QueueKind, RunningItem, SuspendedItems, ThreadIs};

impl fmt::Display for QueueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            QueueKind::Percpu => "percpu",
            QueueKind::Unbound => "unbound",
            QueueKind::Ordered => "ordered",
            QueueKind::Bh => "bh",
        })
    }
}

impl fmt::Display for ThreadIs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ThreadIs::Running => "runs",
            ThreadIs::Asleep => "sleeps",
            ThreadIs::Unknown => "?",
        })
    }
}

/// A duration in the unit that suits it.
struct Age(Duration);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        let text = if seconds < 1.0 {
            format!("{} ms", self.0.as_millis())
        } else if seconds < 60.0 {
            format!("{seconds:.1} s")
        } else if seconds < 7200.0 {
            format!("{:.1} min", seconds / 60.0)
        } else {
            format!("{:.1} h", seconds / 3600.0)
        };
        f.pad(&text)
    }
}

/// What a task is called, after its type.
struct Called<'a> {
    id: Option<TaskId>,
    name: Option<&'a Arc<str>>,
    description: Option<&'a Arc<str>>,
}

impl fmt::Display for Called<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.name {
            write!(f, " {name:?}")?;
        }
        if let Some(id) = self.id {
            write!(f, " #{id}")?;
        }
        if let Some(description) = self.description {
            write!(f, ": {description}")?;
        }
        Ok(())
    }
}

impl fmt::Display for RunningItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let called = Called {
            id: self.id,
            name: self.name.as_ref(),
            description: self.description.as_ref(),
        };
        let (thread, state, age) = (&self.thread, self.thread_state, Age(self.lasts));
        write!(
            f,
            "{thread} {state}, for {age}, in {}{called}",
            self.type_name
        )?;
        match &self.waits_for {
            Some(what) => write!(f, "; waits for {what}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for SuspendedItems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let called = Called {
            id: self.id,
            name: self.name.as_ref(),
            description: self.description.as_ref(),
        };
        let (age, type_name) = (Age(self.oldest), self.type_name);
        if self.count == 1 {
            write!(f, "suspended, first {age} ago: {type_name}{called}")
        } else {
            let count = self.count;
            write!(
                f,
                "{count} suspended, the oldest first {age} ago: {type_name}{called}"
            )
        }
    }
}

/// A number that may be none.
fn or_dash(number: Option<usize>) -> String {
    number.map_or("-".to_owned(), |number| number.to_string())
}

/// Rows of cells; the first one is the head.
struct Table(Vec<Vec<String>>);

impl Table {
    /// A table with this head.
    fn new(head: &[&str]) -> Table {
        Table(vec![head.iter().map(|&cell| cell.to_owned()).collect()])
    }

    /// Writes each row with columns aligned (the first to the left, the others to the right) and
    /// what `below` says of the row, counted from 0 without the head.
    fn write(
        &self,
        f: &mut fmt::Formatter<'_>,
        mut below: impl FnMut(&mut fmt::Formatter<'_>, usize) -> fmt::Result,
    ) -> fmt::Result {
        let columns = self.0[0].len();
        let width = |column: usize| {
            let cells = self.0.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (n, row) in self.0.iter().enumerate() {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                if column == 0 {
                    write!(line, "{cell:width$}")?;
                } else {
                    write!(line, "  {cell:>width$}")?;
                }
            }
            writeln!(f, "{}", line.trim_end())?;
            if n > 0 {
                below(f, n - 1)?;
            }
        }
        Ok(())
    }
}

impl QueueDump {
    /// The head of the table of queues.
    const HEAD: [&'static str; 9] = [
        "queue",
        "kind",
        "nice",
        "limit",
        "in flight",
        "running",
        "waiting",
        "delayed",
        "oldest",
    ];

    /// Its row there.
    fn row(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.kind.to_string(),
            self.nice.to_string(),
            or_dash(self.max_active),
            self.stats.in_flight.to_string(),
            self.running.len().to_string(),
            self.stats.waiting.to_string(),
            or_dash(self.delayed),
            self.oldest()
                .map_or("-".to_owned(), |age| Age(age).to_string()),
        ]
    }

    /// What is in it, a line each.
    fn write_items(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.closed, self.draining) {
            (true, _) => writeln!(f, "    closed")?,
            (false, true) => writeln!(f, "    drains: accepts nothing from outside")?,
            (false, false) => {}
        }
        if self.frozen {
            writeln!(f, "    frozen: nothing starts")?;
        }
        for running in &self.running {
            writeln!(f, "    {running}")?;
        }
        for suspended in &self.suspended {
            writeln!(f, "    {suspended}")?;
        }
        if self.ready() > 0 {
            writeln!(f, "    {} to run when a worker comes to it", self.ready())?;
        }
        if !self.waiting_names.is_empty() {
            write!(f, "    waiting for a slot:")?;
            for name in &self.waiting_names {
                write!(f, " {name:?}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for QueueDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&QueueDump::HEAD);
        table.0.push(self.row());
        table.write(f, |f, _| self.write_items(f))
    }
}

/// The row of a pool.
fn pool_row(pool: &PoolStats) -> Vec<String> {
    vec![
        pool.name.clone(),
        pool.cpus.to_string(),
        pool.nice.to_string(),
        pool.lanes.to_string(),
        pool.workers.to_string(),
        pool.idle.to_string(),
        pool.away.to_string(),
        pool.bound.to_string(),
        pool.stalls.to_string(),
    ]
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "System {:?}, {} threads", self.system, self.threads)?;
        let mut queues = Table::new(&QueueDump::HEAD);
        queues.0.extend(self.queues.iter().map(QueueDump::row));
        queues.write(f, |f, n| self.queues[n].write_items(f))?;
        let mut pools = Table::new(&[
            "pool", "CPUs", "nice", "lanes", "workers", "idle", "away", "bound", "stalls",
        ]);
        pools.0.extend(self.pools.iter().map(pool_row));
        pools.write(f, |_, _| Ok(()))?;
        if !self.hogs.is_empty() {
            writeln!(f, "CPU hogs")?;
        }
        for hog in &self.hogs {
            writeln!(f, "    {} times: {}", hog.times, hog.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: ages are short texts.
    #[test]
    fn ages_have_the_unit_that_suits_them() {
        let text = |ms| Age(Duration::from_millis(ms)).to_string();
        assert_eq!(text(0), "0 ms");
        assert_eq!(text(999), "999 ms");
        assert_eq!(text(1_500), "1.5 s");
        assert_eq!(text(90_000), "1.5 min");
        assert_eq!(text(10_800_000), "3.0 h");
    }
}
