//! Every rule catches its planted offence, and lets the mended text pass.

use super::{Offence, Rule, Tree, check_allowing};

/// A rule, and what breaks and what keeps it: the texts of one file.
struct Plant {
    /// The rule.
    rule: Rule,
    /// Where the file stands.
    path: &'static str,
    /// Breaks the rule.
    bad: String,
    /// Keeps it, and all others.
    good: String,
}

/// One planted offence.
fn plant(rule: Rule, path: &'static str, bad: &str, good: &str) -> Plant {
    Plant {
        rule,
        path,
        bad: bad.to_owned(),
        good: good.to_owned(),
    }
}

/// The file that every Rust plant below hangs on.
const LIB: &str = "wq-core/src/a.rs";

/// Rust text under a module doc.
fn rust(body: &str) -> String {
    format!("//! A.\n\n{body}\n")
}

/// A function of this many lines.
fn function(lines: usize) -> String {
    rust(&format!(
        "fn long() {{\n{}}}",
        "    a();\n".repeat(lines - 2)
    ))
}

/// A file of this many lines, with ten more for tests.
fn file(lines: usize) -> String {
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}", "\n".repeat(8));
    rust(&format!("{}{tests}", "use a;\n".repeat(lines - 2)))
}

/// The plants about length, width and the top of a file.
fn shapes() -> Vec<Plant> {
    let wide = |width: usize| rust(&format!("// {}", "é".repeat(width - 3)));
    vec![
        plant(Rule::FunctionLength, LIB, &function(71), &function(70)),
        plant(Rule::FileLength, LIB, &file(801), &file(800)),
        plant(Rule::LineWidth, LIB, &wide(101), &wide(100)),
        plant(
            Rule::ModuleDoc,
            LIB,
            "// A.\nfn a() {}\n",
            "#![forbid(b)]\n//! A.\nfn a() {}\n",
        ),
        plant(
            Rule::ModuleDoc,
            LIB,
            "fn a() {}\n//! A.\n",
            "#![doc = \"A\"]\nfn a() {}\n",
        ),
    ]
}

/// The plants about words and blanks.
fn words() -> Vec<Plant> {
    let r = |rule, bad: &str, good: &str| plant(rule, LIB, &rust(bad), &rust(good));
    let md = |rule, bad, good| plant(rule, "README.md", bad, good);
    vec![
        r(
            Rule::Unfinished,
            "// TODO: later",
            "// `TODO` is a word.\nconst A: &str = \"TODO\";",
        ),
        r(Rule::Unfinished, "fn a() { dbg!(1) }", "fn a() { dbg(1) }"),
        r(Rule::Unfinished, "fn a() { todo!() }", "// `todo!()`"),
        md(
            Rule::Unfinished,
            "A FIXME here.\n",
            "No `FIXME` here.\n\n```\nXXX\n```\n",
        ),
        r(
            Rule::Wording,
            "// Just do it.",
            "// An adjusted and unjust word.\nfn just() {}",
        ),
        r(
            Rule::Wording,
            "/// It is obviously so.",
            "/// It is so: \"a\".",
        ),
        r(Rule::Whitespace, "fn a() {} ", "fn a() {}"),
        r(Rule::Whitespace, "\tfn a() {}", "    fn a() {}"),
        md(Rule::Whitespace, "no end", "an end\n"),
        md(Rule::Whitespace, "two ends\n\n", "one end\n"),
        plant(Rule::Whitespace, ".ci/run", "cargo \n", "cargo\n"),
    ]
}

/// The plants about orderings, orphans, links and models.
fn relations() -> Vec<Plant> {
    let r = |rule, bad: &str, good: &str| plant(rule, LIB, &rust(bad), &rust(good));
    let strong = "fn a() {\n    x\n        .load(\n            Ordering::Acquire,\n        );\n}";
    let paired = strong.replace("    x\n", "    // Pairs with b.\n    x\n");
    let in_tests = "#[cfg(test)]\nmod tests { fn a() { x.load(Ordering::SeqCst); } }";
    let link = |bad, good| plant(Rule::DeadLink, "README.md", bad, good);
    let proofs = |bad, good| plant(Rule::Model, "docs/memory-ordering.md", bad, good);
    let model = "Model: `proto::tests::loom_a`\n";
    vec![
        r(Rule::OrderingComment, strong, &paired),
        r(
            Rule::OrderingComment,
            "fn a() { x.swap(1, Ordering::AcqRel); }",
            in_tests,
        ),
        r(
            Rule::OrderingImport,
            "use b::Ordering::{Acquire};",
            "use b::Ordering;",
        ),
        r(
            Rule::OrderingImport,
            "use b::Ordering::Acquire as A;",
            "use b::{Ordering, A};",
        ),
        r(
            Rule::OrderingImport,
            "use b::Ordering::*;",
            "use b::Ordering::{Relaxed};\nuse b::Ordering::Relaxed;",
        ),
        plant(Rule::Orphan, "wq-core/src/lost.rs", "//! A.\n", ""),
        link(
            "[a](docs/b.md)\n",
            "[a](wq-core/src/lib.rs) [b](wq-core/src)\n",
        ),
        link(
            "# A b\n[a](#a-c)\n",
            "# A b\n[a](#a-b) [c](https://d.e/f#g) `[h](i)`\n",
        ),
        link(
            "[a](docs/memory-ordering.md#no)\n",
            "[a](docs/memory-ordering.md#yes)\n",
        ),
        r(
            Rule::DeadLink,
            "// See docs/no.md.",
            "// See docs/memory-ordering.md#yes.",
        ),
        proofs("Model: loom_a\n", model),
        proofs(
            "Model: `proto::tests::loom_a`, `proto::tests::loom_b`\n",
            model,
        ),
        proofs("Model: `proto::tests::a`\n", model),
        proofs("# No model\n", model),
        plant(
            Rule::Dependency,
            "wq-core/Cargo.toml",
            "[package]\nname = \"wq-core\"\n[dependencies]\nb = \"1\"\n",
            "[package]\nname = \"wq-core\"\n[dependencies]\na = \"1\"\nwq-core = \"1\"\n",
        ),
    ]
}

