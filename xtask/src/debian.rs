//! Packages of Debian that a check needs and a bare machine may lack.

use std::time::Duration;

use crate::failure::{Failure, Outcome};
use crate::output;
use crate::process::Cmd;

/// To ask who we are is quick.
const ASK_LIMIT: Duration = Duration::from_secs(60);

/// Installs the packages; only root may, and only where there is `apt-get`.
pub(crate) fn install(packages: &[&str]) -> Outcome {
    let user = Cmd::new("id").words("-u").capture(ASK_LIMIT)?;
    let packages = packages.join(" ");
    if user.stdout.trim() != "0" {
        return Err(Failure::new(format!("as root: apt-get install {packages}")));
    }
    output::line(&format!("installing {packages}"));
    let apt = |words: &str| {
        Cmd::new("apt-get")
            .words(words)
            .env("DEBIAN_FRONTEND", "noninteractive")
    };
    apt("update -qq").run()?;
    apt("install -y -qq --no-install-recommends")
        .words(&packages)
        .run()
}
