//! Reads single samples, by the name of their shard and their number in it, as ledger and packs name them.
//!
//! Where the samples of a shard begin is found out once, when the first of them is asked for. Threads share a reader.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use manyframe_core::Sample;
use manyframe_shards::ShardFormat;
use rustc_hash::FxHashMap;

use crate::error::DatasetError;
use crate::ledger::SamplePlace;
use crate::reader::DatasetReader;
use crate::shard_name::ShardName;

/// Reads samples of a dataset in any order.
#[derive(Debug)]
pub struct SampleReader {
    dataset: DatasetReader,
    shards: Mutex<FxHashMap<ShardName, Arc<OpenShard>>>,
}

/// A shard, and how its samples are found.
#[derive(Debug)]
struct OpenShard {
    /// Its path in the dataset.
    path: String,
    format: ShardFormat,
    /// Where each begins; `None` if a sample is found by its number.
    positions: Option<Vec<u64>>,
}

impl SampleReader {
    /// A reader of the samples of a dataset. Nothing is read yet.
    pub fn new(dataset: DatasetReader) -> Self {
        Self { dataset, shards: Mutex::default() }
    }

    /// The dataset.
    pub fn dataset(&self) -> &DatasetReader {
        &self.dataset
    }

    /// The sample with this number, from 0, in a shard.
    ///
    /// # Errors
    ///
    /// If the dataset has no such shard, or the shard no such sample, or it cannot be read.
    pub fn sample(&self, name: ShardName, row: u64) -> Result<Sample, DatasetError> {
        let shard = self.shard(name)?;
        let position = match &shard.positions {
            None => Some(row),
            Some(positions) => usize::try_from(row).ok().and_then(|row| positions.get(row).copied()),
        };
        let missing = || DatasetError::damaged(self.dataset.location(), format!("shard {name} has no sample {row}"));
        self.read(&shard.path, shard.format, position.ok_or_else(missing)?)
    }

    /// The sample of a pack. Where the index says at which byte it begins, its shard is not listed.
    ///
    /// # Errors
    ///
    /// As [`SampleReader::sample`], or if another sample is there.
    pub fn packed(&self, place: SamplePlace) -> Result<Sample, DatasetError> {
        let SamplePlace { id, shard: name, shard_row: row, .. } = place;
        let shard = self.dataset.shard(name)?;
        let offset = place.shard_offset.filter(|_| self.dataset.is_told(shard));
        let sample = match offset {
            Some(offset) => self.read(&shard.path.to_string(), shard.format, offset),
            None => self.sample(name, row),
        }?;
        let other = || {
            let detail = format!("its pack index names sample {id}, number {row} of shard {name}, which is not there");
            DatasetError::damaged(self.dataset.location(), detail)
        };
        if sample.id == id { Ok(sample) } else { Err(other()) }
    }

    fn read(&self, path: &str, format: ShardFormat, position: u64) -> Result<Sample, DatasetError> {
        let file = self.dataset.storage().open(path)?;
        manyframe_shards::read_at(format, file, position).map_err(DatasetError::shard(Path::new(path)))
    }

    fn shard(&self, name: ShardName) -> Result<Arc<OpenShard>, DatasetError> {
        let known = || self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shard) = known().get(&name) {
            return Ok(Arc::clone(shard));
        }
        // Not under the lock: other threads may read other shards. Two that list the same one find the same.
        let shard = Arc::new(self.open(name)?);
        known().insert(name, Arc::clone(&shard));
        Ok(shard)
    }

    fn open(&self, name: ShardName) -> Result<OpenShard, DatasetError> {
        let shard = self.dataset.shard(name)?;
        let (path, format) = (shard.path.to_string(), shard.format);
        let positions = if format.finds_by_position() {
            let entries = self.dataset.sample_entries(shard)?.map(|entry| entry.map(|entry| entry.position));
            Some(entries.collect::<Result<_, _>>()?)
        } else {
            None
        };
        Ok(OpenShard { path, format, positions })
    }
}
