//! `manyframe validate`: a model run over samples of a dataset.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};
use manyframe_base::Executor;
use manyframe_engine::{EngineError, ValidateRequest, Validated};
use manyframe_pipeline::{ValidateDevice, ValidateTable};
use manyframe_validate::DeviceChoice;
use manyframe_validate::measure::{
    Choice, Controls, Finding, Group, Meter, Policy, Report, RunOptions, Stage, Stages, Verdict,
};

use crate::args::{DeviceName, Global, ValidateArguments};
use crate::table::{Table, bytes, count};
use crate::{exit, output, progress};

pub(super) fn run(arguments: &ValidateArguments, global: &Global) -> Result<ExitCode> {
    let progress = progress::on_stderr(global.quiet);
    let pool = super::thread_pool(&arguments.threads)?;
    let request = ValidateRequest {
        dataset: arguments.dataset.clone(),
        model: arguments.model.clone(),
        choice: if arguments.all { Choice::All } else { Choice::Count(arguments.samples) },
        seed: arguments.seed,
        device: match arguments.device {
            DeviceName::Auto => DeviceChoice::Auto,
            DeviceName::Cpu => DeviceChoice::Cpu,
            DeviceName::Cuda => DeviceChoice::Cuda,
        },
        options: RunOptions {
            controls: if arguments.no_controls { Controls::None } else { Controls::All },
            ..RunOptions::default()
        },
        policy: arguments.policy.as_deref().map(read_policy).transpose()?.unwrap_or_default(),
        variables: arguments.set.iter().map(|set| (set.key.clone(), set.value.clone())).collect(),
    };
    let executor = Executor { pool: &pool, progress: progress.as_ref() };
    let validated = manyframe_engine::validate(&request, &Machine(Instant::now()), executor)?;
    let text =
        if arguments.json { serde_json::to_string_pretty(&validated.report)? + "\n" } else { render(&validated) };
    output::print(&text)?;
    let is_over = validated.report.verdict == Verdict::Fail;
    Ok(if is_over { ExitCode::from(exit::OVER_LIMIT) } else { ExitCode::SUCCESS })
}

/// What a pipeline file says about validation, with its policy read: mistakes in it are told before hours of work.
pub(super) struct Check(Option<ValidateRequest>);

impl Check {
    pub(super) fn prepare(table: Option<&ValidateTable>) -> Result<Self> {
        let Some(table) = table else { return Ok(Self(None)) };
        let model = PathBuf::from(&table.model);
        if !model.join("config.json").exists() {
            return Err(exit::WrongUse(format!("validate.model: {:?} holds no config.json", table.model)).into());
        }
        let policy = Some(table.policy.as_str()).filter(|path| !path.is_empty()).map(Path::new);
        Ok(Self(Some(ValidateRequest {
            dataset: PathBuf::new(),
            model,
            choice: Choice::Count(table.samples.get() as usize),
            seed: table.seed,
            device: match table.device {
                ValidateDevice::Auto => DeviceChoice::Auto,
                ValidateDevice::Cpu => DeviceChoice::Cpu,
                ValidateDevice::Cuda => DeviceChoice::Cuda,
            },
            options: RunOptions {
                controls: if table.controls { Controls::All } else { Controls::None },
                ..RunOptions::default()
            },
            policy: policy.map(read_policy).transpose()?.unwrap_or_default(),
            variables: BTreeMap::new(),
        })))
    }

    /// Runs the model over a dataset that is not visible yet, and prints what it measured.
    pub(super) fn run(self, staged: &Path, executor: Executor<'_>) -> Result<(), EngineError> {
        let Some(request) = self.0 else { return Ok(()) };
        let request = ValidateRequest { dataset: staged.to_owned(), ..request };
        let validated = manyframe_engine::validate(&request, &Machine(Instant::now()), executor)?;
        // What cannot be printed can be read in the dataset.
        _ = output::print(&render(&validated));
        let failed = validated.report.findings.iter().filter(|finding| finding.verdict == Verdict::Fail);
        let findings: Vec<String> = failed.map(|finding| render_finding(finding).trim().to_owned()).collect();
        match validated.report.verdict {
            Verdict::Fail => Err(EngineError::Invalid { findings: findings.join(", "), path: staged.to_owned() }),
            Verdict::Pass | Verdict::Warn => Ok(()),
        }
    }
}

