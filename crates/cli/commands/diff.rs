//! `manyframe diff`: what differs between two datasets, or two pipeline files.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use manyframe_dataset::{
    Aspect, DatasetDifference, DatasetIdentity, DatasetReader, RecordGroup, SampleComparison, ShardDifference,
    SourceCounts,
};
use manyframe_engine::SettingsAnswer;
use manyframe_pipeline::{SettingDifference, differences, portable_settings};
use serde_json::{Value, json};

use super::location::open_dataset;
use super::status::value;
use crate::args::DiffArguments;
use crate::output;
use crate::table::{Table, count, plural};

/// Something with settings.
enum Side {
    Dataset(Box<DatasetReader>),
    /// The settings of a pipeline file: those that a dataset states, and all of them.
    File {
        stated: Value,
        all: Value,
    },
}

pub(super) fn run(arguments: &DiffArguments) -> Result<ExitCode> {
    let (a, b) = (open(&arguments.a, arguments)?, open(&arguments.b, arguments)?);
    if let (Side::Dataset(a), Side::Dataset(b)) = (&a, &b) {
        let difference = DatasetDifference::between(a, b, arguments.examples)?;
        if arguments.json {
            output::print_json(&difference)?;
        } else {
            output::print(&render(&difference))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let settings = differences(a.settings(&b), b.settings(&a));
    if arguments.json {
        output::print_json(&SettingsAnswer { settings })?;
    } else if settings.is_empty() {
        output::print("no setting differs\n")?;
    } else {
        output::print(&settings_table(&settings).render())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn open(path: &Path, arguments: &DiffArguments) -> Result<Side> {
    if !path.is_file() {
        return Ok(Side::Dataset(Box::new(open_dataset(path, &arguments.store)?)));
    }
    let pipeline = manyframe_pipeline::read(path, &[])?.pipeline;
    Ok(Side::File { stated: portable_settings(&pipeline), all: json!(pipeline.portable) })
}

impl Side {
    /// The settings that can be compared with those of another side.
    fn settings(&self, other: &Self) -> &Value {
        match (self, other) {
            (Self::Dataset(dataset), _) => &dataset.manifest().pipeline,
            (Self::File { stated, .. }, Self::Dataset(_)) => stated,
            (Self::File { all, .. }, Self::File { .. }) => all,
        }
    }
}

fn render(difference: &DatasetDifference) -> String {
    let mut text = format!("A  {}\nB  {}\n", identity(&difference.a), identity(&difference.b));
    if difference.is_same() {
        return text + "\nthe same dataset\n";
    }
    for line in inputs(&difference.a, &difference.b) {
        text.push_str(&format!("{line}\n"));
    }
    if !difference.settings.is_empty() {
        text.push_str(&format!("\n{}", settings_table(&difference.settings).render()));
    }
    text.push_str(&format!("\n{}", sources_table(difference).render()));
    if difference.records.is_empty() {
        let compared = if difference.samples.num_shards_not_read == 0 { ", text and media" } else { "" };
        text.push_str(&format!("\nevery record has the same outcome, tokens, images, turns{compared} in both\n"));
    } else {
        text.push_str(&format!("\n{}", records_table(&difference.records).render()));
    }
    text + &samples(&difference.samples) + &shards(difference.shards)
}

fn identity(identity: &DatasetIdentity) -> String {
    let digest = identity.manifest_digest.to_string();
    format!("{}  {} {}", identity.location, identity.name, digest.get(..12).unwrap_or(&digest))
}

/// What differs besides settings and records.
fn inputs(a: &DatasetIdentity, b: &DatasetIdentity) -> Vec<String> {
    let mut lines = Vec::new();
    if a.manyframe_version != b.manyframe_version {
        lines.push(format!("built by manyframe {}, by {}", a.manyframe_version, b.manyframe_version));
    }
    if a.tokenizer_digest != b.tokenizer_digest {
        lines.push("the tokenizers differ".to_owned());
    }
    if a.template_digest != b.template_digest {
        lines.push("the chat templates differ".to_owned());
    }
    lines
}

fn settings_table(settings: &[SettingDifference]) -> Table {
    let mut table = Table::new(&["setting", "A", "B"]);
    for difference in settings {
        table.push(vec![difference.setting.clone(), value(&difference.a), value(&difference.b)]);
    }
    table
}

fn sources_table(difference: &DatasetDifference) -> Table {
    let mut table =
        Table::new(&["source", "", "seen", "rejected", "duplicates", "not drawn", "samples", "tokens", "images"])
            .with_expendable(&["duplicates", "not drawn", "rejected", "images"]);
    let mut push = |name: &str, side: &str, counts: &SourceCounts| {
        let numbers = [
            counts.num_seen,
            counts.num_rejected,
            counts.num_duplicates,
            counts.num_not_drawn,
            counts.num_samples,
            counts.num_tokens,
            counts.num_images,
        ];
        table.push([name.to_owned(), side.to_owned()].into_iter().chain(numbers.map(count)).collect());
    };
    for source in &difference.sources {
        match (&source.a, &source.b) {
            (Some(a), Some(b)) if a == b => push(&source.name, "both", a),
            (a, b) => {
                if let Some(counts) = a {
                    push(&source.name, "A", counts);
                }
                if let Some(counts) = b {
                    push(if a.is_some() { "" } else { &source.name }, "B", counts);
                }
            }
        }
    }
    if difference.sources.len() > 1 {
        push("total", "A", &difference.a.counts);
        push("", "B", &difference.b.counts);
    }
    table
}

fn records_table(groups: &[RecordGroup]) -> Table {
    let mut table =
        Table::new(&["source", "records", "in A", "in B", "tokens", "for example"]).with_expendable(&["for example"]);
    for group in groups {
        let mut b = group.b.replace('_', " ");
        if !group.differs.is_empty() {
            let aspects: Vec<&str> = group.differs.iter().map(|aspect| aspect_text(*aspect)).collect();
            b.push_str(&format!(", other {}", aspects.join(", ")));
        }
        let mut cells = vec![group.source.clone(), count(group.num_records), group.a.replace('_', " "), b];
        cells.push(if group.token_difference == 0 { String::new() } else { signed(group.token_difference) });
        let examples: Vec<String> = group
            .examples
            .iter()
            .map(
                |example| {
                    if example.upstream_id.is_empty() { example.id.to_string() } else { example.upstream_id.clone() }
                },
            )
            .collect();
        cells.push(examples.join(" "));
        table.push(cells);
    }
    table
}

fn aspect_text(aspect: Aspect) -> &'static str {
    match aspect {
        Aspect::Content => "text or media",
        Aspect::Text => "prompt",
        Aspect::Media => "media",
        Aspect::Tokens => "tokens",
        Aspect::Images => "images",
        Aspect::Layout => "layout",
        Aspect::Turns => "turns",
        Aspect::Shortened => "length",
    }
}

fn signed(number: i64) -> String {
    let sign = if number < 0 { '−' } else { '+' };
    format!("{sign}{}", count(number.unsigned_abs()))
}

/// Which samples were not compared.
fn samples(samples: &SampleComparison) -> String {
    let Some(reason) = &samples.not_read_because else { return String::new() };
    let number = plural(samples.num_shards_not_read, "shard");
    format!("\nnot compared: text and media of the samples in {number} ({reason})\n")
}

fn shards(shards: ShardDifference) -> String {
    let ShardDifference { num_same, num_different, num_only_a, num_only_b } = shards;
    let mut text = format!(
        "\n{} in both with the same bytes, {} with other bytes",
        plural(num_same, "shard"),
        count(num_different)
    );
    for (number, name) in [(num_only_a, 'A'), (num_only_b, 'B')] {
        if number > 0 {
            text.push_str(&format!(", {} only in {name}", count(number)));
        }
    }
    text.push('\n');
    text
}
