//! `manyframe verify`: a dataset read back.

use std::process::ExitCode;

use anyhow::Result;

use crate::args::{Global, VerifyArguments};
use crate::table::count;
use crate::{exit, output, progress};

pub(super) fn run(arguments: &VerifyArguments, global: &Global) -> Result<ExitCode> {
    let observer = progress::observer(global.quiet);
    let pool = super::thread_pool(&arguments.threads)?;
    let found = manyframe_engine::verify(&arguments.dataset, &pool, observer.as_ref())?;
    let mut text = String::new();
    for problem in &found.problems {
        text.push_str(&format!("problem: {problem}\n"));
    }
    let verdict = if found.problems.is_empty() { "ok" } else { "NOT OK" };
    text.push_str(&format!(
        "{verdict}: {} shards, {} samples, {} images decoded, {} records in the ledger\n",
        count(found.num_shards),
        count(found.num_samples),
        count(found.num_images),
        count(found.num_records),
    ));
    output::print(&text)?;
    Ok(if found.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
}
