//! Index files that are made one by one, on other machines: which ones a pipeline lacks, and how one of them is made.

use std::path::Path;

use manyframe_base::Executor;
use manyframe_core::SourceIndex;
use manyframe_sources::Split;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::PlanError;
use crate::index::build::{build_split, list_splits};
use crate::index::cache::{IndexCache, index_directory};
use crate::index::file::{DerivedFile, IndexFile, media_path};
use crate::index::writer::{index_seal, remove_if_there};
use crate::seal::is_intact;

/// An index file to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexTask {
    /// Its source.
    source: SourceIndex,
    /// The part of its source that it is of.
    split: Split,
    /// Its name.
    file: String,
}

impl IndexTask {
    /// Bytes of annotations.
    pub fn num_bytes(&self) -> u64 {
        self.split.num_bytes
    }

    /// The name of its index file, which is equal for equal settings and annotations.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Whether its index file is in a work directory.
    pub fn is_done(&self, work: &Path) -> bool {
        let path = index_directory(work).join(&self.file);
        path.exists() && media_path(&path).exists() && is_intact(&index_seal(&path))
    }

    /// Makes its index file in a work directory, unless it is there.
    ///
    /// # Errors
    ///
    /// If the annotations cannot be read, or the work directory cannot be written.
    pub fn run(&self, context: &Context, work: &Path, executor: Executor<'_>) -> Result<(), PlanError> {
        let path = index_directory(work).join(&self.file);
        if self.is_done(work) {
            return Ok(());
        }
        if context.sources.get(self.source).is_none() {
            return Err(PlanError::NoSuchSource { source_index: self.source });
        }
        for derived in DerivedFile::ALL {
            remove_if_there(&derived.beside(&path))?;
        }
        build_split(context, &self.split, &IndexFile { source: self.source, path, was_read: true }, executor)
    }
}

/// The index files that a work directory lacks.
///
/// # Errors
///
/// If an input cannot be read, or the work directory cannot be written.
pub fn list_missing_index(context: &Context, work: &Path) -> Result<Vec<IndexTask>, PlanError> {
    let cache = IndexCache::open(context, work)?;
    let mut missing = Vec::new();
    for (source, split) in list_splits(context)? {
        let task = IndexTask { source, file: cache.file_name(source, &split)?, split };
        if !task.is_done(work) {
            missing.push(task);
        }
    }
    cache.save()?;
    Ok(missing)
}
