//! The account of a source: how many records were seen, drawn and delivered.

use std::collections::BTreeMap;
use std::fmt;

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
    /// How many of those are repetitions, beyond the first delivery of a record; absent if none is.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub num_rejected_repeats: u64,
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
    /// Records drawn with fewer frames, tiles or pixels than they have, so that they fit the length limit.
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
    /// If it replays a dataset, the sources of that of which something is delivered, in the order of its pipeline file. Absent in
    /// datasets of earlier versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replayed: Vec<ReplayedSource>,
    /// Records left out because another one has the same text or images.
    pub num_duplicates: u64,
    /// Records that could have been drawn, but were not.
    pub num_not_drawn: u64,
    /// What was delivered.
    pub delivered: Total,
    /// The share of its records that may be rejected; absent if there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rejects: Option<f64>,
}

/// A source of a dataset that is replayed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReplayedSource {
    /// Its name in that dataset.
    pub name: String,
    /// The licenses that hold for its samples there, each once. One that is not stated is empty.
    pub licenses: Vec<String>,
    /// What is delivered of it.
    pub delivered: Total,
}

impl ReplayedSource {
    pub(crate) fn licenses(&self) -> impl Iterator<Item = &str> {
        self.licenses.iter().map(String::as_str)
    }
}

/// How a source lost more than its pipeline file allows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Excess {
    /// It was asked for records and delivers none of this many.
    Nothing {
        /// Records seen.
        num_seen: u64,
        /// Those of them that other records, of this source or of one before it, are the same as.
        num_duplicates: u64,
    },
    /// It delivers none, because less than half a record of these is asked for.
    RoundedToNothing {
        /// Records that could be drawn.
        num_available: u64,
    },
    /// Annotation files that could not be read to their end. How many records they have is unknown, and so is their share.
    IncompleteFiles {
        /// How many there are.
        num_files: u64,
    },
    /// Too many of its records were rejected.
    Rejected {
        /// How many.
        num_rejected: u64,
        /// Of how many: those seen that `where` does not leave out, and that are no duplicates.
        num_records: u64,
        /// The share that is allowed.
        allowed: f64,
    },
    /// Too many of the samples that were drawn were rejected while they were made.
    Undelivered {
        /// How many.
        num_rejected: u64,
        /// Of how many.
        num_drawn: u64,
        /// The share that is allowed.
        allowed: f64,
    },
}

impl Excess {
    /// What to do about it, where that is special; empty elsewhere.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Nothing { num_duplicates: 1.., .. } => {
                ", of a source before it perhaps; leave one of them out, or set [duplicates] remove = \"nothing\""
            }
            _ => "",
        }
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |part: u64, whole: u64, allowed: f64| {
            let percent = 100.0 * part as f64 / whole as f64;
            format!("({percent:.2} %), max_rejects allows {} %", (10_000.0 * allowed).round() / 100.0)
        };
        match *self {
            Self::Nothing { num_seen: 0, .. } => f.write_str("it has no records"),
            Self::Nothing { num_seen, num_duplicates } => {
                write!(f, "it delivers none of its {num_seen} records")?;
                if num_duplicates > 0 { write!(f, ": {num_duplicates} are duplicates") } else { Ok(()) }
            }
            Self::RoundedToNothing { num_available } => write!(
                f,
                "it delivers none of {num_available} records: what is asked of it comes to less than half a record"
            ),
            Self::IncompleteFiles { num_files: 1 } => f.write_str("an annotation file is incomplete"),
            Self::IncompleteFiles { num_files } => write!(f, "{num_files} annotation files are incomplete"),
            Self::Rejected { num_rejected, num_records, allowed } => {
                let share = share(num_rejected, num_records, allowed);
                write!(f, "{num_rejected} of {num_records} records {} rejected {share}", is_or_are(num_rejected))
            }
            Self::Undelivered { num_rejected, num_drawn, allowed } => {
                let share = share(num_rejected, num_drawn, allowed);
                let verb = is_or_are(num_rejected);
                write!(f, "{num_rejected} of {num_drawn} samples drawn {verb} rejected while decoding {share}")
            }
        }
    }
}

