//! `manyframe task` and `manyframe commit`: what a cluster engine calls.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use manyframe_base::{Executor, Step, is_url};
use manyframe_engine::{EngineError, LocalEngine, OpenPlan, TasksElsewhere, ValidateOn, WorkerMachine, run_as_worker};
use manyframe_plan::Attempt;
use serde_json::Value;

use super::outcome::{self, Answer};
use super::{location, variables};
use crate::args::{CommitArguments, Global, TaskArguments};
use crate::exit::UsageError;
use crate::machine::{Machine, bounded_thread_pool, thread_pool};
use crate::supervised::Session;
use crate::{output, progress};

pub(super) fn run(arguments: &TaskArguments, global: &Global, session: &Session) -> Result<ExitCode> {
    let progress = session.noted(progress::on_stderr(global.quiet));
    let pool = bounded_thread_pool(&arguments.threads, session.most_threads())?;
    let executor = Executor { pool: &pool, progress: progress.as_ref() };
    let (variables, meter) = (variables::values(&arguments.set), Machine::start());
    let stores = location::stores_at(&arguments.store)?;
    let scratch = scratch(&arguments.plan)?;
    let machine = WorkerMachine { variables: &variables, stores: &stores, meter: &meter, scratch: &scratch };
    let mut opened = TasksElsewhere::open_noting(&arguments.plan, machine, arguments.tasks.first())?;
    session.watch(0, |in_flight, verdicts| Ok(opened.watch(in_flight, verdicts)?))?;
    let set = opened.as_set();
    let tasks = match arguments.tasks.below(set.num_tasks()) {
        (tasks, None) => tasks,
        (_, Some(task)) => {
            let last = set.num_tasks().saturating_sub(1);
            return Err(EngineError::NoSuchTask { task, last }.into());
        }
    };
    progress.start(Step::Run, tasks.iter().map(|task| set.size(*task)).sum());
    // A line that cannot be printed takes nothing from the task.
    let print = |summary: &Value| _ = output::print(&format!("{summary}\n"));
    run_as_worker(set, &tasks, executor, &print)?;
    progress.finish(Step::Run);
    Ok(ExitCode::SUCCESS)
}

/// Tries one thing that the process of the command did not survive.
pub(super) fn attempt(arguments: &TaskArguments, attempt: &Attempt) -> Result<()> {
    let (variables, meter) = (variables::values(&arguments.set), Machine::start());
    let stores = location::stores_at(&arguments.store)?;
    let scratch = scratch(&arguments.plan)?;
    let machine = WorkerMachine { variables: &variables, stores: &stores, meter: &meter, scratch: &scratch };
    Ok(TasksElsewhere::open(&arguments.plan, machine)?.repeat(attempt)?)
}

/// Where plans are kept that are at a URL: a directory that nobody else can write to, because what is in it goes into datasets.
fn scratch(plan: &Path) -> Result<PathBuf> {
    /// What others may do with a file.
    const RIGHTS_OF_OTHERS: u32 = 0o077;
    let user = rustix::process::getuid().as_raw();
    let directory = std::env::temp_dir().join(format!("manyframe-work-{user}"));
    if !is_url(plan) {
        return Ok(directory);
    }
    match DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot make {}", directory.display()));
        }
        _ => {}
    }
    let found = directory.symlink_metadata().with_context(|| format!("cannot look at {}", directory.display()))?;
    if found.is_dir() && found.uid() == user && found.mode() & RIGHTS_OF_OTHERS == 0 {
        return Ok(directory);
    }
    let message = format!(
        "{} is not a directory of this user alone: remove it, or set TMPDIR to another place",
        directory.display()
    );
    Err(UsageError(message).into())
}

pub(super) fn run_commit(arguments: &CommitArguments, global: &Global) -> Result<ExitCode> {
    let progress = progress::on_stderr(global.quiet);
    let pool = thread_pool(&arguments.threads)?;
    let executor = Executor { pool: &pool, progress: progress.as_ref() };
    let open = OpenPlan::open(&arguments.plan, &location::stores_at(&arguments.store)?)?;
    let options = arguments.publishing.options();
    let on = ValidateOn { engine: &LocalEngine, executor, meter: &Machine::start() };
    outcome::report(manyframe_engine::commit_plan(&open, options, on), Answer::Text, &arguments.store)?;
    Ok(ExitCode::SUCCESS)
}
