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
use manyframe_core::{Digest, RejectCode, Rejection, contained};
use manyframe_media::MediaError;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

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
        describe: impl FnOnce() -> Option<Vec<u8>>,
        work: impl FnOnce() -> Result<T, MediaError>,
    ) -> Result<T, MediaError> {
        // What cannot be described cannot be tried again; nothing keeps it from being done.
        let in_flight = self.in_flight.as_ref();
        let _entered = in_flight.and_then(|in_flight| describe().map(|description| in_flight.enter(&description)));
        contained(work).unwrap_or_else(|panic| {
            Err(MediaError::rejected(RejectCode::MediaCorrupt, format!("a decoder panicked: {panic}")))
        })
    }
}

/// Where a work directory lists what decoders did not survive.
pub fn crashes_path(work: &Path) -> PathBuf {
    work.join("crashes.json")
}
