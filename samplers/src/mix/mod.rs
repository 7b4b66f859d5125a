//! Mixing laws: how much of each source is drawn, in records, tokens, images or frames, and which records these are.
//!
//! ```text
//! share ──law──▶ target, in units ──order by rank, or by stratum──▶ whole passes + a prefix of the order ──▶ drawn
//! ```
//!
//! Every share has one order of its records, which neither its law nor another share changes, and a law takes a prefix of
//! it. All that is promised about consistency follows:
//!
//! * Raising `take`, `repeat` or the total keeps all that the smaller one drew, and adds to it.
//! * With `all`, `take` and `repeat`, changing one source changes no other.
//! * With `weight`, sources depend on one another through the size of their targets only: each draw is a longer or shorter
//!   prefix of the same order. A total covers the weighted sources alone, so that changing a `take` leaves them as they are.
//!
//! With replacement ([`Replacement::With`]) the order is an endless one in which records come again; the same holds for its
//! prefixes.
//!
//! It deliberately does not give what an exhausted source lacks to the others: the difference is reported instead.

mod apportion;
mod candidates;
mod error;
mod replacement;
#[cfg(test)]
mod tests;
mod weights;

use manyframe_core::IndexRow;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use error::MixError;

use candidates::Candidates;

/// Most times that a record is drawn. A law that asks for more is a mistake in the pipeline file.
pub const MAX_REPETITIONS: u32 = 1000;

/// In what a share is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Records: counts are exact.
    #[default]
    Records,
    /// Tokens of the sequence, text and visual: exact to within one record.
    Tokens,
    /// Encoded images, frames and sub-images among them: exact to within one record.
    Images,
    /// Frames of videos: exact to within one record.
    Frames,
}

impl Unit {
    /// How many units a record holds.
    pub fn amount(self, row: &IndexRow) -> u64 {
        match self {
            Self::Records => 1,
            Self::Tokens => row.cost.text_tokens.saturating_add(row.cost.visual_tokens),
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
    /// This part, relative to the other weighted sources, of their [`Total`]. Finite, at least 0.
    Weight(f64),
    /// What the source has, times this factor: 1.7 is every record once, and the 70 % of lowest rank once more.
    /// Finite, at least 0, at most [`MAX_REPETITIONS`].
    Repeat(f64),
}

/// What happens when a source has less than `take` or `weight` asks of it. `all` and `repeat` ask only for what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnExhausted {
    /// Every record is drawn once; the mixture says that it is short.
    #[default]
    Stop,
    /// Records are drawn again: as many whole passes as fit, then those of lowest rank. At most [`MAX_REPETITIONS`] times.
    Repeat,
    /// No mixture is made.
    Error,
}

/// Whether a record can be drawn again before every other one was drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Replacement {
    /// It cannot: a record is drawn again only once all were, which `repeat` and `on_exhausted = "repeat"` ask for.
    #[default]
    Without,
    /// It can: each draw is from the whole source, which is never exhausted.
    With,
}

/// Units of all weighted sources together. Sources with another law stand beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Total {
    /// The largest that asks of no weighted source more than it has, whatever its `on_exhausted` says.
    #[default]
    Largest,
    /// This many, in the unit of the weighted sources.
    Units(u64),
}

/// How the strata of a source share its draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StratumSplit {
    /// As they share the source: each has its proportion of the drawn records, to within one record.
    #[default]
    Proportional,
    /// Equally many records of each, as long as each has any left.
    Equal,
}

/// A draw that keeps strata (subsets, layouts, lengths …) in proportion.
///
/// The order of the records is then one in which every prefix has the proportions asked for, and the unit says where it is
/// cut, so that consistency holds as without strata. Within a stratum, records follow by rank. The order depends
/// on the sizes of the strata: a record that is added to or removed from the source can change a few other choices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stratify {
    /// Number of the stratum of each eligible row, in the same order.
    pub strata: Vec<u32>,
    /// How they share the draw.
    pub split: StratumSplit,
}

/// A source's part in a mixture.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// Name of the source, for messages.
    pub name: String,
    /// Rows that can be drawn, each once: what is left after rejects and duplicates, so that ratios stay true.
    pub eligible: Vec<usize>,
    /// How much is drawn.
    pub law: Law,
    /// In what it is counted.
    pub unit: Unit,
    /// What happens if the source has less.
    pub on_exhausted: OnExhausted,
    /// Whether records are put back once they are drawn. With [`Law::All`] and with strata they are not.
    pub replacement: Replacement,
    /// Seed of its ranks.
    pub seed: u64,
    /// Strata to keep in proportion.
    pub stratify: Option<Stratify>,
}

/// A drawn record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Drawn {
    /// Its row.
    pub row: usize,
    /// How many times the record has been drawn before: 0 is the first.
    pub repetition: u32,
}

/// Why a draw is not what was asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// It is, to the nearest unit.
    #[default]
    None,
    /// Records cannot be divided: one more would have passed the target.
    Rounding,
    /// The source has no more.
    Exhausted,
}

