//! Shard formats: how samples are written to one file, and read back whole, listed, or picked.
//!
//! ```text
//! Sample ──▶ ShardWriter ──▶ one file ──▶ read      whole samples, images included
//!                                    ├──▶ list      everything but the bytes of images, which are given as places
//!                                    └──▶ read_one  the sample with an id
//! ```
//!
//! One file per format. A format stores a sample completely: what is read back equals what was written. Token ids and
//! labels alone, which follow from the rest, are in Parquet only.
//! Nothing here names files, renames them, or decides which sample goes into which shard.
//!
//! **Invariant:** the same samples in the same order give the same bytes. A damaged shard gives an error that names
//! the shard and the place; nothing in it is trusted.

mod card;
mod digest;
mod error;
mod json;
mod llava_json;
mod parquet;
mod tar;
mod webdataset;

use std::io::Write;
use std::path::Path;

use manyframe_core::{BlobRef, Digest, ImageFormat, RecordId, Sample};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use card::{CardConfig, hugging_face_card_yaml};
pub use error::ShardError;
pub use json::{ConversationTurn, OriginJson, SampleJson, SampleMetadata, Speaker};
pub use llava_json::{LlavaImage, LlavaRecord, SingleImage};

/// The format of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShardFormat {
    /// A tar of `KEY.json`, `KEY.000.jpg`, `KEY.001.jpg` … for each sample, as `webdataset` and Megatron-Energon read it.
    Webdataset,
    /// A Parquet table with one row per sample, as Hugging Face `datasets`, DuckDB and Daft read it.
    Parquet,
}

/// Writes one shard. Dropping it unfinished leaves a file without its end, which no reader accepts.
pub trait ShardWriter: Send {
    /// Appends a sample.
    fn write(&mut self, sample: &Sample) -> Result<(), ShardError>;

    /// Writes the end of the file, flushes, and closes the sink.
    fn finish(self: Box<Self>) -> Result<ShardSummary, ShardError>;
}

/// What was written to a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShardSummary {
    /// Number of samples.
    pub num_samples: u64,
    /// Size of the file.
    pub num_bytes: u64,
    /// BLAKE3 digest of the file, computed while it was written.
    pub digest: Digest,
}

/// A sample of a shard without the bytes of its images.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleEntry {
    /// Where it stands in the shard: first byte of a tar, row of a table. [`entry_at`] finds it again.
    pub position: u64,
    /// The sample, with `images` empty. Its cost still counts them.
    pub sample: Sample,
    /// Its images in placeholder order.
    pub images: Vec<ImageEntry>,
}

/// Where an image of a shard is, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageEntry {
    /// Where its bytes are.
    pub blob: BlobRef,
    /// Their encoding.
    pub format: ImageFormat,
    /// Width in pixels.
    pub width_px: u32,
    /// Height in pixels.
    pub height_px: u32,
}

/// Samples of a shard in order. After an error there are no more.
pub type Samples = Box<dyn Iterator<Item = Result<Sample, ShardError>> + Send>;
/// Entries of a shard in order. After an error there are no more.
pub type SampleEntries = Box<dyn Iterator<Item = Result<SampleEntry, ShardError>> + Send>;

impl ShardFormat {
    /// Every format.
    pub const ALL: [Self; 2] = [Self::Webdataset, Self::Parquet];

    /// The name in paths and pipeline files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webdataset => "webdataset",
            Self::Parquet => "parquet",
        }
    }

    /// File name extension, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Webdataset => "tar",
            Self::Parquet => "parquet",
        }
    }

    /// The format of a file name extension that [`Self::extension`] gives.
    pub fn from_extension(extension: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.extension() == extension)
    }
}

/// Starts a shard. The caller owns the file: a temporary name before, a rename after. Writes are buffered here.
pub fn create(format: ShardFormat, sink: Box<dyn Write + Send>) -> Result<Box<dyn ShardWriter>, ShardError> {
    Ok(match format {
        ShardFormat::Webdataset => Box::new(webdataset::Writer::new(sink)),
        ShardFormat::Parquet => Box::new(parquet::Writer::new(sink)?),
    })
}

/// Whole samples, one at a time: memory is bounded by the largest sample.
pub fn read(format: ShardFormat, path: &Path) -> Result<Samples, ShardError> {
    Ok(match format {
        ShardFormat::Webdataset => Box::new(webdataset::read(path)?),
        ShardFormat::Parquet => Box::new(parquet::read(path)?),
    })
}

/// Samples without the bytes of their images, which stay on the disk.
pub fn list(format: ShardFormat, path: &Path) -> Result<SampleEntries, ShardError> {
    Ok(match format {
        ShardFormat::Webdataset => Box::new(webdataset::list(path)?),
        ShardFormat::Parquet => Box::new(parquet::list(path)?),
    })
}

/// One entry, at a position that [`list`] gave. Costs no scan.
pub fn entry_at(format: ShardFormat, path: &Path, position: u64) -> Result<SampleEntry, ShardError> {
    match format {
        ShardFormat::Webdataset => webdataset::entry_at(path, position),
        ShardFormat::Parquet => parquet::entry_at(path, position),
    }
}

/// The sample with an id; `None` if the shard does not have it. Costs a scan of the ids.
pub fn read_one(format: ShardFormat, path: &Path, id: RecordId) -> Result<Option<Sample>, ShardError> {
    match format {
        ShardFormat::Webdataset => webdataset::read_one(path, id),
        ShardFormat::Parquet => parquet::read_one(path, id),
    }
}

/// Readers count images by their number, so a cost that says otherwise would not come back.
fn check_counts(sample: &Sample) -> Result<(), ShardError> {
    let (counted, found) = (sample.cost.num_images, sample.images.len() as u64);
    if counted == found {
        return Ok(());
    }
    Err(ShardError::Sample { id: sample.id, detail: format!("its cost counts {counted} images, it has {found}") })
}
