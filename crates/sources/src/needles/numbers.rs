//! Options that are numbers, of which no rule on the text alone tells the right one.
//!
//! **Invariant:** of equal options, each is the right one equally often.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::chance::Chance;

/// The right one of some numbers, and the wrong ones, which have one row with it: a row of `num_options` is drawn first, and then the
/// right number in it. Without options, the right one alone. `None` if there are fewer numbers than options.
pub(crate) fn right_and_wrong(
    chance: &Chance,
    possible: RangeInclusive<u32>,
    num_options: u32,
) -> Option<(u32, Vec<u32>)> {
    let (least, most) = possible.into_inner();
    let num_possible = (most + 1).checked_sub(least)?;
    let in_row = if num_options == 0 { num_possible } else { num_options };
    let first = least + chance.number("first", num_possible.checked_sub(in_row)? + 1);
    let right = first + chance.number("number", in_row);
    let wrong = (first..first + num_options).filter(|&other| other != right);
    Some((right, wrong.collect()))
}

/// The wrong places beside the right one: those that are right in other questions. The error says what the places of a grid, one of
/// each depth, lack.
pub(crate) fn other_places(
    chance: &Chance,
    (places, right): (&[u32], u32),
    num_options: u32,
) -> Result<Vec<u32>, String> {
    let others: BTreeSet<u32> = places.iter().copied().filter(|&place| place != right).collect();
    if num_options > 0 && (others.len() + 1 < places.len() || others.len() + 1 < num_options as usize) {
        return Err(format!(
            "has {} places for {} depths and {num_options} options: each depth needs a place of its own, and so does each option",
            others.len() + 1,
            places.len()
        ));
    }
    let others: Vec<u32> = others.into_iter().collect();
    let order = chance.order("others", others.len()).into_iter();
    let in_order = order.filter_map(|number| others.get(number).copied());
    Ok(in_order.take(num_options.saturating_sub(1) as usize).collect())
}
