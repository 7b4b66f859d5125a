//! The tables that say which records are left out, made to fit, mixed and validated.

use std::num::{NonZeroU32, NonZeroU64};

use manyframe_media::Check;
use manyframe_samplers::{MixTotal, Order};
use manyframe_validate::DeviceChoice;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::values::OneOrMany;

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
    /// Images and videos that no sample may show, such as those of a benchmark: directories, files, patterns, or datasets that
    /// manyframe built. Records with an image that looks like one of them are rejected with the reason `excluded`.
    /// Frames of videos are looked at with `mix.check = "decode"`; otherwise videos are compared by their bytes.
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
    /// Those whose images all look alike by a perceptual hash, besides `exact`. Decodes every image once. Videos are compared
    /// frame by frame with `mix.check = "decode"`, otherwise by their bytes.
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
    /// Whether something stands behind `reject`, where it is never tried.
    pub(crate) fn goes_on_after_reject(&self) -> bool {
        self.policy.iter().rev().skip(1).any(|policy| *policy == OverLongPolicy::Reject)
    }

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
    pub device: DeviceChoice,
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
            device: DeviceChoice::default(),
            controls: true,
            policy: String::new(),
        }
    }
}

/// How weighted sources share a total, and in which order samples are delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MixTable {
    /// What all sources with a `weight` give together, in their unit. Default: the most that asks of none more than it has.
    pub total: Option<NonZeroU64>,
    /// The order of samples. Default: `shuffled`.
    pub order: Order,
    /// How far media are checked before anything is drawn. With `decode`, every image and video is decoded once, when its record
    /// is first planned: what is damaged is rejected before ratios, and frames of videos are compared with each other and with
    /// excluded images. With `header`, damage inside of a file is found by the build, and its source then delivers less than
    /// was drawn. Default: `header`.
    pub check: Check,
}

impl Default for MixTable {
    fn default() -> Self {
        Self { total: None, order: Order::default(), check: Check::Header }
    }
}

impl MixTable {
    /// The total of weighted sources.
    pub fn total(&self) -> MixTotal {
        self.total.map_or(MixTotal::Largest, |total| MixTotal::Units(total.get()))
    }
}
