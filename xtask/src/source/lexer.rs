//! The one pass that tells code from comments and literals.

/// What one stretch of the text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Read by the compiler as it stands.
    Code,
    /// A line or block comment, with its delimiters.
    Comment,
    /// The inside of a string or character literal.
    Literal,
}

/// Copies of the text that keep only the code, and only the comments; the rest becomes blanks.
pub(super) fn split(text: &str) -> (String, String) {
    let mut lexer = Lexer {
        bytes: text.as_bytes(),
        at: 0,
        kinds: vec![Kind::Code; text.len()],
    };
    while lexer.at < lexer.bytes.len() {
        lexer.step();
    }
    (
        keep(text, &lexer.kinds, Kind::Code),
        keep(text, &lexer.kinds, Kind::Comment),
    )
}

/// The text with a blank for every byte of another kind; newlines stay.
fn keep(text: &str, kinds: &[Kind], wanted: Kind) -> String {
    let mask = |(byte, kind): (u8, &Kind)| {
        if *kind == wanted || byte == b'\n' {
            byte
        } else {
            b' '
        }
    };
    let bytes: Vec<u8> = text.bytes().zip(kinds).map(mask).collect();
    // Kinds change at ASCII bytes only, so no character is cut in two.
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The state of the pass.
struct Lexer<'text> {
    /// The text.
    bytes: &'text [u8],
    /// Where the pass is.
    at: usize,
    /// The verdict on each byte so far.
    kinds: Vec<Kind>,
}

impl Lexer<'_> {
    /// Takes one comment, literal, word or other byte.
    fn step(&mut self) {
        let rest = &self.bytes[self.at..];
        match rest {
            [b'/', b'/', ..] => self.mark(self.until_newline(), Kind::Comment),
            [b'/', b'*', ..] => self.mark(self.block_comment(), Kind::Comment),
            [b'"', ..] => self.quoted(b'"'),
            [b'\'', ..] if self.is_char_literal() => self.quoted(b'\''),
            [first, ..] if is_word(*first) => self.word(),
            _ => self.at += 1,
        }
    }

    /// Gives the next `length` bytes a kind and passes them.
    fn mark(&mut self, length: usize, kind: Kind) {
        let end = (self.at + length).min(self.bytes.len());
        self.kinds[self.at..end].fill(kind);
        self.at = end;
    }

    /// The length of a line comment.
    fn until_newline(&self) -> usize {
        let rest = &self.bytes[self.at..];
        rest.iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(rest.len())
    }

    /// The length of a block comment, nested ones included.
    fn block_comment(&self) -> usize {
        let rest = &self.bytes[self.at..];
        let (mut depth, mut at) = (0_usize, 0);
        while at < rest.len() {
            match &rest[at..] {
                [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
                [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
                _ => at += 1,
            }
            if depth == 0 {
                return at;
            }
        }
        rest.len()
    }

    /// A literal with escapes, between two of these quotes.
    fn quoted(&mut self, quote: u8) {
        self.at += 1;
        let rest = &self.bytes[self.at..];
        let mut length = 0;
        while length < rest.len() && rest[length] != quote {
            length += if rest[length] == b'\\' { 2 } else { 1 };
        }
        self.mark(length, Kind::Literal);
        self.at += 1;
    }

    /// Whether the quote here begins a character and not a lifetime.
    fn is_char_literal(&self) -> bool {
        match &self.bytes[self.at + 1..] {
            [b'\\', ..] => true,
            [first, rest @ ..] => {
                // The other bytes of a character that is not ASCII all begin with the bits 10.
                let more = rest.iter().take_while(|byte| **byte & 0xC0 == 0x80).count();
                let more = if *first < 0x80 { 0 } else { more };
                rest.get(more) == Some(&b'\'')
            }
            [] => false,
        }
    }

    /// A word; where it opens a raw string, that too.
    fn word(&mut self) {
        let rest = &self.bytes[self.at..];
        let length = rest
            .iter()
            .position(|byte| !is_word(*byte))
            .unwrap_or(rest.len());
        let opens_raw = matches!(&rest[..length], b"r" | b"br" | b"cr");
        self.at += length;
        if opens_raw {
            self.raw_string();
        }
    }

    /// The raw string whose hashes begin here, if it is one and not a raw identifier.
    fn raw_string(&mut self) {
        let rest = &self.bytes[self.at..];
        let hashes = rest.iter().take_while(|byte| **byte == b'#').count();
        if rest.get(hashes) != Some(&b'"') {
            return;
        }
        let end: Vec<u8> = std::iter::once(b'"')
            .chain(std::iter::repeat_n(b'#', hashes))
            .collect();
        self.at += hashes + 1;
        let rest = &self.bytes[self.at..];
        let length = rest
            .windows(end.len())
            .position(|window| window == end)
            .unwrap_or(rest.len());
        self.mark(length, Kind::Literal);
        self.at = (self.at + end.len()).min(self.bytes.len());
    }
}

/// Bytes of words; all bytes of characters beyond ASCII count as such.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::split;

    /// The words left in the code and in the comments.
    fn both(text: &str) -> (String, String) {
        let (code, comments) = split(text);
        assert_eq!(
            (code.len(), comments.len()),
            (text.len(), text.len()),
            "offsets must agree"
        );
        let squeeze = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        (squeeze(code), squeeze(comments))
    }

    /// Each kind of comment and literal is told from code, also where one looks like another.
    #[test]
    fn comments_and_literals_are_told_from_code() {
        let cases = [
            ("a // b \"c\nd", "a d", "// b \"c"),
            ("a /* b /* c */ d */ e", "a e", "/* b /* c */ d */"),
            (r#"a "b // \" c" d"#, r#"a " " d"#, ""),
            (r###"r#"a " // b"# c"###, r###"r#" "# c"###, ""),
            ("let r#fn = br\"x\\\";", "let r#fn = br\" \";", ""),
            (
                "f::<'a>('b', '\\'', '\"') // c",
                "f::<'a>(' ', ' ', ' ')",
                "// c",
            ),
            ("'ä' + \"ü\" // ö", "' ' + \" \"", "// ö"),
        ];
        for (text, code, comments) in cases {
            let (found_code, found_comments) = both(text);
            assert_eq!(squeezed(&found_code), squeezed(code), "code of {text:?}");
            assert_eq!(found_comments, comments, "comments of {text:?}");
        }
    }

    /// Without blanks: the insides of literals become as many blanks as they had bytes.
    fn squeezed(text: &str) -> String {
        text.split_whitespace().collect()
    }

    /// An unclosed comment or string ends with the file instead of running past it.
    #[test]
    fn unclosed_text_ends_with_the_file() {
        for text in ["/* a", "\"a", "\"a\\", "r#\"a", "'", "r#\"", "br"] {
            both(text);
        }
    }
}
