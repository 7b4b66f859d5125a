//! The tables of a pipeline file as types. Their JSON Schema is `schemas/pipeline.schema.json`.
//!
//! Defaults are those of the LongLLaVA paper (arXiv 2409.02889) where it gives one.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use manyframe_format::{Dialect, LiteralTags, Template, TurnEnd};
use manyframe_media::{Check, MediaLimits, OddPixel, Subsampling, TilePolicy};
use manyframe_shards::ShardFormat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::packing::PackTable;
use crate::selection::{DuplicatesTable, MixTable, OverLongTable, ValidateTable};
use crate::source::SourceTable;
use crate::values::TokenColumns;

/// One build: sources to read, how to show and format them, and where the shards go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "manyframe pipeline file")]
pub struct PipelineFile {
    /// Name of the dataset. Letters, digits, `-` and `_`.
    pub name: String,
    /// What the dataset is for, in a sentence; goes into its card.
    #[serde(default)]
    pub description: String,
    /// Seed of every draw and shuffle.
    #[serde(default)]
    pub seed: u64,
    /// Variables: `${name}` in any string below stands for the value. `--set name=value` replaces one.
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
    /// Where the dataset goes and how it is cut.
    pub output: OutputTable,
    /// How conversations become text, and how tokens are counted.
    pub format: FormatTable,
    /// How single images are delivered.
    #[serde(default)]
    pub images: ImagesTable,
    /// How images are cut into sub-images.
    #[serde(default)]
    pub tiles: TilesTable,
    /// Which frames of videos are shown.
    #[serde(default)]
    pub video: VideoTable,
    /// How large and odd media may be.
    #[serde(default)]
    pub limits: MediaLimits,
    /// What happens to records that say the same about the same images.
    #[serde(default)]
    pub duplicates: DuplicatesTable,
    /// What happens to records that are longer than `format.max_tokens`.
    #[serde(default)]
    pub over_long: OverLongTable,
    /// How weighted sources share a total, and in which order samples are delivered.
    #[serde(default)]
    pub mix: MixTable,
    /// How samples are put together into training sequences.
    #[serde(default)]
    pub pack: Option<PackTable>,
    /// A model that is run over samples before the dataset is made visible: `validate = { model = "DIR" }`.
    #[serde(default)]
    pub validate: Option<ValidateTable>,
    /// The sources, in order. Of duplicates, the earliest source's record is kept.
    pub source: Vec<SourceTable>,
}

/// Where the dataset goes and how it is cut into shards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OutputTable {
    /// The dataset's directory, relative to the current directory. `--output` replaces it. Default: `ROOT/NAME`.
    pub directory: String,
    /// The directory in which datasets lie that are not given one of their own. Default: `out`.
    pub root: String,
    /// The shard formats to write. Default: WebDataset only.
    pub formats: Vec<ShardFormat>,
    /// Whether shards hold one layout each (temporal, spatial, image, text) or all of them. Default: one each.
    pub shards: ShardSplit,
    /// Most samples of a shard. Default: 10,000.
    #[schemars(range(min = 1))]
    pub max_shard_samples: u64,
    /// Size at which a shard is closed, in MiB, estimated from headers. Default: 256.
    #[schemars(range(min = 1))]
    pub max_shard_mib: u64,
    /// Whether Parquet shards hold the ids and labels of each prompt: `input_ids` (−200 for each image), `labels` (−100
    /// where there is no loss) and `image_positions`. WebDataset shards never do. Default: true.
    #[schemars(with = "bool")]
    pub tokens: TokenColumns,
}

impl OutputTable {
    /// Whether the ids and labels of samples are asked for by any of the formats.
    pub fn has_tokens(&self) -> bool {
        self.tokens == TokenColumns::Written && self.formats.contains(&ShardFormat::Parquet)
    }
}

impl Default for OutputTable {
    fn default() -> Self {
        Self {
            directory: String::new(),
            root: "out".to_owned(),
            formats: vec![ShardFormat::Webdataset],
            shards: ShardSplit::default(),
            max_shard_samples: 10_000,
            max_shard_mib: 256,
            tokens: TokenColumns::default(),
        }
    }
}

