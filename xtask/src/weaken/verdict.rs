//! What became of each weakening, and whether that is what the list of survivors says.

use std::fmt;
use std::time::Duration;

use super::order::Strength;
use super::sites::Site;
use super::survivors::{Key, LIST, Survivors};

/// What the models said about one weakening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This model failed.
    Failed(String),
    /// This model no longer ends: it hangs, or exceeds loom's bound on branches.
    Endless(String),
    /// Not tried: something stronger was noticed already.
    Implied,
    /// All models passed.
    Survived,
    /// It does not compile, so nothing is known.
    Broken(String),
}

/// One weakening that was tried, with its result.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    /// What was done.
    pub(super) label: String,
    /// What was left of the promise.
    pub(super) strength: Strength,
    /// What came of it.
    pub(super) verdict: Verdict,
    /// Building and running.
    pub(super) elapsed: Duration,
}

impl Verdict {
    /// Whether a model noticed.
    pub(super) fn is_noticed(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Endless(_) | Self::Implied)
    }

    /// One word for the table.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Failed(_) => "noticed",
            Self::Endless(_) => "endless",
            Self::Implied => "implied",
            Self::Survived => "SURVIVED",
            Self::Broken(_) => "BROKEN",
        }
    }
}

impl fmt::Display for Tried {
    /// The line of progress.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, word) = (self.elapsed.as_secs_f64(), self.verdict.word());
        write!(f, "{seconds:>6.1} s  {}: {word}", self.label)?;
        match &self.verdict {
            Verdict::Failed(model) | Verdict::Endless(model) => write!(f, " by {model}"),
            _ => Ok(()),
        }
    }
}

/// Everything that is not as the list says; empty if all is well.
pub(super) fn judge(sites: &[Site], tried: &[Vec<Tried>], survivors: &Survivors) -> Vec<String> {
    let mut faults = Vec::new();
    let mut new_rows: Vec<String> = Vec::new();
    let mut seen = Vec::new();
    for (site, tried) in sites.iter().zip(tried) {
        for one in tried {
            let key = Key::of(site, &one.label);
            let row = key.row("");
            let is_listed = survivors.keys.contains(&key) || new_rows.contains(&row);
            if one.verdict == Verdict::Survived && !is_listed && !is_covered(one, tried) {
                new_rows.push(row);
            }
            if let Verdict::Broken(said) = &one.verdict {
                let place = site.place();
                faults.push(format!("{place}: {} does not compile:\n{said}", one.label));
            }
            seen.push((key, one.verdict.is_noticed()));
        }
    }
    faults.extend(stale(sites, &seen, survivors));
    if !new_rows.is_empty() {
        let rows = new_rows.join("\n");
        faults.push(format!(
            "survived, and not in {LIST}; model it, or list it why:\n{rows}"
        ));
    }
    faults
}

/// Whether something weaker survived at the same place: then one row, for that, says it all.
fn is_covered(one: &Tried, of_site: &[Tried]) -> bool {
    let survived = |other: &&Tried| other.verdict == Verdict::Survived;
    of_site
        .iter()
        .filter(survived)
        .any(|other| other.strength.is_weaker_than(one.strength))
}

/// The rows that are noticed by now, or whose code is gone; of the files that were tried only.
fn stale(sites: &[Site], seen: &[(Key, bool)], survivors: &Survivors) -> Vec<String> {
    let was_tried = |key: &&Key| sites.iter().any(|site| site.file == key.file);
    let mut faults = Vec::new();
    for key in survivors.keys.iter().filter(was_tried) {
        let mut same = seen.iter().filter(|(other, _)| other == key).peekable();
        if same.peek().is_none() {
            faults.push(format!(
                "{LIST} lists code that is not there: {}",
                key.row("..")
            ));
        } else if same.all(|(_, noticed)| *noticed) {
            faults.push(format!(
                "{LIST} lists what a model notices by now: {}",
                key.row("..")
            ));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::sites;
    use super::*;
    use crate::source::Source;

    /// The code that the tests weaken.
    const TEXT: &str = "fn f() { x.load(Ordering::Acquire); }\n";

    /// The faults when the one weakening of `TEXT` has this verdict and these rows are listed.
    fn faults(verdict: Verdict, rows: &[Key]) -> String {
        let sites = sites::find("a.rs", &Source::new(TEXT));
        let variant = &sites[0].variants[0];
        let (label, strength) = (variant.label.clone(), variant.strength);
        let tried = Tried {
            label,
            strength,
            verdict,
            elapsed: Duration::ZERO,
        };
        judge(
            &sites,
            &[vec![tried]],
            &Survivors {
                keys: rows.to_vec(),
            },
        )
        .join("\n")
    }

    /// The key of the one weakening.
    fn key() -> Key {
        let sites = sites::find("a.rs", &Source::new(TEXT));
        Key::of(&sites[0], &sites[0].variants[0].label)
    }

    /// What is noticed and not listed, and what survives and is listed, is as it should be.
    #[test]
    fn the_expected_is_no_fault() {
        assert_eq!(faults(Verdict::Failed("m".to_owned()), &[]), "");
        assert_eq!(faults(Verdict::Implied, &[]), "");
        assert_eq!(faults(Verdict::Survived, &[key()]), "");
    }

    /// A survivor that is not listed is a fault, with the row to add.
    #[test]
    fn an_unlisted_survivor_is_a_fault() {
        assert!(faults(Verdict::Survived, &[]).ends_with(&key().row("")));
    }

    /// A listed survivor that is noticed by now is a fault, and so is one whose code is gone; a
    /// row of a file that was not tried is not.
    #[test]
    fn a_stale_row_is_a_fault() {
        assert!(faults(Verdict::Endless("m".to_owned()), &[key()]).contains("notices by now"));
        let gone = Key {
            code: "y.load()".to_owned(),
            ..key()
        };
        assert!(faults(Verdict::Implied, &[gone]).contains("not there"));
        let other = Key {
            file: "b.rs".to_owned(),
            ..key()
        };
        assert_eq!(faults(Verdict::Implied, &[other]), "");
    }

    /// Of what survives at one place only the weakest needs a row.
    #[test]
    fn only_the_weakest_survivor_needs_a_row() {
        let sites = sites::find(
            "a.rs",
            &Source::new("fn f() { fence(Ordering::SeqCst); }\n"),
        );
        let survived = |variant: &sites::Variant| Tried {
            label: variant.label.clone(),
            strength: variant.strength,
            verdict: Verdict::Survived,
            elapsed: Duration::ZERO,
        };
        let tried: Vec<Tried> = sites[0].variants.iter().map(survived).collect();
        let faults = judge(&sites, std::slice::from_ref(&tried), &Survivors::default()).join("\n");
        assert!(
            faults.contains("fence removed") && !faults.contains("AcqRel"),
            "{faults}"
        );
    }

    /// What does not compile says nothing, and so is a fault.
    #[test]
    fn what_does_not_compile_is_a_fault() {
        assert!(faults(Verdict::Broken("no".to_owned()), &[]).contains("does not compile"));
    }
}
