//! What a shard format does: it writes samples to one file, reads them back all at once, as a list, or one by one, and
//! may add files beside the shards of a dataset.

use std::collections::BTreeSet;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use manyframe_base::InputFile;
use manyframe_core::{BlobRef, ClipFrames, Digest, ImageFormat, Layout, RecordId, Sample, SampleVisual};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::energon_index::{EnergonIndex, TarMembers};
use crate::error::ShardError;

/// A shard format.
pub(crate) trait Format: Sync {
    /// The name in paths and pipeline files.
    fn name(&self) -> &'static str;

    /// File name extension, without a dot.
    fn extension(&self) -> &'static str;

    /// Whether token ids and labels, which follow from the rest of a sample, are stored.
    fn stores_tokens(&self) -> bool;

    /// Whether video files are stored.
    fn stores_clips(&self) -> bool;

    /// Whether samples beside each other can share the bytes of an image or video that they all show, without any of its readers
    /// having to know.
    fn shares_media(&self) -> bool {
        false
    }

    /// Whether a sample is read at its position, because finding its id means to read what precedes it.
    fn finds_by_position(&self) -> bool;

    /// Whether Megatron-Energon reads it.
    fn is_read_by_energon(&self) -> bool {
        false
    }

    /// Starts a shard.
    fn create(&self, sink: Box<dyn Write + Send>, columns: SampleColumns) -> Result<Box<dyn ShardWriter>, ShardError>;

    /// Whole samples, one at a time.
    fn read(&self, file: InputFile) -> Result<Samples, ShardError>;

    /// Samples without the bytes of their images and clips.
    fn list(&self, file: InputFile) -> Result<SampleEntries, ShardError>;

    /// The entry at a position that [`Self::list`] returned.
    fn entry_at(&self, file: InputFile, position: u64) -> Result<SampleEntry, ShardError>;

    /// The sample at a position that [`Self::list`] returned.
    fn read_at(&self, file: InputFile, position: u64) -> Result<Sample, ShardError>;

    /// The sample with an id; `None` if the shard does not have it.
    fn read_one(&self, file: InputFile, id: RecordId) -> Result<Option<Sample>, ShardError>;

    /// What readers of the format expect beside the shards of a finished dataset: nothing, by default.
    fn finish_dataset(&self, _shards: &[FinishedShard], _facts: &DatasetFacts<'_>) -> BesideShards {
        BesideShards::default()
    }
}

/// What the files beside shards say of the dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatasetFacts<'d> {
    /// Its name.
    pub name: &'d str,
    /// The split that Hugging Face `datasets` takes all files to be: `train`, or `test` of an evaluation set.
    pub split: &'static str,
    /// What its shards have besides what those of every dataset have.
    pub columns: SampleColumns,
}

/// What the shards of a dataset have besides what those of every dataset have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SampleColumns {
    /// The columns of expanded placeholders: `mm_token_type_ids`, `image_grid_thw`, `video_grid_thw`.
    pub expanded: bool,
    /// Video files: the column `videos`.
    pub videos: bool,
    /// Beside tars that Energon reads, its index of their members: `index.sqlite`.
    pub energon_index: bool,
    /// How often an image or video is stored that several samples show, in formats that can share them.
    pub media: MediaStorage,
}

/// How often an image or video is stored that several samples show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediaStorage {
    /// With each of them.
    #[default]
    Each,
    /// Once for those that follow each other, up to 100 samples or 32 MiB. To read one of them costs as much as to read all of these.
    Shared,
}

impl MediaStorage {
    /// Whether it is [`Self::Each`].
    pub fn is_each(&self) -> bool {
        *self == Self::Each
    }
}

/// Writes one shard. Dropping it unfinished leaves a file without its end, which no reader accepts.
pub trait ShardWriter: Send {
    /// Appends a sample.
    ///
    /// # Errors
    /// If the sample contradicts itself or is too large, or the sink fails. The shard is of no use afterwards.
    fn write(&mut self, sample: &Sample) -> Result<(), ShardError>;

    /// Writes the end of the file, flushes, and closes the sink.
    fn finish(self: Box<Self>) -> Result<WrittenShard, ShardError>;
}

