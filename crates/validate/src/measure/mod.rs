//! What a validation measures: of each sample, of all of them, and what a policy makes of it.
//!
//! ```text
//! candidates ─ choose ─▶ samples by length ─ Run ─▶ SampleMeasure … ─ Report ─▶ Policy ─▶ pass, warn, fail
//! ```
//!
//! Measures judge nothing: limits are in the policy.

mod choose;
mod forecast;
mod policy;
mod report;
mod run;
mod sample;
mod table;

pub use choose::{Candidate, Choice, choose};
pub use forecast::{Footprint, Forecast, forecast};
pub use policy::{Finding, Limit, Measure, Policy, Verdict};
pub use report::{Group, ModelFacts, Report, Stage, Stages};
pub use run::{Controls, Meter, Run, RunOptions, SampleSource};
pub use sample::{Answer, ControlLosses, POSITION_BOUNDS, PositionLoss, SampleMeasure};
pub use table::{table_schema, write_table};
