//! `build.json`: facts about the build that differ between machines, kept apart from the manifest.

use std::collections::BTreeMap;

use manyframe_core::{Digest, HandledImages, HandledVideos};
use manyframe_storage::Storage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::DatasetError;

/// The file name of a dataset's build facts.
pub const BUILD_FACTS_FILE: &str = "build.json";

/// Facts about the build of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildFacts {
    /// Key of the plan.
    pub plan_key: Digest,
    /// Digest of its inputs: contents of annotations, and identities of media. By it, `verify` knows whether they changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs_digest: Option<Digest>,
    /// The variables that paths of the pipeline file begin with: where they are on the machine of the build.
    pub variables: BTreeMap<String, String>,
    /// Version of manyframe.
    pub manyframe_version: String,
    /// Digest of the settings in the manifest, without those of packs, which may be made again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings_digest: Option<Digest>,
    /// For each source, a digest of every setting that its samples depend on.
    pub source_settings_digests: BTreeMap<String, Digest>,
    /// What the build did.
    pub work: WorkDone,
}

/// What a build did, and what it reused of the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkDone {
    /// Annotation files, or parts of them, that were read.
    pub num_splits_read: u64,
    /// Annotation files, or parts of them, whose index already existed.
    pub num_splits_reused: u64,
    /// Samples that were made: read, decoded, encoded.
    pub num_samples_made: u64,
    /// Samples that were reused.
    pub num_samples_reused: u64,
    /// How the images of the samples that were made came to their bytes.
    #[serde(default)]
    pub images: HandledImages,
    /// What was delivered of their videos, if these are to be delivered as files.
    #[serde(default)]
    pub videos: HandledVideos,
}

impl BuildFacts {
    /// The facts of a dataset; `None` if it has none: nothing but reuse and paths of this machine depends on them.
    ///
    /// # Errors
    ///
    /// If they cannot be read, or are not what this version writes.
    pub fn read_from(storage: &dyn Storage) -> Result<Option<Self>, DatasetError> {
        if storage.num_bytes(BUILD_FACTS_FILE)?.is_none() {
            return Ok(None);
        }
        let text = storage.read(BUILD_FACTS_FILE)?;
        let facts = serde_json::from_slice(&text);
        facts.map(Some).map_err(|error| DatasetError::damaged(storage.location().join(BUILD_FACTS_FILE), error))
    }
}
