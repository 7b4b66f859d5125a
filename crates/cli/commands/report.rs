//! `manyframe report`: a page about a dataset.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use manyframe_dataset::LedgerRow;
use manyframe_engine::DatasetSources;
use manyframe_report::{Original, Originals, ReportOptions};

use super::location::{open_dataset, stores_at};
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
