//! `manyframe task` and `manyframe commit`: what a cluster engine calls.

use std::process::ExitCode;

use anyhow::Result;
use manyframe_base::Executor;
use manyframe_engine::{OpenPlan, OutcomeResult};

use crate::args::{CommitArguments, Global, TaskArguments};
use crate::machine::{Machine, bounded_thread_pool, thread_pool};
use crate::supervised::Session;
use crate::{output, progress};

pub(super) fn run(arguments: &TaskArguments, global: &Global, session: &Session) -> Result<ExitCode> {
    let progress = session.noted(progress::on_stderr(global.quiet));
    let pool = bounded_thread_pool(&arguments.threads, session.most_threads())?;
    let executor = Executor { pool: &pool, progress: progress.as_ref() };
    let mut open = OpenPlan::open(&arguments.plan)?;
    session.watch(0, |in_flight, verdicts| Ok(manyframe_plan::watch(&mut open.context, in_flight, verdicts)?))?;
    let report = manyframe_engine::run_task(&open, arguments.id, executor)?;
    let is_delivered = |result: &OutcomeResult| matches!(result, OutcomeResult::Delivered { .. });
    let num_delivered = report.outcomes.iter().filter(|outcome| is_delivered(&outcome.result)).count();
    let summary = serde_json::json!({
        "task": report.id,
        "delivered": num_delivered,
        "rejected": report.outcomes.len() - num_delivered,
        "reused": report.num_reused,
        "shards": report.shards,
    });
    output::print(&format!("{summary}\n"))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn run_commit(arguments: &CommitArguments, global: &Global) -> Result<ExitCode> {
    let progress = progress::on_stderr(global.quiet);
    let pool = thread_pool(&arguments.threads)?;
    let executor = Executor { pool: &pool, progress: progress.as_ref() };
    let (open, options) = (OpenPlan::open(&arguments.plan)?, arguments.publishing.options());
    super::build::report(manyframe_engine::commit_plan(&open, options, executor, &Machine::start()))?;
    Ok(ExitCode::SUCCESS)
}
