//! What changed among the inputs of a pipeline since its index was made, without making anything.

use std::path::Path;

use manyframe_base::Executor;
use manyframe_core::{IndexVec, SourceIndex};

use crate::context::Context;
use crate::error::PlanError;
use crate::index::build::list_splits;
use crate::index::cache::{IndexCache, index_directory};
use crate::index::refresh::{ChangedMedia, find_changed};
use crate::index::writer::has_index;
use crate::make::{BuildKeys, inputs_digest, plan_key};

/// The inputs of a pipeline beside the index that a work directory keeps.
#[derive(Debug, Clone)]
pub struct InputChanges {
    /// Annotation files, or the parts that they are read in.
    pub num_splits: u64,
    /// Those that are to be read: they are new or changed, or settings that their index depends on did.
    pub num_unread: u64,
    /// What changed among the media of each source.
    pub media: IndexVec<SourceIndex, ChangedMedia>,
    /// The keys of a build; `None` if something changed, so that they are not known yet.
    pub keys: Option<BuildKeys>,
}

impl InputChanges {
    /// Compares the inputs of an opened pipeline with the index in a work directory.
    ///
    /// # Errors
    ///
    /// If an input or the index cannot be read.
    pub fn since_index(context: &Context, work: &Path, executor: Executor<'_>) -> Result<Self, PlanError> {
        let groups = list_splits(context)?;
        let media = IndexVec::filled(ChangedMedia::default(), context.sources.len());
        let num_splits = groups.iter().map(|(_, group)| group.splits().len() as u64).sum();
        let mut found = Self { num_splits, num_unread: num_splits, media, keys: None };
        if !index_directory(work).is_dir() {
            return Ok(found);
        }
        let cache = IndexCache::open(context, work)?;
        let mut files = Vec::new();
        for (source, group) in groups {
            let file = cache.index_file(source, &group)?;
            if !has_index(&file.path) {
                continue;
            }
            if let Some(changed) = found.media.get_mut(source) {
                changed.add(find_changed(context, &file, executor)?);
            }
            files.push(file);
        }
        found.num_unread = num_splits - files.iter().map(|file| file.num_splits).sum::<u64>();
        if found.num_unread == 0 && found.media.iter().all(|changed| changed.num_records == 0) {
            let inputs = inputs_digest(context, &cache, &files)?;
            found.keys = Some(BuildKeys { plan: plan_key(context, inputs), inputs });
        }
        Ok(found)
    }
}
