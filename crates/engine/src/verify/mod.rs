//! Reads a dataset back: digests, decodability, placeholders and images, ids and labels, and an account that adds up.

pub(crate) mod tokens;

use std::collections::BTreeMap;
use std::path::Path;

use manyframe_base::{Executor, Step};
use manyframe_core::{Cost, RecordId, RejectCode, Sample, Total};
use manyframe_dataset::{DatasetReader, ShardEntry, ShardName, SourceSummary, Status};
use manyframe_media::{MediaLimits, decode_rgb};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::error::EngineError;
use tokens::TokenCheck;

/// What reading a dataset back showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// Everything that is not as it should be; empty if the dataset is whole.
    pub problems: Vec<String>,
    /// Shards read.
    pub num_shards: u64,
    /// Samples read, each format counted.
    pub num_samples: u64,
    /// Images decoded.
    pub num_images: u64,
    /// Samples whose ids and labels were made once more and compared.
    pub num_tokenised: u64,
    /// Why no ids and labels were made once more, where there are some: the tokenizer is not at hand, say.
    pub not_tokenised: Option<String>,
    /// Records in the ledger.
    pub num_records: u64,
}

/// Problems beyond this many are counted, not listed.
const MOST_PROBLEMS: usize = 100;

/// Reads everything in a dataset. Problems are collected; `Err` is failing storage, or no manifest.
///
/// `variables` replace those of the build, by which the tokenizer is found on another machine.
pub fn verify(
    dataset: &Path,
    variables: &BTreeMap<String, String>,
    executor: Executor<'_>,
) -> Result<Verification, EngineError> {
    let dataset = DatasetReader::open(dataset)?;
    let shards = &dataset.manifest().shards;
    let tokens = TokenCheck::open(&dataset, variables);
    let mut found = Verification::default();
    let expected = verify_ledger(&dataset, &mut found)?;
    verify_packs(&dataset, &expected, &mut found)?;
    executor.progress.start(Step::Verify, shards.iter().map(|shard| shard.num_bytes).sum());
    let placeholder = manyframe_format::Dialect::default().placeholder();
    let promise = Promise { records: &expected, placeholder, tokens: &tokens };
    for shard in shards {
        verify_shard(&dataset, shard, &promise, executor, &mut found)?;
        executor.progress.advance(shard.total.num_samples, shard.num_bytes);
    }
    executor.progress.finish(Step::Verify);
    Ok(found)
}

impl Verification {
    fn problem(&mut self, text: String) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(text);
        } else if self.problems.len() == MOST_PROBLEMS {
            self.problems.push("there are more problems; the first of them are listed".to_owned());
        }
    }
}

/// What the ledger says of a source, and the manifest repeats.
#[derive(Default, PartialEq)]
struct SourceCounts {
    num_seen: u64,
    num_repeats: u64,
    rejected: BTreeMap<RejectCode, u64>,
    num_duplicates: u64,
    num_not_drawn: u64,
    delivered: Total,
}

impl SourceCounts {
    fn of(source: &SourceSummary) -> Self {
        Self {
            num_seen: source.budget.num_seen,
            num_repeats: source.budget.num_repeats(),
            rejected: source.budget.rejected.clone(),
            num_duplicates: source.num_duplicates,
            num_not_drawn: source.num_not_drawn,
            delivered: source.delivered,
        }
    }
}

