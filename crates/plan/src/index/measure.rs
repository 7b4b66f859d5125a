//! Measures one record: parses it, reads its media headers, counts its tokens. No pixel is decoded.

use manyframe_core::{Digest, RecordId, RejectCode, RejectedRecord, Rejection, SourceIndex, contained};
use manyframe_media::MediaError;
use manyframe_sources::Raw;

use crate::context::Context;
use crate::index::overlength::ResolvedRecord;
use crate::index::table::{IndexEntry, MeasuredRecord};
use crate::index::visuals::VisualMeter;

/// Measures the record in some annotation bytes: one entry, or one for each piece of an overlong record.
///
/// # Errors
///
/// Only on a storage error. A bad record is an entry.
pub(crate) fn measure(context: &Context, source: SourceIndex, raw: &Raw) -> Result<Vec<IndexEntry>, MediaError> {
    let open = context.source(source);
    let record = match open.parse(raw) {
        Ok(record) => record,
        Err(rejected) => return Ok(vec![rejected_entry(&open.table.name, raw, rejected)]),
    };
    let visuals = contained(|| VisualMeter { context, open, record: &record }.measure_all())
        .unwrap_or_else(|panic| Err(MediaError::rejected(RejectCode::MediaCorrupt, panic)));
    let outcomes = match visuals {
        Ok(visuals) => ResolvedRecord { context, source, record: &record, visuals }.measure(),
        Err(MediaError::Rejected(rejection)) => {
            vec![Err(rejection.map_detail(|detail| context.portable_text(detail)))]
        }
        Err(storage) => return Err(storage),
    };
    let entry = |outcome: Result<MeasuredRecord, Rejection>| IndexEntry {
        id: outcome.as_ref().map_or(record.id, |measured| measured.row.id),
        subset: record.subset.to_string(),
        upstream_id: record.upstream_id.clone(),
        origin: record.origin.clone(),
        outcome,
    };
    Ok(outcomes.into_iter().map(entry).collect())
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
