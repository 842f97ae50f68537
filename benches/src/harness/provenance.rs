//! With what, and when, something was measured.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// The versions that this program was built with.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// The peers, and what they are made of.
const PEERS: [&str; 5] = ["tokio", "tokio-util", "smol", "async-executor", "async-io"];

/// What a reader must know of this build.
const BUILD: &str = if cfg!(debug_assertions) {
    " WITHOUT OPTIMIZATION"
} else {
    ""
};

/// Seconds in a day.
const DAY: u64 = 86_400;

/// What a page says about where its figures come from.
#[derive(Debug)]
pub(crate) struct Provenance {
    /// The day, by UTC.
    date: String,
    /// The revision of the repository, with a sign if it was changed; empty where that is unknown.
    revision: String,
    /// The compiler.
    rustc: String,
    /// Names and versions of the peers.
    peers: String,
}

impl Provenance {
    /// What holds now; what cannot be known is empty.
    pub(crate) fn read() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            date: date_of(now.map_or(0, |since| since.as_secs() / DAY)),
            revision: revision(),
            rustc: answer("rustc", &["--version"]).unwrap_or_default() + BUILD,
            peers: peers(LOCK),
        }
    }

    /// The same as it is kept.
    pub(crate) fn value(&self) -> Value {
        json!({
            "date": self.date,
            "revision": self.revision,
            "rustc": self.rustc,
            "peers": self.peers,
        })
    }
}

/// Asks which files were changed; pages and what they are made of are no part of what is measured.
const CHANGED: [&str; 7] = [
    "status",
    "--porcelain",
    "--untracked-files=no",
    "--",
    ":/",
    ":(top,exclude)docs",
    ":(top,exclude)*.md",
];

/// The revision of the repository, with a sign behind it unless it is known that nothing was
/// changed.
fn revision() -> String {
    let revision = answer("git", &["describe", "--always", "--exclude=*"]);
    marked(
        revision.unwrap_or_default(),
        answer("git", &CHANGED).as_deref(),
    )
}

/// A revision, with the sign unless the list of changed files is there and empty.
fn marked(revision: String, changed: Option<&str>) -> String {
    if revision.is_empty() || changed == Some("") {
        revision
    } else {
        revision + "+"
    }
}

/// What a program says; nothing if it cannot be asked.
fn answer(program: &str, args: &[&str]) -> Option<String> {
    let said = Command::new(program).args(args).output();
    let said = said.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

/// The peers' versions in a lock file.
fn peers(lock: &str) -> String {
    let version = |name: &&str| {
        let entry = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
        let version = entry.1.split('"').next()?;
        Some(format!("{name} {version}"))
    };
    let known: Vec<String> = PEERS.iter().filter_map(version).collect();
    known.join(", ")
}

/// The date of a day since 1970, in the calendar that is extended to all days.
fn date_of(day: u64) -> String {
    // Years begin in March, so that a leap day is the last one of its year.
    let days = day + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!("{}-{month:02}-{day:02}", era * 400 + year + next)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Days around leap days and ends of years.
    #[test]
    fn days_have_dates() {
        let dates = [0, 59, 789, 11_016, 11_017, 19_722, 20_454].map(date_of);
        let expected = [
            "1970-01-01",
            "1970-03-01",
            "1972-02-29",
            "2000-02-29",
            "2000-03-01",
            "2023-12-31",
            "2026-01-01",
        ];
        assert_eq!(dates, expected);
    }

    /// A revision has the sign unless it is known that nothing was changed.
    #[test]
    fn what_may_be_changed_is_marked() {
        let told = [Some(""), Some(" M src/lib.rs"), None].map(|it| marked("abc".to_owned(), it));
        assert_eq!(told, ["abc", "abc+", "abc+"]);
        assert_eq!(marked(String::new(), None), "");
        assert_eq!(answer("false", &[]), None);
    }

    /// Every peer has a version in the lock file of this build.
    #[test]
    fn peers_have_versions() {
        let told = peers(LOCK);
        assert_eq!(told.split(", ").count(), PEERS.len(), "{told}");
        assert!(told.starts_with("tokio 1."), "{told}");
    }
}
