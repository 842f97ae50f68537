//! The parts of command lines that several programs share.

use std::fmt::Display;
use std::str::FromStr;

use lexopt::prelude::*;

/// For a program that takes no arguments: ends it if there are some, with its usage, and well if
/// that was asked for.
#[expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]
pub fn none(program: &str) {
    let usage = format!("usage: {program} (it takes no arguments)");
    match lexopt::Parser::from_env().next() {
        Ok(None) => {}
        Ok(Some(Long("help") | Short('h'))) => {
            println!("{usage}");
            std::process::exit(0);
        }
        Ok(Some(other)) => refuse(program, &other.unexpected(), &usage),
        Err(error) => refuse(program, &error, &usage),
    }
}

/// Ends the program.
fn refuse(program: &str, error: &lexopt::Error, usage: &str) -> ! {
    eprintln!("{program}: {error}\n{usage}");
    std::process::exit(1);
}

/// The value of an option, read as a number or the like.
///
/// # Errors
///
/// A sentence that names the option and what is wrong with its value.
pub fn value<T>(parser: &mut lexopt::Parser, option: &str) -> Result<T, lexopt::Error>
where
    T: FromStr,
    T::Err: Display,
{
    let value = parser.value()?.string()?;
    let wrong = |error: T::Err| format!("{option}: cannot parse {value:?}: {error}");
    value.parse().map_err(|error| wrong(error).into())
}
