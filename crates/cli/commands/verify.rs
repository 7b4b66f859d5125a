//! `manyframe verify`: reads a dataset back, or an export.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use manyframe_base::Executor;
use manyframe_dataset::MANIFEST_FILE;
use manyframe_engine::{Verification, VerifyAnswer, VerifyOn, VerifyOptions, Watch, list_of_export, verify_export};
use manyframe_pipeline::absolute_path;
use manyframe_plan::Attempt;

use super::location::{open_dataset, stores_at};
use super::{engine, variables};
use crate::args::{EngineName, Global, VerifyArguments};
use crate::exit::UsageError;
use crate::machine::bounded_thread_pool;
use crate::supervised::Session;
use crate::table::plural;
use crate::{exit, output, progress};

pub(super) fn run(arguments: &VerifyArguments, global: &Global, session: &Session) -> Result<ExitCode> {
    let progress = session.noted(progress::on_stderr(global.quiet));
    let pool = bounded_thread_pool(&arguments.threads, session.most_threads())?;
    let executor = Executor { pool: &pool, progress: progress.as_ref() };
    // Problems name the same files whichever machine found them.
    let directory = absolute_path(&arguments.dataset);
    let list = if directory.join(MANIFEST_FILE).exists() { None } else { list_of_export(&directory) };
    let found = match &list {
        Some(list) => {
            refuse_options_of_datasets(arguments)?;
            verify_export(list, executor)?
        }
        None => verify_dataset(&directory, arguments, session, executor)?,
    };
    let is_ok = found.problems.is_empty() && (found.unchecked.is_empty() || arguments.partial);
    let code = if is_ok { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) };
    if arguments.json {
        output::print_json(&VerifyAnswer { is_ok, found })?;
        return Ok(code);
    }
    let lines: Vec<String> = render(&found, list.as_deref(), is_ok)
        .lines()
        .map(|line| output::wrapped(line, output::width()) + "\n")
        .collect();
    output::print(&lines.concat())?;
    Ok(code)
}

/// An export is compared with its list on this machine, and with nothing else.
fn refuse_options_of_datasets(arguments: &VerifyArguments) -> Result<(), UsageError> {
    let given = [
        ("--engine", arguments.engine.engine != EngineName::Local),
        ("--set", !arguments.set.is_empty()),
        ("--no-sources", arguments.no_sources),
        ("--work", arguments.work.is_some()),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => {
            Err(UsageError(format!("{option} is for datasets: an export is compared with its list, on this machine")))
        }
        None => Ok(()),
    }
}

fn verify_dataset(
    directory: &Path,
    arguments: &VerifyArguments,
    session: &Session,
    executor: Executor<'_>,
) -> Result<Verification> {
    let mut watch = None;
    session.watch(0, |in_flight, verdicts| {
        watch = Some(Watch { in_flight, verdicts: verdicts.to_vec() });
        Ok(())
    })?;
    let dataset = open_dataset(directory, &arguments.store)?;
    let options = VerifyOptions {
        variables: variables::replaced(&dataset, &arguments.set)?,
        stores: stores_at(&arguments.store)?,
        skips_sources: arguments.no_sources,
        watch,
    };
    let engine = engine::of_arguments(&arguments.engine, &arguments.store)?;
    Ok(if arguments.engine.engine == EngineName::Local {
        manyframe_engine::verify(&dataset, &options, executor)?
    } else {
        let on = VerifyOn { engine: engine.as_ref(), directory: arguments.work.as_deref() };
        manyframe_engine::verify_on(&dataset, &options, on, executor)?
    })
}

/// How many files that are none of the dataset's are named.
const MOST_UNNAMED: usize = 10;

/// What was found, and the verdict.
fn render(found: &Verification, list: Option<&Path>, is_ok: bool) -> String {
    let mut text = String::new();
    for problem in &found.problems {
        text.push_str(&format!("problem: {problem}\n"));
    }
    for obstacle in &found.unchecked {
        text.push_str(&format!("not checked: {obstacle}\n"));
    }
    for path in found.unnamed.iter().take(MOST_UNNAMED) {
        let whole = if list.is_some() { "export" } else { "dataset" };
        text.push_str(&format!("no file of the {whole}: {path}\n"));
    }
    if let Some(num_more @ 1..) = found.unnamed.len().checked_sub(MOST_UNNAMED) {
        text.push_str(&format!("(and {num_more} more; --json names all)\n"));
    }
    if !found.unchecked.is_empty() && list.is_none() {
        text.push_str(
            "(--set NAME=PATH sets a variable of the pipeline file; --partial accepts what is not checked)\n",
        );
    }
    let verdict = match (found.problems.is_empty(), found.unchecked.is_empty()) {
        (true, true) => "ok",
        (true, false) if is_ok => "ok in part",
        (true, false) => "NOT VERIFIED",
        (false, _) => "NOT OK",
    };
    if let Some(list) = list {
        return text + &format!("{verdict}: {} of {}\n", plural(found.num_files, "file"), list.display());
    }
    text + &format!(
        "{verdict}: {}, {}, {} decoded, {} tokenized, {} in the ledger\n",
        plural(found.num_shards, "shard"),
        plural(found.num_samples, "sample"),
        plural(found.num_images, "image"),
        plural(found.num_tokenized, "prompt"),
        plural(found.num_records, "record"),
    )
}

/// Tries one thing that the process of the command did not survive.
pub(super) fn attempt(arguments: &VerifyArguments, attempt: &Attempt) -> Result<()> {
    let dataset = open_dataset(&absolute_path(&arguments.dataset), &arguments.store)?;
    let variables = variables::replaced(&dataset, &arguments.set)?;
    Ok(manyframe_engine::repeat_check(&dataset, &variables, &stores_at(&arguments.store)?, attempt)?)
}