/// Checks the ledger against the manifest; gives the records of each shard.
fn verify_ledger(
    dataset: &DatasetReader,
    found: &mut Verification,
) -> Result<FxHashMap<RecordId, ShardName>, EngineError> {
    let manifest = dataset.manifest();
    if dataset.storage().num_bytes(&manifest.ledger.path)?.is_none() {
        found.problem(format!("{} is missing", manifest.ledger.path));
        return Ok(FxHashMap::default());
    }
    if dataset.storage().digest(&manifest.ledger.path)? != manifest.ledger.digest {
        found.problem(format!("{} is not the file that the manifest names", manifest.ledger.path));
    }
    let mut expected = FxHashMap::default();
    let mut counted: BTreeMap<String, SourceCounts> = BTreeMap::new();
    let rows = match dataset.ledger() {
        Ok(rows) => rows,
        Err(error) => {
            found.problem(format!("{}: {error}", manifest.ledger.path));
            return Ok(expected);
        }
    };
    for row in rows {
        let row = row?;
        found.num_records += 1;
        let source = counted.entry(row.source.clone()).or_default();
        if row.repetition == 0 {
            source.num_seen += 1;
        } else {
            source.num_repeats += 1;
        }
        match row.status {
            Status::Delivered => {
                let (Some((cost, _)), Some(shard)) = (row.measured, row.shard) else {
                    found.problem(format!("ledger: record {} is delivered without a cost or a shard", row.id));
                    continue;
                };
                source.delivered.count(cost);
                if expected.insert(row.id, shard).is_some() {
                    found.problem(format!("ledger: record {} is delivered twice", row.id));
                }
            }
            Status::Rejected => {
                let code = row.reason.as_deref().and_then(RejectCode::from_text);
                match code {
                    Some(code) => *source.rejected.entry(code).or_insert(0) += 1,
                    None => found.problem(format!("ledger: record {} is rejected for no known reason", row.id)),
                }
            }
            Status::Duplicate => source.num_duplicates += 1,
            Status::NotDrawn => source.num_not_drawn += 1,
        }
    }
    for source in &manifest.sources {
        let counted = counted.remove(&source.budget.name).unwrap_or_default();
        if counted != SourceCounts::of(source) {
            found.problem(format!("source {:?}: ledger and manifest count differently", source.budget.name));
        }
        if !source.adds_up() {
            found.problem(format!("source {:?}: records seen and their outcomes do not add up", source.budget.name));
        }
    }
    for name in counted.keys() {
        found.problem(format!("ledger: source {name:?} is not in the manifest"));
    }
    Ok(expected)
}

/// Checks that the packs hold every delivered sample once, but for those that are too long, and none too many.
fn verify_packs(
    dataset: &DatasetReader,
    expected: &FxHashMap<RecordId, ShardName>,
    found: &mut Verification,
) -> Result<(), EngineError> {
    let Some(pack) = &dataset.manifest().pack else { return Ok(()) };
    let storage = dataset.storage();
    if storage.num_bytes(&pack.path)?.is_none() || storage.digest(&pack.path)? != pack.digest {
        found.problem(format!("{} is not the file that the manifest names", pack.path));
        return Ok(());
    }
    let mut packed = FxHashSet::default();
    for row in dataset.packs()? {
        let row = row?;
        if row.padded_tokens > u64::from(pack.summary.capacity_tokens) {
            found.problem(format!("{}: pack {} has {} tokens", pack.path, row.pack, row.padded_tokens));
        }
        for (sample, shard) in row.samples.iter().zip(&row.shards) {
            if expected.get(sample) != Some(shard) || !packed.insert(*sample) {
                found.problem(format!("{}: sample {sample} is not delivered there, or packed twice", pack.path));
            }
        }
    }
    let num_left = expected.len() as u64 - packed.len() as u64;
    if num_left != pack.summary.report.num_too_long {
        found.problem(format!("{}: {num_left} delivered samples are in no pack", pack.path));
    }
    Ok(())
}

/// What the rest of a dataset says about the samples of its shards.
struct Promise<'a> {
    /// The shard of each record that was delivered.
    records: &'a FxHashMap<RecordId, ShardName>,
    placeholder: &'a str,
    tokens: &'a TokenCheck,
}

/// What was found of a sample.
struct Checked {
    id: RecordId,
    cost: Cost,
    num_images: usize,
    has_tokens: bool,
    faults: Vec<String>,
}

