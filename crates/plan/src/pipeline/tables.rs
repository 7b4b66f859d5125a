//! The tables of a pipeline file as types. Their JSON Schema is `schemas/pipeline.schema.json`.
//!
//! Defaults are those of the LongLLaVA paper (arXiv 2409.02889) where it gives one.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};

use manyframe_core::{Layout, RejectCode};
use manyframe_format::{Dialect, LiteralTags, Template, TurnEnd};
use manyframe_media::{Check, MediaLimits, OddPixel, Subsampling, TilePolicy};
use manyframe_samplers::{Law, OnExhausted, Order, StratumSplit, Total, Unit};
use manyframe_shards::ShardFormat;
use manyframe_sources::{SourceKind, SourceOptions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::packing::PackTable;
use super::values::{OneOrMany, Share, Take, TokenColumns};

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

/// What happens to records that say the same about the same images, and to those that show what they must not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DuplicatesTable {
    /// Which duplicates are removed, before anything is drawn. Default: `exact`.
    pub remove: DuplicateRule,
    /// Whether duplicates must say the same. Default: `same`.
    pub text: DuplicateText,
    /// With `near`, and for `exclude`: the most bits of 64 in which the perceptual hashes of two images that look alike differ.
    /// Default: 4.
    #[schemars(range(max = 16))]
    pub max_distance: u32,
    /// Images that no sample may show, such as those of a benchmark: directories, files, patterns, or datasets that manyframe
    /// built. Records with an image that looks like one of them are rejected with the reason `excluded`.
    pub exclude: OneOrMany,
}

impl Default for DuplicatesTable {
    fn default() -> Self {
        Self {
            remove: DuplicateRule::default(),
            text: DuplicateText::default(),
            max_distance: 4,
            exclude: OneOrMany::default(),
        }
    }
}

/// Which records are duplicates of each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateRule {
    /// Those with the same bytes of every image and video, under whatever path, id or source.
    #[default]
    Exact,
    /// Those with the same pixels of every image, however they are stored, besides `exact`. Decodes every image once.
    Pixels,
    /// Those whose images all look alike by a perceptual hash, besides `exact`. Decodes every image once. Videos are compared by
    /// their bytes.
    Near,
    /// None.
    Nothing,
}

/// Whether duplicates must say the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateText {
    /// Records are duplicates only if their turns are the same, too. Many questions about one image are no duplicates.
    #[default]
    Same,
    /// Records that show the same are duplicates, whatever they say. Records without visuals are compared by their turns.
    Any,
}

/// What happens to records that are longer than `format.max_tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OverLongTable {
    /// Ways to make a record fit, tried in this order; what none makes fit is rejected as `too_long`. Default: `["reject"]`.
    pub policy: Vec<OverLongPolicy>,
    /// Fewest frames that `fewer_frames` leaves of a video. Default: 8.
    pub min_frames: NonZeroU32,
    /// Fewest sub-images that `fewer_tiles` leaves of an image, the overview not counted. Default: 1.
    pub min_tiles: NonZeroU32,
}

impl Default for OverLongTable {
    fn default() -> Self {
        const MIN_FRAMES: NonZeroU32 = NonZeroU32::new(8).unwrap();
        Self { policy: vec![OverLongPolicy::Reject], min_frames: MIN_FRAMES, min_tiles: NonZeroU32::MIN }
    }
}

impl OverLongTable {
    /// Whether nothing is done to make a record fit.
    pub fn rejects_all(&self) -> bool {
        self.policy.first().is_none_or(|policy| *policy == OverLongPolicy::Reject)
    }
}

/// A way to make an over-long record fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OverLongPolicy {
    /// It is not made to fit.
    Reject,
    /// Each of its videos shows as many frames as fit, evenly spread over those it would show.
    FewerFrames,
    /// Each of its tiled images is scaled down until its sub-images fit.
    FewerTiles,
    /// Its conversation is delivered as several samples, cut between rounds; each shows again what was shown before.
    SplitTurns,
}

