//! Decoders work on foreign bytes: what they may not survive is guarded here.
//!
//! ```text
//! a panic                    contained; a reject
//! the end of the process     what its threads were working on is in flight in a file that whoever started it reads;
//!                            each piece of it is an `Attempt`, which can be tried again in a process of its own
//! dies in that, too          condemned: a reject from then on, kept in WORK/crashes.json, until its media change
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyframe_base::in_flight::InFlight;
use manyframe_base::{FileError, write_json};
use manyframe_core::{Digest, Origin, RejectCode, Rejection, SourceIndex, contained};
use manyframe_media::MediaError;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

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
    /// Decodes a file that no sample may show.
    Exclude(PathBuf),
    /// Makes a sample.
    Make(Box<PlannedSample>),
}

/// How an attempt ended in a process of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What was attempted.
    pub attempt: Attempt,
    /// Why its record is rejected.
    pub rejection: Rejection,
}

/// Guards the work of one process.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    in_flight: Option<Arc<InFlight>>,
    condemned: FxHashMap<Digest, Condemned>,
}

/// A record, or a file, that a decoder did not survive.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Condemned {
    key: Digest,
    /// The version of its media: others are tried.
    media: u64,
    rejection: Rejection,
}

impl Guard {
    /// What is condemned in a work directory. A damaged list is forgotten: its records are tried again.
    pub(crate) fn of_work(work: &Path) -> Self {
        let path = crashes_path(work);
        if !path.is_file() {
            return Self::default();
        }
        let list = std::fs::read(&path).map_err(|error| error.to_string());
        let list = list.and_then(|text| serde_json::from_slice::<Vec<Condemned>>(&text).map_err(|e| e.to_string()));
        let list = list.unwrap_or_else(|error| {
            tracing::warn!(list = %path.display(), %error, "a damaged list of crashes is forgotten; records are tried again");
            Vec::new()
        });
        Self { in_flight: None, condemned: list.into_iter().map(|condemned| (condemned.key, condemned)).collect() }
    }

    /// From now on, what threads work on is noted.
    pub(crate) fn note_work(&mut self, in_flight: Arc<InFlight>) {
        self.in_flight = Some(in_flight);
    }

    /// Rejects the work of this key on this version of its media.
    pub(crate) fn condemn(&mut self, key: Digest, media: u64, rejection: Rejection) {
        self.condemned.insert(key, Condemned { key, media, rejection });
    }

    /// Keeps what is condemned for later builds.
    pub(crate) fn save(&self, work: &Path) -> Result<(), FileError> {
        let mut list: Vec<&Condemned> = self.condemned.values().collect();
        list.sort_by_key(|condemned| condemned.key);
        write_json(&crashes_path(work), &list).map(drop)
    }

    /// Why the work is rejected, if its process did not survive it. `media` is the version of its media.
    pub(crate) fn verdict(&self, key: impl FnOnce() -> Digest, media: impl FnOnce() -> u64) -> Option<&Rejection> {
        if self.condemned.is_empty() {
            return None;
        }
        let condemned = self.condemned.get(&key())?;
        (condemned.media == media()).then_some(&condemned.rejection)
    }

    /// Does work that may panic or end the process.
    pub(crate) fn contain<T>(
        &self,
        attempt: impl FnOnce() -> Attempt,
        work: impl FnOnce() -> Result<T, MediaError>,
    ) -> Result<T, MediaError> {
        let _entered = self.in_flight.as_ref().and_then(|in_flight| {
            // What cannot be described cannot be tried again; nothing keeps it from being done.
            serde_json::to_vec(&attempt()).ok().map(|description| in_flight.enter(&description))
        });
        contained(work).unwrap_or_else(|panic| {
            Err(MediaError::rejected(RejectCode::MediaCorrupt, format!("a decoder panicked: {panic}")))
        })
    }
}

impl Attempt {
    /// Equal for the same work on the same record or file. `source` is the name of its source.
    pub(crate) fn key(&self, source: &str) -> Digest {
        let (step, origin, more) = match self {
            Self::Measure { origin, .. } => ("measure", Some(origin), String::new()),
            Self::Fingerprint { origin, reduction, .. } => {
                ("fingerprint", Some(origin), serde_json::json!(reduction).to_string())
            }
            Self::Exclude(path) => ("exclude", None, path.display().to_string()),
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
            Self::Exclude(_) => None,
        }
    }
}

/// Where a work directory lists what decoders did not survive.
pub fn crashes_path(work: &Path) -> PathBuf {
    work.join("crashes.json")
}
