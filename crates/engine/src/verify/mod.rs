//! Reads a dataset back: digests, images, placeholders, token ids and labels, packs, and an account that adds up.

mod account;
mod sample;
pub(crate) mod tokens;

use std::collections::BTreeMap;
use std::path::Path;

use manyframe_base::{Executor, Step};
use manyframe_core::{Cost, RecordId, Sample, Total};
use manyframe_dataset::{DatasetReader, ShardEntry, ShardName};
use manyframe_format::Dialect;
use rustc_hash::FxHashMap;

use crate::error::{EngineError, with_causes};
use account::AccountCheck;
use sample::sample_faults;
use tokens::TokenCheck;

/// What reading a dataset back showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// Everything that is wrong; empty if the dataset is intact.
    pub problems: Vec<String>,
    /// Shards read.
    pub num_shards: u64,
    /// Samples read, each format counted.
    pub num_samples: u64,
    /// Images decoded.
    pub num_images: u64,
    /// Samples whose token ids and labels were computed again and compared.
    pub num_tokenized: u64,
    /// Why token ids and labels could not be compared although there are some, such as a missing tokenizer.
    pub not_tokenized: Option<String>,
    /// Records in the ledger.
    pub num_records: u64,
}

/// Problems beyond this many are not listed.
const MOST_PROBLEMS: usize = 100;

/// Reads everything in a dataset and collects what is wrong.
///
/// `variables` replace those of the build: on another machine, the tokenizer is found through them.
///
/// # Errors
///
/// [`EngineError::Dataset`] if there is no manifest that this version reads, or on a storage error.
pub fn verify(
    dataset: &Path,
    variables: &BTreeMap<String, String>,
    executor: Executor<'_>,
) -> Result<Verification, EngineError> {
    let dataset = DatasetReader::open(dataset)?;
    let tokens = TokenCheck::open(&dataset, variables);
    let AccountCheck { delivered, num_records, problems } = AccountCheck::of(&dataset)?;
    let mut found = Verification { num_records, ..Verification::default() };
    for problem in problems {
        found.add(problem);
    }
    let shards = &dataset.manifest().shards;
    let verifier = ShardVerifier { dataset: &dataset, delivered, tokens };
    executor.progress.start(Step::Verify, shards.iter().map(|shard| shard.num_bytes).sum());
    for shard in shards {
        verifier.verify(shard, executor, &mut found)?;
        executor.progress.advance(shard.total.num_samples, shard.num_bytes);
    }
    executor.progress.finish(Step::Verify);
    Ok(found)
}

impl Verification {
    fn add(&mut self, problem: String) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(problem);
        } else if self.problems.len() == MOST_PROBLEMS {
            self.problems.push("there are more problems; only the first ones are listed".to_owned());
        }
    }
}

/// Compares shards with what the rest of their dataset says about them.
struct ShardVerifier<'a> {
    dataset: &'a DatasetReader,
    /// The shard of each delivered sample, by the ledger.
    delivered: FxHashMap<RecordId, ShardName>,
    tokens: TokenCheck,
}

/// A sample that was checked.
struct CheckedSample {
    id: RecordId,
    cost: Cost,
    num_images: usize,
    has_tokens: bool,
    faults: Vec<String>,
}

impl ShardVerifier<'_> {
    fn verify(&self, shard: &ShardEntry, executor: Executor<'_>, found: &mut Verification) -> Result<(), EngineError> {
        let (storage, path) = (self.dataset.storage(), shard.path.to_string());
        let Some(num_bytes) = storage.num_bytes(&path)? else {
            found.add(format!("{path} is missing"));
            return Ok(());
        };
        found.num_shards += 1;
        if num_bytes != shard.num_bytes || storage.digest(&path)? != shard.digest {
            found.add(format!("{path} is not the file that the manifest names"));
        }
        let samples = match self.dataset.samples(shard) {
            Ok(samples) => samples,
            Err(error) => {
                found.add(format!("{path}: {}", with_causes(&error)));
                return Ok(());
            }
        };
        let mut total = Total::default();
        let read = executor.ordered_map(4).run(
            samples,
            |sample| self.check(&sample, shard),
            |checked| {
                total.count(checked.cost);
                self.record(&checked, shard, found);
                Ok(())
            },
        );
        if let Err(error) = read {
            found.add(format!("{path}: {}", with_causes(&error)));
        }
        if total != shard.total {
            found.add(format!("{path}: holds {total:?}, the manifest says {:?}", shard.total));
        }
        Ok(())
    }

    fn check(&self, sample: &Sample, shard: &ShardEntry) -> CheckedSample {
        let mut faults = sample_faults(sample, Dialect::default().placeholder());
        faults.extend(self.tokens.faults(sample, shard.format));
        CheckedSample {
            id: sample.id,
            cost: sample.cost,
            num_images: sample.images.len(),
            has_tokens: sample.tokens.is_some(),
            faults,
        }
    }

    fn record(&self, checked: &CheckedSample, shard: &ShardEntry, found: &mut Verification) {
        found.num_samples += 1;
        found.num_images += checked.num_images as u64;
        match self.tokens.obstacle() {
            Some(obstacle) if checked.has_tokens => found.not_tokenized = Some(obstacle.to_owned()),
            _ => found.num_tokenized += u64::from(checked.has_tokens),
        }
        let (path, id) = (shard.path, checked.id);
        for fault in &checked.faults {
            found.add(format!("{path}: sample {id}: {fault}"));
        }
        if self.delivered.get(&id) != Some(&shard.path.name) {
            found.add(format!("{path}: sample {id} is not in this shard according to the ledger"));
        }
    }
}