/// A model that is run over samples before the dataset is made visible. If its policy says fail, nothing is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ValidateTable {
    /// The model's directory: config.json and safetensors of Jamba or LongLLaVA.
    pub model: String,
    /// How many samples are run: some of every source, layout and length. Default: 100.
    pub samples: NonZeroU32,
    /// Which samples are run. Default: 0.
    pub seed: u64,
    /// Where the model runs. Default: `auto`.
    pub device: ValidateDevice,
    /// Whether samples are run with blank images and with those of another sample, too. Default: true.
    pub controls: bool,
    /// A file of limits, as TOML: `mean_loss = { warn = 2.5, fail = 4.0 }`. Default: only what is broken fails.
    pub policy: String,
}

impl Default for ValidateTable {
    fn default() -> Self {
        const SAMPLES: NonZeroU32 = NonZeroU32::new(100).unwrap();
        Self {
            model: String::new(),
            samples: SAMPLES,
            seed: 0,
            device: ValidateDevice::default(),
            controls: true,
            policy: String::new(),
        }
    }
}

/// Where a model runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ValidateDevice {
    /// On a GPU where there is one.
    #[default]
    Auto,
    /// On the CPU.
    Cpu,
    /// On a GPU.
    Cuda,
}

/// How weighted sources share a total, and in which order samples are delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MixTable {
    /// What all sources with a `weight` give together, in their unit. Default: the most that asks of none more than it has.
    pub total: Option<NonZeroU64>,
    /// The order of samples. Default: `shuffled`.
    pub order: Order,
}

impl MixTable {
    /// The total of weighted sources.
    pub fn total(&self) -> Total {
        self.total.map_or(Total::Largest, |total| Total::Units(total.get()))
    }
}

/// One `[[source]]`: a dataset as its publisher distributes it, or one that manyframe built.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SourceTable {
    /// Its name in ledgers and tables; unique. Letters, digits, `-` and `_`.
    pub name: String,
    /// Which reader it takes: the dataset's published layout.
    pub kind: Kind,
    /// Annotation files: a path, a pattern such as `data/*/train*.parquet`, or a list of them.
    pub annotations: OneOrMany,
    /// The directory below which an annotation file's path names its subset. Default: the reader decides.
    pub annotation_root: String,
    /// Where images and videos are: directories, zip or tar files, or patterns such as `data/*.zip`, tried in order.
    pub media: OneOrMany,
    /// Further places for the records of one subset, or of all subsets below it; tried before `media`.
    pub media_by_subset: BTreeMap<String, OneOrMany>,
    /// For `kind = "dataset"`: the directory of a dataset that manyframe built, or the pipeline file that builds it.
    pub from: String,
    /// For `kind = "dataset"`: only samples that came from these sources of it. Default: all.
    pub only_sources: Vec<String>,
    /// For `kind = "dataset"`: only samples of these layouts. Default: all.
    pub only_layouts: Vec<Layout>,
    /// Only records that one of these datasets, or pipeline files, delivered from the same place of the same file.
    pub delivered_in: OneOrMany,
    /// Only records that none of these datasets, or pipeline files, delivered from the same place of the same file.
    pub not_delivered_in: OneOrMany,
    /// How much to draw, or `"all"`. Default: all.
    pub take: Take,
    /// In place of `take`: its part of `mix.total`, relative to the other sources that have a weight.
    #[schemars(range(min = 0))]
    pub weight: Option<f64>,
    /// In place of `take`: what it has, times this; 1.7 is every record once and the 70 % of lowest rank once more.
    #[schemars(range(min = 0, max = 1000))]
    pub repeat: Option<f64>,
    /// What `take`, `weight` and `repeat` count: a record more would pass the target. Default: `records`.
    pub unit: Unit,
    /// What happens if the source has less than `take` or `weight` asks for. Default: `stop`.
    pub on_exhausted: OnExhausted,
    /// Draw so that these groups of records keep their proportions. Default: none.
    pub stratify: Option<StratifyBy>,
    /// Whether the groups of `stratify` share the draw in proportion or equally. Default: `proportional`.
    pub strata: StratumSplit,
    /// How images are shown. Default: whole.
    pub visuals: ImageShow,
    /// Which records are left out before the draw.
    pub filter: FilterTable,
    /// The share of its records that may be rejected before `build` ends with exit code 3, such as `"0.5 %"`. Default: any.
    pub max_rejects: Option<Share>,
    /// The licence under which its publisher gives it; goes into the dataset card.
    pub license: String,
    /// Settings of particular readers.
    #[serde(flatten)]
    pub options: SourceOptions,
}

