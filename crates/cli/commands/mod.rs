//! One file per command.

mod build;
mod contract;
mod export;
mod inspect;
mod model;
mod pack;
mod plan;
mod stages;
mod task;
mod validate;
mod verify;
mod why;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::CommandFactory;
use manyframe_core::RecordId;
use manyframe_engine::LedgerRow;
use manyframe_pipeline::{PipelineError, Problem};

use crate::args::{Arguments, CheckArguments, Command, Threads};
use crate::{exit, output};

/// Runs the command that was asked for.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let global = &arguments.global;
    match &arguments.command {
        Command::Check(check) => run_check(check),
        Command::Plan(plan) => plan::run(plan, global),
        Command::Build(build) => build::run(build, global),
        Command::Inspect(inspect) => inspect::run(inspect),
        Command::Why(why) => why::run(why),
        Command::Verify(verify) => verify::run(verify, global),
        Command::Validate(validate) => validate::run(validate, global),
        Command::Model(model) => model::run(model),
        Command::Pack(pack) => pack::run(pack),
        Command::Export(export) => export::run(export, global),
        Command::Task(task) => task::run(task, global),
        Command::Commit(commit) => task::run_commit(commit, global),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "manyframe", &mut text);
            output::print(&String::from_utf8_lossy(&text))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Man => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Arguments::command()).render(&mut text)?;
            output::print(&String::from_utf8_lossy(&text))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn run_check(arguments: &CheckArguments) -> Result<ExitCode> {
    let mut problems: Vec<Problem> = Vec::new();
    for path in &arguments.files {
        for stage in stages::list_for_check(path, arguments.files.len(), &arguments.overrides.set)? {
            match manyframe_pipeline::read(&stage.path, &stage.overrides) {
                Ok(_) => output::print(&format!("{}: ok\n", stage.path.display()))?,
                Err(PipelineError::Invalid(found)) => problems.extend(found),
                Err(error) => return Err(error.into()),
            }
        }
    }
    if problems.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(PipelineError::Invalid(problems).into()) }
}

/// The worker threads that the arguments ask for.
fn thread_pool(threads: &Threads) -> Result<rayon::ThreadPool> {
    let num_threads = threads.threads.map_or_else(
        || std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
        std::num::NonZeroUsize::get,
    );
    let builder = rayon::ThreadPoolBuilder::new().num_threads(num_threads);
    builder.thread_name(|number| format!("worker-{number}")).build().context("cannot start worker threads")
}

/// The one record that a text names, or an error that says why there is none or which there are.
fn find_one(dataset: &Path, id: &str) -> Result<LedgerRow> {
    const MOST_SHOWN: usize = 10;
    let rows = manyframe_engine::find_rows(dataset, id, MOST_SHOWN + 1)?;
    let exact = id.parse::<RecordId>().ok();
    if let Some(row) = rows.iter().find(|row| Some(row.id) == exact) {
        return Ok(row.clone());
    }
    match rows.as_slice() {
        [] => Err(exit::WrongUse(format!(
            "no record is called {id:?}; give a record id, its first 6 or more digits, or an upstream id"
        ))
        .into()),
        [row] => Ok(row.clone()),
        several => {
            let shown =
                several.iter().take(MOST_SHOWN).map(|row| format!("\n  {}  {}  {}", row.id, row.source, row.origin));
            let more = if several.len() > MOST_SHOWN { "\n  …" } else { "" };
            let list: String = shown.collect();
            Err(exit::WrongUse(format!("more than one record is called {id:?}:{list}{more}")).into())
        }
    }
}
