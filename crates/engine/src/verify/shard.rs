//! Examines the file of one shard: all that takes long, as plain data, so that any machine can do it.
//!
//! What its samples say is compared with ledger and manifest elsewhere, in the order of the shards.

use manyframe_base::Executor;
use manyframe_core::{Cost, Digest, RecordId, Sample};
use manyframe_dataset::{DatasetReader, ShardEntry};
use manyframe_plan::PlannedSample;
use manyframe_shards::ShardNotes;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::error::{EngineError, with_causes};
use crate::verify::account::SharedFacts;
use crate::verify::files::ShardAgain;
use crate::verify::guard::CheckGuard;
use crate::verify::sample::content_digest;
use crate::verify::sources::{Replanned, Told};
use crate::verify::tokens::TokenCheck;

/// What the file of a shard showed.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ExaminedShard {
    /// Size and digest of the file; `None` if it is missing.
    pub(super) file: Option<(u64, Digest)>,
    /// Its samples, in order, as far as it can be read.
    pub(super) samples: Vec<ExaminedSample>,
    /// What they are when they are written again.
    pub(super) written: WrittenAgain,
}

/// A shard that is written again, to nowhere.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WrittenAgain {
    /// There is no file.
    #[default]
    Nothing,
    /// The file cannot be opened.
    Unopened(String),
    /// It cannot be read to its end.
    Broken(String),
    /// A shard with this digest, and what is known of its bytes.
    Whole(Digest, ShardNotes),
}

/// What a sample showed.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ExaminedSample {
    pub(super) id: RecordId,
    pub(super) cost: Cost,
    /// Of everything that every format stores of it.
    pub(super) content: u64,
    /// Of what its row in the ledger has to say.
    pub(super) facts: u64,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) faults: Vec<String>,
    /// Where it differs from what its sources lead to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) source_faults: Vec<String>,
    /// What its sources say of it in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) told: Option<Told>,
}

/// Examines shards of a dataset.
pub(super) struct Examiner<'a> {
    pub(super) dataset: &'a DatasetReader,
    pub(super) tokens: &'a TokenCheck,
    pub(super) guard: CheckGuard<'a>,
    /// `None` if the sources are not compared.
    pub(super) replanned: Option<&'a Replanned>,
    /// Whether the rows of its ledger are those of this version.
    pub(super) is_complete: bool,
}

impl Examiner<'_> {
    /// Reads a shard, which a task wrote, to its end.
    pub(super) fn examine(
        &self,
        shard: &ShardEntry,
        task: Option<u32>,
        executor: Executor<'_>,
    ) -> Result<ExaminedShard, EngineError> {
        let (path, storage) = (shard.path.to_string(), self.dataset.storage());
        let Some(num_bytes) = storage.num_bytes(&path)? else { return Ok(ExaminedShard::default()) };
        let mut examined =
            ExaminedShard { file: Some((num_bytes, storage.digest(&path)?)), ..ExaminedShard::default() };
        let samples = match self.dataset.samples(shard) {
            // An error comes after the samples before it, however many threads there are.
            Ok(samples) => (0..).zip(samples).map(Ok),
            Err(error) => {
                examined.written = WrittenAgain::Unopened(with_causes(&error));
                return Ok(examined);
            }
        };
        let (replanned, planned) = self.planned(shard, task)?;
        let mut again = ShardAgain::start(shard, self.tokens.columns)?;
        let read = executor.ordered_map(4).run(
            samples,
            |(row, sample)| self.examine_sample(sample?, (shard, row), replanned, &planned),
            |sample: Result<_, EngineError>| {
                let (sample, found) = sample?;
                examined.samples.push(found);
                Ok::<_, EngineError>(again.write(&sample)?)
            },
        );
        examined.written = match read.and_then(|()| Ok(again.finish()?)) {
            Ok(written) => WrittenAgain::Whole(written.summary.digest, written.notes),
            Err(error @ EngineError::MediumNotHere { .. }) => return Err(error),
            Err(error) => WrittenAgain::Broken(with_causes(&error)),
        };
        Ok(examined)
    }

    fn examine_sample(
        &self,
        sample: Sample,
        (shard, row): (&ShardEntry, u64),
        replanned: Option<&Replanned>,
        planned: &FxHashMap<RecordId, PlannedSample>,
    ) -> Result<(Sample, ExaminedSample), EngineError> {
        let compare = |replanned: &Replanned| replanned.compare_sample(&sample, planned);
        let (source_faults, told) = replanned.map(compare).transpose()?.unwrap_or_default();
        let mut faults = self.guard.faults(&sample, shard, row);
        faults.extend(self.tokens.faults(&sample, shard.path.format));
        if shard.path.name.layout.is_some_and(|layout| layout != sample.layout) {
            faults.push(format!("its layout is {}, not that of its shard", sample.layout.as_str()));
        }
        let facts = SharedFacts::of_sample(&sample, (shard.path.name, row), self.is_complete).digest();
        let (id, cost, content) = (sample.id, sample.cost, content_digest(&sample));
        Ok((sample, ExaminedSample { id, cost, content, facts, faults, source_faults, told }))
    }

    /// What the samples of a shard are made again by. Formats are compared with one another, so those of one of them are.
    fn planned(
        &self,
        shard: &ShardEntry,
        task: Option<u32>,
    ) -> Result<(Option<&Replanned>, FxHashMap<RecordId, PlannedSample>), EngineError> {
        let is_first = self.dataset.shard(shard.path.name).is_ok_and(|first| first == shard);
        let replanned = self.replanned.filter(|_| is_first);
        let planned = replanned.zip(task).map(|(replanned, task)| replanned.samples(task)).transpose()?;
        Ok((replanned, planned.unwrap_or_default()))
    }
}
