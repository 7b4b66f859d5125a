//! The file as a whole, and the tables that say where the dataset goes and how conversations become text.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use manyframe_base::files::work_directory;
use manyframe_base::is_url;
use manyframe_format::{FormatSpec, Placeholders};
use manyframe_media::{DeliveredSize, ImagePolicy, MediaLimits, TilePolicy};
use manyframe_samplers::{PackBalance, PackOptions};
use manyframe_shards::{MediaStorage, SampleColumns, ShardFormat};
use manyframe_vision::Family;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::settings::packing::PackTable;
use crate::settings::selection::{DecontaminationTable, DuplicatesTable, MixTable, OverlengthTable};
use crate::settings::source::SourceTable;
use crate::settings::validation::ValidateTable;
use crate::settings::values::{TokenColumns, require};
use crate::settings::video::{SamplingRule, VideoDelivery, VideoTable};

/// One build: which sources are read, how their records are shown and formatted, and where the shards go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "manyframe pipeline file")]
pub struct PipelineFile {
    /// Name of the dataset. Letters, digits, `-` and `_`.
    pub name: String,
    /// What the dataset is for, in a sentence. Goes into the data card.
    #[serde(default)]
    pub description: String,
    /// Seed of every draw and shuffle. Default: 0.
    #[serde(default)]
    pub seed: u64,
    /// Variables: `${name}` in any string below is replaced by the value. `--set name=value` overrides one. `${here}` is the
    /// directory of this file. Other relative paths start in the working directory.
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
    /// Where the dataset goes and how it is sharded.
    pub output: OutputTable,
    /// How conversations become text, and how tokens are counted.
    pub format: FormatTable,
    /// The model family, whose processor decides what an image costs, with its settings: `model = { family = "qwen3-vl" }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = json!({ "family": Family::default().name() })))]
    pub model: Option<Family>,
    /// How single images are delivered.
    #[serde(default)]
    pub images: ImagePolicy,
    /// How images are cut into tiles (AnyRes), where a source says `visuals = "tiled"`.
    #[serde(default)]
    pub tiles: TilePolicy,
    /// Which frames of videos are shown.
    #[serde(default)]
    pub video: VideoTable,
    /// Which images and videos are accepted at all.
    #[serde(default)]
    pub limits: MediaLimits,
    /// Which duplicates and near-duplicates are removed.
    #[serde(default)]
    pub duplicates: DuplicatesTable,
    /// Which images and videos no sample may show, such as those of a benchmark.
    #[serde(default)]
    pub decontamination: DecontaminationTable,
    /// How records longer than `format.max_tokens` are shortened.
    #[serde(default)]
    pub overlength: OverlengthTable,
    /// How weighted sources share a total, and in which order samples are delivered.
    #[serde(default)]
    pub mix: MixTable,
    /// How samples are packed into training sequences. Default: they are not packed.
    #[serde(default)]
    pub pack: Option<PackTable>,
    /// A model that runs over some samples before the dataset becomes visible: `validate = { model = "DIR" }`. Default: none.
    #[serde(default)]
    pub validate: Option<ValidateTable>,
    /// What a build takes over from earlier ones.
    #[serde(default)]
    pub reuse: ReuseTable,
    /// The sources, in order. Of duplicates, the record of the earliest source is kept.
    pub source: Vec<SourceTable>,
}

/// Where the dataset goes and how it is sharded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OutputTable {
    /// The dataset's directory, relative to the current directory, or its URL (`s3://`, `gs://`, `az://`). `--output` overrides
    /// it. Default: `ROOT/NAME`.
    pub directory: String,
    /// The directory or URL of all datasets that do not set `directory`. Default: `out`.
    pub root: String,
    /// The directory of this machine that a build works in whose dataset goes to a URL, with room for its index and for a few
    /// shards. Default: `out/NAME.work`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub work: String,
    /// The shard formats to write. Default: WebDataset only.
    pub formats: Vec<ShardFormat>,
    /// Whether a shard contains samples of one layout (temporal, spatial, image, text) or of all. Default: `by_layout`.
    pub shards: ShardSplit,
    /// Maximum number of samples in a shard. Default: 10,000.
    pub max_shard_samples: NonZeroU64,
    /// Size at which a shard is closed, in MiB, estimated from media headers. Default: 256.
    pub max_shard_mib: NonZeroU64,
    /// Whether Parquet shards contain the token ids and labels of each prompt: `input_ids` (where images are, as
    /// `format.placeholders` says), `labels` (−100 where no loss is computed) and `image_positions`. WebDataset shards never do.
    /// Default: true.
    #[schemars(with = "bool")]
    pub tokens: TokenColumns,
    /// Whether `index.sqlite` is written beside the shards of `webdataset` and `energon_chatml`, by which Megatron-Energon finds a
    /// sample by its key, as it does to join datasets. Default: false.
    pub energon_index: bool,
    /// Whether an image or video that several samples of a row group show is stored once. Parquet only: every reader of it reads such
    /// files as others. `mix.order = "by_media"` brings such samples together.
    #[serde(skip_serializing_if = "MediaStorage::is_each")]
    #[schemars(extend("default" = MediaStorage::default()))]
    pub media: MediaStorage,
}

