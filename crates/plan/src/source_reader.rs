//! The annotations of a source, whatever kind it is of.

use std::sync::Arc;

use manyframe_core::Origin;
use manyframe_dataset::ReplayedSource;
use manyframe_pipeline::{Kind, LocatedSource, annotation_files};
use manyframe_sources::{AnnotationFile, Raw, Source, SourceError, SourceOptions, SourceSpec};

use crate::error::PlanError;
use crate::replay::ReplaySource;
use crate::shard_digests::StatedShard;

/// The annotations of a source, ready to be read; its media are not needed for that.
pub struct SourceReader {
    /// The files; none if it replays a dataset.
    pub(crate) annotations: Vec<AnnotationFile>,
    /// The sources of the dataset that it replays, if it does.
    pub(crate) replayed: Vec<ReplayedSource>,
    /// The shards that it replays, as their manifest states them.
    pub(crate) shards: Vec<StatedShard>,
    source: Box<dyn Source>,
}

impl SourceReader {
    /// Opens the annotations of a source with these options.
    ///
    /// # Errors
    ///
    /// If they are missing or cannot be opened.
    pub(crate) fn open_with(source: LocatedSource<'_>, options: &SourceOptions) -> Result<Self, PlanError> {
        let table = source.table;
        match table.kind {
            Kind::Upstream(kind) => {
                let annotations = annotation_files(source)?;
                let name = Arc::from(table.name.as_str());
                let spec = SourceSpec { name, kind, annotations: annotations.clone(), options: options.clone() };
                let unreadable = |error| PlanError::Source { source_name: table.name.clone(), error };
                Ok(Self {
                    annotations,
                    replayed: Vec::new(),
                    shards: Vec::new(),
                    source: manyframe_sources::open_with(spec, &source.stores.access()).map_err(unreadable)?,
                })
            }
            Kind::Replay(_) => {
                let source = ReplaySource::open(source)?;
                let (replayed, shards) = (source.replayed().to_vec(), source.stated_shards());
                Ok(Self { annotations: Vec::new(), replayed, shards, source: Box::new(source) })
            }
        }
    }

    /// Reads one record again.
    ///
    /// # Errors
    ///
    /// If the annotations cannot be read, or changed since.
    pub fn read_at(&self, origin: &Origin) -> Result<Raw, SourceError> {
        self.source.read_at(origin)
    }

    /// The id that upstream gave to a record; empty if it gave none.
    pub fn upstream_id(&self, raw: &Raw) -> String {
        self.source.parse(raw).map_or_else(|rejected| rejected.upstream_id, |record| record.upstream_id)
    }

    pub(crate) fn source(&self) -> &dyn Source {
        &*self.source
    }
}
