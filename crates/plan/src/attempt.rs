//! Work on media that a process may not survive.

use manyframe_core::{Digest, Origin, Rejection, SourceIndex};
use manyframe_media::MediaError;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::decisions::unwanted::UnwantedPlace;
use crate::plan::PlannedSample;
use crate::reduction::LengthReduction;

/// Work that a process may not survive, described so that another one can try it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attempt {
    /// Reads the headers of a record's media.
    Measure {
        /// The source of the record.
        source: SourceIndex,
        /// Where the record is.
        origin: Origin,
    },
    /// Decodes a record's media, to compare them.
    Fingerprint {
        /// The source of the record.
        source: SourceIndex,
        /// Where the record is.
        origin: Origin,
        /// How it is shortened.
        reduction: LengthReduction,
    },
    /// Decodes what no sample may show.
    Exclude(UnwantedPlace),
    /// Makes a sample.
    Make(Box<PlannedSample>),
    /// Decodes the images of a sample of a finished dataset.
    Check {
        /// The path of its shard below the dataset.
        shard: String,
        /// The number of the sample in its shard, from 0.
        row: u64,
    },
}

/// How an attempt ended in a process of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What was attempted.
    pub attempt: Attempt,
    /// Why its record is rejected.
    pub rejection: Rejection,
}

impl Attempt {
    /// Equal for the same work on the same record or file. `source` is the name of its source.
    pub(crate) fn key(&self, source: &str) -> Digest {
        let (step, origin, more) = match self {
            Self::Measure { origin, .. } => ("measure", Some(origin), String::new()),
            Self::Fingerprint { origin, reduction, .. } => {
                ("fingerprint", Some(origin), serde_json::json!(reduction).to_string())
            }
            Self::Exclude(place) => ("exclude", None, place.to_string()),
            Self::Check { shard, row } => ("check", None, format!("{row} {shard}")),
            Self::Make(sample) => ("make", Some(&sample.origin), serde_json::json!(sample.reduction).to_string()),
        };
        let origin = serde_json::json!(origin).to_string();
        Digest::of_fields([step, source, &origin, &more].map(str::as_bytes))
    }

    /// The source of its record, and where the record is; `None` if it is about a file.
    pub(crate) fn record(&self) -> Option<(SourceIndex, &Origin)> {
        match self {
            Self::Measure { source, origin } | Self::Fingerprint { source, origin, .. } => Some((*source, origin)),
            Self::Make(sample) => Some((sample.source, &sample.origin)),
            Self::Exclude(_) | Self::Check { .. } => None,
        }
    }

    /// Whether it is about records or files that a pipeline file names.
    pub(crate) fn is_of_sources(&self) -> bool {
        !matches!(self, Self::Check { .. })
    }

    /// The name of the source of its record; empty if it is about a file.
    pub(crate) fn source_name(&self, context: &Context) -> String {
        self.record().map_or_else(String::new, |(source, _)| context.source(source).table.name.clone())
    }
}

/// Does work on media that may panic or end the process. `media` is the version of the media, and only asked for if the same
/// work was condemned before.
///
/// # Errors
///
/// Those of the work; a rejection if it panics or was condemned.
pub fn guarded<T>(
    context: &Context,
    attempt: impl Fn() -> Attempt,
    media: impl FnOnce() -> u64,
    work: impl FnOnce() -> Result<T, MediaError>,
) -> Result<T, MediaError> {
    let key = || {
        let attempt = attempt();
        attempt.key(&attempt.source_name(context))
    };
    match context.guard.verdict(key, media) {
        Some(rejection) => Err(MediaError::Rejected(rejection.clone())),
        None => context.guard.contain(|| serde_json::to_vec(&attempt()).ok(), work),
    }
}
