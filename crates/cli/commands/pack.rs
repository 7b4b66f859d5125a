//! `manyframe pack`: rewrites the pack index of a dataset. Also the tables of packs and of clusters.

use std::process::ExitCode;

use anyhow::Result;
use manyframe_dataset::{PackRow, PackSummary};
use manyframe_engine::PackAnswer;
use manyframe_pipeline::{PackTable, PipelineError, SequenceParallel};
use manyframe_samplers::sequence_parallel::{Cluster, ClusterForecast, RankLayout, SequenceLoad, forecast};

use super::location::open_dataset;
use crate::args::{ForecastArguments, PackArguments};
use crate::table::{Table, count, percent, plural};
use crate::{exit, output};

pub(super) fn run(arguments: &PackArguments) -> Result<ExitCode> {
    let dataset = open_dataset(&arguments.dataset, &arguments.store)?;
    let before = dataset.manifest().pack.as_ref().filter(|_| !arguments.reset);
    let before = before.map(|pack| pack.summary.settings.clone()).unwrap_or_default();
    let table = manyframe_pipeline::pack_table_with(&before, &arguments.set).map_err(PipelineError::Invalid)?;
    let manifest = manyframe_engine::repack(&dataset, &table)?;
    let Some(pack) = manifest.pack else { return Ok(ExitCode::SUCCESS) };
    let sequences = open_dataset(&arguments.dataset, &arguments.store)?.packs()?;
    let load = |row: Result<PackRow, _>| {
        row.map(|row| SequenceLoad {
            tokens: row.num_tokens,
            images: row.cu_images.last().copied().unwrap_or(0),
            visual_tokens: row.visual_tokens,
        })
    };
    let sequences = sequences.map(load).collect::<Result<Vec<_>, _>>()?;
    let forecasts = forecasts(&sequences, &table, &arguments.forecast)?;
    let text = if arguments.json {
        serde_json::to_string_pretty(&PackAnswer { pack, forecast: forecasts })? + "\n"
    } else {
        let index = arguments.dataset.join(&pack.path);
        format!("{}{}\nindex: {}\n", render(&pack.summary), render_forecasts(&forecasts), index.display())
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Forecasts of an epoch over these sequences on each cluster.
pub(super) fn forecasts(
    sequences: &[SequenceLoad],
    table: &PackTable,
    arguments: &ForecastArguments,
) -> Result<Vec<ClusterForecast>> {
    let scheme = arguments.sequence_parallel.or(table.sequence_parallel);
    let layout = scheme.map_or_else(without_sequence_parallel, SequenceParallel::layout);
    let cluster = |&num_gpus: &u32| {
        let degree = layout.degree();
        let message = format!("{num_gpus} GPUs cannot be divided into sequence-parallel groups of {degree}");
        Cluster::of_gpus(num_gpus, layout).ok_or_else(|| exit::UsageError(message).into())
    };
    let clusters = arguments.ranks.iter().map(cluster).collect::<Result<Vec<_>>>()?;
    Ok(forecast(sequences, &clusters))
}

/// No sequence parallelism: every GPU has its own sequences.
fn without_sequence_parallel() -> RankLayout {
    RankLayout::new(manyframe_samplers::sequence_parallel::Scheme::Ring { degree: std::num::NonZeroU32::MIN })
}

/// How well the packs are filled, and what packing by concatenation would have lost.
pub(super) fn render(summary: &PackSummary) -> String {
    let report = &summary.report;
    let mut text = format!(
        "{} of at most {} tokens: {} full, {:.1} samples and {:.1} sources per pack, {} padding tokens\n",
        plural(report.num_packs, "pack"),
        count(u64::from(summary.capacity_tokens)),
        percent(report.fill),
        report.samples_per_pack,
        report.sources_per_pack,
        count(report.num_padding_tokens),
    );
    if summary.settings.ranks.get() > 1 {
        text.push_str(&format!(
            "{} on {} ranks: the fullest rank has {:.3} times the mean tokens, {:.3} times the mean images and {:.3} times the \
             mean vision tokens\n",
            plural(report.num_steps, "step"),
            summary.settings.ranks,
            report.token_balance.max_over_mean,
            report.image_balance.max_over_mean,
            report.visual_token_balance.max_over_mean,
        ));
    }
    if report.num_too_long > 0 {
        let by_source: Vec<String> =
            summary.too_long.iter().map(|(source, number)| format!("{} of {source}", count(*number))).collect();
        text.push_str(&format!(
            "too long for any pack: {} ({})\n",
            plural(report.num_too_long, "sample"),
            by_source.join(", ")
        ));
    }
    let Some(audit) = &summary.audit else { return text };
    let mut table = Table::new(&["lost if concatenated", "samples", "of", "tokens", "of", "tokens %"]);
    for (source, loss) in &audit.sources {
        let (lost, all) = (loss.lost(), loss.all);
        let mut cells = vec![source.clone()];
        cells.extend([lost.samples, all.samples, lost.tokens, all.tokens].map(count));
        cells.push(percent(if all.tokens > 0 { lost.tokens as f64 / all.tokens as f64 } else { 0.0 }));
        table.push(cells);
    }
    text.push_str(&format!(
        "\n{}({}, {} full; its packs have {} tokens by its own count, of which a trainer keeps {})\n",
        table.render(),
        plural(audit.num_packs, "pack"),
        percent(audit.fill),
        count(audit.limit_tokens),
        count(u64::from(summary.capacity_tokens)),
    ));
    text
}

/// A table with a row per cluster; empty without clusters.
pub(super) fn render_forecasts(forecasts: &[ClusterForecast]) -> String {
    if forecasts.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        "GPUs",
        "SP degree",
        "sequences/step",
        "steps",
        "tokens/GPU",
        "max/mean",
        "images/GPU",
        "max/mean",
        "vision tokens/GPU",
        "max/mean",
        "padding",
        "attention max/mean",
    ])
    .with_expendable(&["attention max/mean", "max/mean", "vision tokens/GPU", "padding", "images/GPU"]);
    for forecast in forecasts {
        let counts = [forecast.num_gpus, forecast.degree, forecast.sequences_per_step, forecast.steps_per_epoch];
        let mut cells: Vec<String> = counts.map(count).into();
        cells.push(count(forecast.tokens_per_gpu.round() as u64));
        cells.push(format!("{:.3}", forecast.token_balance.max_over_mean));
        cells.push(format!("{:.1}", forecast.images_per_gpu));
        cells.push(format!("{:.3}", forecast.image_balance.max_over_mean));
        cells.push(count(forecast.visual_tokens_per_gpu.round() as u64));
        cells.push(format!("{:.3}", forecast.visual_token_balance.max_over_mean));
        cells.push(percent(forecast.padding_share));
        cells.push(format!("{:.2}", forecast.attention_imbalance));
        table.push(cells);
    }
    format!("\n{}", table.render())
}
