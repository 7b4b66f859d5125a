//! From laws to targets: how many units each share must provide, and in how many epochs of it.
//!
//! It looks at what the sources have in total, never at a single record.

use super::error::MixError;
use super::fair_sequence::FairSequence;
use super::law::{Law, MAX_REPETITIONS, MixTotal, OnExhausted, SourceShare, Unit};

/// The amount requested of a share, in its unit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    /// As the law says. It need not be a whole number.
    pub(super) asked: f64,
    /// As it is drawn.
    pub(super) whole_units: u64,
}

/// A target as epochs of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epochs {
    /// How often every record is drawn.
    pub(super) num_whole: u32,
    /// Units of the prefix that is drawn once more. Less than the source has.
    pub(super) rest: u64,
    /// Whether the source has less than was requested.
    pub(super) is_short: bool,
}

/// A weighted source, as far as its target depends on it.
struct WeightedSource<'a> {
    name: &'a str,
    weight: f64,
    available: u64,
}

impl Target {
    fn of_units(units: u64) -> Self {
        Self { asked: units as f64, whole_units: units }
    }
}

/// The target of each share, in order. `available` has the units of each.
pub(super) fn targets(shares: &[SourceShare], available: &[u64], total: MixTotal) -> Result<Vec<Target>, MixError> {
    let weighted = weighted_targets(shares, available, total)?;
    let mut weighted = weighted.into_iter();
    let target = |(share, &available): (&SourceShare, &u64)| match share.law {
        Law::All => Ok(Target::of_units(available)),
        Law::Take(units) => Ok(Target::of_units(units)),
        Law::Repeat(factor) => {
            let factor = checked_factor(share, factor)?;
            check_repetitions(share, factor)?;
            let asked = factor * available as f64;
            Ok(Target { asked, whole_units: asked.round() as u64 })
        }
        Law::Weight(_) => {
            #[expect(
                clippy::expect_used,
                reason = "there is one target for each share with a weight, in the same order"
            )]
            let target = weighted.next().expect("a target for each weight");
            Ok(target)
        }
    };
    shares.iter().zip(available).map(target).collect()
}

/// The epochs of a source with `available` units that come closest to a target.
pub(super) fn epochs(share: &SourceShare, target: Target, available: u64) -> Result<Epochs, MixError> {
    let once = Epochs { num_whole: 1, rest: 0, is_short: false };
    let units = target.whole_units;
    match share.law {
        Law::All => return Ok(once),
        Law::Repeat(factor) => return Ok(epochs_of_factor(factor, available)),
        Law::Take(_) | Law::Weight(_) => {}
    }
    if units < available || units == 0 {
        return Ok(Epochs { num_whole: 0, rest: units, is_short: false });
    }
    if units == available {
        return Ok(once);
    }
    match share.on_exhausted {
        OnExhausted::Error => {
            Err(MixError::Exhausted { name: share.name.clone(), unit: share.unit, asked: target.asked, available })
        }
        OnExhausted::Repeat if available > 0 => match u32::try_from(units / available) {
            Ok(num_whole) if num_whole < MAX_REPETITIONS => {
                Ok(Epochs { num_whole, rest: units % available, is_short: false })
            }
            _ => Err(MixError::Repetitions { name: share.name.clone(), needed: units as f64 / available as f64 }),
        },
        OnExhausted::Stop | OnExhausted::Repeat => Ok(Epochs { is_short: true, ..once }),
    }
}

/// Fails if drawing records this many times exceeds the limit.
pub(super) fn check_repetitions(share: &SourceShare, times: f64) -> Result<(), MixError> {
    if times > f64::from(MAX_REPETITIONS) {
        return Err(MixError::Repetitions { name: share.name.clone(), needed: times });
    }
    Ok(())
}

fn epochs_of_factor(factor: f64, available: u64) -> Epochs {
    let rest = (factor.fract() * available as f64).round() as u64;
    let (more, rest) = if rest >= available && factor.fract() > 0.5 { (1, 0) } else { (0, rest) };
    Epochs { num_whole: factor as u32 + more, rest, is_short: false }
}

