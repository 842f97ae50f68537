//! `cargo xtask oldest`: the libraries under the oldest compiler that the manifests promise.
//!
//! Clippy's `incompatible_msrv` knows the standard library's ages, not the language's; only the
//! compiler itself knows both. Rustup may not have it and may not be allowed to fetch it, but
//! Debian ships it, and its packages can be unpacked into a folder without being installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::Args;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::process::{Captured, Cmd};

/// The `rust-version` of the manifests.
const OLDEST: &str = "1.85";

/// Where the unpacked compiler and what it builds stand.
const FOLDER: &str = "target/oldest";

/// The package whose version decides; the next two must have the same.
const COMPILER: &str = "rustc-web";

/// The rest of the compiler, at its version.
const PARTS: [&str; 2] = ["libstd-rust-web-dev", "libstd-rust-web-1.85"];

/// What it is linked with, at any version.
const BACKEND: &str = "libllvm19";

/// Some 100 MB from the archive.
const FETCH_LIMIT: Duration = Duration::from_secs(10 * 60);

/// `cargo xtask oldest`.
pub(crate) fn command(root: &Path, args: Args) -> Outcome {
    args.none()?;
    if args.has("--fetch") {
        fetch_and_check(root)
    } else {
        check(root)
    }
}

/// Checks the libraries, with the current compiler if the oldest is not here.
pub(crate) fn check(root: &Path) -> Outcome {
    // Also worth something under the current compiler: built alone, the libraries lack the
    // features that tests and examples switch on for their dependencies.
    let libraries = "check -p wq-core -p wq-async -p wq-macros";
    let target = format!("{libraries} --target-dir {FOLDER}/build");
    let cmd = if rustup_has_it() {
        Cmd::cargo(&format!("+{OLDEST} {target}"))
    } else if let Some(unpacked) = Unpacked::find(root) {
        unpacked.prepare(Cmd::cargo(&target))
    } else {
        output::line(&format!(
            "!!! no compiler {OLDEST} here, the current one checks alone"
        ));
        Cmd::cargo(libraries)
    };
    cmd.dir(root).run()
}

/// Gets the compiler if it is not here, then checks; says so if it cannot be had.
pub(crate) fn fetch_and_check(root: &Path) -> Outcome {
    if !rustup_has_it() && Unpacked::find(root).is_none() {
        if let Err(cause) = fetch(root) {
            output::line(&format!("!!! {cause}"));
        }
    }
    check(root)
}

/// Whether a toolchain of that version is installed.
fn rustup_has_it() -> bool {
    let list = Cmd::new("rustup")
        .words("toolchain list")
        .capture(FETCH_LIMIT);
    list.is_ok_and(|list| list.stdout.lines().any(|line| line.starts_with(OLDEST)))
}

/// A compiler in a folder of ours.
struct Unpacked {
    /// The program.
    rustc: PathBuf,
    /// The folder of the libraries that it is linked with.
    libraries: PathBuf,
}

impl Unpacked {
    /// The one that was fetched before, if it runs.
    fn find(root: &Path) -> Option<Self> {
        let folder = root.join(FOLDER).join("root/usr");
        let unpacked = Self {
            rustc: folder.join("bin/rustc"),
            libraries: folder.join("lib/x86_64-linux-gnu"),
        };
        let version =
            unpacked.prepare(Cmd::new(&unpacked.rustc.to_string_lossy()).arg("--version"));
        let version = version.capture(FETCH_LIMIT).ok()?.stdout;
        version
            .starts_with(&format!("rustc {OLDEST}."))
            .then_some(unpacked)
    }

    /// The command, run by or as this compiler.
    fn prepare(&self, cmd: Cmd) -> Cmd {
        cmd.env("RUSTC", self.rustc.to_string_lossy())
            .env("LD_LIBRARY_PATH", self.libraries.to_string_lossy())
    }
}

/// Downloads Debian's packages of the compiler and unpacks them; installs nothing.
fn fetch(root: &Path) -> Outcome {
    let folder = root.join(FOLDER);
    fs::create_dir_all(&folder).map_err(|error| Failure::io(folder.display(), &error))?;
    let listed = run(Cmd::new("apt-cache").words("madison").arg(COMPILER))?.stdout;
    let version = version_in(&listed)
        .ok_or_else(|| Failure::new(format!("Debian here has no {COMPILER} {OLDEST}")))?;
    output::line(&format!("unpacking {COMPILER} {version} to {FOLDER}"));
    let exact = [COMPILER]
        .iter()
        .chain(&PARTS)
        .map(|package| format!("{package}={version}"));
    for package in exact.chain([BACKEND.to_owned()]) {
        run(Cmd::new("apt-get")
            .words("download -qq")
            .arg(package)
            .dir(&folder))?;
    }
    let entries = fs::read_dir(&folder).map_err(|error| Failure::io(folder.display(), &error))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|ending| ending == "deb") {
            let unpack = Cmd::new("dpkg")
                .arg("-x")
                .arg(path.to_string_lossy())
                .arg("root");
            run(unpack.dir(&folder))?;
        }
    }
    Ok(())
}

/// Runs a tool of Debian; an error with what it said.
fn run(cmd: Cmd) -> Outcome<Captured> {
    let captured = cmd.capture(FETCH_LIMIT)?;
    if captured.success {
        return Ok(captured);
    }
    Err(Failure::new(format!(
        "`{cmd}` failed: {}",
        captured.stderr.trim()
    )))
}

/// The version of the oldest compiler among the lines `package | version | source`.
fn version_in(listed: &str) -> Option<&str> {
    let versions = listed
        .lines()
        .filter_map(|line| line.split('|').nth(1))
        .map(str::trim);
    let prefix = format!("{OLDEST}.");
    versions
        .into_iter()
        .find(|version| version.starts_with(&prefix))
}

#[cfg(test)]
mod tests {
    use super::version_in;

    /// Of all versions that the archive has, the one that the manifests promise is taken.
    #[test]
    fn the_promised_version_is_taken() {
        let listed = " rustc-web | 1.96.0+d | http://a\n rustc-web | 1.85.0+d-1~u3 | http://a\n";
        assert_eq!(version_in(listed), Some("1.85.0+d-1~u3"));
        assert_eq!(version_in(" rustc-web | 1.96.0+d | http://a\n"), None);
    }
}
