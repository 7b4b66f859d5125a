//! `manyframe task` and `manyframe commit`: what a cluster engine calls.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use manyframe_base::Executor;
use manyframe_engine::OutcomeResult;
use manyframe_plan::{Context, Plan};

use super::build::Budget;
use super::validate::Check;
use crate::args::{CommitArguments, Global, TaskArguments};
use crate::{exit, output, progress};

pub(super) fn run(arguments: &TaskArguments, global: &Global) -> Result<ExitCode> {
    let progress = progress::on_stderr(global.quiet);
    let pool = super::thread_pool(&arguments.threads)?;
    let plan = Plan::read(&arguments.plan)?;
    let context = Context::open(plan.pipeline())?;
    let report = manyframe_engine::run_task(
        &context,
        &plan,
        &arguments.plan,
        arguments.id,
        Executor { pool: &pool, progress: progress.as_ref() },
    )?;
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
    let plan = Plan::read(&arguments.plan)?;
    let dataset = std::path::PathBuf::from(&plan.pipeline.output.directory);
    let check = Check::prepare(plan.pipeline.validate.as_ref())?;
    let context = Context::open(plan.pipeline())?;
    let pool = super::thread_pool(&arguments.threads)?;
    let check = |staged: &Path| check.run(staged, Executor { pool: &pool, progress: progress.as_ref() });
    let committed = manyframe_engine::commit(&context, &plan, &arguments.plan, &dataset, progress.as_ref(), check)?;
    Ok(match super::build::report(&committed)? {
        Budget::Kept => ExitCode::SUCCESS,
        Budget::Exceeded => ExitCode::from(exit::OVER_BUDGET),
    })
}