/// A shard that was written to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenShard {
    /// How much was written.
    pub summary: ShardSummary,
    /// What is known of its bytes.
    pub notes: ShardNotes,
}

/// What whoever writes a shard knows of its bytes, and its readers would have to search for: from these, the files beside
/// the shards of a dataset are made. What a format has no use for is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardNotes {
    /// The first byte of each sample, and one past the last of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sample_offsets: Vec<u64>,
    /// What the names of members have after the key of their sample: `json`, `000.jpg`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub member_fields: BTreeSet<String>,
    /// The members of a tar, if Energon's index is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Arc<TarMembers>>,
    /// SHA-256 of the file, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sha256: String,
}

impl ShardNotes {
    /// The bytes of a sample, whose number in the shard this is: all of its members, with headers and padding.
    pub fn sample_bytes(&self, row: u64) -> Option<Range<u64>> {
        let row = usize::try_from(row).ok()?;
        match self.sample_offsets.get(row..)? {
            [start, end, ..] => Some(*start..*end),
            _ => None,
        }
    }
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

/// A sample of a shard without the bytes of its images and clips.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleEntry {
    /// Where it is in the shard: first byte of a tar, row of a table. [`entry_at`](crate::entry_at) finds it again.
    pub position: u64,
    /// The sample, with `images` and `clips` empty. Its cost still counts them.
    pub sample: Sample,
    /// Its images in placeholder order.
    pub images: Vec<ImageEntry>,
    /// Where its clips are, in placeholder order.
    pub clips: Vec<BlobRef>,
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

/// A shard of a dataset that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedShard {
    /// Its path, relative to the dataset: `parquet/temporal/000003.parquet`.
    pub path: String,
    /// The layout of its samples; `None` if shards are not split by layout.
    pub layout: Option<Layout>,
    /// Number of its samples.
    pub num_samples: u64,
    /// Size of the file.
    pub num_bytes: u64,
    /// Digest of the file.
    pub digest: Digest,
    /// What is known of its bytes.
    pub notes: ShardNotes,
}

impl FinishedShard {
    /// Its path, relative to the directory of its format.
    pub(crate) fn path_below(&self, format: &str) -> &str {
        self.path.strip_prefix(format).and_then(|rest| rest.strip_prefix('/')).unwrap_or(&self.path)
    }
}

/// What is beside the shards of one format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BesideShards {
    /// Lines for the front matter of the data card; empty if the format needs none.
    pub card_yaml: String,
    /// Files, each with its path relative to the dataset.
    pub files: Vec<(String, Vec<u8>)>,
    /// Energon's index with its path, which may be too large for memory.
    pub index: Option<(String, EnergonIndex)>,
}

/// Readers count images and clips by their number, so what says otherwise would not come back.
pub(crate) fn check_counts(sample: &Sample) -> Result<(), ShardError> {
    let refuse = |detail| Err(ShardError::Sample { id: sample.id, detail });
    let (counted, found) = (sample.cost.num_images, sample.num_shown_images());
    if counted != found {
        return refuse(format!("its cost counts {counted} images, it has {found}"));
    }
    let (expected, found) = (clip_visuals(&sample.visuals).count(), sample.clips.len());
    if expected != found {
        return refuse(format!("{expected} of its visuals have a clip, it has {found} video files"));
    }
    Ok(())
}

/// The clips of the visuals that have one.
pub(crate) fn clip_visuals(visuals: &[SampleVisual]) -> impl Iterator<Item = &ClipFrames> {
    visuals.iter().filter_map(|visual| visual.clip.as_ref())
}

/// The path of a shard, as the positions of its images refer to it.
pub(crate) fn path_text(path: &Path) -> Result<Arc<str>, ShardError> {
    path.to_str().map(Arc::from).ok_or_else(|| ShardError::PathText { path: path.to_owned() })
}

/// An iterator over what a function returns, up to the first `None` or error.
pub(crate) fn until_error<T>(
    mut next: impl FnMut() -> Result<Option<T>, ShardError>,
) -> impl Iterator<Item = Result<T, ShardError>> {
    let mut is_over = false;
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let item = next().transpose();
        is_over = !matches!(item, Some(Ok(_)));
        item
    })
}
