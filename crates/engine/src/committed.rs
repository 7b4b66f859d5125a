//! What a commit may do, and its dataset, as commands report it: published, or kept back with the reason.

use std::path::PathBuf;

use manyframe_core::Digest;
use manyframe_dataset::{Manifest, WorkDone};
use manyframe_transfer::Uploaded;

/// What a commit may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CommitOptions {
    /// Publishes a dataset that lacks more records than its pipeline file allows, has no samples, or was not compared with all that no
    /// sample may show. Default: it stays where it was assembled.
    pub accepts_rejects: bool,
    /// Replaces a dataset of another name. Default: an error.
    pub replaces_other_name: bool,
    /// Publishes at a URL although an upload of another dataset to it is not finished. Default: an error.
    pub takes_over: bool,
}

/// A dataset that was committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Committed {
    /// Where it is: a directory or a URL.
    pub dataset: PathBuf,
    /// What it is made of.
    pub manifest: Manifest,
    /// Digest of its `manifest.json`, which identifies it.
    pub manifest_digest: Digest,
    /// What the build did, and what it reused.
    pub work: WorkDone,
    /// What was done at its store, if it went to one.
    pub uploaded: Option<Uploaded>,
}
