//! `cargo xtask weaken`: would a model notice if an ordering were weaker than it is?
//!
//! Each ordering stronger than `Relaxed` and each fence in the modelled files is weakened, one at
//! a time, in a copy of the tree; then the models of that file are run, and after them all others,
//! until one fails. An ordering that no model misses is either not needed or not modelled: it must
//! stand in `docs/weaken-survivors.md` with the reason why it stays.
//!
//! What is weaker than something that was noticed is not tried: it allows all that went wrong.

mod copy;
mod order;
mod sites;
mod survivors;
mod verdict;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use copy::Baseline;
use sites::Site;
use survivors::Survivors;
use verdict::{Tried, Verdict};

use crate::cli::Args;
use crate::failure::{Failure, Outcome};
use crate::source::Source;
use crate::{loom, output, parallel, progress, repo};

/// `cargo xtask weaken`.
pub(crate) fn command(root: &Path, args: Args) -> Outcome {
    let sites = find(root, args.words())?;
    if args.has("--list") {
        list(&sites);
        return Ok(());
    }
    let preemptions = args.number("--preemptions", loom::CI_PREEMPTIONS)?;
    let jobs = args.number("--jobs", parallel::default_jobs())?;
    run(root, &sites, preemptions, jobs)
}

/// Weakens everything in all files, one for each CPU at a time.
pub(crate) fn all(root: &Path) -> Outcome {
    run(
        root,
        &find(root, &[])?,
        loom::CI_PREEMPTIONS,
        parallel::default_jobs(),
    )
}

/// Every site in the modelled files, or in those of them that are named by path or stem.
fn find(root: &Path, wanted: &[String]) -> Outcome<Vec<Site>> {
    let files = modelled_files(root)?;
    let names = |file: &str, wanted: &str| file == wanted || sites::stem(file) == wanted;
    if let Some(unknown) = wanted
        .iter()
        .find(|it| !files.iter().any(|file| names(file, it)))
    {
        let files = files.join(", ");
        return Err(Failure::new(format!(
            "`{unknown}` is none of the modelled files: {files}"
        )));
    }
    let is_wanted =
        |file: &&String| wanted.is_empty() || wanted.iter().any(|wanted| names(file, wanted));
    let mut found = Vec::new();
    for file in files.iter().filter(is_wanted) {
        let path = root.join(file);
        let text =
            fs::read_to_string(&path).map_err(|error| Failure::io(path.display(), &error))?;
        found.extend(sites::find(file, &Source::new(&text)));
    }
    Ok(found)
}

/// The files of the protocols, without their tests, relative to the root.
fn modelled_files(root: &Path) -> Outcome<Vec<String>> {
    let all = repo::files(root).map_err(|error| Failure::io(root.display(), &error))?;
    let inside = format!("{}/", loom::PROTO);
    let own = format!("{}.rs", loom::PROTO);
    let is_modelled = |file: &String| {
        let is_test = file
            .split('/')
            .any(|part| part == "tests" || part == "tests.rs");
        file.ends_with(".rs") && !is_test && (file.starts_with(&inside) || *file == own)
    };
    Ok(all.into_iter().filter(is_modelled).collect())
}

/// `--list`: what would be tried.
fn list(sites: &[Site]) {
    let heading = ["place", "function", "code", "weakening"]
        .map(str::to_owned)
        .to_vec();
    let rows = sites.iter().flat_map(|site| {
        site.variants.iter().map(|variant| {
            let place = format!("{}:{}", site.file, site.line);
            vec![
                place,
                site.function.clone(),
                site.code.clone(),
                variant.label.clone(),
            ]
        })
    });
    output::table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>());
    let count: usize = sites.iter().map(|site| site.variants.len()).sum();
    output::line(&format!(
        "{} places, at most {count} weakenings",
        sites.len()
    ));
}

/// Tries all sites and compares the result with the list of survivors.
fn run(root: &Path, sites: &[Site], preemptions: usize, jobs: usize) -> Outcome {
    if sites.is_empty() {
        output::line(&format!("weaken: no ordering or fence in {}", loom::PROTO));
        return Ok(());
    }
    let survivors = Survivors::read(root)?;
    let scratch = root.join("target/weaken");
    output::line("weaken: building and timing the models as they are");
    let baseline = Baseline::measure(root, &scratch, preemptions)?;
    let tried = try_all(root, &scratch, &baseline, sites, jobs)?;
    print_table(sites, &tried);
    let faults = verdict::judge(sites, &tried, &survivors);
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(faults.join("\n")))
    }
}

/// Tries all sites, some at a time, and prints each as it ends.
fn try_all(
    root: &Path,
    scratch: &Path,
    baseline: &Baseline,
    sites: &[Site],
    jobs: usize,
) -> Outcome<Vec<Vec<Tried>>> {
    let start = Instant::now();
    // Relaxed: it only numbers the lines of progress.
    let ended = AtomicUsize::new(0);
    let results = parallel::map(jobs, sites, |job, site| {
        let folder = scratch.join(format!("job{job}"));
        let tried = try_site(root, &folder, baseline, site);
        let number = ended.fetch_add(1, Ordering::Relaxed) + 1;
        let since = start.elapsed().as_secs();
        output::line(&format!(
            "[{number}/{}] {since} s  {}",
            sites.len(),
            site.place()
        ));
        for tried in tried.iter().flatten() {
            output::line(&format!("    {tried}"));
        }
        tried
    });
    results.into_iter().collect()
}

/// Tries the weakenings of one site in this job's copy of the tree.
fn try_site(root: &Path, folder: &Path, baseline: &Baseline, site: &Site) -> Outcome<Vec<Tried>> {
    copy::refresh(root, folder)?;
    let mut tried: Vec<Tried> = Vec::new();
    for variant in &site.variants {
        let noticed = |before: &&Tried| before.verdict.is_noticed();
        let implies = |before: &&Tried| variant.strength.is_weaker_than(before.strength);
        let start = Instant::now();
        let verdict = if tried.iter().filter(noticed).any(|before| implies(&before)) {
            Verdict::Implied
        } else {
            copy::write(folder, &site.file, &variant.applied_to(&site.text))?;
            baseline.ask(folder, sites::stem(&site.file))?
        };
        let (label, strength) = (variant.label.clone(), variant.strength);
        tried.push(Tried {
            label,
            strength,
            verdict,
            elapsed: start.elapsed(),
        });
    }
    copy::write(folder, &site.file, &site.text)?;
    Ok(tried)
}

/// The table of everything tried.
fn print_table(sites: &[Site], tried: &[Vec<Tried>]) {
    let heading = ["seconds", "verdict", "weakening", "place"]
        .map(str::to_owned)
        .to_vec();
    let mut rows = vec![heading];
    let mut total = Duration::ZERO;
    for (site, tried) in sites.iter().zip(tried) {
        for tried in tried {
            total += tried.elapsed;
            let verdict = tried.verdict.word().to_owned();
            let time = progress::seconds(tried.elapsed);
            rows.push(vec![time, verdict, tried.label.clone(), site.place()]);
        }
    }
    rows.push(vec![progress::seconds(total), "total".to_owned()]);
    output::line("");
    output::table(&rows);
}