fn verify_shard(
    dataset: &DatasetReader,
    shard: &ShardEntry,
    promise: &Promise<'_>,
    executor: Executor<'_>,
    found: &mut Verification,
) -> Result<(), EngineError> {
    let (storage, path) = (dataset.storage(), shard.path.to_string());
    let Some(num_bytes) = storage.num_bytes(&path)? else {
        found.problem(format!("{path} is missing"));
        return Ok(());
    };
    found.num_shards += 1;
    if num_bytes != shard.num_bytes || storage.digest(&path)? != shard.digest {
        found.problem(format!("{} is not the file that the manifest names", shard.path));
    }
    let samples = match dataset.samples(shard) {
        Ok(samples) => samples,
        Err(error) => {
            found.problem(format!("{}: {error}", shard.path));
            return Ok(());
        }
    };
    let mut total = Total::default();
    let check = |sample: Sample| Checked {
        id: sample.id,
        cost: sample.cost,
        num_images: sample.images.len(),
        has_tokens: sample.tokens.is_some(),
        faults: [faults_of(&sample, promise.placeholder), promise.tokens.faults(&sample, shard.format)].concat(),
    };
    let result = executor.ordered_map(4).run(samples, check, |checked| {
        let Checked { id, cost, num_images, has_tokens, faults } = checked;
        total.count(cost);
        found.num_samples += 1;
        found.num_images += num_images as u64;
        match promise.tokens.obstacle() {
            Some(obstacle) if has_tokens => found.not_tokenised = Some(obstacle.to_owned()),
            _ => found.num_tokenised += u64::from(has_tokens),
        }
        for fault in faults {
            found.problem(format!("{}: sample {id}: {fault}", shard.path));
        }
        if promise.records.get(&id) != Some(&shard.path.name) {
            found.problem(format!("{}: sample {id} is not delivered here by the ledger", shard.path));
        }
        Ok(())
    });
    if let Err(error) = result {
        found.problem(format!("{}: {error}", shard.path));
    }
    if total != shard.total {
        found.problem(format!("{}: holds {total:?}, the manifest says {:?}", shard.path, shard.total));
    }
    Ok(())
}

fn faults_of(sample: &Sample, placeholder: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let count = |text: &str| text.matches(placeholder).count();
    let in_messages: usize = sample.messages.iter().map(|message| count(&message.content)).sum();
    let num_images = sample.images.len();
    if in_messages != num_images || count(&sample.prompt) != num_images {
        let in_prompt = count(&sample.prompt);
        faults.push(format!("{in_messages} placeholders, {in_prompt} in the prompt, for {num_images} images"));
    }
    let covered: usize = sample.visuals.iter().map(|visual| visual.num_images).sum();
    if covered != num_images {
        faults.push(format!("its visuals cover {covered} of {num_images} images"));
    }
    let num_chars = sample.prompt.chars().count();
    if sample.label_spans.is_empty() || sample.label_spans.iter().any(|&(start, end)| start >= end || end > num_chars) {
        faults.push(format!("label spans {:?} do not fit a prompt of {num_chars} characters", sample.label_spans));
    }
    // What was delivered was within limits; nothing may be refused here for its size.
    let limits =
        MediaLimits { max_pixels: u64::MAX >> 1, min_edge_px: 1, max_aspect_ratio: f64::MAX, ..MediaLimits::default() };
    for (index, image) in sample.images.iter().enumerate() {
        match decode_rgb(&image.bytes, &limits) {
            Err(error) => faults.push(format!("image {index}: {error}")),
            Ok(pixels) if (pixels.width_px(), pixels.height_px()) != (image.width_px, image.height_px) => {
                let (width_px, height_px) = (pixels.width_px(), pixels.height_px());
                let (stated_px, high_px) = (image.width_px, image.height_px);
                faults.push(format!("image {index}: {width_px}×{height_px} pixels, {stated_px}×{high_px} stated"));
            }
            Ok(_) => {}
        }
    }
    faults
}
