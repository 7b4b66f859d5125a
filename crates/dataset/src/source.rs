//! The account of a source: how many records were seen, drawn and delivered.

use std::collections::BTreeMap;

use manyframe_core::{RejectCode, Total};
use manyframe_samplers::{Difference, Law, Unit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a source offers and what is drawn of it. A plan has it before samples are made, a manifest afterwards.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SourceBudget {
    /// Its name.
    pub name: String,
    /// Its reader.
    pub kind: String,
    /// Records seen; the pieces of a record that was split count one each.
    pub num_seen: u64,
    /// Those that are further pieces of a record that was split.
    pub num_pieces: u64,
    /// Records rejected, by reason. In a plan, those rejected before the draw; in a manifest all of them, and each repetition
    /// of a record counts.
    pub rejected: BTreeMap<RejectCode, u64>,
    /// Records that could be read and measured.
    pub readable: Total,
    /// Those that are short enough and pass the filters.
    pub after_filters: Total,
    /// Those that are no duplicates: what can be drawn.
    pub available: Total,
    /// What the pipeline file requests, and how much of it is drawn.
    pub asked: Asked,
    /// Records that are drawn at least once.
    pub num_drawn: u64,
    /// Records drawn with fewer frames or tiles than they have, so that they fit the length limit.
    pub num_shortened: u64,
    /// What is drawn, repetitions included.
    pub drawn: Total,
}

/// What the pipeline file asks of a source, and how far the draw meets it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Asked {
    /// The law.
    pub law: Law,
    /// In what it counts.
    pub unit: Unit,
    /// How much that is, in this unit.
    pub amount: f64,
    /// How much was drawn, in this unit.
    pub drawn: u64,
    /// Why the two differ.
    pub difference: Difference,
}

/// What happened to the records of a source, from those that were seen to those that were delivered.
///
/// # Invariants
///
/// Every record seen and every repetition of one is rejected, a duplicate, not drawn or delivered ([`Self::adds_up`]).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SourceSummary {
    /// What it offered and what was drawn.
    #[serde(flatten)]
    pub budget: SourceBudget,
    /// The license that the pipeline file states.
    pub license: String,
    /// Records left out because another one has the same text or images.
    pub num_duplicates: u64,
    /// Records that could have been drawn, but were not.
    pub num_not_drawn: u64,
    /// What was delivered.
    pub delivered: Total,
    /// The share of its records that may be rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rejects: Option<f64>,
}

impl SourceBudget {
    /// Records left out as duplicates.
    pub fn num_duplicates(&self) -> u64 {
        self.after_filters.num_samples - self.available.num_samples
    }

    /// Deliveries of a record beyond its first.
    pub fn num_repeats(&self) -> u64 {
        self.drawn.num_samples - self.num_drawn
    }
}

impl SourceSummary {
    /// Records rejected for any reason but the source's own filters, which are no fault of its data.
    pub fn num_faulty(&self) -> u64 {
        self.budget.rejected.iter().filter(|(code, _)| **code != RejectCode::Filtered).map(|(_, count)| count).sum()
    }

    /// Records rejected for any reason.
    pub fn num_rejected(&self) -> u64 {
        self.budget.rejected.values().sum()
    }

    /// Whether more of its records were rejected than its pipeline file allows.
    pub fn is_over_budget(&self) -> bool {
        self.max_rejects.is_some_and(|share| self.num_faulty() as f64 > share * self.budget.num_seen as f64)
    }

    /// Whether every record seen has one outcome.
    pub fn adds_up(&self) -> bool {
        let outcomes = self.num_rejected() + self.num_duplicates + self.num_not_drawn + self.delivered.num_samples;
        outcomes == self.budget.num_seen + self.budget.num_repeats()
    }
}