impl SourceTable {
    /// How much of it is drawn.
    pub fn law(&self) -> Law {
        match (self.take, self.weight, self.repeat) {
            (_, Some(weight), _) => Law::Weight(weight),
            (_, _, Some(factor)) => Law::Repeat(factor),
            (Take::Count(count), ..) => Law::Take(count),
            (Take::All, ..) => Law::All,
        }
    }
}

/// Groups of records that a draw keeps in proportion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StratifyBy {
    /// Subsets as the reader names them: of a dataset, the source that a sample came from first; of VideoChat2, its task.
    Subset,
    /// Temporal, spatial, image, text.
    Layout,
    /// Number of images: 0, 1, 2, 3 to 4, 5 to 8 and so on.
    Images,
    /// Number of tokens, in powers of two.
    Tokens,
    /// Number of turns, in powers of two.
    Turns,
}

/// Which reader a source takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Kind {
    /// A published dataset.
    Upstream(SourceKind),
    /// A dataset that manyframe built: replay.
    Replay(ReplayKind),
}

/// The kind of a dataset that manyframe built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayKind {
    /// `kind = "dataset"`.
    Dataset,
}

impl Kind {
    /// The text in pipeline files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upstream(kind) => kind.as_str(),
            Self::Replay(ReplayKind::Dataset) => "dataset",
        }
    }
}

impl Default for Kind {
    fn default() -> Self {
        Self::Replay(ReplayKind::Dataset)
    }
}

impl JsonSchema for Kind {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Kind".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names = SourceKind::ALL.iter().map(|kind| kind.as_str()).chain(["dataset"]).collect::<Vec<_>>();
        schemars::json_schema!({ "type": "string", "enum": names })
    }
}

/// How the images of a source are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImageShow {
    /// Each image as one image.
    #[default]
    Whole,
    /// Each image as an overview and rows of sub-images.
    Tiled,
}

/// Bounds on a record; those outside are left out with the reason `filtered`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FilterTable {
    /// Fewest tokens.
    pub min_tokens: Option<u64>,
    /// Most tokens.
    pub max_tokens: Option<u64>,
    /// Fewest images; frames and sub-images count.
    pub min_images: Option<u64>,
    /// Most images; frames and sub-images count.
    pub max_images: Option<u64>,
    /// Fewest turns.
    pub min_turns: Option<u64>,
    /// Most turns.
    pub max_turns: Option<u64>,
    /// Fewest characters of text.
    pub min_chars: Option<u64>,
    /// Most characters of text.
    pub max_chars: Option<u64>,
}

impl FilterTable {
    /// The bound that a record misses, in words.
    pub fn missed_bound(&self, row: &manyframe_core::IndexRow) -> Option<(RejectCode, String)> {
        let bounds = [
            ("tokens", row.cost.num_tokens(), self.min_tokens, self.max_tokens),
            ("images", row.cost.num_images, self.min_images, self.max_images),
            ("turns", u64::from(row.num_turns), self.min_turns, self.max_turns),
            ("characters", row.num_chars, self.min_chars, self.max_chars),
        ];
        bounds.into_iter().find_map(|(what, found, min, max)| match (min, max) {
            (Some(min), _) if found < min => {
                Some((RejectCode::Filtered, format!("{found} {what}, at least {min} wanted")))
            }
            (_, Some(max)) if found > max => {
                Some((RejectCode::Filtered, format!("{found} {what}, at most {max} wanted")))
            }
            _ => None,
        })
    }
}
