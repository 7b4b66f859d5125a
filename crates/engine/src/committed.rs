//! A finished dataset, as commands report it: published, or kept back with the reason.

use std::path::PathBuf;

use manyframe_core::Digest;
use manyframe_dataset::{Manifest, WorkDone};

/// A dataset that was committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Committed {
    /// Where it is.
    pub dataset: PathBuf,
    /// What it is made of.
    pub manifest: Manifest,
    /// Digest of its `manifest.json`, which identifies it.
    pub manifest_digest: Digest,
    /// What the build did, and what it reused.
    pub work: WorkDone,
}
