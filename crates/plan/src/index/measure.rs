//! Measures one record: parses it, reads its media headers, counts its tokens. No pixel is decoded.

use manyframe_core::{Digest, RecordId, RejectedRecord, Rejection, SourceIndex};
use manyframe_media::MediaError;
use manyframe_sources::Raw;

use crate::attempt::{Attempt, guarded};
use crate::context::Context;
use crate::index::media::RecordMedia;
use crate::index::overlength::ResolvedRecord;
use crate::index::table::{IndexEntry, MeasuredRecord};
use crate::index::visuals::VisualMeter;

/// A record that was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Measured {
    /// One entry, or one for each piece of an overlong record.
    pub(crate) entries: Vec<IndexEntry>,
    /// Its media as they were before they were measured; `None` if it has none, or cannot be parsed.
    pub(crate) media: Option<RecordMedia>,
}

/// Measures the record in some annotation bytes.
///
/// # Errors
///
/// Only on a storage error. A bad record is an entry.
pub(crate) fn measure(context: &Context, source: SourceIndex, raw: &Raw) -> Result<Measured, MediaError> {
    let open = context.source(source);
    let record = match open.parse(raw) {
        Ok(record) => record,
        Err(rejected) => {
            return Ok(Measured { entries: vec![rejected_entry(&open.table.name, raw, rejected)], media: None });
        }
    };
    // A medium that is replaced from here on differs from what is kept, and is measured again by the next build.
    let media = RecordMedia::of(&record, &open.media);
    let measure_visuals = || VisualMeter { context, open, record: &record }.measure_all();
    let attempt = || Attempt::Measure { source, origin: record.origin.clone() };
    let visuals = if record.media.is_empty() {
        measure_visuals()
    } else {
        guarded(context, attempt, || open.media_version(&record), measure_visuals)
    };
    let outcomes = match visuals {
        Ok(visuals) => ResolvedRecord { context, source, record: &record, visuals }.measure(),
        Err(MediaError::Rejected(rejection)) => vec![Err(rejection)],
        Err(storage) => return Err(storage),
    };
    let entry = |outcome: Result<MeasuredRecord, Rejection>| IndexEntry {
        id: outcome.as_ref().map_or(record.id, |measured| measured.row.id),
        subset: record.subset.to_string(),
        upstream_id: record.upstream_id.clone(),
        origin: record.origin.clone(),
        outcome,
    };
    Ok(Measured { entries: outcomes.into_iter().map(entry).collect(), media })
}

/// The entry of a record that cannot be parsed. Its id is derived from its position.
fn rejected_entry(source: &str, raw: &Raw, rejected: RejectedRecord) -> IndexEntry {
    let RejectedRecord { rejection, subset, upstream_id, .. } = rejected;
    let origin = raw.origin.clone();
    let position = format!("{:?}", origin.position);
    let fields = ["unreadable", source, &origin.file, &position, &upstream_id];
    let id = RecordId::from_digest(Digest::of_fields(fields.map(str::as_bytes)));
    IndexEntry { id, subset, upstream_id, origin, outcome: Err(rejection) }
}
