//! What is beside the shards of a dataset, and follows from them: the files that readers of its formats expect, and the data
//! card, `README.md`, with the front matter by which Hugging Face `datasets` reads it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use manyframe_base::files::{publish_staged_file, temporary_beside, write_staged};
use manyframe_core::{Digest, NeedleTask};
use manyframe_shards::{BesideShards, DatasetFacts, EnergonIndex, FinishedShard, ShardFormat};
use manyframe_storage::{LocalDirectory, Storage};
use serde_json::Value;

use crate::croissant::{CROISSANT_FILE, croissant_json};
use crate::error::DatasetError;
use crate::licenses::{licenses_of, text_of};
use crate::manifest::{Manifest, NotesByShard};
use crate::needles::NEEDLES_FILE;

/// The data card's file name.
pub const CARD_FILE: &str = "README.md";

/// What the formats of a dataset put beside its shards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilesBeside {
    /// Files, each with its path relative to the dataset.
    pub files: Vec<(String, Vec<u8>)>,
    /// Energon's indexes, each with its path relative to the dataset.
    indexes: Vec<(String, EnergonIndex)>,
    /// Lines for the front matter of the data card.
    card_yaml: String,
}

impl FilesBeside {
    /// What is beside the shards of a manifest.
    ///
    /// # Errors
    ///
    /// If the manifest holds no pipeline file of this version.
    pub fn of(manifest: &Manifest, notes: &NotesByShard) -> Result<Self, DatasetError> {
        let columns = manifest.pipeline_with(&BTreeMap::new())?.file.sample_columns();
        let facts = DatasetFacts { name: &manifest.name, split: split_of(manifest), columns };
        let of_format = |format: ShardFormat| {
            let shards = manifest.shards.iter().filter(|shard| shard.format == format);
            let shards = shards.map(|shard| FinishedShard {
                path: shard.path.to_string(),
                layout: shard.layout,
                num_samples: shard.total.num_samples,
                num_bytes: shard.num_bytes,
                digest: shard.digest,
                notes: notes.get(&shard.path).cloned().unwrap_or_default(),
            });
            format.finish_dataset(&shards.collect::<Vec<_>>(), &facts)
        };
        let mut beside = Self::default();
        for format in FORMATS_OF_HUGGING_FACE {
            let BesideShards { card_yaml, files, index } = of_format(format);
            beside.files.extend(files);
            beside.indexes.extend(index);
            if beside.card_yaml.is_empty() {
                beside.card_yaml = card_yaml;
            }
        }
        beside.files.push((CROISSANT_FILE.to_owned(), croissant_json(manifest, notes).into_bytes()));
        Ok(beside)
    }

    /// Writes the files, and the data card, into a dataset that is published later.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn write(&self, manifest: &Manifest, dataset: &Path) -> Result<(), DatasetError> {
        for (path, bytes) in &self.files {
            write_staged(&dataset.join(path), bytes)?;
        }
        for (path, index) in &self.indexes {
            let path = dataset.join(path);
            let temporary = temporary_beside(&path)?;
            index.write(&temporary).map_err(DatasetError::shard(&path))?;
            publish_staged_file(&temporary, &path)?;
        }
        Ok(write_staged(&dataset.join(CARD_FILE), self.card(manifest).as_bytes())?)
    }

    /// The paths of all of them but the card.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|(path, _)| path.as_str()).chain(self.indexes.iter().map(|(path, _)| path.as_str()))
    }

    /// Whether some of the files may be too large for memory.
    pub fn has_indexes(&self) -> bool {
        !self.indexes.is_empty()
    }

    /// The digest of each file but the card, with its path. Indexes are written to an empty directory for that.
    ///
    /// # Errors
    ///
    /// If a file cannot be written there.
    pub fn digests(&self, scratch: &Path) -> Result<Vec<(String, Digest)>, DatasetError> {
        let mut digests: Vec<_> = self.files.iter().map(|(path, bytes)| (path.clone(), Digest::of(bytes))).collect();
        for (number, (path, index)) in self.indexes.iter().enumerate() {
            let name = format!("{number}.sqlite");
            index.write(&scratch.join(&name)).map_err(DatasetError::shard(path.as_str()))?;
            digests.push((path.clone(), LocalDirectory::new(scratch).digest(&name)?));
        }
        Ok(digests)
    }

    /// The text of the data card of a manifest.
    pub fn card(&self, manifest: &Manifest) -> String {
        dataset_card(manifest, &self.card_yaml)
    }
}

/// The formats in the order in which Hugging Face `datasets` prefers to read a dataset that has several.
const FORMATS_OF_HUGGING_FACE: [ShardFormat; ShardFormat::ALL.len()] =
    [ShardFormat::Parquet, ShardFormat::Webdataset, ShardFormat::Vila, ShardFormat::EnergonChatml, ShardFormat::Mds];

/// The split that all samples are: those of a dataset of questions about needles are no training data.
fn split_of(manifest: &Manifest) -> &'static str {
    match &manifest.needles {
        Some(needles) if needles.num_samples == manifest.total.num_samples => "test",
        _ => "train",
    }
}

/// The text of the card. It contains nothing that differs between machines.
fn dataset_card(manifest: &Manifest, front_matter: &str) -> String {
    let mut card = if front_matter.is_empty() { String::new() } else { format!("---\n{front_matter}---\n\n") };
    // Writing to a string cannot fail.
    _ = write_body(&mut card, manifest);
    card
}

