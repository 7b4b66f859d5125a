//! `manyframe build`: plan, run, commit.

use std::process::ExitCode;

use anyhow::Result;
use manyframe_engine::{Committed, Manifest};
use manyframe_plan::{Context, Plan};

use super::plan::{self, Work};
use crate::args::{BuildArguments, Global};
use crate::table::{Table, bytes, count};
use crate::{exit, output, progress};

pub(super) fn run(arguments: &BuildArguments, global: &Global) -> Result<ExitCode> {
    let observer = progress::observer(global.quiet);
    let pool = super::thread_pool(&arguments.pipeline.threads)?;
    let pipeline = plan::read(&arguments.pipeline)?;
    let work = Work::enter(&pipeline, arguments.pipeline.fresh)?;
    let context = Context::open(pipeline)?;
    let dataset = std::path::PathBuf::from(&context.pipeline.file.output.directory);
    if !arguments.pipeline.fresh {
        let key = manyframe_plan::plan_key(&context)?;
        if let Some(committed) = manyframe_engine::committed_before(&dataset, key)? {
            work.remove_plans()?;
            output::print(
                "nothing to do: pipeline file and inputs are those of the last build (--fresh builds anew)\n",
            )?;
            return report(&committed);
        }
    }
    let made = work.plan(&context, &pool, observer.as_ref())?;
    warn_of_shortfalls(&made.plan);
    manyframe_engine::run_all(&context, &made.plan, &made.directory, &pool, observer.as_ref())?;
    let committed = manyframe_engine::commit(&made.plan, &made.directory, &dataset, observer.as_ref())?;
    work.remove_plans()?;
    report(&committed)
}

/// A source that gives less than was asked for changes the mix: that is worth a warning before hours of work.
fn warn_of_shortfalls(plan: &Plan) {
    for source in &plan.sources {
        if let manyframe_plan::pipeline::Take::Count(asked) = source.asked
            && source.num_drawn < asked
        {
            tracing::warn!(source = %source.name, asked, available = source.num_available, "fewer records than asked for");
        }
    }
}

/// Prints what was built; the exit code says whether a source is over its error budget.
pub(super) fn report(committed: &Committed) -> Result<ExitCode> {
    let manifest = &committed.manifest;
    let mut text = format!("{}\n\n{}", manifest.name, sources_table(manifest).render());
    let num_bytes = manifest.shards.iter().map(|shard| shard.num_bytes).sum();
    text.push_str(&format!(
        "\n{} samples, {} tokens, {} images in {} shards ({})\ndataset:  {}\nmanifest: {}\n",
        count(manifest.total.num_samples),
        count(manifest.total.cost.num_tokens()),
        count(manifest.total.cost.num_images),
        count(manifest.shards.len() as u64),
        bytes(num_bytes),
        committed.dataset.display(),
        committed.manifest_digest,
    ));
    output::print(&text)?;
    let mut is_over = false;
    for source in manifest.sources.iter().filter(|source| source.is_over_budget()) {
        is_over = true;
        let share = 100.0 * source.num_faulty() as f64 / source.num_seen as f64;
        let allowed = 100.0 * source.max_rejects.unwrap_or_default();
        tracing::error!(
            source = %source.name,
            rejected = source.num_faulty(),
            "over its error budget: {share:.2} % of the records were rejected, {allowed} % are allowed"
        );
    }
    Ok(if is_over { ExitCode::from(exit::OVER_BUDGET) } else { ExitCode::SUCCESS })
}

/// One row per source: what was asked for and what became of its records.
pub(super) fn sources_table(manifest: &Manifest) -> Table {
    let mut table = Table::new(&[
        "source",
        "seen",
        "rejected",
        "duplicate",
        "not drawn",
        "asked",
        "delivered",
        "tokens",
        "images",
        "frames",
    ]);
    for source in &manifest.sources {
        let mut cells = vec![source.name.clone()];
        cells.extend([source.num_seen, source.num_rejected(), source.num_duplicates, source.num_not_drawn].map(count));
        cells.push(match source.asked {
            manyframe_plan::pipeline::Take::Count(number) => count(number),
            manyframe_plan::pipeline::Take::All => "all".to_owned(),
        });
        let cost = source.delivered.cost;
        let numbers = [source.delivered.num_samples, cost.num_tokens(), cost.num_images, cost.num_frames];
        cells.extend(numbers.map(count));
        table.push(cells);
    }
    table
}
