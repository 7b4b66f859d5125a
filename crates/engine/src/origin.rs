//! Finds the annotation that a record of a dataset was read from, and its images.

use std::collections::BTreeMap;

use manyframe_core::{MediaKind, RejectCode};
use manyframe_dataset::{DatasetError, DatasetReader, LedgerRow, MANIFEST_FILE};
use manyframe_pipeline::Pipeline;
use manyframe_plan::{OpenSource, PlanError, SourceReader};
use manyframe_sources::Raw;
use manyframe_storage::Stores;

use crate::error::{EngineError, with_causes};

/// The text of a record in its annotation file.
///
/// `variables` replace those of the build, for a dataset that was built on another machine.
///
/// # Errors
///
/// [`EngineError::Dataset`] if the row is not of this dataset; [`EngineError::Plan`] if its annotations cannot be read;
/// [`EngineError::AnnotationsChanged`] if another record is at its place now.
pub fn read_origin(
    dataset: &DatasetReader,
    row: &LedgerRow,
    variables: &BTreeMap<String, String>,
    stores: &Stores,
) -> Result<String, EngineError> {
    let pipeline = Pipeline { stores: stores.clone(), ..dataset.pipeline(variables)? };
    let Some(source) = pipeline.sources().find(|source| source.table.name == row.source) else {
        let detail = format!("there is no source {:?}", row.source);
        return Err(DatasetError::NotADataset { path: dataset.location().join(MANIFEST_FILE), detail }.into());
    };
    let unreadable = |error| PlanError::Source { source_name: source.table.name.clone(), error };
    let reader = SourceReader::open(source)?;
    let raw = reader.read_at(&row.origin).map_err(unreadable)?;
    if reader.upstream_id(&raw) != row.upstream_id {
        return Err(EngineError::AnnotationsChanged { origin: row.origin.to_string() });
    }
    Ok(text_of(&raw))
}

fn text_of(raw: &Raw) -> String {
    String::from_utf8_lossy(&raw.body.text()).into_owned()
}

/// The sources of a dataset, as far as they are on this machine, opened to look at its records.
pub struct DatasetSources(BTreeMap<String, OpenSource>);

impl DatasetSources {
    /// Opens the sources of a dataset. Those that cannot be opened have no records to look at.
    ///
    /// # Errors
    ///
    /// [`EngineError::Dataset`] if the manifest holds no pipeline file of this version.
    pub fn open(
        dataset: &DatasetReader,
        variables: &BTreeMap<String, String>,
        stores: &Stores,
    ) -> Result<Self, EngineError> {
        let pipeline = Pipeline { stores: stores.clone(), ..dataset.pipeline(variables)? };
        let mut sources = BTreeMap::new();
        for source in pipeline.sources() {
            match OpenSource::open(&pipeline.file, source) {
                Ok(open) => _ = sources.insert(source.table.name.clone(), open),
                Err(error) => {
                    tracing::info!(
                        source = source.table.name,
                        error = with_causes(&error),
                        "its records are not shown"
                    );
                }
            }
        }
        Ok(Self(sources))
    }

    /// The annotation of a record, and the encoded bytes of its first images; nothing of what cannot be read, or is of another
    /// record because annotations have changed since the build.
    pub fn look_at(&self, row: &LedgerRow, most_images: usize) -> (String, Vec<Vec<u8>>) {
        let Some(raw) = self.0.get(&row.source).and_then(|open| Some((open, open.read_at(&row.origin).ok()?))) else {
            return (String::new(), Vec::new());
        };
        let (open, raw) = raw;
        let parsed = open.parse(&raw);
        let upstream_id = parsed.as_ref().map_or_else(|rejected| &rejected.upstream_id, |record| &record.upstream_id);
        if *upstream_id != row.upstream_id {
            return (String::new(), Vec::new());
        }
        let mut images = Vec::new();
        // What ended a decoder once is not decoded to be looked at.
        let is_dangerous = [RejectCode::DecoderCrashed, RejectCode::DecoderStalled]
            .iter()
            .any(|code| row.reason.as_deref() == Some(code.as_str()));
        if !is_dangerous {
            let (subset, media) = match &parsed {
                Ok(record) => (record.subset.to_string(), record.media.clone()),
                // For such a reason one wants to see them most.
                Err(rejected) => (rejected.subset.clone(), open.named_images(&raw)),
            };
            let shown = media.iter().filter(|medium| medium.kind == MediaKind::Image);
            let bytes = shown.filter_map(|medium| open.media.image_bytes(&subset, medium).ok());
            images.extend(bytes.take(most_images));
        }
        (text_of(&raw), images)
    }
}
