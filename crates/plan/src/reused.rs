//! What a plan reuses of earlier builds, and why it makes the rest: plain data.

use std::collections::{BTreeMap, BTreeSet};

use manyframe_core::RecordId;
use manyframe_dataset::SampleLocation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A sample that an earlier build made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReusedSample {
    /// Its id there; that of another repetition of the same record, if this one was not delivered.
    pub id: RecordId,
    /// Where it is.
    #[serde(flatten)]
    pub location: SampleLocation,
    /// How many frames of its videos are missing or damaged, as its ledger says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

/// Why a sample is made and not reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MadeBecause {
    /// There is no dataset to reuse samples of, or it must not be used.
    NothingBefore,
    /// Another version of manyframe made the dataset.
    OtherVersion,
    /// The source is new.
    NewSource,
    /// Settings changed that samples of the source depend on.
    SettingsChanged,
    /// The dataset does not have the record.
    NewRecord,
    /// The media of the record were replaced, completed or restored.
    MediaChanged,
    /// It is not known of which versions of its media the sample was made.
    MediaUnknown,
    /// The shard that has the sample is not the one that the manifest names.
    ShardDamaged,
}

/// What is reused of a source, and what is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceReuse {
    /// The source.
    pub source: String,
    /// Number of samples that are reused.
    pub num_reused: u64,
    /// Samples that are made, by reason.
    pub made: BTreeMap<MadeBecause, MadeSamples>,
    /// The settings that changed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub changed_settings: BTreeSet<String>,
}

/// Samples that are made for one reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MadeSamples {
    /// How many.
    pub num_samples: u64,
    /// The medium that changed of the first of them, or its record.
    pub example: String,
}

impl SourceReuse {
    /// Counts a sample that is reused, or made for a reason; `example` is asked for the first of each reason.
    pub(crate) fn count(&mut self, because: Option<MadeBecause>, example: impl FnOnce() -> String) {
        let Some(because) = because else {
            self.num_reused += 1;
            return;
        };
        let made = self.made.entry(because).or_default();
        if made.num_samples == 0 {
            made.example = example();
        }
        made.num_samples += 1;
    }
}
