//! `manyframe task` and `manyframe commit`: what a cluster engine calls.

use std::process::ExitCode;

use anyhow::Result;
use manyframe_base::{Executor, Step};
use manyframe_engine::{EngineError, OpenPlan, TaskRanges, TaskSet, note_failure, run_as_worker};
use serde_json::Value;

use super::variables;
use crate::args::{CommitArguments, Global, TaskArguments};
use crate::machine::{Machine, bounded_thread_pool, thread_pool};
use crate::supervised::Session;
use crate::{output, progress};

pub(super) fn run(arguments: &TaskArguments, global: &Global, session: &Session) -> Result<ExitCode> {
    let progress = session.noted(progress::on_stderr(global.quiet));
    let pool = bounded_thread_pool(&arguments.threads, session.most_threads())?;
    let executor = Executor { pool: &pool, progress: progress.as_ref() };
    let open = OpenPlan::open_elsewhere(&arguments.plan, &variables::values(&arguments.set));
    let mut open = open.inspect_err(|error| note_failure(&arguments.plan, arguments.tasks.first(), error))?;
    session.watch(0, |in_flight, verdicts| Ok(manyframe_plan::watch(&mut open.context, in_flight, verdicts)?))?;
    let tasks = numbers(&arguments.tasks, &open)?;
    progress.start(Step::Run, tasks.iter().map(|task| open.size(*task)).sum());
    // A line that cannot be printed takes nothing from the task.
    let print = |summary: &Value| _ = output::print(&format!("{summary}\n"));
    run_as_worker(&open, &tasks, executor, &print)?;
    progress.finish(Step::Run);
    Ok(ExitCode::SUCCESS)
}

/// The tasks, if the plan has all of them.
fn numbers(ranges: &TaskRanges, open: &OpenPlan) -> Result<Vec<u32>> {
    let num_tasks = open.plan.tasks.len() as u32;
    match ranges.below(num_tasks) {
        (tasks, None) => Ok(tasks),
        (_, Some(task)) => Err(EngineError::NoSuchTask { task, last: num_tasks.saturating_sub(1) }.into()),
    }
}

pub(super) fn run_commit(arguments: &CommitArguments, global: &Global) -> Result<ExitCode> {
    let progress = progress::on_stderr(global.quiet);
    let pool = thread_pool(&arguments.threads)?;
    let executor = Executor { pool: &pool, progress: progress.as_ref() };
    let (open, options) = (OpenPlan::open(&arguments.plan)?, arguments.publishing.options());
    super::build::report(manyframe_engine::commit_plan(&open, options, executor, &Machine::start()))?;
    Ok(ExitCode::SUCCESS)
}
