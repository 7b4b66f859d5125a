//! `manyframe validate`: runs a model over samples of a dataset.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use manyframe_base::Executor;
use manyframe_dataset::DatasetReader;
use manyframe_engine::{ValidateOn, ValidateRequest, finding_text};
use manyframe_validate::measure::{
    Controls, GroupMeasures, Report, RunOptions, RunUsage, SampleChoice, StageUsage, Verdict,
};

use super::model::described;
use super::{engine, needle_scores, variables};
use crate::args::{Global, StoreArguments, ValidateArguments};
use crate::machine::{Machine, thread_pool};
use crate::table::{Table, bytes, count, plural};
use crate::{exit, output, progress};

pub(super) fn run(arguments: &ValidateArguments, global: &Global) -> Result<ExitCode> {
    let progress = progress::on_stderr(global.quiet);
    let pool = thread_pool(&arguments.threads)?;
    let executor = Executor { pool: &pool, progress: progress.as_ref() };
    let engine = engine::of_arguments(&arguments.engine, &StoreArguments::default())?;
    if arguments.needles {
        needle_scores::run(arguments, executor)?;
        return Ok(ExitCode::SUCCESS);
    }
    let request = ValidateRequest {
        dataset: arguments.dataset.clone(),
        model: arguments.model.clone(),
        choice: if arguments.all { SampleChoice::All } else { SampleChoice::Count(arguments.samples.get()) },
        seed: arguments.seed,
        device: arguments.device,
        options: RunOptions {
            controls: if arguments.no_controls { Controls::None } else { Controls::All },
            ..RunOptions::default()
        },
        policy: arguments.policy.as_deref().map(manyframe_engine::read_policy).transpose()?.unwrap_or_default(),
        variables: variables::replaced(&DatasetReader::open(&arguments.dataset)?, &arguments.set)?,
    };
    let on = ValidateOn { engine: engine.as_ref(), executor, meter: &Machine::start() };
    let report = manyframe_engine::validate(&request, on)?;
    let text = if arguments.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        render(&report, &arguments.dataset)
    };
    output::print(&text)?;
    let is_over = report.verdict == Verdict::Fail;
    Ok(if is_over { ExitCode::from(exit::OVER_LIMIT) } else { ExitCode::SUCCESS })
}

/// What a model measured of the samples of a dataset.
pub(super) fn render(report: &Report, dataset: &Path) -> String {
    let model = &report.model;
    let mut text = format!("{} through {}\n", plural(report.total.num_samples, "sample"), described(model));
    if model.is_random {
        text.push_str(&format!(
            "Its weights are random: smoke test only; says nothing about data quality. Expected loss: about ln {} = {:.3}.\n",
            model.vocab_size,
            (model.vocab_size as f64).ln()
        ));
    }
    text.push_str(&format!("\n{}\n", groups_table(report).render()));
    let total = &report.total;
    text.push_str(&format!(
        "the model saw {} tokens ({} text, {} delimiters, {} visual); {} from the counts in the dataset\n\n",
        count(total.num_tokens),
        count(total.num_tokens - total.num_visual_tokens - total.num_delimiter_tokens),
        count(total.num_delimiter_tokens),
        count(total.num_visual_tokens),
        match total.num_mismatched {
            1 => "1 sample differs".to_owned(),
            number => format!("{} samples differ", count(number)),
        },
    ));
    for finding in &report.findings {
        text.push_str(&format!("{:<5} {}\n", word(finding.verdict), finding_text(finding)));
    }
    text.push_str(&format!("\n{}\n", stages_table(&report.stages).render()));
    for forecast in &report.forecasts {
        text.push_str(&format!(
            "with {} GiB (computed, not measured): up to {} tokens, or {} images of {} tokens\n",
            forecast.memory_gib,
            count(forecast.most_tokens),
            count(forecast.most_images),
            forecast.tokens_per_image,
        ));
    }
    text.push_str(&format!(
        "\nsamples: {}\nreport:  {}\nverdict: {}\n",
        report.table.as_ref().map(|table| dataset.join(&table.path).display().to_string()).unwrap_or_default(),
        dataset.join("validation.json").display(),
        word(report.verdict)
    ));
    text
}

fn stages_table(stages: &RunUsage) -> Table {
    let mut table = Table::new(&["stage", "seconds", "processed", "per second", "peak memory"]);
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let mut push = |name: &str, seconds: String, done: String, rate: Option<f64>, memory: Option<u64>| {
        let rate = or_none(rate.map(|rate| count(rate as u64)));
        table.push(vec![name.to_owned(), seconds, done, rate, or_none(memory.map(bytes))]);
    };
    let seconds = |stage: StageUsage| format!("{:.1}", stage.seconds);
    let (images, tokens) = (plural(stages.num_images, "image"), plural(stages.num_tokens, "token"));
    push("reading", seconds(stages.read), String::new(), None, stages.read.memory_bytes);
    push("vision tower", seconds(stages.images), images, stages.images_per_s, stages.images.memory_bytes);
    push("language model", seconds(stages.language), tokens, stages.tokens_per_s, stages.language.memory_bytes);
    push("whole process", String::new(), String::new(), None, stages.peak_memory_bytes);
    if let Some(peak) = stages.peak_device_bytes {
        push("GPU", String::new(), String::new(), None, Some(peak));
    }
    table
}

fn groups_table(report: &Report) -> Table {
    let mut table =
        Table::new(&["group", "samples", "tokens", "labels", "loss", "loss/sample", "Δ vs blank", "Δ vs other"])
            .with_expendable(&["labels", "loss/sample"]);
    let mut push = |name: &str, group: &GroupMeasures| {
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
        table.push(vec![
            name.to_owned(),
            count(group.num_samples),
            count(group.num_tokens),
            count(group.num_labels),
            number(group.loss_mean),
            number(group.loss_mean_of_samples),
            number(group.gain_over_blank),
            number(group.gain_over_other),
        ]);
    };
    let named = [("source", &report.by_source), ("layout", &report.by_layout), ("images", &report.by_images)];
    for (kind, groups) in named.into_iter().chain([("tokens", &report.by_length)]) {
        for (name, group) in groups {
            push(&format!("{kind} {name}"), group);
        }
    }
    push("all", &report.total);
    table
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Warn => "warn",
        Verdict::Fail => "FAIL",
    }
}
