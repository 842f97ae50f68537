//! Links of Markdown files, and the mentions of `docs/*.md` in comments, lead somewhere.

use std::collections::BTreeMap;

use super::modules::{folder_of, join};
use super::text::without_code_spans;
use super::{Report, Rule, Tree};

/// Checks all files.
pub(super) fn check(tree: &Tree, report: &mut Report) {
    for (path, text) in tree.texts().filter(|(path, _)| path.ends_with(".md")) {
        for (line, prose) in prose_lines(text) {
            for target in targets(&prose) {
                if let Some(message) = fault(tree, path, target) {
                    report.add(Rule::DeadLink, path, line, message);
                }
            }
        }
    }
    for (path, source) in tree.sources() {
        for line in 1..=source.line_count() {
            // A mention in a comment is relative to the root of the repository.
            for target in mentions(source.comment_line(line)) {
                if let Some(message) = fault(tree, "", target) {
                    report.add(Rule::DeadLink, path, line, message);
                }
            }
        }
    }
}

/// What is wrong with a target seen from this file; none if it is good or not ours to judge.
fn fault(tree: &Tree, from: &str, target: &str) -> Option<String> {
    let is_elsewhere = target.contains("://") || target.starts_with("mailto:");
    if is_elsewhere || target.is_empty() {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() {
        from.to_owned()
    } else {
        join(folder_of(from), file)
    };
    if !tree.exists(&path) {
        return Some(format!("dead link: there is no `{path}`"));
    }
    let text = tree
        .text(&path)
        .filter(|_| !anchor.is_empty() && path.ends_with(".md"))?;
    let dead = !anchors(text).contains(&anchor.to_lowercase());
    dead.then(|| format!("dead link: `{path}` has no heading `#{anchor}`"))
}

/// The lines of a Markdown text that are prose: code blocks left out, code spans blanked.
pub(super) fn prose_lines(text: &str) -> impl Iterator<Item = (usize, String)> {
    outside_fences(text).map(|(line, text)| (line, without_code_spans(text)))
}

/// The lines outside of fenced code blocks, counted from 1.
fn outside_fences(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence = None;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let mark = ["```", "~~~"]
            .into_iter()
            .find(|mark| line.trim_start().starts_with(mark));
        match (fence, mark) {
            (None, None) => return Some((at + 1, line)),
            (None, Some(_)) => fence = mark,
            (Some(_), mark) if mark == fence => fence = None,
            _ => {}
        }
        None
    })
}

/// The targets of the links, images and definitions on a line.
fn targets(prose: &str) -> Vec<&str> {
    let until =
        |text: &'_ str, ends: &[char]| text.find(|c| ends.contains(&c)).unwrap_or(text.len());
    let mut found = Vec::new();
    for (mark, ends) in [
        ("](", &[')', ' '][..]),
        ("]: ", &[' '][..]),
        ("src=\"", &['"'][..]),
        ("href=\"", &['"'][..]),
    ] {
        // `[x]: target` is a definition only at the start of a line.
        if mark == "]: " && !prose.starts_with('[') {
            continue;
        }
        for (at, _) in prose.match_indices(mark) {
            let rest = &prose[at + mark.len()..];
            found.push(rest[..until(rest, ends)].trim_matches(['<', '>']));
        }
    }
    found
}

/// The Markdown files under `docs` that a comment mentions, with the heading if it names one.
fn mentions(comment: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_/.#".contains(c);
    comment
        .split(move |c| !is_part(c))
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| word.starts_with("docs/") && word.contains(".md"))
}

/// The anchors of a Markdown text: of its headings as the usual sites make them, and explicit ones.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for (_, line) in outside_fences(text) {
        let heading = line.trim_start_matches('#');
        if heading.len() < line.len() && heading.starts_with(' ') {
            let slug = slug(heading.trim());
            let times = seen.entry(slug.clone()).or_insert(0);
            found.push(if *times == 0 {
                slug
            } else {
                format!("{slug}-{times}")
            });
            *times += 1;
        }
        for mark in ["id=\"", "name=\""] {
            let ids = line
                .match_indices(mark)
                .map(|(at, _)| &line[at + mark.len()..]);
            found.extend(
                ids.filter_map(|id| id.split('"').next())
                    .map(str::to_lowercase),
            );
        }
    }
    found
}

/// A heading as an anchor: lower case, blanks to hyphens, other punctuation dropped.
fn slug(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let lower = heading.to_lowercase();
    lower
        .chars()
        .filter(kept)
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Links, images, definitions and tags are all found, with titles cut off.
    #[test]
    fn every_kind_of_link_is_found() {
        assert_eq!(
            targets("a [b](c.md#d) ![e](f.svg \"g\")"),
            ["c.md#d", "f.svg"]
        );
        assert_eq!(targets("[b]: c.md"), ["c.md"]);
        assert_eq!(targets("<img src=\"a.svg\"> x [b]: c"), ["a.svg"]);
    }

    /// Headings become anchors as the usual sites make them; a repeated one is numbered.
    #[test]
    fn headings_become_anchors() {
        let text = "# A `b`: c!\n```\n# no\n```\n## Twice\n## Twice\n<a id=\"own\"></a>\n#not\n";
        assert_eq!(anchors(text), ["a-b-c", "twice", "twice-1", "own"]);
    }

    /// A comment mentions a file as people write it: in backticks, at the end of a sentence.
    #[test]
    fn mentions_are_found_in_comments() {
        let found: Vec<&str> = mentions("// See `docs/a.md`, docs/b.md#c.").collect();
        assert_eq!(found, ["docs/a.md", "docs/b.md#c"]);
    }
}