/// The offences in a small sound repository with this file added.
fn offences(path: &str, text: &str) -> Vec<Rule> {
    let mut files = vec![
        ("wq-core/Cargo.toml", "[package]\n"),
        ("wq-core/src/lib.rs", "//! Lib.\n\nmod a;\nmod proto;\n"),
        ("wq-core/src/a.rs", "//! A.\n"),
        (
            "wq-core/src/proto.rs",
            "//! P.\n\n#[cfg(test)]\nmod tests;\n",
        ),
        ("wq-core/src/proto/tests.rs", "//! T.\n\nfn loom_a() {}\n"),
        ("deny.toml", "#   a  why\n"),
        (
            "docs/memory-ordering.md",
            "# Yes\n\nModel: `proto::tests::loom_a`\n",
        ),
    ];
    files.retain(|(known, _)| *known != path);
    if !text.is_empty() {
        files.push((path, text));
    }
    check_allowing(&Tree::of(&files), &[])
        .iter()
        .map(Offence::rule)
        .collect()
}

/// Plants each offence in a repository that is sound otherwise: exactly its rule is broken, and
/// the mended text breaks none. Every rule has a plant.
#[test]
fn each_rule_catches_its_planted_offence() {
    let mut planted: Vec<Rule> = vec![Rule::UnsafeFile, Rule::SafetyComment];
    for Plant {
        rule,
        path,
        bad,
        good,
    } in [shapes(), words(), relations()].into_iter().flatten()
    {
        let found = offences(path, &bad);
        assert!(
            !found.is_empty() && found.iter().all(|other| *other == rule),
            "{bad}: {found:?}"
        );
        let found = offences(path, &good);
        assert!(found.is_empty(), "{rule:?} good, {good}: {found:?}");
        planted.push(rule);
    }
    let missing: Vec<_> = Rule::ALL
        .iter()
        .filter(|rule| !planted.contains(rule))
        .collect();
    assert!(
        missing.is_empty(),
        "rules without a planted offence: {missing:?}"
    );
}

/// The rules that this text breaks in a repository with this list of unsafe files.
fn unsafe_offences(body: &str, allowed: &[(&str, &str)]) -> Vec<Rule> {
    let text = rust(body);
    let files = [
        ("wq-core/Cargo.toml", ""),
        ("wq-core/src/lib.rs", "//! Lib.\n\nmod a;\n"),
        (LIB, &text),
    ];
    check_allowing(&Tree::of(&files), allowed)
        .iter()
        .map(Offence::rule)
        .collect()
}

/// Unsafe code is refused in a file that the list does not name, accepted in one that it names by
/// path or folder, and an entry that covers nothing unsafe is refused too.
#[test]
fn unsafe_code_stands_in_named_files_only() {
    let sound = "// SAFETY: a is never null.\nunsafe { a() }";
    assert_eq!(unsafe_offences(sound, &[]), [Rule::UnsafeFile]);
    assert!(unsafe_offences(sound, &[(LIB, "why")]).is_empty());
    assert!(unsafe_offences(sound, &[("wq-core/src/", "why")]).is_empty());
    assert_eq!(
        unsafe_offences("// unsafe", &[(LIB, "why")]),
        [Rule::UnsafeFile]
    );
    assert!(unsafe_offences("#![forbid(unsafe_code)]", &[]).is_empty());
}

/// Unsafe code without its reason is refused; the reason may stand above the statement, above its
/// attributes, or on the line, and a comment further up does not count.
#[test]
fn unsafe_code_says_why_it_is_sound() {
    let cases = [
        ("fn f() {\n    unsafe { a() }\n}", false),
        (
            "fn f() {\n    // SAFETY: b.\n    let x = c(\n        unsafe { a() },\n    );\n}",
            true,
        ),
        (
            "fn f() {\n    // SAFETY: b.\n    g();\n    unsafe { a() }\n}",
            false,
        ),
        ("unsafe impl Send for A {}", false),
        ("// SAFETY: b.\n#[c]\nunsafe impl Send for A {}", true),
        ("/// Does.\npub unsafe fn f() {}", false),
        (
            "/// Does.\n///\n/// # Safety\n///\n/// - b\n#[c]\npub unsafe fn f() {}",
            true,
        ),
        ("type F = unsafe fn();", true),
        ("impl A for B {\n    unsafe fn f() {}\n}", true),
        ("impl B {\n    unsafe fn f() {}\n}", false),
    ];
    for (body, sound) in cases {
        let found = unsafe_offences(body, &[(LIB, "why")]);
        assert_eq!(found.is_empty(), sound, "{body}: {found:?}");
    }
}
