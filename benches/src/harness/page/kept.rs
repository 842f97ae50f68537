//! Kept figures as a page needs them.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::super::stats::Ratio;
use crate::case::Case;
use crate::group::Group;
use crate::runtime_id::RuntimeId;

/// A case that was measured.
#[derive(Debug)]
pub(super) struct Kept {
    /// The case.
    pub(super) case: &'static Case,
    /// Where and with what, in words.
    pub(super) setting: Setting,
    /// Rows with figures.
    pub(super) rows: Vec<Figures>,
    /// Runtimes whose rows have none, each with the reason.
    pub(super) missing: Vec<(String, String)>,
    /// Load average when it began.
    pub(super) load: Option<f64>,
}

/// Where and with what a case was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// CPUs and their name.
    pub(super) machine: String,
    /// The kernel's release.
    pub(super) kernel: String,
    /// The compiler.
    pub(super) rustc: String,
    /// Names and versions of the peers.
    pub(super) peers: String,
    /// The revision of the repository.
    pub(super) revision: String,
    /// The day.
    pub(super) date: String,
    /// How many rounds, and how long.
    pub(super) rounds: String,
}

/// The figures of a row.
#[derive(Debug)]
pub(super) struct Figures {
    /// The runtime.
    pub(super) runtime: RuntimeId,
    /// ns for each operation, or p99 lateness in ns, by round.
    pub(super) rounds: Vec<f64>,
    /// Their median; of lateness, the percentile of all samples together.
    pub(super) figure: f64,
    /// CPU ns for each operation, or CPUs in use.
    pub(super) cpu: f64,
    /// Most memory, KiB.
    pub(super) memory_kib: f64,
    /// Percentiles in ns, 50 and 99.9, and how much else was done as a multiple of the base's.
    pub(super) lateness: Option<Lateness>,
}

/// How late things were.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lateness {
    /// Half were not later, ns.
    pub(super) p50: f64,
    /// 999 of 1000 were not later, ns.
    pub(super) p999: f64,
    /// What else was done, as a multiple of what the base did; absent where that did nothing.
    pub(super) others: Option<f64>,
}

/// A row beside another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Duel<'a> {
    /// The other one.
    pub(super) peer: &'a Figures,
    /// How many times better than it.
    pub(super) ratio: Ratio,
}

impl Duel<'_> {
    /// Whether the peer is better, with all of the bounds.
    pub(super) fn is_lost(&self) -> bool {
        self.ratio.high < 1.0
    }

    /// Whether the peer is worse, with all of the bounds.
    pub(super) fn is_won(&self) -> bool {
        self.ratio.low > 1.0
    }
}

impl Kept {
    /// Reads kept cases, in the order of the registry.
    pub(super) fn all(cases: &'static [Case], values: &[Value]) -> Vec<Self> {
        let value = |case: &Case| values.iter().find(|value| value["case"] == case.name);
        let known = cases.iter().filter_map(|case| Some((case, value(case)?)));
        known
            .filter_map(|(case, value)| Self::read(case, value))
            .collect()
    }

    /// Reads one; nothing if it has no list of rows.
    fn read(case: &'static Case, value: &Value) -> Option<Self> {
        let mut kept = Self {
            case,
            setting: Setting::read(value),
            rows: Vec::new(),
            missing: Vec::new(),
            load: value["machine"]["load"].as_f64(),
        };
        for row in value["rows"].as_array()? {
            if let Some(figures) = Figures::read(row) {
                kept.rows.push(figures);
                continue;
            }
            let why = row["error"].as_str().or(row["skipped"].as_str());
            let runtime = row["runtime"]
                .as_str()
                .unwrap_or("a runtime without a name");
            let why = why.unwrap_or("what is kept cannot be read");
            kept.missing.push((runtime.to_owned(), why.to_owned()));
        }
        Some(kept)
    }

    /// The row of a runtime.
    pub(super) fn row(&self, runtime: RuntimeId) -> Option<&Figures> {
        self.rows.iter().find(|row| row.runtime == runtime)
    }

    /// The rows of wq, the default one first.
    pub(super) fn ours(&self) -> impl Iterator<Item = &Figures> {
        self.rows.iter().filter(|row| row.runtime.is_ours())
    }

