//! Why shares cannot be mixed: mistakes in a pipeline file, each with the values that cause it.

use super::law::{MAX_REPETITIONS, Unit};

/// Why there is no mixture.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MixError {
    /// A weight or factor is negative, infinite or not a number.
    #[error("source {name:?} has a factor or weight of {value}, which must be finite and at least 0")]
    Factor {
        /// The source.
        name: String,
        /// The weight or factor.
        value: f64,
    },
    /// The weights add up to zero or to infinity.
    #[error("the weights add up to {sum}")]
    Weights {
        /// Their sum.
        sum: f64,
    },
    /// Weighted sources differ in their unit. They share one total, which has one unit.
    #[error("source {name:?} is weighted in {found}, but the sources before it in {expected}", found = .found.as_str(), expected = .expected.as_str())]
    Units {
        /// The source.
        name: String,
        /// Its unit.
        found: Unit,
        /// The unit of the first weighted source.
        expected: Unit,
    },
    /// A weighted source has nothing to draw, so the largest total is 0.
    #[error("source {name:?} has a weight but no {unit}, so the total would be 0", unit = .unit.as_str())]
    Empty {
        /// The source.
        name: String,
        /// The unit of the weighted sources.
        unit: Unit,
    },
    /// A source is drawn in a unit that none of its records has: all of them would be drawn without getting any closer.
    #[error("source {name:?} has records but no {unit}, and is asked for {unit}", unit = .unit.as_str())]
    NothingOfUnit {
        /// The source.
        name: String,
        /// Its unit.
        unit: Unit,
    },
    /// A source with `on_exhausted = "error"` has less than requested.
    #[error("source {name:?} has {available} {unit}, but is asked for {asked}", unit = .unit.as_str())]
    Exhausted {
        /// The source.
        name: String,
        /// Its unit.
        unit: Unit,
        /// Units requested of it.
        asked: f64,
        /// Units that it has.
        available: u64,
    },
    /// A source would be repeated more than [`MAX_REPETITIONS`] times.
    #[error("source {name:?} would be repeated {needed:.1} times, at most {MAX_REPETITIONS} are allowed")]
    Repetitions {
        /// The source.
        name: String,
        /// Epochs of the source that the law requires.
        needed: f64,
    },
    /// The total is far beyond what the weighted sources have.
    #[error("a total of {total} is more than {MAX_REPETITIONS} times the {available} {unit} of the weighted sources", unit = .unit.as_str())]
    TotalTooLarge {
        /// The total.
        total: u64,
        /// What they have together.
        available: u64,
        /// Their unit.
        unit: Unit,
    },
    /// A share names a row that does not exist.
    #[error("source {name:?} names row {row}, but there are {num_rows} rows")]
    NoSuchRow {
        /// The source.
        name: String,
        /// The row.
        row: usize,
        /// How many rows there are.
        num_rows: usize,
    },
    /// The numbers of strata and of eligible rows differ.
    #[error("source {name:?} has {num_eligible} eligible rows but strata for {num_strata}")]
    Strata {
        /// The source.
        name: String,
        /// Its eligible rows.
        num_eligible: usize,
        /// Rows for which it has a stratum.
        num_strata: usize,
    },
}
