//! `manyframe plan`: what a build would deliver.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use manyframe_base::Executor;
use manyframe_core::{Cost, Layout};
use manyframe_engine::{CommitOptions, OpenPlan, PlanAnswer, RateBasis, TimeEstimate};
use manyframe_plan::Plan;
use manyframe_samplers::sequence_parallel::ClusterForecast;

use super::{contract, forecast, pack, stages};
use crate::args::{ForecastArguments, Global, PlanArguments};
use crate::machine::bounded_thread_pool;
use crate::supervised::Session;
use crate::table::{Table, bytes, count, plural};
use crate::{output, progress};

pub(super) fn run(arguments: &PlanArguments, global: &Global, session: &Session) -> Result<ExitCode> {
    let progress = session.noted(progress::on_stderr(global.quiet));
    let pool = bounded_thread_pool(&arguments.pipeline.threads, session.most_threads())?;
    let executor = Executor { pool: &pool, progress: progress.as_ref() };
    // A plan publishes nothing.
    let commit = CommitOptions { replaces_other_name: true, ..CommitOptions::default() };
    for (number, stage) in stages::of_arguments(&arguments.pipeline)?.iter().enumerate().skip(session.first_stage()) {
        let pipeline = stages::read(stage, &arguments.pipeline)?;
        let planned = stages::open(number, pipeline, &arguments.pipeline, commit, session)?.plan(executor)?;
        let open = planned.open_plan();
        let forecasts = forecasts(open, &arguments.forecast)?;
        let text = if arguments.json {
            let plan = &open.plan;
            let answer = PlanAnswer {
                plan: open.directory.clone(),
                key: plan.key,
                name: plan.pipeline.name.clone(),
                sources: plan.sources.clone(),
                decontamination: plan.decontamination.clone(),
                total: plan.total(),
                num_tokens: plan.total().cost.num_tokens(),
                pack: plan.pack.clone(),
                forecast: forecasts,
                tasks: plan.tasks.clone(),
                build_forecast: forecast::answers(&planned, &arguments.build),
            };
            serde_json::to_string_pretty(&answer)? + "\n"
        } else {
            let num_threads = pool.current_num_threads();
            let estimate = render_estimate(planned.time_estimate(num_threads), num_threads);
            render(open)
                + &estimate
                + &forecast::render(&planned, &arguments.build)
                + &pack::render_forecasts(&forecasts)
        };
        output::print(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Forecasts of an epoch on each cluster: over packs, or over samples if they are not packed.
fn forecasts(open: &OpenPlan, arguments: &ForecastArguments) -> Result<Vec<ClusterForecast>> {
    if arguments.ranks.is_empty() {
        return Ok(Vec::new());
    }
    let sequences = manyframe_plan::read_sequences(&open.plan, &open.directory)?;
    let table = open.plan.pipeline.pack.clone().unwrap_or_default();
    pack::forecasts(&sequences, &table, arguments)
}

/// How long the build will take.
fn render_estimate(estimate: TimeEstimate, num_threads: usize) -> String {
    let duration = indicatif::HumanDuration(Duration::from_secs_f64(estimate.seconds.clamp(1.0, 1e9)));
    let basis = match estimate.basis {
        RateBasis::LastBuild => "at the speed of the last build",
        RateBasis::RoughGuess => "a rough guess; after the first build, its speed is used",
    };
    format!("time: about {duration} with {} ({basis})\n", plural(num_threads as u64, "thread"))
}

/// The tables that `plan` prints.
pub(super) fn render(open: &OpenPlan) -> String {
    let plan = &open.plan;
    let mut text = format!("{}\n\n{}", plan.pipeline.name, contract::of_plan(plan));
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for source in &plan.sources {
        for (code, number) in &source.rejected {
            reasons.entry(code.as_str()).or_default().push(format!("{} {}", source.name, count(*number)));
        }
    }
    if !reasons.is_empty() {
        let mut table = Table::new(&["reject reason", "records by source"]);
        for (reason, sources) in reasons {
            table.push(vec![reason.to_owned(), sources.join(", ")]);
        }
        text.push_str(&format!("\n{}", table.render()));
    }
    text.push_str(&contract::decontamination(plan.decontamination.as_ref()));
    let of_sources = open.expected_losses().map(|(source, excess)| format!("{source}: {excess}\n"));
    let of_decontamination = plan.excess_of_decontamination().map(|excess| format!("{excess}\n"));
    let losses: Vec<String> = of_sources.chain(of_decontamination).collect();
    if !losses.is_empty() {
        text.push_str(&format!("\nwill not be published without --accept-rejects:\n{}", losses.concat()));
    }
    text.push_str(&format!("\n{}", shards_table(plan).render()));
    if let Some(summary) = &plan.pack {
        text.push_str(&format!("\n{}", pack::render(summary)));
    }
    let num_tasks = plan.tasks.len();
    let tasks = match num_tasks {
        0 => "nothing to build".to_owned(),
        1 => "1 task: 0".to_owned(),
        _ => format!("{num_tasks} tasks: 0 to {}", num_tasks - 1),
    };
    text.push_str(&format!("\nplan: {} ({tasks})\n", open.directory.display()));
    text
}

fn shards_table(plan: &Plan) -> Table {
    let mut table =
        Table::new(&["shards", "number", "samples", "tokens", "text", "delimiters", "visual", "images", "est. size"])
            .with_expendable(&["delimiters", "text", "visual"]);
    let formats = plan.pipeline.output.formats.len() as u64;
    for layout in Layout::ALL.into_iter().map(Some).chain([None]) {
        let tasks = plan.tasks.iter().filter(|task| task.layout == layout).collect::<Vec<_>>();
        if tasks.is_empty() {
            continue;
        }
        let mut cost = Cost::default();
        for task in &tasks {
            cost += task.cost;
        }
        let name = layout.map_or("mixed", Layout::as_str);
        let num_samples = tasks.iter().map(|task| task.num_samples).sum();
        let num_bytes: u64 = tasks.iter().map(|task| task.estimated_bytes).sum();
        let mut cells = vec![name.to_owned()];
        cells.extend([tasks.len() as u64 * formats, num_samples].map(count));
        // Delimiters count as text tokens; they have their own column here.
        let text_tokens = cost.text_tokens - cost.delimiter_tokens;
        cells.extend(
            [cost.num_tokens(), text_tokens, cost.delimiter_tokens, cost.visual_tokens, cost.num_images].map(count),
        );
        cells.push(bytes(num_bytes * formats));
        table.push(cells);
    }
    table
}
