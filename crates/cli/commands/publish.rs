//! Where the dataset of a build goes after it was built: to the URL of its pipeline file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use manyframe_base::Progress;
use manyframe_engine::{BuildOutcome, CommitOptions, EngineError};
use manyframe_pipeline::Pipeline;
use manyframe_storage::Storage;
use manyframe_transfer::{ReplacedUploads, Upload, UploadOptions, Uploaded};

use super::outcome;
use crate::output;
use crate::table::{bytes, plural};

/// Where a dataset goes.
pub(super) struct Destination {
    /// The URL; `None` if the dataset stays where it is built.
    remote: Option<Remote>,
}

struct Remote {
    url: PathBuf,
    storage: Arc<dyn Storage>,
    options: UploadOptions,
}

impl Destination {
    /// The destination of a pipeline. A store that does not answer, or has a dataset of another name there, is an error now, and
    /// not after hours of work.
    pub(super) fn open(pipeline: &Pipeline, commit: CommitOptions) -> Result<Self> {
        let Some(url) = pipeline.file.output.url() else { return Ok(Self { remote: None }) };
        let storage = pipeline.stores.storage(url)?;
        if !commit.replaces_other_name {
            manyframe_transfer::ensure_replaceable(&*storage, &pipeline.file.name)?;
        }
        let replaces_other_name = commit.replaces_other_name;
        let options = UploadOptions {
            deletes: true,
            replaces_other_name,
            replaced: ReplacedUploads::Own,
            ..UploadOptions::default()
        };
        Ok(Self { remote: Some(Remote { url: url.to_owned(), storage, options }) })
    }

    /// Prints what a build came to, and sends its dataset.
    pub(super) fn finish(&self, outcome: Result<BuildOutcome, EngineError>, progress: &dyn Progress) -> Result<()> {
        let committed = outcome.as_ref().ok().map(|outcome| outcome.committed.dataset.clone());
        outcome::report(outcome)?;
        match (&self.remote, committed) {
            (Some(remote), Some(dataset)) => remote.send(&dataset, progress),
            _ => Ok(()),
        }
    }
}

impl Remote {
    fn send(&self, dataset: &Path, progress: &dyn Progress) -> Result<()> {
        let Self { url, storage, options } = self;
        let uploaded = Upload { dataset, storage: &**storage, options: *options, progress }.run()?;
        Ok(output::print(&format!("{}\npublished: {}\n", render(&uploaded), url.display()))?)
    }
}

fn render(uploaded: &Uploaded) -> String {
    let survey = &uploaded.survey;
    let sent = (survey.new.len() + survey.replaced.len()) as u64;
    let mut text = format!("sent {} in {}", bytes(survey.num_bytes), plural(sent, "file"));
    if !survey.same.is_empty() {
        text.push_str(&format!(
            ", {} in {} had been sent",
            bytes(survey.num_same_bytes),
            plural(survey.same.len() as u64, "file")
        ));
    }
    if uploaded.num_removed > 0 {
        text.push_str(&format!(", removed {}", plural(uploaded.num_removed, "file")));
    }
    text
}