fn is_or_are(number: u64) -> &'static str {
    if number == 1 { "is" } else { "are" }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl SourceBudget {
    /// Records left out as duplicates.
    pub fn num_duplicates(&self) -> u64 {
        self.after_filters.num_samples.saturating_sub(self.available.num_samples)
    }

    /// Deliveries of a record beyond its first.
    pub fn num_repeats(&self) -> u64 {
        // A manifest that was read may hold any numbers.
        self.drawn.num_samples.saturating_sub(self.num_drawn)
    }

    /// Records rejected as the pipeline file asks: by the source's own filters, and by decontamination. The others are faulty.
    fn num_left_out(&self) -> u64 {
        [RejectCode::Filtered, RejectCode::Excluded].iter().filter_map(|code| self.rejected.get(code)).sum()
    }

    /// Records that `where` left out, before anything else of them was looked at. What the other filters and decontamination leave out
    /// was read and measured, and is sound.
    fn num_not_looked_at(&self) -> u64 {
        let number = |code: RejectCode| self.rejected.get(&code).copied().unwrap_or(0);
        let num_measured = self.readable.num_samples.saturating_sub(self.after_filters.num_samples);
        let num_others = number(RejectCode::TooLong) + number(RejectCode::Excluded);
        number(RejectCode::Filtered).saturating_sub(num_measured.saturating_sub(num_others))
    }

    /// Whether the pipeline file asks for at least one record.
    fn is_asked(&self) -> bool {
        match self.asked.law {
            Law::All => true,
            Law::Take(units) => units > 0,
            Law::Weight(weight) => weight > 0.0,
            Law::Repeat(factor) => factor > 0.0,
        }
    }

    /// Whether it has records, and less than half of one is asked for.
    fn is_asked_for_too_little(&self) -> bool {
        self.available.num_samples > 0 && self.asked.amount.round() == 0.0
    }

    /// How it lost more than the share `allowed` of its records, if it did, where this many samples are delivered of those drawn.
    pub fn excess(&self, num_delivered: u64, allowed: f64) -> Option<Excess> {
        if allowed >= 1.0 {
            return None;
        }
        if num_delivered == 0 && self.is_asked() {
            return Some(if self.is_asked_for_too_little() {
                Excess::RoundedToNothing { num_available: self.available.num_samples }
            } else {
                Excess::Nothing { num_seen: self.num_seen, num_duplicates: self.num_duplicates() }
            });
        }
        if let Some(&num_files) = self.rejected.get(&RejectCode::IncompleteFile) {
            return Some(Excess::IncompleteFiles { num_files });
        }
        let is_over = |part: u64, whole: u64| part as f64 > allowed * whole as f64;
        // Of records: whoever repeats the good ones, or keeps a few of a large file, loses no smaller share.
        let num_sound = self.num_left_out() + self.num_rejected_repeats;
        let num_rejected = self.rejected.values().sum::<u64>().saturating_sub(num_sound);
        let num_records = self.num_seen.saturating_sub(self.num_not_looked_at() + self.num_duplicates());
        if is_over(num_rejected, num_records) {
            return Some(Excess::Rejected { num_rejected, num_records, allowed });
        }
        // A small draw from a large source: few of all records, and yet most of what was asked for.
        let num_drawn = self.drawn.num_samples;
        let num_rejected = num_drawn.saturating_sub(num_delivered);
        is_over(num_rejected, num_drawn).then_some(Excess::Undelivered { num_rejected, num_drawn, allowed })
    }
}

impl SourceSummary {
    /// Records rejected for any reason.
    pub fn num_rejected(&self) -> u64 {
        self.budget.rejected.values().sum()
    }

    /// How it lost more than its pipeline file allows, if it did.
    pub fn excess(&self) -> Option<Excess> {
        self.budget.excess(self.delivered.num_samples, self.max_rejects?)
    }

