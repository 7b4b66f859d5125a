//! Mixing laws: how much of each source is drawn, in records, tokens, images or frames, and which records these are.
//!
//! ```text
//! share ──law──▶ target, in units ──order by rank, or by stratum──▶ whole epochs + a prefix of the order ──▶ drawn
//! ```
//!
//! Each share has one order of its records, which neither its law nor another share changes, and every law takes a prefix
//! of it. All promises about consistency follow from that:
//!
//! * Raising `take`, `repeat` or the total keeps what the smaller one drew, and adds to it.
//! * With `all`, `take` and `repeat`, changing one source changes no other.
//! * With `weight`, sources depend on one another only through the size of their targets: each draw is a longer or shorter
//!   prefix of the same order. A total covers the weighted sources alone, so changing a `take` leaves them as they are.
//!
//! With replacement ([`Replacement::With`]) the order is endless and records recur in it. The same is true of its prefixes.
//!
//! The other sources deliberately do not make up for an exhausted one; the difference is reported instead.
//!
//! `samplers/README.md` explains each law, and where to add another.

mod candidates;
mod error;
mod fair_sequence;
mod law;
mod replacement;
mod target;
#[cfg(test)]
mod tests;

pub use error::MixError;
pub use law::{
    Difference, Drawn, DrawnShare, Law, MAX_REPETITIONS, MixTotal, Mixture, OnExhausted, Replacement, SourceShare,
    Stratify, StratumSplit, Unit,
};

use candidates::EligibleRows;
use target::{Target, check_repetitions, epochs, targets};

use crate::rows::Rows;

/// Draws the records of each share.
///
/// Counts of records are exact. In other units, records are drawn in order as long as they fit into the target: the first
/// one that would exceed it ends the draw, so less than one record is missing. Weights in records add up to the total,
/// each within one record of its share.
///
/// # Errors
/// A [`MixError`] names the source and the value in the pipeline file that require something impossible.
///
/// ```
/// use manyframe_core::{Cost, IndexRow, Layout, RecordId, SourceIndex};
/// use manyframe_samplers::{Law, MixTotal, OnExhausted, Replacement, SourceShare, Unit, mix};
///
/// let row = |n: u8| IndexRow {
///     id: RecordId([n; 16]),
///     source: SourceIndex(0),
///     cost: Cost::default(),
///     layout: Layout::Text,
///     num_turns: 2,
///     num_chars: 40,
///     estimated_bytes: 60,
///     media: 0,
/// };
/// let rows: Vec<IndexRow> = (0..10).map(row).collect();
/// let share = SourceShare {
///     name: "captions".to_owned(),
///     eligible: (0..10).collect(),
///     law: Law::Take(3),
///     unit: Unit::Records,
///     on_exhausted: OnExhausted::Stop,
///     replacement: Replacement::Without,
///     seed: 1,
///     stratify: None,
/// };
/// let three = mix(&rows, &[share.clone()], MixTotal::Largest)?.shares.remove(0);
/// assert_eq!(three.drawn.len(), 3);
///
/// // A larger draw keeps what a smaller one chose.
/// let five = mix(&rows, &[SourceShare { law: Law::Take(5), ..share }], MixTotal::Largest)?.shares.remove(0);
/// assert!(three.drawn.iter().all(|drawn| five.drawn.contains(drawn)));
/// # Ok::<(), manyframe_samplers::MixError>(())
/// ```
pub fn mix<R: Rows + ?Sized>(rows: &R, shares: &[SourceShare], total: MixTotal) -> Result<Mixture, MixError> {
    let candidates = shares.iter().map(|share| EligibleRows::try_new(rows, share)).collect::<Result<Vec<_>, _>>()?;
    let available: Vec<u64> = candidates.iter().map(EligibleRows::available).collect();
    let targets = targets(shares, &available, total)?;
    let drawn = candidates.iter().zip(targets).map(|(candidates, target)| draw(candidates, target));
    Ok(Mixture { shares: drawn.collect::<Result<_, _>>()? })
}

fn draw<R: Rows + ?Sized>(candidates: &EligibleRows<'_, R>, target: Target) -> Result<DrawnShare, MixError> {
    let (share, available, asked) = (candidates.share(), candidates.available(), target.asked);
    if target.whole_units > 0 && available == 0 && !share.eligible.is_empty() {
        return Err(MixError::NothingOfUnit { name: share.name.clone(), unit: share.unit });
    }
    let is_put_back = share.replacement == Replacement::With && share.law != Law::All && share.stratify.is_none();
    let (is_short, (drawn, achieved)) = if is_put_back && available > 0 {
        check_repetitions(share, asked / available as f64)?;
        (false, replacement::draw(candidates, target.whole_units))
    } else {
        let epochs = epochs(share, target, available)?;
        (epochs.is_short, candidates.draw(epochs))
    };
    let difference = if is_short {
        Difference::Exhausted
    } else if (achieved as f64 - asked).abs() < 0.5 {
        Difference::None
    } else {
        Difference::Rounding
    };
    Ok(DrawnShare { drawn, asked, available, achieved, difference })
}
