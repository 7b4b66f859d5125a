//! `manyframe build`: plan, run, commit.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use manyframe_base::Executor;
use manyframe_engine::Committed;
use manyframe_pipeline::Pipeline;
use manyframe_plan::{Context, Plan};
use manyframe_samplers::Difference;

use super::plan::Work;
use super::validate::Check;
use super::{contract, pack, stages};
use crate::args::{BuildArguments, Global};
use crate::table::{bytes, count, plural};
use crate::{exit, output, progress};

pub(super) fn run(arguments: &BuildArguments, global: &Global) -> Result<ExitCode> {
    let progress = progress::on_stderr(global.quiet);
    let pool = super::thread_pool(&arguments.pipeline.threads)?;
    let mut code = ExitCode::SUCCESS;
    for stage in stages::of_arguments(&arguments.pipeline)? {
        let pipeline = stages::read(&stage, &arguments.pipeline)?;
        let committed = build(pipeline, arguments, Executor { pool: &pool, progress: progress.as_ref() })?;
        if report(&committed)? == Budget::Exceeded {
            code = ExitCode::from(exit::OVER_BUDGET);
        }
    }
    Ok(code)
}

fn build(pipeline: Pipeline, arguments: &BuildArguments, executor: Executor<'_>) -> Result<Committed> {
    let check = Check::prepare(pipeline.file.validate.as_ref())?;
    let work = Work::enter(&pipeline, arguments.pipeline.fresh)?;
    let context = Context::open(pipeline)?;
    let dataset = PathBuf::from(&context.pipeline.file.output.directory);
    if !arguments.pipeline.fresh {
        let key = work.plan_key(&context)?;
        if let Some(mut committed) = manyframe_engine::committed_before(&dataset, key)? {
            work.remove_plans()?;
            let packed = committed.manifest.pack.as_ref().map(|pack| &pack.summary.settings);
            if let Some(table) = context.pipeline.file.pack.as_ref().filter(|table| packed != Some(table)) {
                manyframe_engine::repack(&dataset, table)?;
                output::print("packed anew, as the pipeline file says; the samples are those of the last build\n")?;
                committed = manyframe_engine::committed_before(&dataset, key)?.unwrap_or(committed);
                return Ok(committed);
            }
            output::print(
                "nothing to do: pipeline file and inputs are those of the last build (--fresh builds anew)\n",
            )?;
            return Ok(committed);
        }
    }
    let made = work.plan(&context, executor)?;
    warn_of_shortfalls(&made.plan);
    let started = Instant::now();
    manyframe_engine::run_all(&context, &made.plan, &made.directory, executor)?;
    let elapsed = started.elapsed();
    let check = |staged: &Path| check.run(staged, executor);
    let committed =
        manyframe_engine::commit(&context, &made.plan, &made.directory, &dataset, executor.progress, check)?;
    if committed.work.num_samples_reused == 0 {
        let num_bytes = made.plan.tasks.iter().map(|task| task.estimated_bytes).sum();
        work.keep_rate(num_bytes, executor.pool.current_num_threads(), elapsed)?;
    }
    work.remove_plans()?;
    Ok(committed)
}

/// Whether every source is within the rejects that its pipeline file allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Budget {
    Kept,
    Exceeded,
}

/// A source that gives less than was asked for changes the mix: that is worth a warning before hours of work.
fn warn_of_shortfalls(plan: &Plan) {
    for source in &plan.sources {
        let asked = &source.asked;
        if asked.difference == Difference::Exhausted {
            let (unit, amount) = (asked.unit.as_str(), asked.amount.round());
            tracing::warn!(source = %source.name, asked = amount, drawn = asked.drawn, unit, "less than asked for");
        }
    }
}

/// Prints what was built.
pub(super) fn report(committed: &Committed) -> Result<Budget> {
    let manifest = &committed.manifest;
    let mut text = format!("{}\n\n{}", manifest.name, contract::of_dataset(manifest));
    if let Some(pack) = &manifest.pack {
        text.push_str(&format!("\n{}", pack::render(&pack.summary)));
    }
    let num_bytes = manifest.shards.iter().map(|shard| shard.num_bytes).sum();
    text.push_str(&format!(
        "\n{}, {}, {} in {} ({})\ndataset:  {}\nmanifest: {}\n",
        plural(manifest.total.num_samples, "sample"),
        plural(manifest.total.cost.num_tokens(), "token"),
        plural(manifest.total.cost.num_images, "image"),
        plural(manifest.shards.len() as u64, "shard"),
        bytes(num_bytes),
        committed.dataset.display(),
        committed.manifest_digest,
    ));
    let work = committed.work;
    if work.num_splits_reused + work.num_samples_reused > 0 {
        text.push_str(&format!(
            "taken over: the index of {} of {} annotation files, {} of {} samples\n",
            count(work.num_splits_reused),
            count(work.num_splits_reused + work.num_splits_read),
            count(work.num_samples_reused),
            count(work.num_samples_reused + work.num_samples_made),
        ));
    }
    output::print(&text)?;
    let mut budget = Budget::Kept;
    for source in manifest.sources.iter().filter(|source| source.is_over_budget()) {
        budget = Budget::Exceeded;
        let share = 100.0 * source.num_faulty() as f64 / source.num_seen as f64;
        let allowed = 100.0 * source.max_rejects.unwrap_or_default();
        tracing::error!(
            source = %source.name,
            rejected = source.num_faulty(),
            "over its error budget: {share:.2} % of the records were rejected, {allowed} % are allowed"
        );
    }
    Ok(budget)
}