impl PipelineFile {
    /// The model family with its settings, those of `[format]` included.
    pub fn family(&self) -> Family {
        self.format.spec.family(self.model.as_ref().unwrap_or(&Family::default()))
    }

    /// Options of the packer, if samples are packed.
    pub fn pack_options(&self) -> Option<PackOptions> {
        let table = self.pack.as_ref()?;
        let is_constant = self.family().constant().is_some();
        let own = if is_constant { PackBalance::Images } else { PackBalance::VisionTokens };
        let balance = table.balance.unwrap_or(own);
        Some(PackOptions { balance, ..table.options(self.format.max_tokens, self.seed) })
    }

    /// How frames of videos are chosen.
    pub fn sampling(&self) -> SamplingRule {
        let own = if self.family().constant().is_some() { SamplingRule::Interval } else { SamplingRule::Processor };
        self.video.sampling.unwrap_or(own)
    }

    /// Which columns tables of samples have.
    pub fn sample_columns(&self) -> SampleColumns {
        let written = self.format.spec.placeholders(&self.family());
        SampleColumns {
            expanded: written == Placeholders::Expanded && self.output.has_tokens(),
            videos: self.video.deliver == VideoDelivery::Clip,
            energon_index: self.output.energon_index,
            media: self.output.media,
        }
    }

    /// The size at which images and frames are delivered.
    pub fn delivered_size(&self) -> DeliveredSize {
        let own = if self.family().has_dynamic_size() { DeliveredSize::Processor } else { DeliveredSize::Original };
        self.images.resize.unwrap_or(own)
    }
}

/// Where datasets are, unless a file says otherwise.
const ROOT_OF_DATASETS: &str = "out";

impl OutputTable {
    /// The URL that the dataset goes to, if it goes to one.
    pub fn url(&self) -> Option<&Path> {
        Some(self.location()).filter(|location| is_url(location))
    }

    /// Where the dataset is once it is built: a directory, or a URL.
    pub fn location(&self) -> &Path {
        Path::new(self.directory.as_str())
    }

    /// The directory of this machine that a build works in.
    pub fn work_directory(&self) -> PathBuf {
        match self.url() {
            Some(_) => PathBuf::from(&self.work),
            None => work_directory(self.location()),
        }
    }

    /// What is not set, of a dataset with this name.
    pub(crate) fn fill_in(&mut self, name: &str) {
        if self.directory.is_empty() {
            self.directory = format!("{}/{name}", self.root);
        }
        if self.url().is_some() && self.work.is_empty() {
            let root = Some(self.root.as_str()).filter(|root| !is_url(Path::new(root))).unwrap_or(ROOT_OF_DATASETS);
            self.work = format!("{root}/{name}.work");
        }
    }

    /// Whether any of the formats needs the ids and labels of samples.
    pub fn has_tokens(&self) -> bool {
        self.tokens == TokenColumns::Written && self.formats.iter().any(|format| format.stores_tokens())
    }
}

impl Default for OutputTable {
    fn default() -> Self {
        const MAX_SHARD_SAMPLES: NonZeroU64 = NonZeroU64::new(10_000).unwrap();
        const MAX_SHARD_MIB: NonZeroU64 = NonZeroU64::new(256).unwrap();
        Self {
            directory: String::new(),
            root: ROOT_OF_DATASETS.to_owned(),
            work: String::new(),
            formats: vec![ShardFormat::Webdataset],
            shards: ShardSplit::default(),
            max_shard_samples: MAX_SHARD_SAMPLES,
            max_shard_mib: MAX_SHARD_MIB,
            tokens: TokenColumns::default(),
            energon_index: false,
            media: MediaStorage::default(),
        }
    }
}

/// What a build takes over from earlier ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReuseTable {
    /// How a build finds out which images and videos changed since they were read. Default: `stat`.
    pub media: MediaFreshness,
}

/// How a build finds out which images and videos changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediaFreshness {
    /// By size and times of every file, and of every archive with the checksums that it lists; a million files take
    /// seconds. Records whose media changed are read again, and their samples made again.
    #[default]
    Stat,
    /// Not at all: only media that were missing or damaged are looked at again. For slow network disks with files that never
    /// change.
    Trust,
}

/// How samples are divided among shards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShardSplit {
    /// Each shard contains samples of one layout.
    #[default]
    ByLayout,
    /// Shards contain all samples in one order.
    Mixed,
}

/// How conversations become text, and how tokens are counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(transform = |schema: &mut Schema| require(schema, &["tokenizer"]))]
pub struct FormatTable {
    /// Path of the tokenizer: a SentencePiece `.model`, a `tokenizer.json`, or a directory of the Hugging Face Hub with either.
    pub tokenizer: String,
    /// Maximum sample length in tokens. Default: 40,960.
    #[schemars(range(min = 1))]
    pub max_tokens: u64,
    /// How turns and visuals are written.
    #[serde(flatten)]
    pub spec: FormatSpec,
}

impl Default for FormatTable {
    fn default() -> Self {
        Self { tokenizer: String::new(), max_tokens: 40_960, spec: FormatSpec::default() }
    }
}