/// What the dataset is, and how much of it there is.
fn write_head(card: &mut String, manifest: &Manifest) -> std::fmt::Result {
    let total = manifest.total;
    writeln!(card, "# {}\n", manifest.name)?;
    if !manifest.description.is_empty() {
        writeln!(card, "{}\n", manifest.description)?;
    }
    writeln!(
        card,
        "{} samples, {} tokens ({} of text, {} of them delimiters of images; {} of images), {} images of which {} are frames of videos.\n",
        total.num_samples,
        total.cost.num_tokens(),
        total.cost.text_tokens,
        total.cost.delimiter_tokens,
        total.cost.visual_tokens,
        total.cost.num_images,
        total.cost.num_frames,
    )?;
    if manifest.pipeline.pointer("/video/deliver").is_some_and(|deliver| deliver == "clip") {
        writeln!(
            card,
            "Videos are files, whose frames are not among the images: decode those at `frame_indices`, in the order of presentation.\n"
        )?;
    }
    Ok(())
}

/// Under which licenses it is, and how much of it under each: the strictest first.
fn write_licenses(card: &mut String, manifest: &Manifest) -> std::fmt::Result {
    let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 };
    let total = manifest.total;
    writeln!(card, "\n## Licenses\n")?;
    writeln!(card, "| license | terms | sources | samples | tokens |\n|---|---|---|--:|--:|")?;
    for row in licenses_of(manifest) {
        writeln!(
            card,
            "| {} | {} | {} | {:.2} % | {:.2} % |",
            license_cell(&text_of(&row.licenses)),
            row.terms.as_str(),
            row.sources.join(", "),
            share(row.num_samples, total.num_samples),
            share(row.num_tokens, total.cost.num_tokens()),
        )?;
    }
    if manifest.sources.iter().any(|source| !source.replayed.is_empty()) {
        writeln!(
            card,
            "\nWhat is replayed keeps its licenses: in parentheses, the sources of the dataset that it is from."
        )?;
    }
    for source in &manifest.sources {
        if let Some(stricter) = source.stricter_than_stated() {
            let (name, stated) = (&source.budget.name, license_cell(&source.license));
            writeln!(
                card,
                "\n{name} is stated to be under {stated}; of what it replays, some is under {}.",
                license_cell(stricter)
            )?;
        }
    }
    writeln!(card, "\nThe licenses are those of the annotations; images and videos keep terms of their own.\n")
}

/// What the questions of evaluation sets are: nothing if there are none.
fn write_needles(card: &mut String, manifest: &Manifest) -> std::fmt::Result {
    let sources = manifest.pipeline.get("source").and_then(Value::as_array).into_iter().flatten();
    let sets: Vec<(&Value, &Value)> = sources
        .filter_map(|source| Some((source, source.get("needles")?)))
        .filter(|(_, set)| set.is_object())
        .collect();
    if sets.is_empty() {
        return Ok(());
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let listed = |value: &Value| match value.as_array() {
        Some(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        None => text(value),
    };
    writeln!(card, "\n## Questions about needles in haystacks\n")?;
    writeln!(card, "For evaluation. `{NEEDLES_FILE}` has the right answers.\n")?;
    writeln!(
        card,
        "| source | tasks | frames or images | depths in thousandths | questions of each | options | needles |"
    )?;
    writeln!(card, "|---|---|---|---|--:|--:|---|")?;
    for (source, set) in sets {
        let tasks: Vec<NeedleTask> =
            set.get("tasks").and_then(|tasks| serde_json::from_value(tasks.clone()).ok()).unwrap_or_default();
        let has_depth = tasks.iter().any(|task| task.has_depth());
        let keys = ["tasks", "lengths", "depths", "questions_per_cell", "num_options", "place"];
        let cells = keys.map(|key| match set.get(key) {
            Some(_) if key == "depths" && !has_depth => String::new(),
            value => value.map(listed).unwrap_or_default(),
        });
        writeln!(card, "| {} | {} |", source.get("name").map(text).unwrap_or_default(), cells.join(" | "))?;
    }
    Ok(())
}

/// A license in a table of Markdown.
fn license_cell(license: &str) -> String {
    match license {
        "" => "not stated".to_owned(),
        _ => license.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

fn write_body(card: &mut String, manifest: &Manifest) -> std::fmt::Result {
    write_head(card, manifest)?;
    writeln!(card, "## Sources\n")?;
    writeln!(card, "| source | kind | license | seen | rejected | duplicates | not drawn | delivered |")?;
    writeln!(card, "|---|---|---|--:|--:|--:|--:|--:|")?;
    for source in &manifest.sources {
        writeln!(
            card,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            source.budget.name,
            source.budget.kind,
            license_cell(&source.license_text()),
            source.budget.num_seen,
            source.num_rejected(),
            source.num_duplicates,
            source.num_not_drawn,
            source.delivered.num_samples,
        )?;
    }
    write_needles(card, manifest)?;
    write_licenses(card, manifest)?;
    writeln!(card, "## Files\n")?;
    writeln!(card, "| path | what |\n|---|---|")?;
    writeln!(card, "| `croissant.json` | the dataset in the words of MLCommons Croissant |")?;
    writeln!(card, "| `manifest.json` | shards with sizes and digests, sources, totals, the pipeline file |")?;
    writeln!(
        card,
        "| `ledger.parquet` | all {} records seen: delivered where, or why not |",
        manifest.ledger.num_records
    )?;
    if let Some(needles) = &manifest.needles {
        writeln!(
            card,
            "| `{}` | the {} questions about needles in haystacks: cells, groups, right answers |",
            needles.path, needles.num_samples
        )?;
    }
    // Packing again does not change the card.
    writeln!(card, "| `pack-….parquet` | the samples as training sequences, if the manifest names such a file |")?;
    for shard in &manifest.shards {
        writeln!(card, "| `{}` | {} samples, {} bytes |", shard.path, shard.total.num_samples, shard.num_bytes)?;
    }
    writeln!(card, "\nBuilt by manyframe {}; `manyframe verify` checks it.", manifest.manyframe_version)
}
