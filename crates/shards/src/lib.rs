//! Shard formats: how samples are written to one file, and read back all at once, as a list, or one by one.
//!
//! ```text
//! Sample ──▶ ShardWriter ──▶ one file ──▶ read      whole samples, images included
//!                                    ├──▶ list      everything but the bytes of images, whose positions are listed
//!                                    ├──▶ read_at   the sample at a position of the list
//!                                    └──▶ read_one  the sample with an id
//! finished shards ──▶ finish_dataset ──▶ what readers expect beside them: lines of the data card, indexes
//! ```
//!
//! A format is one file and one line of the list of [`ShardFormat`]. It stores a sample completely: what is read back
//! equals what was written. Token ids and labels alone, which follow from the rest, are in Parquet only.
//! Nothing here names files, renames them, or decides which sample goes into which shard.
//!
//! **Invariant:** the same samples in the same order are the same bytes. A damaged shard is an error that names the shard
//! and the location; nothing in it is trusted.

mod digest;
mod energon;
mod energon_chatml;
mod energon_index;
mod error;
mod format;
mod hugging_face;
mod json;
mod llava_json;
mod mds;
mod packed_table;
mod parquet;
mod pickle;
mod placeholders;
mod sample_table;
mod tar;
mod tar_format;
mod vila;
mod webdataset;

use std::io::Write;
use std::path::Path;

use manyframe_base::{FileAccess, InputFile};
use manyframe_core::{RecordId, Sample};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use energon_index::{EnergonIndex, TarMembers};
pub use error::ShardError;
pub use format::{
    BesideShards, DatasetFacts, FinishedShard, ImageEntry, MediaStorage, SampleColumns, SampleEntries, SampleEntry,
    Samples, ShardNotes, ShardSummary, ShardWriter, WrittenShard,
};
pub use json::{ConversationTurn, OriginJson, SampleJson, SampleMetadata, Speaker};
pub use llava_json::{LlavaImage, LlavaPack, LlavaRecord, SingleImage};
pub use packed_table::{PackedRow, PackedSequence, PackedTableWriter};
pub use sample_table::sample_row_schema;

/// Lists the formats: the name in pipeline files, and what implements it.
macro_rules! shard_formats {
    ($($(#[doc = $doc:literal])* $variant:ident => $format:expr,)*) => {
        /// The format of a shard.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum ShardFormat {
            $($(#[doc = $doc])* $variant,)*
        }

        impl ShardFormat {
            /// Every format.
            pub const ALL: [Self; [$(Self::$variant),*].len()] = [$(Self::$variant),*];

            fn implementation(self) -> &'static dyn format::Format {
                match self {
                    $(Self::$variant => &$format,)*
                }
            }
        }
    };
}

shard_formats! {
    /// A tar of `KEY.json`, `KEY.000.jpg`, `KEY.001.jpg` … for each sample, as `webdataset` and Megatron-Energon read it.
    Webdataset => tar_format::TarFormat(webdataset::Webdataset),
    /// A Parquet table with one row per sample, as Hugging Face `datasets`, DuckDB and Daft read it.
    Parquet => parquet::Parquet,
    /// A tar of `KEY.json`, `KEY.jpgs` and `KEY.videos` for each sample, which Megatron-Bridge's recipes for Qwen-VL read as they are.
    EnergonChatml => tar_format::TarFormat(energon_chatml::EnergonChatml),
    /// A tar of `KEY.json` and `KEY.img`, or `KEY.1.img`, `KEY.2.img` …, for each sample, as VILA reads it.
    Vila => tar_format::TarFormat(vila::Vila),
    /// A shard of MosaicML Streaming, version 2, with one row per sample.
    Mds => mds::Mds,
}

impl ShardFormat {
    /// The name in paths and pipeline files.
    pub fn as_str(self) -> &'static str {
        self.implementation().name()
    }

    /// File name extension, without a dot.
    pub fn extension(self) -> &'static str {
        self.implementation().extension()
    }

    /// Whether shards store token ids and labels, which follow from the rest of a sample.
    pub fn stores_tokens(self) -> bool {
        self.implementation().stores_tokens()
    }

    /// Whether shards store video files.
    pub fn stores_clips(self) -> bool {
        self.implementation().stores_clips()
    }

    /// Whether samples can share the bytes of an image or video, without readers having to know.
    pub fn shares_media(self) -> bool {
        self.implementation().shares_media()
    }

    /// Whether a sample is read at its position, because finding its id means to read what precedes it.
    pub fn finds_by_position(self) -> bool {
        self.implementation().finds_by_position()
    }

    /// Whether Megatron-Energon reads its shards.
    pub fn is_read_by_energon(self) -> bool {
        self.implementation().is_read_by_energon()
    }

    /// Whether a shard is a tar: a sample is a range of its bytes, which by itself holds the members of the sample.
    pub fn is_tar(self) -> bool {
        self.extension() == "tar"
    }

    /// The first of these formats whose shards are tars, in which ledger and packs say where a sample is.
    pub fn first_tar(formats: impl IntoIterator<Item = Self>) -> Option<Self> {
        formats.into_iter().filter(|format| format.is_tar()).min()
    }

    /// What readers of the format expect beside these shards, which are all of a dataset that have the format.
    pub fn finish_dataset(self, shards: &[FinishedShard], facts: &DatasetFacts<'_>) -> BesideShards {
        self.implementation().finish_dataset(shards, facts)
    }
}

/// Starts a shard. The caller owns the file: a temporary name before, a rename after. Writes are buffered here.
pub fn create(
    format: ShardFormat,
    sink: Box<dyn Write + Send>,
    columns: SampleColumns,
) -> Result<Box<dyn ShardWriter>, ShardError> {
    format.implementation().create(sink, columns)
}

/// Opens a shard on this machine.
pub fn open(path: &Path) -> Result<InputFile, ShardError> {
    open_with(path, &FileAccess::default())
}

/// Opens a shard on this machine, or one that is an object of a store.
pub fn open_with(path: &Path, access: &FileAccess) -> Result<InputFile, ShardError> {
    access.open(path).map_err(|source| ShardError::Open { path: path.to_owned(), source })
}

/// Whole samples, one at a time: memory is bounded by the largest sample.
pub fn read(format: ShardFormat, file: InputFile) -> Result<Samples, ShardError> {
    format.implementation().read(file)
}

/// Samples without the bytes of their images, which stay where they are.
pub fn list(format: ShardFormat, file: InputFile) -> Result<SampleEntries, ShardError> {
    format.implementation().list(file)
}

/// One entry, at a position that [`list`] returned. Costs no scan.
pub fn entry_at(format: ShardFormat, file: InputFile, position: u64) -> Result<SampleEntry, ShardError> {
    format.implementation().entry_at(file, position)
}

/// One sample, images included, at a position that [`list`] returned. Costs no scan.
pub fn read_at(format: ShardFormat, file: InputFile, position: u64) -> Result<Sample, ShardError> {
    format.implementation().read_at(file, position)
}

/// The sample with an id; `None` if the shard does not have it. Costs a scan of the ids.
pub fn read_one(format: ShardFormat, file: InputFile, id: RecordId) -> Result<Option<Sample>, ShardError> {
    format.implementation().read_one(file, id)
}
