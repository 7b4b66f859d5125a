//! `manyframe report`: a page about a dataset.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use manyframe_report::ReportOptions;

use super::location::open_dataset;
use crate::args::ReportArguments;
use crate::output;
use crate::table::bytes;

pub(super) fn run(arguments: &ReportArguments) -> Result<ExitCode> {
    let dataset = open_dataset(&arguments.dataset, &arguments.store)?;
    let options = ReportOptions { samples_per_group: arguments.samples, seed: arguments.seed };
    let page = manyframe_report::report(&dataset, options)?;
    let file = &arguments.output;
    manyframe_base::write_atomic(file, page.as_bytes()).with_context(|| format!("cannot write {}", file.display()))?;
    output::print(&format!("wrote {} ({}); open it in a browser\n", file.display(), bytes(page.len() as u64)))?;
    Ok(ExitCode::SUCCESS)
}
