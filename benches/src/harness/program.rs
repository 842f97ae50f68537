//! This program's own file, which is started again for each row.

use std::io;
use std::path::{Path, PathBuf};

/// Where the file is, or was when the program started.
pub(crate) fn path() -> PathBuf {
    std::env::current_exe().expect("the kernel knows this program's file")
}

/// An error if the file is not there any more: no row can be started then, or the next one would
/// be of another program.
pub(crate) fn check() -> io::Result<()> {
    check_file(&path())
}

/// An error if a program's file is not there. Of one that was replaced the kernel tells the name
/// with a word behind it, and no file has that name.
fn check_file(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let told = format!(
        "{}: this program was built anew or removed while it measured, so it ends here; what it \
         has measured is kept, and the same command goes on with the rest",
        path.display()
    );
    Err(io::Error::other(told))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that is not there any more is told, with what to do.
    #[test]
    fn a_program_that_is_gone_is_told() {
        check().expect("this program is there");
        let mut gone = path().into_os_string();
        gone.push(" (deleted)");
        let told = check_file(Path::new(&gone)).expect_err("it is not there");
        assert!(
            told.to_string().contains("the same command goes on"),
            "{told}"
        );
    }
}
