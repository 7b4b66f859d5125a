//! `manyframe report`: a page about a dataset.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use manyframe_base::open_regular;
use manyframe_dataset::LedgerRow;
use manyframe_engine::DatasetSources;
use manyframe_report::{Original, Originals, ReportOptions};

use super::location::{expect_local, open_dataset, stores_at};
use super::variables;
use crate::args::ReportArguments;
use crate::exit::UsageError;
use crate::output;
use crate::table::bytes;

/// Images of a record that was rejected or left out.
const MOST_IMAGES: usize = 3;

pub(super) fn run(arguments: &ReportArguments) -> Result<ExitCode> {
    check_output(&arguments.output, &arguments.dataset)?;
    let dataset = open_dataset(&arguments.dataset, &arguments.store)?;
    let other = arguments.against.as_ref().map(|other| open_dataset(other, &arguments.store)).transpose()?;
    let variables = variables::replaced(&dataset, &arguments.set)?;
    let sources = Sources(DatasetSources::open(&dataset, &variables, &stores_at(&arguments.store)?)?);
    let options = ReportOptions {
        samples_per_group: arguments.samples,
        seed: arguments.seed,
        against: other.as_ref(),
        originals: &sources,
    };
    let page = manyframe_report::report(&dataset, options)?;
    let file = &arguments.output;
    manyframe_base::write_atomic(file, page.as_bytes()).with_context(|| format!("cannot write {}", file.display()))?;
    output::print(&format!("wrote {} ({}); open it in a browser\n", file.display(), bytes(page.len() as u64)))?;
    Ok(ExitCode::SUCCESS)
}

/// The sources of the dataset, as far as they are on this machine.
struct Sources(DatasetSources);

impl Originals for Sources {
    fn of(&self, row: &LedgerRow) -> Original {
        let (annotation, images) = self.0.look_at(row, MOST_IMAGES);
        Original { annotation, images }
    }
}

/// A page replaces an earlier page, and neither a file of a dataset nor anything else.
fn check_output(file: &Path, dataset: &Path) -> Result<()> {
    expect_local(file, "a page is written")?;
    let refuse = |why: &str| Err(UsageError(format!("cannot write {}: {why}", file.display())).into());
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(directory) = directory.canonicalize() else { return refuse("its directory does not exist") };
    if dataset.canonicalize().is_ok_and(|dataset| directory.starts_with(dataset)) {
        return refuse("it would be in the dataset");
    }
    match file.symlink_metadata() {
        Ok(found) if !found.is_file() => refuse("there is something else than a file"),
        Ok(_) if !is_page(file) => refuse("there is a file that is no page; move it away or choose another name"),
        _ => Ok(()),
    }
}

/// Whether a file is a page, or empty, as far as it can be read.
fn is_page(file: &Path) -> bool {
    const HEAD_BYTES: u64 = 256;
    let mut head = Vec::new();
    let read = open_regular(file).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head));
    read.is_ok() && (head.is_empty() || head.trim_ascii_start().starts_with(b"<!DOCTYPE html>"))
}
