//! Why shares cannot be mixed: mistakes in a pipeline file, each with the values that show it.

use super::{MAX_REPETITIONS, Unit};

/// Why there is no mixture.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MixError {
    /// A weight or factor that is none.
    #[error("source {name:?} has a factor or weight of {value}, which must be finite and at least 0")]
    Factor {
        /// The source.
        name: String,
        /// The weight or factor.
        value: f64,
    },
    /// Weights that add up to nothing, or to infinity.
    #[error("the weights add up to {sum}")]
    Weights {
        /// Their sum.
        sum: f64,
    },
    /// Weights are shares of one total, which has one unit.
    #[error("source {name:?} is weighted in {found}, the sources before it in {expected}", found = .found.as_str(), expected = .expected.as_str())]
    Units {
        /// The source.
        name: String,
        /// Its unit.
        found: Unit,
        /// The unit of the first weighted source.
        expected: Unit,
    },
    /// A source without anything to draw makes the largest total zero.
    #[error("source {name:?} has a weight but no {unit}, so that the total would be 0", unit = .unit.as_str())]
    Empty {
        /// The source.
        name: String,
        /// The unit of the weighted sources.
        unit: Unit,
    },
    /// Something is asked of records that have none of it: all of them would be drawn and nothing be achieved.
    #[error("source {name:?} has records, but no {unit}; it is asked for in {unit}", unit = .unit.as_str())]
    NothingOfUnit {
        /// The source.
        name: String,
        /// Its unit.
        unit: Unit,
    },
    /// A source with `on_exhausted = "error"` has less than was asked.
    #[error("source {name:?} has {available} {unit}, {asked} are asked", unit = .unit.as_str())]
    Exhausted {
        /// The source.
        name: String,
        /// Its unit.
        unit: Unit,
        /// Units asked for.
        asked: f64,
        /// Units it has.
        available: u64,
    },
    /// A source would be repeated more than [`MAX_REPETITIONS`] times.
    #[error("source {name:?} would be repeated {needed:.1} times, at most {MAX_REPETITIONS} are allowed")]
    Repetitions {
        /// The source.
        name: String,
        /// Passes over the source that the law asks for.
        needed: f64,
    },
    /// A total far beyond what there is.
    #[error("a total of {total} is more than {MAX_REPETITIONS} times the {available} {unit} of the weighted sources", unit = .unit.as_str())]
    TotalTooLarge {
        /// The total.
        total: u64,
        /// What they have together.
        available: u64,
        /// Their unit.
        unit: Unit,
    },
    /// A share names a row that is not there.
    #[error("source {name:?} names row {row} of {num_rows}")]
    NoSuchRow {
        /// The source.
        name: String,
        /// The row.
        row: usize,
        /// How many rows there are.
        num_rows: usize,
    },
    /// Strata and eligible rows do not correspond.
    #[error("source {name:?} has {num_eligible} eligible rows but strata for {num_strata}")]
    Strata {
        /// The source.
        name: String,
        /// Its rows.
        num_eligible: usize,
        /// Its strata.
        num_strata: usize,
    },
}
