//! `needles.jsonl`: what the samples of an evaluation set ask, a line for each, so that whoever scores answers needs no sources.

use std::path::Path;

use manyframe_core::{Digest, NeedleQuestion, RecordId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::DatasetError;

/// The file's name.
pub const NEEDLES_FILE: &str = "needles.jsonl";

/// The file with the questions of evaluation sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NeedlesEntry {
    /// Path below the dataset's directory.
    pub path: String,
    /// BLAKE3 digest of the file.
    pub digest: Digest,
    /// Number of lines: samples of evaluation sets.
    pub num_samples: u64,
}

/// A line: a sample, and what it asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NeedleEntry {
    /// The sample, as in the ledger and in shards.
    pub sample: RecordId,
    /// Its source in the pipeline file.
    pub source: String,
    /// What it asks.
    #[serde(flatten)]
    pub question: NeedleQuestion,
}

/// The lines of a file.
pub(crate) fn read_needles(path: &Path, text: &[u8]) -> Result<Vec<NeedleEntry>, DatasetError> {
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let entry = |(number, line)| {
        serde_json::from_slice(line).map_err(|error| DatasetError::damaged(path, format!("line {number}: {error}")))
    };
    (1..).zip(lines).map(entry).collect()
}
