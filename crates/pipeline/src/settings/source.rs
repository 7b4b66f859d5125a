//! The `[[source]]` table: where records come from, how many are drawn, and how they are shown.

use std::collections::BTreeMap;

use manyframe_core::{Layout, RejectCode, Rejection};
use manyframe_samplers::{Law, OnExhausted, Replacement, StratumSplit, Unit};
use manyframe_sources::{SourceKind, SourceOptions};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use crate::settings::values::{OneOrMany, Share, Take, require};

/// More than what published datasets are known to lack, and less than what a wrong directory costs.
const DEFAULT_MAX_REJECTS: Share = Share::percent(5);

/// A dataset as its publisher distributes it, or one that manyframe built.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(transform = |schema: &mut Schema| require(schema, &["kind", "name"]))]
pub struct SourceTable {
    /// Its unique name in ledgers and tables. Letters, digits, `-` and `_`.
    pub name: String,
    /// Which reader is used: the format in which the dataset was published; `auto` for your own data.
    pub kind: Kind,
    /// Annotation files: a path or URL (`s3://`, `gs://`, `az://`, `https://`), a pattern such as `data/*/train*.parquet`, or a
    /// list of them. JSON, JSON lines, CSV and TSV, also with `.gz` or `.zst`, Parquet, tars of WebDataset; for `kind = "auto"` also
    /// directories with texts beside images.
    pub annotations: OneOrMany,
    /// The directory below which the path of an annotation file names its subset. Default: the reader decides.
    pub annotation_root: String,
    /// Where images and videos are: directories, zip or tar files, or patterns such as `data/*.zip`, searched in order. Each may
    /// be a URL; of a directory, that is what the names of its objects begin with.
    pub media: OneOrMany,
    /// Further media roots for the records of one subset, or of all subsets below it. Searched before `media`.
    pub media_by_subset: BTreeMap<String, OneOrMany>,
    /// Directories, or patterns of them, that links below `media` may lead to: the `blobs` of a Hugging Face cache, another disk.
    /// By default a link that leads out of its media root is rejected as `unsafe_path`.
    pub links: OneOrMany,
    /// For `kind = "dataset"`: the directory or URL of a dataset that manyframe built, or the pipeline file that builds it.
    pub from: String,
    /// For `kind = "dataset"`: only samples from these sources of it. Default: all.
    pub only_sources: Vec<String>,
    /// For `kind = "dataset"`: only samples of these layouts. Default: all.
    pub only_layouts: Vec<Layout>,
    /// Only records that one of these datasets, or pipeline files, delivered from the same position of the same file. Default:
    /// no restriction.
    pub delivered_in: OneOrMany,
    /// Only records that none of these datasets, or pipeline files, delivered from the same position of the same file. Default:
    /// no restriction.
    pub not_delivered_in: OneOrMany,
    /// How much to draw, in units of `unit`: a number, a share of what the source has (`"10 %"`), or `"all"`. Default: `"all"`.
    pub take: Take,
    /// Instead of `take`: its part of `mix.total`, relative to the other sources that have a weight.
    #[schemars(range(min = 0))]
    pub weight: Option<f64>,
    /// Instead of `take`: the number of epochs. 1.7 delivers every record once, and the 70 % of lowest rank a second time.
    #[schemars(range(min = 0, max = 1000))]
    pub repeat: Option<f64>,
    /// What `take`, `weight` and `repeat` count. A draw ends before the record that would exceed the
    /// target. Default: `records`.
    pub unit: Unit,
    /// What happens if the source has less than `take` or `weight` asks for. Default: `stop`.
    pub on_exhausted: OnExhausted,
    /// Whether records are drawn with replacement. If so, a record may be drawn twice before every other was drawn once, and the
    /// source is never exhausted. Default: `without`.
    pub replacement: Replacement,
    /// Groups of records that keep their proportions in the draw. Default: none.
    pub stratify: Option<StratifyBy>,
    /// Whether the groups of `stratify` share the draw in proportion to their size or equally. Default: `proportional`.
    pub strata: StratumSplit,
    /// How images are shown. Default: `whole`.
    pub visuals: ImageShow,
    /// Bounds on records; those outside are left out before the draw. Default: none.
    pub filter: FilterTable,
    /// The largest share of its records that may be rejected, such as `"0.5 %"`. Beyond it, and where the source delivers nothing
    /// or an annotation file is incomplete, `build` ends with exit code 3 and publishes nothing without `--accept-rejects`. Records of
    /// the dataset at the output whose annotation file is gone, though `annotations` are the same, count as a share of its own.
    /// `"100 %"` allows all of that. It is a share of the records that `where` keeps, without duplicates; a record that is repeated
    /// counts once. The default is 5 %.
    #[schemars(extend("default" = DEFAULT_MAX_REJECTS))]
    pub max_rejects: Option<Share>,
    /// The license under which it was published: an SPDX identifier or expression, or words. Goes into the data card. A dataset that is
    /// replayed keeps the licenses of its own sources, beside which one that is stated here holds, too.
    pub license: String,
    /// Settings of individual readers.
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
            // The same records as the first part of an epoch.
            (Take::Percent(percent), ..) => Law::Repeat(percent / 100.0),
            (Take::All, ..) => Law::All,
        }
    }

    /// The largest share of its records that may be rejected.
    pub fn max_rejects(&self) -> Share {
        self.max_rejects.unwrap_or(DEFAULT_MAX_REJECTS)
    }
}

/// Groups of records that a draw keeps in proportion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StratifyBy {
    /// Subset, as the reader names it: for `kind = "dataset"` the original source of a sample, for VideoChat2 its task.
    Subset,
    /// Layout: temporal, spatial, image or text.
    Layout,
    /// Number of images: 0, 1, 2, 3 to 4, 5 to 8 and so on.
    Images,
    /// Number of tokens, in powers of two.
    Tokens,
    /// Number of turns, in powers of two.
    Turns,
}

/// Which reader a source uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Kind {
    /// A published dataset.
    Upstream(SourceKind),
    /// A dataset that manyframe built, for replay.
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
    /// Each image as an overview followed by rows of tiles (AnyRes).
    Tiled,
}

/// Bounds on records. Those outside are left out with the reason `filtered`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FilterTable {
    /// Minimum number of tokens.
    pub min_tokens: Option<u64>,
    /// Maximum number of tokens.
    pub max_tokens: Option<u64>,
    /// Minimum number of images. Frames and tiles count.
    pub min_images: Option<u64>,
    /// Maximum number of images. Frames and tiles count.
    pub max_images: Option<u64>,
    /// Minimum number of turns.
    pub min_turns: Option<u64>,
    /// Maximum number of turns.
    pub max_turns: Option<u64>,
    /// Minimum number of characters of text.
    pub min_chars: Option<u64>,
    /// Maximum number of characters of text.
    pub max_chars: Option<u64>,
}

impl FilterTable {
    /// The bound that a record misses, if it misses one.
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