    /// Whether every record seen has one outcome.
    pub fn adds_up(&self) -> bool {
        let outcomes = self.num_rejected() + self.num_duplicates + self.num_not_drawn + self.delivered.num_samples;
        outcomes == self.budget.num_seen.saturating_add(self.budget.num_repeats())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(num_seen: u64, num_drawn: u64, rejected: &[(RejectCode, u64)]) -> SourceBudget {
        let total = |num_samples| Total { num_samples, ..Total::default() };
        let num_rejected: u64 = rejected.iter().map(|(_, count)| count).sum();
        SourceBudget {
            num_seen,
            rejected: rejected.iter().copied().collect(),
            after_filters: total(num_seen - num_rejected),
            available: total(num_seen - num_rejected),
            asked: Asked { amount: num_drawn as f64, drawn: num_drawn, ..Asked::default() },
            num_drawn,
            drawn: total(num_drawn),
            ..SourceBudget::default()
        }
    }

    #[test]
    fn what_the_file_leaves_out_is_no_loss_and_hides_none() {
        let mut left_out =
            budget(185, 10, &[(RejectCode::Filtered, 85), (RejectCode::Excluded, 25), (RejectCode::MediaMissing, 5)]);
        // All were left out by `where`.
        left_out.readable.num_samples = 95;
        assert_eq!(left_out.excess(10, 0.05), None);
        let excess = Excess::Rejected { num_rejected: 5, num_records: 100, allowed: 0.04 };
        assert_eq!(left_out.excess(10, 0.04), Some(excess));
        assert_eq!(excess.to_string(), "5 of 100 records are rejected (5.00 %), max_rejects allows 4 %");
        // All were read and measured: whether the other five would have passed the filter, nobody knows.
        left_out.readable.num_samples = 180;
        let excess = Excess::Rejected { num_rejected: 5, num_records: 185, allowed: 0.02 };
        assert_eq!((left_out.excess(10, 0.03), left_out.excess(10, 0.02)), (None, Some(excess)));
    }

    #[test]
    fn duplicates_and_repetitions_hide_no_loss() {
        let mut source = budget(110, 10, &[(RejectCode::MediaMissing, 5)]);
        source.after_filters.num_samples = 105;
        source.available.num_samples = 5;
        let excess = Some(Excess::Rejected { num_rejected: 5, num_records: 10, allowed: 0.05 });
        assert_eq!(source.excess(10, 0.05), excess);
        // A record of ten cannot be decoded; each is drawn twenty times.
        let mut source = budget(10, 10, &[]);
        source.drawn.num_samples = 200;
        source.rejected = [(RejectCode::MediaCorrupt, 20)].into();
        source.num_rejected_repeats = 19;
        let excess = Some(Excess::Rejected { num_rejected: 1, num_records: 10, allowed: 0.05 });
        assert_eq!(source.excess(180, 0.05), excess);
        assert_eq!(source.excess(180, 0.1), None);
    }

    #[test]
    fn a_small_draw_that_is_lost_is_not_hidden_by_a_large_source() {
        assert_eq!(budget(10_000, 10, &[]).excess(10, 0.05), None);
        let excess = Excess::Undelivered { num_rejected: 6, num_drawn: 10, allowed: 0.05 };
        assert_eq!(budget(10_000, 10, &[]).excess(4, 0.05), Some(excess));
    }

    #[test]
    fn no_share_allows_an_incomplete_file_or_no_sample_but_all() {
        let incomplete = budget(1_000, 999, &[(RejectCode::IncompleteFile, 1)]);
        assert_eq!(incomplete.excess(999, 0.9), Some(Excess::IncompleteFiles { num_files: 1 }));
        assert_eq!(incomplete.excess(999, 1.0), None);
        for num_seen in [0, 7] {
            let nothing = budget(num_seen, 0, &[(RejectCode::MediaMissing, num_seen)]);
            assert!(matches!(nothing.excess(0, 0.9), Some(Excess::Nothing { num_seen: seen, .. }) if seen == num_seen));
            assert_eq!(nothing.excess(0, 1.0), None);
        }
        let little = SourceBudget {
            asked: Asked { law: Law::Repeat(0.1), amount: 0.4, ..Asked::default() },
            ..budget(4, 0, &[])
        };
        assert_eq!(little.excess(0, 0.05), Some(Excess::RoundedToNothing { num_available: 4 }));
        let unasked = SourceBudget { asked: Asked { law: Law::Take(0), ..Asked::default() }, ..budget(7, 0, &[]) };
        assert_eq!(unasked.excess(0, 0.05), None);
    }
}
