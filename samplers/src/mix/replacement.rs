//! Draws with replacement: every draw is from all records of a source, so a record can be drawn twice before another is
//! drawn once.
//!
//! ```text
//! record ──(seed, id, n)──▶ n-th arrival, an exponential time after the one before ─┐
//!                              arrivals of all records, in the order of their times ─┴─▶ a prefix is drawn
//! ```
//!
//! If each record has arrivals of rate 1, then in the order of time they are independent, uniform draws of a record: the
//! arrivals of many Poisson processes are those of one process, each of which belongs to any of the many with equal
//! probability. The times of a record depend on its id alone, so a larger draw keeps a smaller one, and a record that is
//! added or removed changes no other.

use manyframe_core::rank;

use super::candidates::EligibleRows;
use super::law::Drawn;
use crate::rows::Rows;

/// An arrival of a record.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Arrival {
    time: f64,
    drawn: Drawn,
    amount: u64,
}

/// How much longer than the expected time arrivals are collected, relative and absolute, so that a second round is rare.
/// The choice affects speed only.
const HORIZON_MARGIN: (f64, f64) = (1.05, 1e-3);

/// By how much the time grows for another round.
const HORIZON_GROWTH: f64 = 1.5;

/// The drawn records, ascending, and their units: as many as fit into `target`. The candidates must have some units.
pub(super) fn draw<R: Rows + ?Sized>(candidates: &EligibleRows<'_, R>, target: u64) -> (Vec<Drawn>, u64) {
    let (relative, absolute) = HORIZON_MARGIN;
    let mut horizon = relative * target as f64 / candidates.available() as f64 + absolute;
    loop {
        let mut arrivals = arrivals_until(candidates, horizon);
        let arrived = arrivals.iter().fold(0u64, |sum, arrival| sum.saturating_add(arrival.amount));
        if arrived <= target {
            horizon *= HORIZON_GROWTH;
            continue;
        }
        let id = |arrival: &Arrival| candidates.id(arrival.drawn.row);
        arrivals.sort_unstable_by(|a, b| a.time.total_cmp(&b.time).then_with(|| id(a).cmp(&id(b))));
        let mut achieved = 0u64;
        let fits = |arrival: &&Arrival| {
            let next = achieved.saturating_add(arrival.amount);
            let fits = next <= target;
            achieved = if fits { next } else { achieved };
            fits
        };
        let mut drawn: Vec<Drawn> = arrivals.iter().take_while(fits).map(|arrival| arrival.drawn).collect();
        drawn.sort_unstable();
        return (drawn, achieved);
    }
}

fn arrivals_until<R: Rows + ?Sized>(candidates: &EligibleRows<'_, R>, horizon: f64) -> Vec<Arrival> {
    let share = candidates.share();
    let mut arrivals = Vec::new();
    for (row, record) in candidates.rows() {
        let amount = share.unit.amount(&record);
        let mut time = 0.0;
        for repetition in 0.. {
            time += exponential(rank(share.seed, &format!("draw {repetition}"), record.id));
            if time > horizon {
                break;
            }
            arrivals.push(Arrival { time, drawn: Drawn { row, repetition }, amount });
        }
    }
    arrivals
}

/// Turns a uniform number into one that is distributed as the time between arrivals of rate 1.
fn exponential(uniform: u64) -> f64 {
    // The bits of a float's mantissa: the precision of a number between 0 and 1.
    const BITS: u32 = 53;
    let above_zero = ((uniform >> (u64::BITS - BITS)) + 1) as f64 / (1u64 << BITS) as f64;
    // The logarithm of the standard library is that of the machine's C library.
    -libm::log(above_zero)
}
