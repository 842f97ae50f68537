//! A Rust file split into what the compiler reads and what people read.
//!
//! The checks ask about words: is this `unsafe` code, or a comment about it? [`Source`] answers
//! by two masked copies of the text, equally long: `code` has blanks where comments and the insides
//! of literals stand, `comments` has blanks everywhere else. An offset means the same in all three.
//!
//! Not here: a parser. What the checks need beyond words (the end of an item, the attribute before
//! it) is found by counting brackets, which a file that compiles always balances.

mod lexer;

use std::ops::Range;

/// The words that begin an item, and so tell it from a field or a statement under an attribute.
const ITEM_WORDS: [&str; 14] = [
    "mod", "fn", "pub", "impl", "struct", "enum", "use", "const", "static", "type", "unsafe",
    "async", "extern", "trait",
];

/// One file in its three views.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// As it is on disk.
    pub(crate) text: String,
    /// Without comments and without the insides of literals.
    pub(crate) code: String,
    /// Only the comments, their slashes included.
    pub(crate) comments: String,
    /// The offset at which each line begins.
    line_starts: Vec<usize>,
}

impl Source {
    /// Splits this text.
    pub(crate) fn new(text: &str) -> Self {
        let (code, comments) = lexer::split(text);
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            text: text.to_owned(),
            code,
            comments,
            line_starts,
        }
    }

    /// The line, counted from 1, that holds this offset.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// The range of a line counted from 1, without its newline; empty past the end.
    pub(crate) fn line_range(&self, line: usize) -> Range<usize> {
        let end = self.text.len();
        let start = line
            .checked_sub(1)
            .and_then(|at| self.line_starts.get(at))
            .copied();
        let next = self.line_starts.get(line).map_or(end, |next| next - 1);
        start.map_or(end..end, |start| start..next)
    }

    /// How many lines there are.
    pub(crate) fn line_count(&self) -> usize {
        self.text.lines().count()
    }

    /// The code of this line, trimmed.
    pub(crate) fn code_line(&self, line: usize) -> &str {
        self.code[self.line_range(line)].trim()
    }

    /// The comment on this line, trimmed; empty when there is none.
    pub(crate) fn comment_line(&self, line: usize) -> &str {
        self.comments[self.line_range(line)].trim()
    }

    /// The first line of the statement that this line belongs to.
    pub(crate) fn statement_start(&self, line: usize) -> usize {
        let ends = |line: usize| {
            let code = self.code_line(line);
            code.is_empty() || code.ends_with([';', '{', '}'])
        };
        (1..line)
            .rev()
            .find(|above| ends(*above))
            .map_or(1, |above| above + 1)
    }

    /// The words of the code, each with its offset.
    pub(crate) fn words(&self) -> impl Iterator<Item = (usize, &str)> {
        words(&self.code)
    }

    /// The extents of all items whose `cfg` attribute satisfies the question, attribute included.
    ///
    /// An inner attribute (`#![cfg(..)]`) counts for the whole file.
    pub(crate) fn items_under_cfg(&self, question: impl Fn(&str) -> bool) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for (at, _) in self.code.match_indices("cfg(") {
            let before = self.code[..at].trim_end();
            let open = at + "cfg".len();
            let Some(close) = matching(&self.code, open) else {
                continue;
            };
            if !question(&self.code[open + 1..close]) {
                continue;
            }
            if before.ends_with("#![") {
                found.push(0..self.code.len());
            } else if before.ends_with("#[") {
                found.push(at..self.item_end(close));
            }
        }
        found
    }

    /// Where the code is only compiled for tests.
    pub(crate) fn test_regions(&self) -> Vec<Range<usize>> {
        self.items_under_cfg(|cfg| has_word(cfg, "test") && !cfg.contains("not(test"))
    }

    /// Every function with a body: its name, and the range from `fn` to the closing brace.
    pub(crate) fn functions(&self) -> Vec<(&str, Range<usize>)> {
        let mut found = Vec::new();
        let mut words = self.words().peekable();
        while let Some((at, word)) = words.next() {
            let Some((name_at, name)) = words.peek().copied().filter(|_| word == "fn") else {
                continue;
            };
            // `fn(u8)` is a type and has no name right behind it.
            if self.code[at + 2..name_at].trim().is_empty() {
                found.extend(body_end(&self.code, name_at).map(|end| (name, at..end)));
            }
        }
        found
    }

    /// The end of the item that follows an attribute, given an offset inside that attribute.
    fn item_end(&self, in_attribute: usize) -> usize {
        let code = &self.code;
        let mut at = code[in_attribute..]
            .find(']')
            .map_or(code.len(), |end| in_attribute + end + 1);
        while code[at..].trim_start().starts_with("#[") {
            let open = at + code[at..].find('[').unwrap_or(0);
            at = matching(code, open).map_or(code.len(), |close| close + 1);
        }
        let first = words(&code[at..]).next().map_or("", |(_, word)| word);
        let stops: &[u8] = if ITEM_WORDS.contains(&first) {
            b";"
        } else {
            b";,"
        };
        end_of_item(code, at, stops)
    }
}