/// What was drawn of a source.
#[derive(Debug, Clone, PartialEq)]
pub struct DrawnShare {
    /// The records, ascending by row, then repetition.
    pub drawn: Vec<Drawn>,
    /// Units asked for; a weight need not ask for whole ones.
    pub asked: f64,
    /// Units that the source has.
    pub available: u64,
    /// Units drawn.
    pub achieved: u64,
    /// Why the two differ.
    pub difference: Difference,
}

/// What was drawn of each source.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    /// One for each share, in their order.
    pub shares: Vec<DrawnShare>,
}

/// What a share asks for, in its units.
#[derive(Debug, Clone, Copy)]
struct Target {
    asked: f64,
    whole_units: u64,
}

/// A target as passes over a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Passes {
    /// How many times every record is drawn.
    num_whole: u32,
    /// Units of the prefix that is drawn once more; less than the source has.
    rest: u64,
    is_short: bool,
}

/// Draws the records of each share.
///
/// Counts of records are exact. In other units, records are drawn in order as long as they fit into the target: the first
/// that would pass it ends the draw, so that less than one record is missing. Weights in records add up to the total, each
/// within one record of its share.
pub fn mix(rows: &[IndexRow], shares: &[Share], total: Total) -> Result<Mixture, MixError> {
    let candidates = shares.iter().map(|share| Candidates::try_new(rows, share)).collect::<Result<Vec<_>, _>>()?;
    let available: Vec<u64> = candidates.iter().map(Candidates::available).collect();
    let mut weighted = weights::targets(shares, &available, total)?.into_iter();
    let mut drawn_shares = Vec::with_capacity(shares.len());
    for (share, candidates) in shares.iter().zip(candidates) {
        let available = candidates.available();
        let whole = |units: u64| Target { asked: units as f64, whole_units: units };
        let target = match share.law {
            Law::All => whole(available),
            Law::Repeat(factor) => {
                let asked = checked_repeat(share, factor)? * available as f64;
                Target { asked, whole_units: asked.round() as u64 }
            }
            Law::Take(units) => whole(units),
            Law::Weight(_) => weighted.next().unwrap_or(whole(0)),
        };
        let asked = target.asked;
        if target.whole_units > 0 && available == 0 && !share.eligible.is_empty() {
            return Err(MixError::NothingOfUnit { name: share.name.clone(), unit: share.unit });
        }
        let is_put_back = share.replacement == Replacement::With && share.law != Law::All && share.stratify.is_none();
        let (is_short, (drawn, achieved)) = if is_put_back && available > 0 {
            let times = target.asked / available as f64;
            check_repetitions(share, times)?;
            (false, replacement::draw(rows, share, available, target.whole_units))
        } else {
            let passes = match share.law {
                Law::All => Passes { num_whole: 1, rest: 0, is_short: false },
                Law::Repeat(factor) => repeated(factor, available),
                Law::Take(_) | Law::Weight(_) => passes(share, target, available)?,
            };
            (passes.is_short, candidates.draw(passes))
        };
        let difference = if is_short {
            Difference::Exhausted
        } else if (achieved as f64 - asked).abs() < 0.5 {
            Difference::None
        } else {
            Difference::Rounding
        };
        drawn_shares.push(DrawnShare { drawn, asked, available, achieved, difference });
    }
    Ok(Mixture { shares: drawn_shares })
}

fn checked_repeat(share: &Share, factor: f64) -> Result<f64, MixError> {
    let factor = checked_factor(share, factor)?;
    check_repetitions(share, factor).map(|()| factor)
}

fn check_repetitions(share: &Share, times: f64) -> Result<(), MixError> {
    if times > f64::from(MAX_REPETITIONS) {
        return Err(MixError::Repetitions { name: share.name.clone(), needed: times });
    }
    Ok(())
}

fn repeated(factor: f64, available: u64) -> Passes {
    let rest = (factor.fract() * available as f64).round() as u64;
    let (more, rest) = if rest >= available && factor.fract() > 0.5 { (1, 0) } else { (0, rest) };
    Passes { num_whole: factor as u32 + more, rest, is_short: false }
}

fn passes(share: &Share, target: Target, available: u64) -> Result<Passes, MixError> {
    let units = target.whole_units;
    if units < available || units == 0 {
        return Ok(Passes { num_whole: 0, rest: units, is_short: false });
    }
    if units == available {
        return Ok(Passes { num_whole: 1, rest: 0, is_short: false });
    }
    match share.on_exhausted {
        OnExhausted::Error => {
            Err(MixError::Exhausted { name: share.name.clone(), unit: share.unit, asked: target.asked, available })
        }
        OnExhausted::Repeat if available > 0 => match u32::try_from(units / available) {
            Ok(num_whole) if num_whole < MAX_REPETITIONS => {
                Ok(Passes { num_whole, rest: units % available, is_short: false })
            }
            _ => Err(MixError::Repetitions { name: share.name.clone(), needed: units as f64 / available as f64 }),
        },
        OnExhausted::Stop | OnExhausted::Repeat => Ok(Passes { num_whole: 1, rest: 0, is_short: true }),
    }
}

fn checked_factor(share: &Share, value: f64) -> Result<f64, MixError> {
    if !value.is_finite() || value < 0.0 {
        return Err(MixError::Factor { name: share.name.clone(), value });
    }
    Ok(value)
}
