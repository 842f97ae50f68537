//! `cargo xtask features`: each feature of the library that users depend on builds alone.
//!
//! The tests switch all of them on, so that what one needs of another would go unnoticed.

use std::fs;
use std::path::Path;

use crate::failure::{Failure, Outcome};
use crate::output;
use crate::process::Cmd;

/// The library's manifest.
const MANIFEST: &str = "wq-async/Cargo.toml";

/// Checks the library without features, and with each of them alone; tests those that `cargo test`
/// leaves out.
pub(crate) fn command(root: &Path) -> Outcome {
    let path = root.join(MANIFEST);
    let text = fs::read_to_string(&path).map_err(|error| Failure::io(path.display(), &error))?;
    let features = features(&text);
    if features.is_empty() {
        return Err(Failure::new(format!("{MANIFEST} has no features")));
    }
    let alone = "check --quiet -p wq-async --no-default-features";
    let check = |words: &str| Cmd::cargo(words).env("RUSTFLAGS", "-Dwarnings").dir(root);
    let target = "--target-dir target/features";
    check(&format!("{alone} {target}")).run()?;
    for feature in features {
        check(&format!("{alone} {target} --features {feature}")).run()?;
        output::line(&format!("  {feature}: ok"));
    }
    // The features that the other tests run without: one changes every task, one every clock. The
    // tests of each must not need the other, with which they run below.
    for feature in ["tracing", "test-util"] {
        let tests = "check --quiet -p wq-async --tests";
        check(&format!("{tests} {target} --features {feature}")).run()?;
        output::line(&format!("  tests of {feature}: ok"));
    }
    for words in [
        "test --quiet -p wq-async --features tracing,test-util --test tracing --test paused",
        "test --quiet -p wq-async --features tracing,test-util --doc -- time task_local",
        "test --quiet -p wq-core --features test-util --doc -- paused_clock",
    ] {
        Cmd::cargo(words).dir(root).run()?;
    }
    Ok(())
}

/// The names in the manifest's section of features, without the default.
fn features(manifest: &str) -> Vec<&str> {
    let section = manifest.lines().skip_while(|line| *line != "[features]");
    section
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| Some(line.split_once(" = ")?.0))
        .filter(|name| *name != "default")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::features;

    /// Only what stands in the section counts, and the default is no feature of its own.
    #[test]
    fn the_section_is_read() {
        let manifest = "[package]\nname = \"a\"\n\n[features]\ndefault = [\"b\"]\n# Why.\nb = []\n\
                        c-d = [\"dep:e\"]\n\n[dependencies]\ne = \"1\"\n";
        assert_eq!(features(manifest), ["b", "c-d"]);
        assert!(features("[package]\nname = \"a\"\n").is_empty());
    }
}