/// From `at`, the end of the first braced block at depth 0, or of the first stop character.
fn end_of_item(code: &str, at: usize, stops: &[u8]) -> usize {
    let bytes = code.as_bytes();
    let mut here = at;
    while let Some(byte) = bytes.get(here) {
        match byte {
            b'(' | b'[' => here = matching(code, here).unwrap_or(code.len()),
            b'{' => return matching(code, here).map_or(code.len(), |close| close + 1),
            stop if stops.contains(stop) => return here + 1,
            _ => {}
        }
        here += 1;
    }
    code.len()
}

/// The closing brace of the function whose name is at `at`; none if it has no body.
fn body_end(code: &str, mut at: usize) -> Option<usize> {
    loop {
        at += code[at..].find(['(', '[', '{', ';'])?;
        match code.as_bytes()[at] {
            b'{' => return matching(code, at),
            b';' => return None,
            _ => at = matching(code, at)? + 1,
        }
    }
}

/// The words of masked code: identifiers, keywords and numbers, each with its offset.
pub(crate) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + code[rest..].find(is_word_char)?;
        let length = code[start..]
            .find(|c| !is_word_char(c))
            .unwrap_or(code.len() - start);
        rest = start + length;
        Some((start, &code[start..rest]))
    })
}

/// Whether the text has exactly this word.
pub(crate) fn has_word(text: &str, wanted: &str) -> bool {
    words(text).any(|(_, word)| word == wanted)
}

/// Letters, digits and underscores make words.
fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The offset of the bracket that closes the one at `open`; none if it never closes.
pub(crate) fn matching(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The part of the text that lies under `cfg(test)`.
    fn under_test(text: &str) -> Vec<String> {
        let source = Source::new(text);
        source
            .test_regions()
            .into_iter()
            .map(|range| text[range].to_owned())
            .collect()
    }

    /// A test module ends at its own brace, and braces in strings do not count.
    #[test]
    fn a_test_module_ends_at_its_brace() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests { const B: &str = \"}\"; }\nfn c() {}\n";
        assert_eq!(
            under_test(text),
            ["cfg(test)]\nmod tests { const B: &str = \"}\"; }"]
        );
    }

    /// More attributes may stand between the `cfg` and the item; generics do not end the item.
    #[test]
    fn attributes_and_generics_do_not_end_an_item() {
        let text =
            "#[cfg(all(test, loom))]\n#[expect(x, reason = \"]\")]\nfn f<A, B>() { g() }\nh!();";
        let item = text
            .strip_suffix("\nh!();")
            .and_then(|item| item.strip_prefix("#["));
        assert_eq!(under_test(text), [item.expect("both ends are there")]);
    }

    /// A field under the attribute ends at its comma.
    #[test]
    fn a_field_ends_at_its_comma() {
        let text = "struct S { #[cfg(test)] probe: Probe<u8>, real: u8 }";
        assert_eq!(under_test(text), ["cfg(test)] probe: Probe<u8>,"]);
    }

    /// `not(test)` is not test code; an inner attribute makes all of it test code.
    #[test]
    fn negation_and_inner_attributes_are_understood() {
        assert!(under_test("#[cfg(not(test))] fn a() {}").is_empty());
        assert_eq!(
            under_test("#![cfg(test)]\nfn a() {}"),
            ["#![cfg(test)]\nfn a() {}"]
        );
    }

    /// Lines are counted from 1 and have no newline.
    #[test]
    fn lines_are_counted_from_one() {
        let source = Source::new("a\n\nbc // d\n");
        assert_eq!(
            (source.line_of(0), source.line_of(3), source.line_count()),
            (1, 3, 3)
        );
        assert_eq!(
            (source.code_line(3), source.comment_line(3)),
            ("bc", "// d")
        );
        assert_eq!(source.code_line(9), "");
    }

    /// A statement over several lines is known by its first.
    #[test]
    fn a_statement_begins_after_the_last_one_ends() {
        let source = Source::new("{\n    a();\n    // why\n    word\n        .swap(\n    B)\n}\n");
        assert_eq!(source.statement_start(6), 4);
    }
}
