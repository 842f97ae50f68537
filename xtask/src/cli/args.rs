//! What follows a command's name, checked against its usage line.

use crate::failure::{Failure, Outcome};

/// The options and words of one call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Args {
    /// Options with their values; a switch has an empty one.
    options: Vec<(String, String)>,
    /// Everything that is not an option.
    words: Vec<String>,
}

impl Args {
    /// Reads arguments; the usage line says which options exist (`--name N`: with a value).
    pub(super) fn parse(args: &[String], usage: &str) -> Outcome<Self> {
        let mut parsed = Self::default();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            if !arg.starts_with('-') {
                parsed.words.push(arg.clone());
                continue;
            }
            let value = if usage.contains(&format!("[{arg} ")) {
                rest.next()
                    .cloned()
                    .ok_or_else(|| Failure::new(format!("{arg} needs a value")))?
            } else if usage.contains(&format!("[{arg}]")) {
                String::new()
            } else {
                return Err(Failure::new(format!("there is no option {arg}")));
            };
            parsed.options.push((arg.clone(), value));
        }
        Ok(parsed)
    }

    /// Whether the switch was given.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(option, _)| option == name)
    }

    /// The number behind an option, at least 1; the last one counts.
    pub(crate) fn number(&self, name: &str, default: usize) -> Outcome<usize> {
        let given = self.options.iter().rev().find(|(option, _)| option == name);
        let Some((_, text)) = given else {
            return Ok(default);
        };
        let bad = || Failure::new(format!("{name} needs a number from 1 up, not `{text}`"));
        text.parse()
            .ok()
            .filter(|number| *number >= 1)
            .ok_or_else(bad)
    }

    /// The words.
    pub(crate) fn words(&self) -> &[String] {
        &self.words
    }

    /// The only word, if there is one; two are an error.
    pub(crate) fn optional_word(&self) -> Outcome<Option<&str>> {
        match self.words.as_slice() {
            [] => Ok(None),
            [word] => Ok(Some(word)),
            [_, second, ..] => Err(Failure::new(format!("one argument too many: `{second}`"))),
        }
    }

    /// An error if there are any words: for commands that take none.
    pub(crate) fn none(&self) -> Outcome {
        match self.words.first() {
            None => Ok(()),
            Some(word) => Err(Failure::new(format!("one argument too many: `{word}`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Args;

    /// Parses words against a usage line with a switch and an option.
    fn parse(words: &str) -> Result<Args, String> {
        let args: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        Args::parse(&args, "[--list] [--jobs N] [FILE..]").map_err(|failure| failure.to_string())
    }

    /// Options and words may be mixed; an option keeps its value.
    #[test]
    fn options_and_words_may_be_mixed() {
        let args = parse("a --jobs 3 b --list").expect("all of these exist");
        assert_eq!(args.words(), ["a", "b"]);
        assert!(args.has("--list"));
        assert_eq!(args.number("--jobs", 7).expect("it is a number"), 3);
        assert_eq!(args.number("--other", 7).expect("the default"), 7);
    }

    /// What makes no sense is refused with the word that makes none.
    #[test]
    fn nonsense_is_named() {
        assert!(parse("--lisp").is_err_and(|message| message.contains("--lisp")));
        assert!(parse("--jobs").is_err_and(|message| message.contains("needs a value")));
        for bad in ["0", "x"] {
            let args = parse(&format!("--jobs {bad}")).expect("numbers are read later");
            assert!(args.number("--jobs", 1).is_err());
        }
        assert!(parse("a b").expect("words").optional_word().is_err());
        assert!(parse("a").expect("words").none().is_err());
    }
}
