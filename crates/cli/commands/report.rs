//! `manyframe report`: a page about a dataset.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use manyframe_report::ReportOptions;

use super::location::open_dataset;
use crate::args::ReportArguments;
use crate::exit::UsageError;
use crate::output;
use crate::table::bytes;

pub(super) fn run(arguments: &ReportArguments) -> Result<ExitCode> {
    check_output(&arguments.output, &arguments.dataset)?;
    let dataset = open_dataset(&arguments.dataset, &arguments.store)?;
    let options = ReportOptions { samples_per_group: arguments.samples, seed: arguments.seed };
    let page = manyframe_report::report(&dataset, options)?;
    let file = &arguments.output;
    manyframe_base::write_atomic(file, page.as_bytes()).with_context(|| format!("cannot write {}", file.display()))?;
    output::print(&format!("wrote {} ({}); open it in a browser\n", file.display(), bytes(page.len() as u64)))?;
    Ok(ExitCode::SUCCESS)
}

/// A page replaces an earlier page, and neither a file of a dataset nor anything that is no file.
fn check_output(file: &Path, dataset: &Path) -> Result<()> {
    let refuse = |why: &str| Err(UsageError(format!("cannot write {}: {why}", file.display())).into());
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(directory) = directory.canonicalize() else { return refuse("its directory does not exist") };
    if dataset.canonicalize().is_ok_and(|dataset| directory.starts_with(dataset)) {
        return refuse("it would be in the dataset");
    }
    match file.symlink_metadata() {
        Ok(found) if !found.is_file() => refuse("there is something else than a file"),
        _ => Ok(()),
    }
}
