//! Needles in haystacks: which of its options a model finds likeliest, by length of the haystack and depth of the needle.
//!
//! ```text
//! questions ─ NeedleRun ─▶ a tree of prompts, every shared beginning run once ─ Scorer ─▶ QuestionMeasure … ─▶ NeedleReport
//! ```
//!
//! Every option is forced on the model after the prompt, and the likeliest one is its answer; nothing is generated. Each question is
//! asked twice: with its visuals, and as text alone, where whoever is right more often than by chance reads the answer out of the
//! text.

mod chance;
mod measure;
mod question;
mod report;
mod run;
mod scorer;
mod table;
mod tree;

pub use chance::{ChanceBounds, chance_bounds};
pub use measure::{OptionScores, QuestionMeasure};
pub use question::{Cell, NeedleSample, OptionPrompt, QuestionFacts, QuestionImage};
pub use report::{CellMeasures, ControlMeasures, NeedleMeasures, NeedleReport};
pub use run::{NeedleRun, NeedleUsage, QuestionSource};
pub use scorer::Scorer;
pub use table::{needle_table_schema, write_needle_table};
