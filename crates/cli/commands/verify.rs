//! `manyframe verify`: reads a dataset back.

use std::process::ExitCode;

use anyhow::Result;
use manyframe_base::Executor;

use crate::args::{Global, VerifyArguments};
use crate::machine::thread_pool;
use crate::table::count;
use crate::{exit, output, progress};

pub(super) fn run(arguments: &VerifyArguments, global: &Global) -> Result<ExitCode> {
    let progress = progress::on_stderr(global.quiet);
    let pool = thread_pool(&arguments.threads)?;
    let variables = arguments.set.iter().map(|set| (set.key.clone(), set.value.clone())).collect();
    let found = manyframe_engine::verify(
        &arguments.dataset,
        &variables,
        Executor { pool: &pool, progress: progress.as_ref() },
    )?;
    let mut text = String::new();
    for problem in &found.problems {
        text.push_str(&format!("problem: {problem}\n"));
    }
    if let Some(obstacle) = &found.not_tokenized {
        text.push_str(&format!(
            "token ids and labels were not compared with the prompts: {obstacle}\n\
             (--set NAME=PATH sets a variable of the pipeline file)\n"
        ));
    }
    let verdict = if found.problems.is_empty() { "ok" } else { "NOT OK" };
    text.push_str(&format!(
        "{verdict}: {} shards, {} samples, {} images decoded, {} prompts tokenized, {} records in the ledger\n",
        count(found.num_shards),
        count(found.num_samples),
        count(found.num_images),
        count(found.num_tokenized),
        count(found.num_records),
    ));
    output::print(&text)?;
    Ok(if found.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
}
