//! The input and output of mixing: laws, units, strata, and the draw of each source.

use manyframe_core::IndexRow;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The maximum number of times that a record can be drawn. A law that requires more is a mistake in the pipeline file:
/// published recipes repeat a source a few times.
pub const MAX_REPETITIONS: u32 = 1000;

/// The unit in which a share is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Records. Counts are exact.
    #[default]
    Records,
    /// Tokens of the sequence, text and visual. Exact to within one record.
    Tokens,
    /// Encoded images, including frames and tiles. Exact to within one record.
    Images,
    /// Frames of videos. Exact to within one record.
    Frames,
}

impl Unit {
    /// How many units a record holds.
    pub fn amount(self, row: &IndexRow) -> u64 {
        match self {
            Self::Records => 1,
            Self::Tokens => row.cost.num_tokens(),
            Self::Images => row.cost.num_images,
            Self::Frames => row.cost.num_frames,
        }
    }

    /// The name in pipeline files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Tokens => "tokens",
            Self::Images => "images",
            Self::Frames => "frames",
        }
    }
}

/// How much of a source is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Law {
    /// Every record once.
    #[default]
    All,
    /// This many units.
    Take(u64),
    /// This part of the total, relative to the other weighted sources. Finite, at least 0.
    Weight(f64),
    /// Everything the source has, this many times: 1.7 is every record once, and the 70 % of lowest rank a second time.
    /// Finite, at least 0, at most 1000.
    Repeat(f64),
}

impl Law {
    /// The settings that choose a law; each excludes the others.
    pub const SETTINGS: [&'static str; 3] = [Self::TAKE, Self::WEIGHT, Self::REPEAT];

    const TAKE: &'static str = "take";
    const WEIGHT: &'static str = "weight";
    const REPEAT: &'static str = "repeat";

    /// The setting that chooses it, one of [`Self::SETTINGS`].
    pub const fn setting(self) -> &'static str {
        match self {
            Self::All | Self::Take(_) => Self::TAKE,
            Self::Weight(_) => Self::WEIGHT,
            Self::Repeat(_) => Self::REPEAT,
        }
    }
}

/// What happens when a source has less than `take` or `weight` asks for. `all` and `repeat` never ask for more than
/// there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnExhausted {
    /// Every record is drawn once, and the plan reports the shortfall.
    #[default]
    Stop,
    /// Records are drawn again: as many whole epochs as fit, then those of lowest rank. At most 1000 times.
    Repeat,
    /// The plan fails.
    Error,
}

/// Whether a record can be drawn a second time before every other record was drawn once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Replacement {
    /// No. A record is drawn again only after all others were, which takes `repeat` or `on_exhausted = "repeat"`.
    #[default]
    Without,
    /// Yes. Each draw is from the whole source, which is never exhausted.
    With,
}

/// The units that all weighted sources have together. Sources with another law come on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MixTotal {
    /// The largest total that asks no weighted source for more than it has, whatever its `on_exhausted` says.
    #[default]
    Largest,
    /// This many, in the unit of the weighted sources.
    Units(u64),
}

/// How the draw of a source is divided among its strata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StratumSplit {
    /// In proportion to their sizes: each stratum has its share of the drawn records, to within one record.
    #[default]
    Proportional,
    /// The same number of records from each stratum, until it runs out.
    Equal,
}

/// A draw that is stratified by subset, layout, length or another property.
///
/// Records are put into an order in which every prefix has these proportions; the unit says where the order is cut.
/// So draws are as consistent as without strata. Within a stratum, records follow by rank. The order depends on the sizes
/// of the strata: a record that is added to or removed from the source can change a few other choices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stratify {
    /// The stratum of each eligible row, in the same order.
    pub strata: Vec<u32>,
    /// How the draw is divided among them.
    pub split: StratumSplit,
}

/// What is drawn from one source, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceShare {
    /// Name of the source, for messages.
    pub name: String,
    /// Rows that can be drawn, each once: what is left after rejects and duplicates, so that ratios hold for what is
    /// delivered.
    pub eligible: Vec<u32>,
    /// How much is drawn.
    pub law: Law,
    /// The unit in which it is counted.
    pub unit: Unit,
    /// What happens if the source has less.
    pub on_exhausted: OnExhausted,
    /// Whether records are put back after they are drawn. Ignored with [`Law::All`] and with strata: they never are.
    pub replacement: Replacement,
    /// Seed of the ranks.
    pub seed: u64,
    /// Strata to keep in proportion.
    pub stratify: Option<Stratify>,
}

/// One delivery of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Drawn {
    /// Position of the record among the rows.
    pub row: u32,
    /// How often the record was drawn before. 0 is the first time.
    pub repetition: u32,
}

impl Drawn {
    /// Position of the record among the rows.
    pub fn position(self) -> usize {
        self.row as usize
    }
}

/// Why a draw differs from what was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// It does not, to the nearest unit.
    #[default]
    None,
    /// Records cannot be divided: one more would have exceeded the target.
    Rounding,
    /// The source has no more.
    Exhausted,
}

/// What was drawn from one source.
#[derive(Debug, Clone, PartialEq)]
pub struct DrawnShare {
    /// The deliveries, ascending by row, then by repetition.
    pub drawn: Vec<Drawn>,
    /// Units requested. With a weight, this need not be a whole number.
    pub asked: f64,
    /// Units that the source has.
    pub available: u64,
    /// Units drawn.
    pub achieved: u64,
    /// Why the units drawn are not those asked for.
    pub difference: Difference,
}

/// What was drawn from each source.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    /// One for each share, in the same order.
    pub shares: Vec<DrawnShare>,
}
