//! The shards of a committed dataset, as far as planning needs them. The whole manifest is the engine's.

use std::path::{Path, PathBuf};

use manyframe_shards::{SampleEntry, ShardError, ShardFormat};
use serde::Deserialize;

/// A shard of a committed dataset.
pub(crate) struct DatasetShard {
    pub(crate) path: PathBuf,
    pub(crate) format: ShardFormat,
    pub(crate) num_bytes: u64,
}

#[derive(Deserialize)]
struct Manifest {
    shards: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    path: PathBuf,
    format: ShardFormat,
    num_bytes: u64,
}

/// Where work on a dataset is in progress: `DATASET.work`, beside it.
pub fn work_directory(dataset: &Path) -> PathBuf {
    let mut name = dataset.as_os_str().to_owned();
    name.push(".work");
    PathBuf::from(name)
}

/// Lists the shards of one format: every format holds every sample, so that one of them is enough. What is wrong with a
/// dataset is told in words.
pub(crate) fn list_shards(dataset: &Path) -> Result<Vec<DatasetShard>, String> {
    if !dataset.exists() {
        return Err("it does not exist; build it first".to_owned());
    }
    let text = std::fs::read(dataset.join("manifest.json"));
    let text = text.map_err(|error| format!("cannot read its manifest.json ({error})"))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let format = ShardFormat::ALL.into_iter().find(|format| manifest.shards.iter().any(|s| s.format == *format));
    let of_format = manifest.shards.into_iter().filter(|shard| Some(shard.format) == format);
    let shard = |Entry { path, format, num_bytes }: Entry| DatasetShard { path: dataset.join(path), format, num_bytes };
    Ok(of_format.map(shard).collect())
}

impl DatasetShard {
    /// Its samples, without the bytes of their images.
    pub(crate) fn samples(&self) -> Result<impl Iterator<Item = Result<SampleEntry, ShardError>> + use<>, ShardError> {
        manyframe_shards::list(self.format, &self.path)
    }
}
