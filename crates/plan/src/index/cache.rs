//! When an index file may be used again: its name is a digest of all it depends on, and rejects about media are looked at anew.
//!
//! It notices a change of the annotation file by its content, and media that have come since; it does not notice that an
//! image which was good has been replaced. `--fresh` builds everything anew.

use std::path::Path;

use manyframe_core::{Digest, SourceIndex};
use manyframe_sources::Split;

use super::fingerprint::Fingerprints;
use super::{is_about_media, measure, read_entries};
use crate::{Context, PlanError};
use manyframe_pipeline::{Kind, SourceTable, annotation_files};

/// Raised whenever the same inputs would give other samples.
const INDEX_VERSION: &str = "5";

/// Raised whenever the same inputs would give other rows, but the same samples.
const ROWS_VERSION: &str = "1";

/// A digest of every setting that a record's measures and its sample depend on, and of the places of media.
pub(crate) fn recipe(context: &Context, table: &SourceTable) -> Digest {
    let file = &context.pipeline.file;
    let settings = serde_json::json!({
        "version": INDEX_VERSION,
        "video": manyframe_media::video::IS_ENABLED,
        "source": (&table.name, table.kind, &table.media, &table.media_by_subset, table.visuals),
        "replay": (&table.from, &table.only_sources, &table.only_layouts),
        "options": &table.options,
        "format": &file.format.spec,
        "tokenizer": context.tokenizer_digest,
        "images": &file.images,
        "tiles": &file.tiles,
        "frames": &file.video,
        "limits": &file.limits,
        // The greatest length matters only where an overlong record is shortened.
        "overlength": (!file.overlength.rejects_all()).then_some((&file.overlength, file.format.max_tokens)),
    });
    Digest::of(settings.to_string().as_bytes())
}

/// The name of a split's index file.
pub(super) fn file_name(
    context: &Context,
    fingerprints: &Fingerprints,
    source: SourceIndex,
    split: &Split,
) -> Result<String, PlanError> {
    let open = &context.sources[source];
    let split_text = serde_json::json!(split).to_string();
    let (fingerprint, recipe) = (fingerprint(context, fingerprints, source, split)?, recipe(context, &open.table));
    let digest = Digest::of_fields([split_text.as_bytes(), fingerprint.as_bytes(), &recipe.0, ROWS_VERSION.as_bytes()]);
    Ok(format!("{}-{}.parquet", open.table.name, digest.to_string().get(..24).unwrap_or_default()))
}

/// What the split's file holds.
fn fingerprint(
    context: &Context,
    fingerprints: &Fingerprints,
    source: SourceIndex,
    split: &Split,
) -> Result<String, PlanError> {
    let open = &context.sources[source];
    let path = match open.table.kind {
        Kind::Replay(_) => Path::new(&open.table.from).join(manyframe_dataset::MANIFEST_FILE),
        Kind::Upstream(_) => {
            let files = annotation_files(&context.pipeline, &open.table)?;
            files.into_iter().find(|file| file.name == split.file).map(|file| file.path).unwrap_or_default()
        }
    };
    fingerprints.of(&path)
}

/// Whether every record that was rejected for its media would be rejected still.
pub(super) fn is_current(context: &Context, source: SourceIndex, path: &Path) -> Result<bool, PlanError> {
    let index_error = |error| PlanError::Index { path: path.to_owned(), error };
    let open = &context.sources[source];
    for entry in read_entries(path, source).map_err(index_error)? {
        let entry = entry.map_err(index_error)?;
        if entry.outcome.as_ref().is_err_and(|rejection| is_about_media(rejection.code)) {
            let raw = open.read_at(&entry.origin);
            let raw = raw.map_err(|error| PlanError::Source { source_name: open.table.name.clone(), error })?;
            if measure(context, source, &raw).map_err(PlanError::Storage)? != [entry] {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
