//! `[[source]]`: where records come from, how many of them, and how they are shown.

use std::collections::BTreeMap;

use manyframe_core::{Layout, RejectCode, Rejection};
use manyframe_samplers::{Law, OnExhausted, Replacement, StratumSplit, Unit};
use manyframe_sources::{SourceKind, SourceOptions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::values::{OneOrMany, Share, Take};

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
    /// Whether records are drawn with replacement: then one can come again before all others came once, and the source is never
    /// exhausted. Default: `without`.
    pub replacement: Replacement,
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
    pub fn missed_bound(&self, row: &manyframe_core::IndexRow) -> Option<Rejection> {
        let bounds = [
            ("tokens", row.cost.num_tokens(), self.min_tokens, self.max_tokens),
            ("images", row.cost.num_images, self.min_images, self.max_images),
            ("turns", u64::from(row.num_turns), self.min_turns, self.max_turns),
            ("characters", row.num_chars, self.min_chars, self.max_chars),
        ];
        bounds.into_iter().find_map(|(what, found, min, max)| match (min, max) {
            (Some(min), _) if found < min => {
                Some(Rejection::new(RejectCode::Filtered, format!("{found} {what}, at least {min} wanted")))
            }
            (_, Some(max)) if found > max => {
                Some(Rejection::new(RejectCode::Filtered, format!("{found} {what}, at most {max} wanted")))
            }
            _ => None,
        })
    }
}