/// How samples are spread over shards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShardSplit {
    /// Shards hold samples of one layout.
    #[default]
    ByLayout,
    /// Shards hold all samples in one shuffled order.
    Mixed,
}

/// How conversations become text, and how tokens are counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FormatTable {
    /// Path of the tokenizer: a SentencePiece `.model` or a `tokenizer.json`.
    pub tokenizer: String,
    /// How visuals are written. Default: `longllava`.
    pub dialect: Dialect,
    /// How turns are written. Default: `longllava`.
    pub template: Template,
    /// What follows an answer that is not the last. Default: `eos`.
    pub turn_end: TurnEnd,
    /// Tokens that one image takes. Default: 144.
    #[schemars(range(min = 1, max = 65536))]
    pub tokens_per_image: u32,
    /// Longest sample, in tokens. Default: 40,960.
    #[schemars(range(min = 1))]
    pub max_tokens: u64,
    /// What happens to text that looks like a placeholder or a template token. Default: `uppercase`.
    pub literal_tags: LiteralTags,
}

impl Default for FormatTable {
    fn default() -> Self {
        Self {
            tokenizer: String::new(),
            dialect: Dialect::default(),
            template: Template::default(),
            turn_end: TurnEnd::default(),
            tokens_per_image: 144,
            max_tokens: 40_960,
            literal_tags: LiteralTags::default(),
        }
    }
}

/// How single images are delivered. An image that needs no change is delivered byte for byte.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ImagesTable {
    /// Longest side in pixels; larger images are scaled down. Default: no limit.
    #[schemars(range(min = 14, max = 65500))]
    pub max_edge_px: Option<u32>,
    /// JPEG quality of everything that is encoded anew, frames and sub-images included. Default: 90.
    #[schemars(range(min = 1, max = 100))]
    pub quality: u8,
    /// JPEG chroma subsampling of everything that is encoded anew. Default: `4:2:0`.
    pub subsampling: Subsampling,
    /// How an image that is delivered byte for byte is checked. Default: `decode`.
    pub check: Check,
}

impl Default for ImagesTable {
    fn default() -> Self {
        Self { max_edge_px: None, quality: 90, subsampling: Subsampling::default(), check: Check::default() }
    }
}

/// How images are cut into sub-images, where a source says `visuals = "tiled"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TilesTable {
    /// Edge of a sub-image in pixels. Default: 336.
    #[schemars(range(min = 14, max = 4096))]
    pub edge_px: NonZeroU32,
    /// Most sub-images of an image, the overview not counted; a larger image is scaled down. Default: no limit.
    pub max_tiles: Option<NonZeroU32>,
    /// Where an odd pixel of padding goes. Default: right and bottom.
    pub odd_pixel: OddPixel,
}

impl Default for TilesTable {
    fn default() -> Self {
        Self { edge_px: TilePolicy::default().edge_px, max_tiles: None, odd_pixel: OddPixel::default() }
    }
}

/// Which frames of videos are shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VideoTable {
    /// The rule by which frames are chosen. Default: `interval`.
    pub sampling: SamplingRule,
    /// Seconds between frames, with `interval`. Default: 1.
    #[schemars(range(min = 0.001))]
    pub interval_s: f64,
    /// Most frames of a video, with `interval`. Default: 128.
    #[schemars(range(min = 1, max = 65536))]
    pub max_frames: u32,
    /// Frames of a video, with `uniform`. Default: 8.
    #[schemars(range(min = 1, max = 65536))]
    pub num_frames: u32,
    /// Longest side of a frame in pixels; larger frames are scaled down. Default: 336, what the vision tower sees.
    #[schemars(range(min = 14, max = 65500))]
    pub max_edge_px: u32,
}

impl Default for VideoTable {
    fn default() -> Self {
        Self { sampling: SamplingRule::default(), interval_s: 1.0, max_frames: 128, num_frames: 8, max_edge_px: 336 }
    }
}

/// The rule by which frames are chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SamplingRule {
    /// One frame every `interval_s`, at most `max_frames` of them, evenly thinned.
    #[default]
    Interval,
    /// `num_frames` evenly over the whole video.
    Uniform,
}
