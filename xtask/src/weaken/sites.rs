//! The places in a file where an ordering or a fence stands, and what each can become.

use std::ops::Range;

use super::order::{Operation, Strength, operation};
use crate::source::{Source, matching};

/// Asymmetric barriers, which are taken away like fences: `asym::light()`, `asym::heavy()`.
const BARRIERS: [&str; 2] = ["asym::light", "asym::heavy"];

/// One place that can be weakened.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// The file, relative to the root.
    pub(super) file: String,
    /// The function around it.
    pub(super) function: String,
    /// The line of the operation, counted from 1.
    pub(super) line: usize,
    /// The code of that line: with the function, what the list of survivors knows it by.
    pub(super) code: String,
    /// What it can become, strongest first.
    pub(super) variants: Vec<Variant>,
    /// The file's whole text.
    pub(super) text: String,
}

/// One weakening of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Variant {
    /// What is done, as the list of survivors says it.
    pub(super) label: String,
    /// What is left of the promise.
    pub(super) strength: Strength,
    /// Which part of the text goes.
    range: Range<usize>,
    /// What comes instead.
    replacement: String,
}

impl Site {
    /// Where it is, for people.
    pub(super) fn place(&self) -> String {
        format!(
            "{}:{} {}: {}",
            self.file, self.line, self.function, self.code
        )
    }
}

impl Variant {
    /// The text with this weakening.
    pub(super) fn applied_to(&self, text: &str) -> String {
        let (before, after) = (&text[..self.range.start], &text[self.range.end..]);
        format!("{before}{}{after}", self.replacement)
    }
}

/// The name by which the models of a file are known: `lane` for `proto/lane.rs` and for all
/// that is split off from it into `proto/lane/`.
pub(super) fn stem(file: &str) -> &str {
    let below = file.split_once("/proto/").map_or(file, |(_, below)| below);
    let first = below.split('/').next().unwrap_or(below);
    first.strip_suffix(".rs").unwrap_or(first)
}

/// An operation found in a file.
struct Found {
    /// Where its name is: this line is what it is known by.
    at: usize,
    /// What it covers: the whole call of a fence, the ordering alone otherwise.
    extent: Range<usize>,
    /// What it can become.
    variants: Vec<Variant>,
}

/// All places in this file that are compiled for the models and are not models themselves.
pub(super) fn find(file: &str, source: &Source) -> Vec<Site> {
    let not_modelled = source.items_under_cfg(|cfg| cfg.contains("not(loom"));
    let skipped = [source.test_regions(), not_modelled].concat();
    let is_in = |ranges: &[Range<usize>], at: usize| ranges.iter().any(|it| it.contains(&at));
    let mut found = barriers(source);
    // The ordering inside of a fence belongs to the site of the fence.
    let calls: Vec<Range<usize>> = found.iter().map(|barrier| barrier.extent.clone()).collect();
    found.extend(
        orderings(source)
            .into_iter()
            .filter(|it| !is_in(&calls, it.extent.start)),
    );
    found.retain(|it| !is_in(&skipped, it.extent.start) && !it.variants.is_empty());
    found.sort_by_key(|it| it.extent.start);
    found
        .into_iter()
        .map(|found| site(file, source, found))
        .collect()
}

/// The site of an operation.
fn site(file: &str, source: &Source, found: Found) -> Site {
    let line = source.line_of(found.at);
    let around = source
        .functions()
        .into_iter()
        .rfind(|(_, range)| range.contains(&found.at));
    Site {
        file: file.to_owned(),
        function: around.map_or("", |(name, _)| name).to_owned(),
        line,
        code: source.code_line(line).to_owned(),
        variants: found.variants,
        text: source.text.clone(),
    }
}

