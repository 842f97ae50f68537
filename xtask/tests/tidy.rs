//! The repository keeps its own rules.

use std::path::Path;

use xtask::tidy::{Tree, check};

/// Runs all rules over the repository that this test was built from.
#[test]
fn the_repository_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask stands in the root");
    let tree = Tree::read(root).expect("the repository can be read");
    let offences: Vec<String> = check(&tree).iter().map(ToString::to_string).collect();
    assert!(offences.is_empty(), "mend these:\n{}", offences.join("\n"));
}
