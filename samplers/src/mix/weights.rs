//! From weights and a total to the target of each weighted source. It does not look at single records.

use super::apportion::FairSequence;
use super::{Law, MAX_REPETITIONS, MixError, Share, Target, Total, Unit, checked_factor};

struct Weighted<'a> {
    name: &'a str,
    weight: f64,
    available: u64,
}

/// The targets of the shares that have a weight, in their order. `available` has one entry for each share.
pub(super) fn targets(shares: &[Share], available: &[u64], total: Total) -> Result<Vec<Target>, MixError> {
    let mut unit = None;
    let mut weighted = Vec::new();
    for (share, &available) in shares.iter().zip(available) {
        let Law::Weight(weight) = share.law else { continue };
        let expected = *unit.get_or_insert(share.unit);
        if share.unit != expected {
            return Err(MixError::Units { name: share.name.clone(), found: share.unit, expected });
        }
        weighted.push(Weighted { name: &share.name, weight: checked_factor(share, weight)?, available });
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

fn check_total(weighted: &[Weighted<'_>], unit: Unit, total: Total) -> Result<(), MixError> {
    let Total::Units(total) = total else {
        let empty = weighted.iter().find(|source| source.weight > 0.0 && source.available == 0);
        return empty.map_or(Ok(()), |source| Err(MixError::Empty { name: source.name.to_owned(), unit }));
    };
    let available = weighted.iter().fold(0u64, |sum, source| sum.saturating_add(source.available));
    if total > available.saturating_mul(u64::from(MAX_REPETITIONS)) {
        return Err(MixError::TotalTooLarge { total, available, unit });
    }
    Ok(())
}

/// Whole records: the targets add up to the total, each within one record of its share, and a larger total lowers none.
fn targets_in_records(weighted: &[Weighted<'_>], sum: f64, total: Total) -> Vec<Target> {
    let most = if let Total::Units(units) = total { units } else { u64::MAX };
    let weights: Vec<f64> = weighted.iter().map(|source| source.weight).collect();
    let mut counts = vec![0u64; weighted.len()];
    let mut num_records = 0;
    let mut sequence = FairSequence::new(&weights);
    while num_records < most {
        let Some(next) = sequence.next() else { break };
        let (Some(count), Some(source)) = (counts.get_mut(next), weighted.get(next)) else { break };
        if total == Total::Largest && *count == source.available {
            break;
        }
        *count += 1;
        num_records += 1;
    }
    let asked = |source: &Weighted<'_>| num_records as f64 * (source.weight / sum);
    weighted.iter().zip(counts).map(|(source, count)| Target { asked: asked(source), whole_units: count }).collect()
}

/// Tokens, images, frames: records do the rounding, so that targets are rounded down to whole units only.
fn targets_in_parts(weighted: &[Weighted<'_>], sum: f64, total: Total) -> Vec<Target> {
    let share = |source: &Weighted<'_>| source.weight / sum;
    let total = match total {
        Total::Units(units) => units as f64,
        Total::Largest => {
            let bounds = weighted.iter().filter(|source| source.weight > 0.0);
            bounds.map(|source| source.available as f64 / share(source)).fold(f64::INFINITY, f64::min).floor()
        }
    };
    let target = |source: &Weighted<'_>| {
        let asked = total * share(source);
        Target { asked, whole_units: asked as u64 }
    };
    weighted.iter().map(target).collect()
}