/// This process: its time since the command began, and its memory as Linux tells it.
struct Machine(Instant);

impl Meter for Machine {
    fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }

    fn memory_bytes(&self) -> Option<u64> {
        process_status("VmRSS:")
    }

    fn peak_memory_bytes(&self) -> Option<u64> {
        process_status("VmHWM:")
    }
}

fn process_status(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?;
    kib.parse::<u64>().ok().map(|kib| kib << 10)
}

fn read_policy(path: &Path) -> Result<Policy> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).map_err(|error| exit::WrongUse(format!("{}: {error}", path.display())).into())
}

fn render(validated: &Validated) -> String {
    let report = &validated.report;
    let model = &report.model;
    let mut text = format!(
        "{} samples through a model of {} parameters, {} on the {}\n",
        count(report.total.num_samples),
        count(model.num_parameters),
        model.dtype,
        if model.device == "cuda" { "GPU" } else { "CPU" },
    );
    if model.is_random {
        text.push_str(&format!(
            "Its weights are random: a loss near ln {} = {:.3} says that the wiring is right, and judges no data.\n",
            model.vocab_size,
            (model.vocab_size as f64).ln()
        ));
    }
    text.push_str(&format!("\n{}\n", groups_table(report).render()));
    let total = &report.total;
    text.push_str(&format!(
        "the model saw {} tokens: {} of text, {} of delimiters, {} of images; {} samples differ from what the dataset says\n\n",
        count(total.num_tokens),
        count(total.num_tokens - total.num_visual_tokens - total.num_delimiter_tokens),
        count(total.num_delimiter_tokens),
        count(total.num_visual_tokens),
        count(total.num_mismatched),
    ));
    for finding in &report.findings {
        text.push_str(&render_finding(finding));
    }
    text.push_str(&format!("\n{}\n", stages_table(&report.stages).render()));
    for forecast in &report.forecasts {
        text.push_str(&format!(
            "on {} GiB (computed, not measured): {} tokens, or {} images at {}\n",
            forecast.memory_gib,
            count(forecast.most_tokens),
            count(forecast.most_images),
            forecast.tokens_per_image,
        ));
    }
    let (table_path, report_path) = (validated.table_path.display(), validated.report_path.display());
    text.push_str(&format!("\nsamples: {table_path}\nreport:  {report_path}\nverdict: {}\n", word(report.verdict)));
    text
}

fn stages_table(stages: &Stages) -> Table {
    let mut table = Table::new(&["stage", "seconds", "done", "a second", "memory at most"]);
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let mut push = |name: &str, seconds: String, done: String, rate: Option<f64>, memory: Option<u64>| {
        let rate = or_none(rate.map(|rate| count(rate as u64)));
        table.push(vec![name.to_owned(), seconds, done, rate, or_none(memory.map(bytes))]);
    };
    let seconds = |stage: Stage| format!("{:.1}", stage.seconds);
    let (images, tokens) =
        (format!("{} images", count(stages.num_images)), format!("{} tokens", count(stages.num_tokens)));
    push("reading", seconds(stages.read), String::new(), None, stages.read.memory_bytes);
    push("vision tower", seconds(stages.images), images, stages.images_per_s, stages.images.memory_bytes);
    push("language model", seconds(stages.language), tokens, stages.tokens_per_s, stages.language.memory_bytes);
    push("the whole process", String::new(), String::new(), None, stages.peak_memory_bytes);
    if let Some(peak) = stages.peak_device_bytes {
        push("on the GPU", String::new(), String::new(), None, Some(peak));
    }
    table
}

fn groups_table(report: &Report) -> Table {
    let mut table =
        Table::new(&["group", "samples", "tokens", "labels", "loss", "per sample", "over blank", "over other"]);
    let mut push = |name: &str, group: &Group| {
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

fn render_finding(finding: &Finding) -> String {
    let limit = |name: &str, limit: Option<f64>| limit.map_or(String::new(), |limit| format!(", {name} over {limit}"));
    let name = serde_json::to_value(finding.measure).ok().and_then(|name| name.as_str().map(str::to_owned));
    format!(
        "{:<5} {} {:.4}{}{}\n",
        word(finding.verdict),
        name.unwrap_or_default().replace('_', " "),
        finding.value,
        limit("warn", finding.limit.warn),
        limit("fail", finding.limit.fail),
    )
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Warn => "warn",
        Verdict::Fail => "FAIL",
    }
}