    /// One of our rows beside tokio's usual runtime.
    pub(super) fn beside_tokio(&self, row: &Figures) -> Option<Duel<'_>> {
        self.row(RuntimeId::TokioMt).map(|peer| duel(peer, row))
    }

    /// One of our rows beside the runtime that was the best of all others.
    pub(super) fn beside_best(&self, row: &Figures) -> Option<Duel<'_>> {
        let peers = self.rows.iter().filter(|row| row.runtime.is_peer());
        let best = peers.min_by(|a, b| a.figure.total_cmp(&b.figure));
        best.map(|peer| duel(peer, row))
    }
}

/// Pairs the rounds of two rows.
fn duel<'a>(peer: &'a Figures, row: &Figures) -> Duel<'a> {
    Duel {
        peer,
        ratio: Ratio::paired(&peer.rounds, &row.rounds),
    }
}

impl RuntimeId {
    /// Whether it is a runtime, and not ours.
    pub(super) fn is_peer(self) -> bool {
        !self.is_ours() && self != Self::Bare
    }
}

impl Setting {
    /// Reads it; what is not there is empty.
    fn read(value: &Value) -> Self {
        let (machine, from) = (&value["machine"], &value["provenance"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            machine: format!("{} x {}", machine["cpus"], text(&machine["model"])),
            kernel: text(&machine["kernel"]),
            rustc: text(&from["rustc"]),
            peers: text(&from["peers"]),
            revision: text(&from["revision"]),
            date: text(&from["date"]),
            rounds: format!("{} ({})", value["rounds"], text(&value["effort"])),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            machine,
            kernel,
            rustc,
            peers,
            revision,
            date,
            rounds,
        } = self;
        write!(
            f,
            "{date}, wq at `{revision}`: {machine}, Linux {kernel}; {rustc}; {peers}; rounds of \
             each row: {rounds}"
        )
    }
}

impl Figures {
    /// Reads a row; nothing if it has no figures, or one that is no number. A round that is left
    /// out would pair those behind it with others than it met.
    pub(super) fn read(row: &Value) -> Option<Self> {
        let runtime = RuntimeId::from_str(row["runtime"].as_str()?).ok()?;
        let rounds = row["rounds"].as_array()?;
        let rounds: Vec<f64> = rounds.iter().map(Value::as_f64).collect::<Option<_>>()?;
        let late = &row["lateness_ns"];
        let lateness = late["p50"].as_f64().zip(late["p999"].as_f64());
        let figure = late["p99"].as_f64().or(row["median"].as_f64())?;
        let cpu = row["cpu_ns_per_op"]
            .as_f64()
            .or(row["cpus_in_use"].as_f64());
        (!rounds.is_empty()).then_some(Self {
            runtime,
            rounds,
            figure,
            cpu: cpu?,
            memory_kib: row["memory_kib"].as_f64()?,
            lateness: lateness.map(|(p50, p999)| Lateness {
                p50,
                p999,
                others: row["others_ratio"]["median"].as_f64(),
            }),
        })
    }
}

/// The cases of a group, in the order of the registry.
pub(super) fn of_group(kept: &[Kept], group: Group) -> Vec<&Kept> {
    kept.iter().filter(|it| it.case.group == group).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::record::tests::kept_sample;
    use super::*;
    use crate::case::tests::SOME;

    /// A row that cannot be read is told, and the others of its case are there.
    #[test]
    fn an_unreadable_row_is_told() {
        let holes = [
            ("/rows/1/rounds/1", json!(null)),
            ("/rows/1/median", json!("50")),
            ("/rows/1/memory_kib", json!(null)),
            ("/rows/1/runtime", json!("tokio-2")),
            ("/rows/1/rounds", json!([])),
        ];
        for (place, hole) in holes {
            let mut values = kept_sample();
            *values[0].pointer_mut(place).expect("the sample has it") = hole;
            let kept = Kept::all(SOME, &values);
            let rows: Vec<_> = kept[0].rows.iter().map(|row| row.runtime).collect();
            assert_eq!(rows, [RuntimeId::TokioMt, RuntimeId::Wq], "{place}");
            let told = &kept[0].missing[0].1;
            assert_eq!(told, "what is kept cannot be read", "{place}");
        }
    }

    /// A case without a list of rows is as one that was not measured.
    #[test]
    fn a_case_without_rows_is_not_there() {
        let mut values = kept_sample();
        values[0]["rows"] = json!(null);
        let kept = Kept::all(SOME, &values);
        let names: Vec<_> = kept.iter().map(|kept| kept.case.name).collect();
        assert_eq!(names, ["naps_k8"]);
    }
}