fn checked_factor(share: &SourceShare, value: f64) -> Result<f64, MixError> {
    if !value.is_finite() || value < 0.0 {
        return Err(MixError::Factor { name: share.name.clone(), value });
    }
    Ok(value)
}

/// The targets of the shares that have a weight, in order.
fn weighted_targets(shares: &[SourceShare], available: &[u64], total: MixTotal) -> Result<Vec<Target>, MixError> {
    let mut unit = None;
    let mut weighted = Vec::new();
    for (share, &available) in shares.iter().zip(available) {
        let Law::Weight(weight) = share.law else { continue };
        let expected = *unit.get_or_insert(share.unit);
        if share.unit != expected {
            return Err(MixError::Units { name: share.name.clone(), found: share.unit, expected });
        }
        weighted.push(WeightedSource { name: &share.name, weight: checked_factor(share, weight)?, available });
    }
    let Some(unit) = unit else { return Ok(Vec::new()) };
    let sum: f64 = weighted.iter().map(|source| source.weight).sum();
    if !sum.is_normal() {
        return Err(MixError::Weights { sum });
    }
    check_total(&weighted, unit, total)?;
    Ok(match unit {
        Unit::Records => targets_in_records(&weighted, sum, total),
        Unit::Tokens | Unit::Images | Unit::Frames => targets_in_parts(&weighted, sum, total),
    })
}

fn check_total(weighted: &[WeightedSource<'_>], unit: Unit, total: MixTotal) -> Result<(), MixError> {
    let MixTotal::Units(total) = total else {
        let empty = weighted.iter().find(|source| source.weight > 0.0 && source.available == 0);
        return empty.map_or(Ok(()), |source| Err(MixError::Empty { name: source.name.to_owned(), unit }));
    };
    let available = weighted.iter().fold(0u64, |sum, source| sum.saturating_add(source.available));
    if total > available.saturating_mul(u64::from(MAX_REPETITIONS)) {
        return Err(MixError::TotalTooLarge { total, available, unit });
    }
    Ok(())
}

/// Whole records: the targets add up to the total, each is within one record of its share, and a larger total lowers none.
fn targets_in_records(weighted: &[WeightedSource<'_>], sum: f64, total: MixTotal) -> Vec<Target> {
    let most = if let MixTotal::Units(units) = total { units } else { u64::MAX };
    let weights: Vec<f64> = weighted.iter().map(|source| source.weight).collect();
    let mut counts: Vec<(u64, u64)> = weighted.iter().map(|source| (0, source.available)).collect();
    let mut num_records = 0;
    let mut sequence = FairSequence::new(&weights);
    while num_records < most
        && let Some(next) = sequence.next()
    {
        #[expect(clippy::indexing_slicing, reason = "a fair sequence yields positions of its weights, one per source")]
        let (count, available) = &mut counts[next];
        if total == MixTotal::Largest && count == available {
            break;
        }
        *count += 1;
        num_records += 1;
    }
    let asked = |source: &WeightedSource<'_>| num_records as f64 * (source.weight / sum);
    let counted = weighted.iter().zip(counts);
    counted.map(|(source, (count, _))| Target { asked: asked(source), whole_units: count }).collect()
}

/// Tokens, images, frames: draws are rounded to records anyway, so targets are only rounded down to whole units.
fn targets_in_parts(weighted: &[WeightedSource<'_>], sum: f64, total: MixTotal) -> Vec<Target> {
    let share = |source: &WeightedSource<'_>| source.weight / sum;
    let total = match total {
        MixTotal::Units(units) => units as f64,
        MixTotal::Largest => {
            let bounds = weighted.iter().filter(|source| source.weight > 0.0);
            bounds.map(|source| source.available as f64 / share(source)).fold(f64::INFINITY, f64::min).floor()
        }
    };
    let target = |source: &WeightedSource<'_>| {
        let asked = total * share(source);
        Target { asked, whole_units: asked as u64 }
    };
    weighted.iter().map(target).collect()
}
