//! Figures that are kept: a folder with a file for each group, in it a line for each case.
//!
//! A measurement that takes an hour is made in pieces: what is kept is not measured again, so the
//! same command goes on where it ended. Whoever wants it anew deletes the folder.

mod policy;
mod run;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::folder::Folder;
use super::{json, naming};
use crate::case::Case;
use crate::group::Group;

pub(crate) use run::{Outcome, measure};

/// What was kept in a folder.
#[derive(Debug)]
pub(crate) struct Record {
    /// The folder.
    folder: PathBuf,
    /// What is measured.
    registry: &'static [Case],
    /// The cases, in the order of the registry; what it does not know is not among them.
    cases: Vec<Value>,
}

impl Record {
    /// Reads what is there; the folder is made if it is not.
    pub(crate) fn open(registry: &'static [Case], folder: &Folder) -> io::Result<Self> {
        let told = |error: io::Error| naming(folder.path(), &error);
        fs::create_dir_all(folder.path()).map_err(told)?;
        let mut record = Self {
            folder: folder.path().to_owned(),
            registry,
            cases: Vec::new(),
        };
        for group in Group::ALL {
            let path = record.file_of(*group);
            match fs::read_to_string(&path) {
                Ok(text) => record.take_in(*group, cases_in(&text, &path)?),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(naming(&path, &error)),
            }
        }
        record.sort();
        Ok(record)
    }

    /// Takes what a group's file has, and says what it leaves out.
    fn take_in(&mut self, group: Group, cases: Vec<Value>) {
        for kept in cases {
            let is_it = |case: &Case| kept["case"] == case.name && case.group == group;
            if kept["group"] == group.name() && self.registry.iter().any(is_it) {
                self.cases.push(kept);
            } else {
                let (name, group) = (&kept["case"], group.name());
                eprintln!("left out: {name} is no case of the group `{group}` any more");
            }
        }
    }

    /// Puts the cases into the order of the registry.
    fn sort(&mut self) {
        let registry = self.registry;
        let place = |kept: &Value| registry.iter().position(|case| kept["case"] == case.name);
        self.cases.sort_by_key(place);
    }

    /// The cases.
    pub(crate) fn cases(&self) -> &[Value] {
        &self.cases
    }

    /// What is kept of a case.
    fn kept(&self, case: &Case) -> Option<&Value> {
        self.cases.iter().find(|kept| kept["case"] == case.name)
    }

    /// Keeps a case in place of an older one, and writes the file of its group.
    fn keep(&mut self, case: &Case, value: Value) -> io::Result<()> {
        self.cases.retain(|kept| kept["case"] != case.name);
        self.cases.push(value);
        self.sort();
        let group = case.group.name();
        let lines: Vec<String> = self
            .cases
            .iter()
            .filter(|kept| kept["group"] == group)
            .map(Value::to_string)
            .collect();
        let head = json!({ "format": json::FORMAT }).to_string();
        let open = head.trim_end_matches('}');
        let text = format!("{open},\n\"cases\":[\n{}\n]}}\n", lines.join(",\n"));
        let path = self.file_of(case.group);
        // Whoever ends the program in the middle has the old file or the new one.
        let new = path.with_extension("json.new");
        fs::write(&new, text).map_err(|error| naming(&new, &error))?;
        fs::rename(&new, &path).map_err(|error| naming(&path, &error))
    }

    /// Where a group's cases are.
    fn file_of(&self, group: Group) -> PathBuf {
        self.folder.join(format!("{}.json", group.name()))
    }
}

/// The cases of a file.
fn cases_in(text: &str, path: &Path) -> io::Result<Vec<Value>> {
    let wrong = |what: &str| {
        let told = format!("{what}; delete the file, and its cases are measured anew");
        naming(path, &io::Error::other(told))
    };
    let mut value: Value =
        serde_json::from_str(text).map_err(|error| wrong(&format!("it is no JSON: {error}")))?;
    if value["format"] != json::FORMAT {
        return Err(wrong("another version of this program wrote it"));
    }
    match value["cases"].take() {
        Value::Array(cases) => Ok(cases),
        _ => Err(wrong("it has no list of cases")),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::folder::tests::scratch;
    use super::super::provenance::Provenance;
    use super::super::result::tests::sample;
    use super::*;
    use crate::case::tests::{SOME, named};
    use crate::runtime_id::RuntimeId;

    /// The cases of the sample as they are kept, with rows of wq in place of some others: one is
    /// lost, one is won.
    pub(crate) fn kept_sample() -> Vec<Value> {
        let mut report = sample();
        for (case, row) in [(0, 2), (1, 1)] {
            report.cases[case].rows[row].runtime = RuntimeId::Wq;
        }
        let provenance = Provenance::read();
        let cases: Vec<_> = report.cases.drain(..2).collect();
        let value = |case| {
            report.cases = vec![case];
            run::case_value(&report, &provenance)
        };
        cases.into_iter().map(value).collect()
    }

    /// What was kept is read again, in the order of the registry, and gives way to what is newer.
    #[test]
    fn what_is_kept_is_read_again() {
        let folder = scratch("record");
        let mut record = Record::open(SOME, &folder).expect("the folder is made");
        for value in kept_sample().iter().chain(kept_sample().iter().rev()) {
            let case = named(value["case"].as_str().expect("it has a name"));
            record.keep(case, value.clone()).expect("it is written");
        }
        assert_eq!(record.cases(), kept_sample());
        let record = Record::open(SOME, &folder).expect("it was written");
        // The last digit of a number may be another one once it was text.
        let read = |value: &Value| serde_json::from_str(&value.to_string());
        let read: Result<Vec<Value>, _> = kept_sample().iter().map(read).collect();
        assert_eq!(record.cases(), read.expect("it is JSON"));
        fs::remove_dir_all(folder.path()).expect("the folder is this test's own");
    }

    /// A case that the registry does not know, or knows in another group, is left out.
    #[test]
    fn what_the_registry_does_not_know_is_left_out() {
        let folder = scratch("unknown");
        fs::create_dir_all(folder.path()).expect("the folder is made");
        let case = |name, group| json!({ "case": name, "group": group });
        let known = case("yield_many", "tokio");
        let cases = [
            case("gone", "tokio"),
            case("echo_1", "tokio"),
            case("echo_1", "net"),
            known.clone(),
        ];
        let text = json!({ "format": json::FORMAT, "cases": cases }).to_string();
        fs::write(folder.path().join("tokio.json"), text).expect("it is written");
        let record = Record::open(SOME, &folder).expect("the file is right");
        assert_eq!(record.cases(), [known]);
        fs::remove_dir_all(folder.path()).expect("the folder is this test's own");
    }

    /// A file that cannot be read is named, with what to do.
    #[test]
    fn an_unreadable_file_is_named() {
        let folder = scratch("unreadable");
        fs::create_dir_all(folder.path()).expect("the folder is made");
        for (text, what) in [
            ("{\"format\":0}", "another version"),
            ("{\"format\":1}", "no list of cases"),
            ("{", "no JSON"),
        ] {
            fs::write(folder.path().join("tokio.json"), text).expect("it is written");
            let told = Record::open(SOME, &folder).expect_err(text).to_string();
            for words in ["tokio.json", what, "delete the file"] {
                assert!(told.contains(words), "no `{words}` in {told}");
            }
        }
        fs::remove_dir_all(folder.path()).expect("the folder is this test's own");
    }
}