/// Every call of a fence or barrier; its last weakening takes it away.
fn barriers(source: &Source) -> Vec<Found> {
    let code = &source.code;
    let mut found = Vec::new();
    for (open, _) in code.match_indices('(') {
        let start = path_start(code, open);
        let path = &code[start..open];
        let is_fence = path == "fence" || path.ends_with("::fence");
        let is_barrier = BARRIERS.iter().any(|barrier| path.ends_with(barrier));
        let is_definition = code[..start].trim_end().ends_with("fn");
        if is_definition || !(is_fence || is_barrier) {
            continue;
        }
        let Some(close) = matching(code, open) else {
            continue;
        };
        let argument = code[open..close]
            .find("Ordering::")
            .and_then(|at| ordering(code, open + at));
        let mut variants = argument
            .map(|(name, strength)| variants(Operation::Fence, "fence ", &name, strength))
            .unwrap_or_default();
        variants.push(removal(path, start..close + 1));
        found.push(Found {
            at: start,
            extent: start..close + 1,
            variants,
        });
    }
    found
}

/// The weakening that takes a call away.
fn removal(path: &str, range: Range<usize>) -> Variant {
    let label = format!("{} removed", path.trim_start_matches("crate::"));
    Variant {
        label,
        strength: Strength::Relaxed,
        range,
        replacement: "()".to_owned(),
    }
}

/// Every strong ordering, known by the line of the method that it is an argument of.
fn orderings(source: &Source) -> Vec<Found> {
    let code = &source.code;
    let mut found = Vec::new();
    for (at, _) in code.match_indices("Ordering::") {
        let Some((name, strength)) = ordering(code, at) else {
            continue;
        };
        let (method_at, index) = enclosing_call(code, at).unwrap_or((at, 0));
        let (operation, role) = operation(word_at(code, method_at), index);
        let variants = variants(operation, role, &name, strength);
        found.push(Found {
            at: method_at,
            extent: name,
            variants,
        });
    }
    found
}

/// The strong ordering written as `Ordering::Name` at this place: the range of the name.
fn ordering(code: &str, at: usize) -> Option<(Range<usize>, Strength)> {
    let start = at + "Ordering::".len();
    let name = word_at(code, start);
    Strength::of(name).map(|strength| (start..start + name.len(), strength))
}

/// The weakenings of the ordering with this name.
fn variants(
    operation: Operation,
    role: &str,
    name: &Range<usize>,
    strength: Strength,
) -> Vec<Variant> {
    let variant = |weaker: Strength| Variant {
        label: format!("{role}{} -> {}", strength.name(), weaker.name()),
        strength: weaker,
        range: name.clone(),
        replacement: weaker.name().to_owned(),
    };
    operation
        .weaker(strength)
        .into_iter()
        .map(variant)
        .collect()
}

