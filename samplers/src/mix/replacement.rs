//! Draws with replacement: every draw is from all records of a source, so that one comes again before another came once.
//!
//! ```text
//! record ──(seed, id, n)──▶ n-th arrival, an exponential time after the one before ─┐
//!                              arrivals of all records, in the order of their times ─┴─▶ a prefix is drawn
//! ```
//!
//! Arrivals of rate 1 at each record are, in the order of time, independent and uniform draws of a record: those of many
//! Poisson processes are those of one, each of which belongs to any of them alike. A record's times depend on its id alone, so
//! that a larger draw keeps a smaller one, and a record that is added or removed changes no other's.

use manyframe_core::{IndexRow, rank};

use super::{Drawn, Share};

/// An arrival of a record.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Arrival {
    time: f64,
    drawn: Drawn,
    amount: u64,
}

/// The drawn records, ascending, and their units: as many as fit into `target`, of the `available` units, of which there are some.
pub(super) fn draw(rows: &[IndexRow], share: &Share, available: u64, target: u64) -> (Vec<Drawn>, u64) {
    // About as much arrives as is asked for; a little more time, and it is all there.
    let mut horizon = 1.05 * target as f64 / available as f64 + 1e-3;
    loop {
        let mut arrivals = arrivals_until(rows, share, horizon);
        let arrived = arrivals.iter().fold(0u64, |sum, arrival| sum.saturating_add(arrival.amount));
        if arrived <= target {
            horizon *= 1.5;
            continue;
        }
        let id = |arrival: &Arrival| rows.get(arrival.drawn.row).map(|row| row.id);
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

fn arrivals_until(rows: &[IndexRow], share: &Share, horizon: f64) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    for &row in &share.eligible {
        let Some(record) = rows.get(row) else { continue };
        let amount = share.unit.amount(record);
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

/// A uniform number as one that is distributed as the time between arrivals at rate 1.
fn exponential(uniform: u64) -> f64 {
    const BITS: u32 = 53;
    let above_zero = ((uniform >> (u64::BITS - BITS)) + 1) as f64 / (1u64 << BITS) as f64;
    // The logarithm of the standard library is that of the machine's C library.
    -libm::log(above_zero)
}
