//! Index files that are made one by one, on other machines: which ones a pipeline lacks, and how one of them is made. So are the
//! fingerprints beside them, where the pipeline file asks for those.

use std::path::Path;

use manyframe_base::Executor;
use manyframe_core::SourceIndex;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::decisions::candidates::Candidates;
use crate::decisions::fingerprints::{Fingerprints, wanted_fingerprints};
use crate::error::PlanError;
use crate::index::build::{build_group, list_splits};
use crate::index::cache::{IndexCache, index_directory};
use crate::index::file::{DerivedFile, IndexFile};
use crate::index::group::SplitGroup;
use crate::index::table::num_entries;
use crate::index::writer::{has_index, remove_if_there};

/// An index file to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexTask {
    /// Its source.
    source: SourceIndex,
    /// The part of its source that it is of.
    group: SplitGroup,
    /// Its name.
    file: String,
    /// The fingerprints that are wanted beside it.
    fingerprints: Option<DerivedFile>,
}

impl IndexTask {
    /// Bytes of annotations.
    pub fn num_bytes(&self) -> u64 {
        self.group.num_bytes()
    }

    /// Records in its index file, once that is made; for progress only, so that an error counts as none.
    pub fn num_records(&self, work: &Path) -> u64 {
        num_entries(&index_directory(work).join(&self.file)).map_or(0, |number| number as u64)
    }

    /// The name of its index file, which is equal for equal settings and annotations.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Whether its index file is in a work directory, and with it the fingerprints that are wanted.
    pub fn is_done(&self, work: &Path) -> bool {
        let path = index_directory(work).join(&self.file);
        has_index(&path) && self.fingerprints.is_none_or(|derived| derived.beside(&path).exists())
    }

    /// Makes its index file in a work directory, unless it is there, and then the fingerprints that are wanted.
    ///
    /// # Errors
    ///
    /// If the annotations cannot be read, or the work directory cannot be written.
    pub fn run(&self, context: &Context, work: &Path, executor: Executor<'_>) -> Result<(), PlanError> {
        if context.sources.get(self.source).is_none() {
            return Err(PlanError::NoSuchSource { source_index: self.source });
        }
        let path = index_directory(work).join(&self.file);
        let num_splits = self.group.splits().len() as u64;
        let file = IndexFile { source: self.source, path, num_splits, was_read: false };
        if !has_index(&file.path) {
            for derived in DerivedFile::ALL {
                remove_if_there(&derived.beside(&file.path))?;
            }
            build_group(context, &self.group, &file, executor)?;
        }
        if self.fingerprints.is_some() {
            // Ids that are made unique among all files may differ: these few are made again where the plan is.
            let candidates = Candidates::read(context, &[file], (work, None))?;
            Fingerprints::read_or_make(context, &candidates, executor)?;
        }
        Ok(())
    }
}

/// The index files that a work directory lacks, or whose fingerprints it lacks.
///
/// # Errors
///
/// If an input cannot be read, or the work directory cannot be written.
pub fn list_missing_index(context: &Context, work: &Path) -> Result<Vec<IndexTask>, PlanError> {
    let cache = IndexCache::open(context, work)?;
    let fingerprints = wanted_fingerprints(context);
    let mut missing = Vec::new();
    for (source, group) in list_splits(context)? {
        let task = IndexTask { source, file: cache.file_name(source, &group)?, group, fingerprints };
        if !task.is_done(work) {
            missing.push(task);
        }
    }
    cache.save()?;
    Ok(missing)
}