/// The call around this place: where the method's name is, and which argument we are in.
fn enclosing_call(code: &str, at: usize) -> Option<(usize, usize)> {
    let (mut depth, mut commas) = (0_usize, 0);
    for (here, byte) in code[..at].bytes().enumerate().rev() {
        match byte {
            b')' | b']' | b'}' => depth += 1,
            b',' if depth == 0 => commas += 1,
            b'(' if depth == 0 => {
                let name = code[..here].trim_end();
                return Some((word_start(name), commas));
            }
            b'[' | b'{' if depth == 0 => return None,
            b'(' | b'[' | b'{' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Where the path (`a::b::c`) begins that ends here.
fn path_start(code: &str, end: usize) -> usize {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    end - code[..end]
        .chars()
        .rev()
        .take_while(|c| is_part(*c))
        .map(char::len_utf8)
        .sum::<usize>()
}

/// Where the word begins with which this text ends.
fn word_start(text: &str) -> usize {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.len()
        - text
            .chars()
            .rev()
            .take_while(|c| is_part(*c))
            .map(char::len_utf8)
            .sum::<usize>()
}

/// The word that begins here.
fn word_at(code: &str, start: usize) -> &str {
    let rest = &code[start..];
    &rest[..rest
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(rest.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Function, code and labels of every weakening in this text.
    fn all(text: &str) -> Vec<(String, String, Vec<String>)> {
        let describe = |site: Site| {
            let labels = site
                .variants
                .iter()
                .map(|variant| variant.label.clone())
                .collect();
            (site.function, site.code, labels)
        };
        find("proto/a.rs", &Source::new(text))
            .into_iter()
            .map(describe)
            .collect()
    }

    /// What `all` finds for one site.
    fn one(function: &str, code: &str, labels: &[&str]) -> (String, String, Vec<String>) {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        (function.to_owned(), code.to_owned(), labels)
    }

    /// A file's models are those of the protocol that it is a part of.
    #[test]
    fn a_part_is_known_by_its_protocol() {
        assert_eq!(stem("wq-core/src/proto/lane.rs"), "lane");
        assert_eq!(stem("wq-core/src/proto/lane/taking.rs"), "lane");
    }

    /// Loads, stores and changes are weakened by what they are; what is relaxed is left alone.
    #[test]
    fn orderings_are_weakened_by_operation() {
        let text = "fn a() {\n\
            x.load(Ordering::Acquire);\n\
            x.store(f(1, 2), Ordering::SeqCst);\n\
            x.load(Ordering::Relaxed);\n}\n\
            fn b() { y.swap(1, atomic::Ordering::AcqRel) }\n";
        let change = [
            "AcqRel -> Acquire",
            "AcqRel -> Release",
            "AcqRel -> Relaxed",
        ];
        assert_eq!(
            all(text),
            [
                one("a", "x.load(Ordering::Acquire);", &["Acquire -> Relaxed"]),
                one(
                    "a",
                    "x.store(f(1, 2), Ordering::SeqCst);",
                    &["SeqCst -> Release", "SeqCst -> Relaxed"]
                ),
                one(
                    "b",
                    "fn b() { y.swap(1, atomic::Ordering::AcqRel) }",
                    &change
                ),
            ]
        );
    }

    /// An ordering on a line of its own is known by the line of its method.
    #[test]
    fn a_call_over_several_lines_is_known_by_its_method() {
        let text = "fn a() {\n    x\n        .compare_exchange(\n            b,\n            \
                    [c, d][0],\n            Ordering::Release,\n            \
                    Ordering::Acquire,\n        )\n}\n";
        let method = ".compare_exchange(";
        assert_eq!(
            all(text),
            [
                one("a", method, &["success Release -> Relaxed"]),
                one("a", method, &["failure Acquire -> Relaxed"]),
            ]
        );
    }

    /// Fences and asymmetric barriers can go; their definitions and imports are not calls.
    #[test]
    fn fences_and_barriers_can_go() {
        let text = "use a::fence;\nfn light() {}\nfn a() {\n\
            fence(Ordering::SeqCst);\nasym::light();\ncrate::sync::asym::heavy();\n}\n";
        let weaker = ["SeqCst -> AcqRel", "SeqCst -> Acquire", "SeqCst -> Release"]
            .map(|label| format!("fence {label}"));
        let fence: Vec<&str> = weaker
            .iter()
            .map(String::as_str)
            .chain(["fence removed"])
            .collect();
        assert_eq!(
            all(text),
            [
                one("a", "fence(Ordering::SeqCst);", &fence),
                one("a", "asym::light();", &["asym::light removed"]),
                one(
                    "a",
                    "crate::sync::asym::heavy();",
                    &["sync::asym::heavy removed"]
                ),
            ]
        );
    }

    /// Comments, strings, tests and code that the models do not see are left alone.
    #[test]
    fn what_the_models_do_not_see_is_left_alone() {
        let text = "// x.load(Ordering::SeqCst)\nconst A: &str = \"Ordering::SeqCst\";\n\
            #[cfg(not(loom))]\nfn a() { fence(Ordering::SeqCst); }\n\
            #[cfg(test)]\nmod tests { fn b() { x.load(Ordering::Acquire); } }\n";
        assert!(all(text).is_empty(), "{:?}", all(text));
    }

    /// A weakening changes its own token and nothing else.
    #[test]
    fn a_weakening_changes_its_token_only() {
        let text = "fn a() { x.load(Ordering::Acquire); fence(Ordering::Acquire); } // Acquire\n";
        let changed: Vec<String> = find("proto/a.rs", &Source::new(text))
            .iter()
            .flat_map(|site| site.variants.iter().map(|variant| variant.applied_to(text)))
            .collect();
        let relaxed = text.replacen("Acquire", "Relaxed", 1);
        assert_eq!(
            changed,
            [relaxed, text.replace("fence(Ordering::Acquire)", "()")]
        );
    }
}
