//! Which records are left out, how overlong ones are shortened, and how sources are mixed.

use std::num::{NonZeroU32, NonZeroU64};

use manyframe_media::Check;
use manyframe_samplers::{MixTotal, Order};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::settings::values::{OneOrMany, Share};

/// Which duplicates and near-duplicates are removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DuplicatesTable {
    /// Which duplicates are removed, before anything is drawn. Default: `exact`.
    pub remove: DuplicateRule,
    /// Whether duplicates must have the same text. Default: `same`.
    pub text: DuplicateText,
    /// With `remove = "near"`: two images are near-duplicates if their 64-bit perceptual hashes differ in at most this many
    /// bits. Default: 4.
    #[schemars(range(max = 16))]
    pub max_distance: u32,
}

impl Default for DuplicatesTable {
    fn default() -> Self {
        Self { remove: DuplicateRule::default(), text: DuplicateText::default(), max_distance: 4 }
    }
}

/// Which records are duplicates of each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateRule {
    /// Records with the same bytes of every image and video, whatever their path, id or source.
    #[default]
    Exact,
    /// Besides `exact`, records with the same pixels of every image, however they are stored. Decodes every image once.
    Pixels,
    /// Besides `exact`, records whose images are all near-duplicates by a perceptual hash. Decodes every image once. Videos are
    /// compared frame by frame with `mix.check = "decode"`, otherwise by their bytes.
    Near,
    /// No record.
    Nothing,
}

impl DuplicateRule {
    /// Whether decoded images are compared, and not only their bytes.
    pub fn compares_pixels(self) -> bool {
        match self {
            Self::Pixels | Self::Near => true,
            Self::Exact | Self::Nothing => false,
        }
    }
}

/// Whether duplicates must have the same text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateText {
    /// Records are duplicates only if their turns are the same, too. Many questions about one image are not duplicates.
    #[default]
    Same,
    /// Records that show the same are duplicates, whatever they say. Records without visuals are compared by their turns.
    Any,
}

/// Which images and videos no sample may show, such as those of a benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DecontaminationTable {
    /// Images and videos that no sample may show: directories, files, patterns, or datasets that manyframe built. A record
    /// with a near-duplicate of one of them is rejected with the reason `excluded`. Decodes every image once. Videos are
    /// compared frame by frame with `mix.check = "decode"`, otherwise by their bytes. Default: none.
    pub against: OneOrMany,
    /// Two images are near-duplicates if their 64-bit perceptual hashes differ in at most this many bits. Default: 4.
    #[schemars(range(max = 16))]
    pub max_distance: u32,
    /// The largest share of the images and videos in `against` that may be impossible to decode, such as `"0.5 %"`: samples may show
    /// what cannot be compared. Beyond it, `build` ends with exit code 3 and publishes nothing without `--accept-rejects`. Files that
    /// are neither by their first bytes nor by their name are counted, and are no loss. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rejects: Option<Share>,
}

impl Default for DecontaminationTable {
    fn default() -> Self {
        Self { against: OneOrMany::default(), max_distance: 4, max_rejects: None }
    }
}

impl DecontaminationTable {
    /// Whether anything is to be kept out.
    pub fn is_active(&self) -> bool {
        !self.against.as_slice().is_empty()
    }

    /// The largest share of the images and videos in `against` that may be impossible to decode.
    pub fn max_rejects(&self) -> Share {
        self.max_rejects.unwrap_or(Share::percent(0))
    }
}

/// How records longer than `format.max_tokens` are shortened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OverlengthTable {
    /// Ways to shorten a record, tried in this order, each by itself and then the first of them together: `["fewer_tiles",
    /// "split_turns"]` divides the turns of a record whose fewest tiles are still too many. What stays too long is rejected as
    /// `too_long`. Default: `["reject"]`.
    pub policy: Vec<OverlengthPolicy>,
    /// Minimum number of frames of a video that `fewer_frames` keeps. Default: 8.
    pub min_frames: NonZeroU32,
    /// Minimum number of tiles of an image that `fewer_tiles` keeps, the overview not counted. Default: 1.
    pub min_tiles: NonZeroU32,
    /// Minimum number of pixels of an image or frame that `fewer_pixels` keeps; the minimum of the model family applies, too.
    /// Default: 50,176, which is 224×224.
    pub min_pixels: NonZeroU64,
}

impl Default for OverlengthTable {
    fn default() -> Self {
        const MIN_FRAMES: NonZeroU32 = NonZeroU32::new(8).unwrap();
        const MIN_PIXELS: NonZeroU64 = NonZeroU64::new(224 * 224).unwrap();
        Self {
            policy: vec![OverlengthPolicy::Reject],
            min_frames: MIN_FRAMES,
            min_tiles: NonZeroU32::MIN,
            min_pixels: MIN_PIXELS,
        }
    }
}

impl OverlengthTable {
    /// Whether something follows `reject`, where it is never tried.
    pub(crate) fn goes_on_after_reject(&self) -> bool {
        self.policy.iter().rev().skip(1).any(|policy| *policy == OverlengthPolicy::Reject)
    }

    /// Whether no record is shortened.
    pub fn rejects_all(&self) -> bool {
        self.policy.first().is_none_or(|policy| *policy == OverlengthPolicy::Reject)
    }
}

/// A way to shorten an overlong record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OverlengthPolicy {
    /// The record is rejected.
    Reject,
    /// Each of its videos shows only as many frames as fit: those that the model's processor takes if it is asked for that
    /// number, with `video.sampling = "processor"`, otherwise evenly spaced among those that it would show. Where frames share
    /// a budget of pixels, fewer can cost more each; the largest number that fits is found all the same.
    FewerFrames,
    /// Each of its images and frames has only as many pixels as fit. For families that see images at a size of their own, with
    /// `images.resize = "processor"`. Before `fewer_frames`, the size is lowered before frames are left out.
    FewerPixels,
    /// Each of its tiled images is scaled down until its tiles fit.
    FewerTiles,
    /// Its conversation becomes several samples, split between rounds. Each of them repeats the visuals shown before it.
    SplitTurns,
}

/// How weighted sources share a total, and in which order samples are delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MixTable {
    /// What all sources with a `weight` contribute together, in their unit. Default: the largest total that every source
    /// can supply.
    pub total: Option<NonZeroU64>,
    /// The order of samples. Default: `shuffled`.
    pub order: Order,
    /// The licenses that sources may have, such as `["apache-2.0", "cc-by-4.0"]`: a source with another one, or with none, is
    /// an error. Of a dataset that is replayed, each source must have one of them. Default: any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<String>,
    /// How far media are checked before anything is drawn. With `decode`, every image and video is decoded once, when its
    /// record is first planned: damaged media are rejected before ratios are computed, and frames of videos take part in
    /// decontamination and in the search for near-duplicates. With `header`, damage inside a file is found by the build, and
    /// its source then delivers less than was drawn. Default: `header`.
    pub check: Check,
}

impl Default for MixTable {
    fn default() -> Self {
        Self { total: None, order: Order::default(), licenses: Vec::new(), check: Check::Header }
    }
}

impl MixTable {
    /// The total of weighted sources.
    pub fn total(&self) -> MixTotal {
        self.total.map_or(MixTotal::Largest, |total| MixTotal::Units(total.get()))
    }
}
