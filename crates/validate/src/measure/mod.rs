//! What a validation measures, of each sample and of all of them, and the verdict of a policy on it.
//!
//! ```text
//! candidates ─ choose ─▶ samples by length ─ ValidationRun ─▶ SampleMeasure … ─ Report + Policy ─▶ pass, warn, fail
//! ```
//!
//! Measures do not judge; only the policy has limits.

mod choose;
mod forecast;
mod journal;
mod policy;
mod report;
mod run;
mod sample;
mod table;

pub use choose::{SampleCandidate, SampleChoice, choose};
pub use forecast::{Footprint, MemoryForecast, forecast};
pub(crate) use journal::Journal;
pub use policy::{Finding, Limit, LimitedMeasure, Policy, Verdict};
pub use report::{
    GroupMeasures, ModelFacts, PositionMeasures, Report, ReportContext, RunUsage, StageUsage, TableEntry,
};
pub use run::{Controls, Meter, RunOptions, SampleSource, ValidationRun, batches};
pub use sample::{ControlLosses, LossSum, POSITION_BOUNDS, SampleMeasure};
pub use table::{table_schema, write_table};
