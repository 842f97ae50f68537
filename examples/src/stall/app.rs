//! The program: runs the load on each runtime, shows how it goes, and draws the result.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fs, thread};

use super::load::Load;
use super::view::View;
use super::{RunError, Runtime};
use crate::treesum::svg::{self, Curve};

/// Between two pictures of the live view.
const REDRAW: Duration = Duration::from_millis(250);

/// What `--help` prints.
const HELP: &str = "\
stall: how late are short tasks while others block or burn?

Usage: stall [OPTIONS]

  --seconds N  how long, for all runtimes together [default: 20]
  --svg FILE   plot the lateness there [default: stall.svg]
  --help       print this

A thousand pings a second arrive at each runtime's default queue, while twice as many handlers as
there are processors sleep in their thread, fight for a mutex, burn CPU, and touch fresh memory.
";

/// What the user asked for.
#[derive(Debug)]
struct Args {
    /// For all runtimes together.
    time: Duration,
    /// Where the plot goes.
    svg: PathBuf,
}

/// Runs the program; its exit code.
pub fn main(words: impl Iterator<Item = OsString>) -> u8 {
    let args = match parse(words) {
        Ok(Some(args)) => args,
        Ok(None) => {
            let _ = io::stdout().write_all(HELP.as_bytes());
            return 0;
        }
        Err(error) => {
            eprintln!("stall: {error}\nTry `stall --help`.");
            return 1;
        }
    };
    match run(&args) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("stall: {error}");
            1
        }
    }
}

/// Reads the arguments; `None` for help.
fn parse(words: impl Iterator<Item = OsString>) -> Result<Option<Args>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut args = Args {
        time: Duration::from_secs(20),
        svg: PathBuf::from("stall.svg"),
    };
    let mut parser = lexopt::Parser::from_args(words);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("seconds") => {
                let seconds: u64 = parser.value()?.parse()?;
                if seconds == 0 || seconds > 3600 {
                    return Err("--seconds takes 1 to 3600".into());
                }
                args.time = Duration::from_secs(seconds);
            }
            Long("svg") => args.svg = parser.value()?.into(),
            Long("help") | Short('h') => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(args))
}

/// Measures, shows, plots.
fn run(args: &Args) -> Result<(), RunError> {
    let view = Mutex::new(View::default());
    let (over, mut result) = (AtomicBool::new(false), Ok(()));
    thread::scope(|scope| {
        scope.spawn(|| show(&view, &over));
        for runtime in Runtime::ALL {
            let load = Load::new(args.time / Runtime::ALL.len() as u32);
            lock(&view).0.push((runtime, Arc::clone(&load)));
            result = runtime.run(&load);
            if result.is_err() {
                break;
            }
        }
        // Relaxed: the scope's end orders the rest.
        over.store(true, Ordering::Relaxed);
    });
    result?;
    let view = lock(&view);
    let mut out = io::stdout();
    write!(out, "{}{}", view.table(), view.summary())?;
    let title = "Lateness of 1000 short tasks a second while handlers block or burn";
    fs::write(&args.svg, svg::plot(title, &curves(&view)))
        .map_err(|error| format!("{}: {error}", args.svg.display()))?;
    writeln!(out, "plot: {}", args.svg.display())?;
    Ok(())
}

/// Draws the table over the last one while the runs go on, if there is a terminal to draw on.
fn show(view: &Mutex<View>, over: &AtomicBool) {
    let mut err = io::stderr();
    let live = err.is_terminal();
    let mut lines = 0;
    while !over.load(Ordering::Relaxed) {
        if live {
            let table = lock(view).table();
            // Errors of a closed terminal are nobody's concern.
            let _ = write!(err, "{}{table}", up(lines));
            lines = table.lines().count();
        }
        thread::sleep(REDRAW);
    }
    let _ = write!(err, "{}", up(lines));
}

/// Moves the cursor so many lines up and clears what is below.
fn up(lines: usize) -> String {
    match lines {
        0 => String::new(),
        _ => format!("\x1b[{lines}A\x1b[J"),
    }
}

/// A curve for each runtime.
fn curves(view: &View) -> Vec<Curve> {
    let runs = view.0.iter().enumerate();
    runs.map(|(group, (runtime, load))| Curve {
        name: runtime.name().to_owned(),
        group,
        dashed: false,
        lateness: load.all_lateness(),
    })
    .collect()
}

/// Locks even after a panic of the view.
fn lock(view: &Mutex<View>) -> std::sync::MutexGuard<'_, View> {
    view.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: wrong usage is refused and says what is allowed. Method: some of each.
    #[test]
    fn usage_is_checked() {
        let parse = |words: &str| parse(words.split_whitespace().map(OsString::from));
        assert!(parse("--help").unwrap().is_none());
        assert_eq!(parse("--seconds 7").unwrap().unwrap().time.as_secs(), 7);
        for wrong in ["--seconds 0", "--seconds x", "--speed 1", "tree"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        let error = parse("--seconds 0").unwrap_err().to_string();
        assert!(error.contains("1 to 3600"), "{error}");
    }
}
