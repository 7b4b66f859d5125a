//! One record's row: parsed, its media headers read, its tokens counted. No pixel is decoded.

use manyframe_core::{
    BlobRef, Digest, IndexRow, Layout, MediaLocation, Origin, Record, RecordId, RejectCode, RejectedRecord, Rejection,
    Signature, SourceIndex, Visual, VisualKind, contained,
};
use manyframe_format::{PromptMeasure, ResolvedVisual};
use manyframe_media::{MediaError, plan_tiles};
use manyframe_sources::Raw;

use super::over_long;
use crate::Context;
use crate::fit::Fit;

/// What is known about a record before anything is decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Identity; that of an unreadable record is derived from where it stands.
    pub(crate) id: RecordId,
    /// Part of the source; may be empty.
    pub(crate) subset: String,
    /// The id upstream gave it; may be empty.
    pub(crate) upstream_id: String,
    /// Where it was read.
    pub(crate) origin: Origin,
    /// Its row and what it gives up to fit, or why it cannot be delivered.
    pub(crate) outcome: Result<Measurement, Rejection>,
}

/// A record's row, and what the record gives up so that it fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Measurement {
    pub(crate) row: IndexRow,
    pub(crate) fit: Fit,
}

impl Entry {
    pub(crate) fn row(&self) -> Option<&IndexRow> {
        self.outcome.as_ref().ok().map(|measured| &measured.row)
    }

    pub(crate) fn rejection(&self) -> Option<&Rejection> {
        self.outcome.as_ref().err()
    }
}

/// Measures the record in some annotation bytes: one entry, or one for each piece of a record that is too long.
/// `Err` is failing storage only.
pub(crate) fn measure(context: &Context, source: SourceIndex, raw: &Raw) -> Result<Vec<Entry>, MediaError> {
    let open = &context.sources[source];
    let record = match open.parse(raw) {
        Ok(record) => record,
        Err(reject) => return Ok(vec![rejected(&open.table.name, raw, reject)]),
    };
    let measured = contained(|| measure_visuals(context, source, &record))
        .unwrap_or_else(|panic| Err(MediaError::rejected(RejectCode::MediaCorrupt, panic)));
    let outcomes = match measured {
        Ok(visuals) => over_long::fitted(context, source, &record, &visuals),
        Err(MediaError::Rejected(rejection)) => {
            vec![Err(rejection.map_detail(|detail| context.portable_text(detail)))]
        }
        Err(storage) => return Err(storage),
    };
    let entry = |outcome: Result<Measurement, _>| Entry {
        id: outcome.as_ref().map_or(record.id, |measured| measured.row.id),
        subset: record.subset.to_string(),
        upstream_id: record.upstream_id.clone(),
        origin: record.origin.clone(),
        outcome,
    };
    Ok(outcomes.into_iter().map(entry).collect())
}

/// A visual as its header tells.
#[derive(Clone)]
pub(super) struct Measured {
    pub(super) resolved: ResolvedVisual,
    pub(super) estimated_bytes: u64,
    /// Size of an image that is cut into sub-images here; they could be fewer.
    pub(super) cut_from_px: Option<(u32, u32)>,
    /// Equal for equal media; different for most others.
    signature: [u64; 3],
}

fn measure_visuals(context: &Context, source: SourceIndex, record: &Record) -> Result<Vec<Measured>, MediaError> {
    let at = |(index, visual): (usize, Visual)| {
        measure_visual(context, source, record, visual).map_err(|error| in_visual(error, record, index))
    };
    record.visuals().enumerate().map(at).collect()
}

/// Says which visual of the record is meant.
pub fn in_visual(error: MediaError, record: &Record, index: usize) -> MediaError {
    match error {
        MediaError::Rejected(rejection) => {
            let name = record.media.get(index).map(|medium| medium.location.name()).unwrap_or_default();
            MediaError::Rejected(rejection.map_detail(|detail| format!("{} {name:?}: {detail}", ordinal(index))))
        }
        storage @ MediaError::Storage { .. } => storage,
    }
}

fn ordinal(index: usize) -> String {
    format!("medium {}", index + 1)
}

fn measure_visual(
    context: &Context,
    source: SourceIndex,
    record: &Record,
    visual: Visual,
) -> Result<Measured, MediaError> {
    let missing = || MediaError::rejected(RejectCode::MediaMissing, "the record has no such medium");
    let medium = record.media.get(visual.media).ok_or_else(missing)?;
    let media = &context.sources[source].media;
    if let MediaLocation::Prepared { images, grid } = &medium.location {
        let sizes =
            images.iter().map(|image| if let BlobRef::Range { num_bytes, .. } = image { *num_bytes } else { 0 });
        let num_bytes: u64 = sizes.sum();
        let resolved = match (visual.kind, grid) {
            (VisualKind::Video, _) => ResolvedVisual::Video { num_frames: images.len() as u32 },
            (_, Some(grid)) => ResolvedVisual::Tiled { grid: *grid },
            (_, None) => ResolvedVisual::Image,
        };
        let signature = [num_bytes, images.len() as u64, 0];
        return Ok(Measured { resolved, estimated_bytes: num_bytes, cut_from_px: None, signature });
    }
    if visual.kind == VisualKind::Video {
        return measure_video(context, media, record, medium);
    }
    let header = media.image_header(&record.subset, medium)?;
    let signature = [header.num_bytes, u64::from(header.width_px), u64::from(header.height_px)];
    if visual.kind == VisualKind::Tiled {
        let plan = plan_tiles(header.width_px, header.height_px, &context.tiles);
        let edge_px = u64::from(context.tiles.edge_px.get());
        let tile_pixels = plan.grid.num_tiles() * edge_px * edge_px;
        let resolved = ResolvedVisual::Tiled { grid: plan.grid };
        let cut_from_px = Some((header.width_px, header.height_px));
        return Ok(Measured { resolved, estimated_bytes: encoded_bytes(tile_pixels), cut_from_px, signature });
    }
    let (width_px, height_px) = context.images.delivered_px(header.width_px, header.height_px);
    let is_unchanged = header.deliverable_as_is && (width_px, height_px) == (header.width_px, header.height_px);
    let estimated_bytes =
        if is_unchanged { header.num_bytes } else { encoded_bytes(u64::from(width_px) * u64::from(height_px)) };
    Ok(Measured { resolved: ResolvedVisual::Image, estimated_bytes, cut_from_px: None, signature })
}

fn measure_video(
    context: &Context,
    media: &crate::SourceMedia,
    record: &Record,
    medium: &manyframe_core::MediaRef,
) -> Result<Measured, MediaError> {
    let chosen = media.choose_frames(&record.subset, medium, &context.sampling)?;
    let (width_px, height_px) = context.frames.delivered_px(chosen.index.width_px, chosen.index.height_px);
    let num_frames = chosen.wanted.len() as u64;
    let resolved = ResolvedVisual::Video { num_frames: num_frames as u32 };
    let clip_start = medium.clip.map_or(0, |clip| clip.start_s.to_bits());
    Ok(Measured {
        resolved,
        estimated_bytes: encoded_bytes(num_frames * u64::from(width_px) * u64::from(height_px)),
        cut_from_px: None,
        signature: [chosen.num_bytes, num_frames, clip_start],
    })
}

/// Bytes of a JPEG at quality 90, roughly: a quarter of a byte a pixel.
fn encoded_bytes(num_pixels: u64) -> u64 {
    num_pixels / 4
}

/// The row of a record as it is shown.
pub(super) fn row_from_parts(
    context: &Context,
    source: SourceIndex,
    record: &Record,
    measured: &[Measured],
) -> Result<IndexRow, Rejection> {
    let resolved: Vec<ResolvedVisual> = measured.iter().map(|visual| visual.resolved).collect();
    let PromptMeasure { cost, signature: text } = context.formatter.measure(&record.turns, &resolved)?;
    let num_chars = record.num_text_chars() as u64;
    Ok(IndexRow {
        id: record.id,
        source,
        cost,
        layout: Layout::of(resolved.iter().map(|visual| visual.kind())),
        num_turns: record.turns.len() as u32,
        num_chars,
        // Text stands in a shard about twice, with markup around it.
        estimated_bytes: measured.iter().map(|visual| visual.estimated_bytes).sum::<u64>() + 2 * num_chars + 1024,
        signature: signature(text, measured),
    })
}

fn signature(mut signature: Signature, measured: &[Measured]) -> u64 {
    // An image shown whole and the same image cut into sub-images are different samples.
    let shown = |visual: &Measured| [u64::from(visual.resolved.kind() == VisualKind::Tiled)];
    let sizes = measured.iter().flat_map(|visual| visual.signature.into_iter().chain(shown(visual)));
    sizes.for_each(|size| signature.push_number(size));
    signature.bits()
}

fn rejected(source: &str, raw: &Raw, reject: RejectedRecord) -> Entry {
    Entry { subset: reject.subset, ..unreadable(raw, source, reject.rejection, reject.upstream_id) }
}

fn unreadable(raw: &Raw, source: &str, rejection: Rejection, upstream_id: String) -> Entry {
    let origin = raw.origin.clone();
    let place = format!("{:?}", origin.position);
    let fields = ["unreadable", source, &origin.file, &place, &upstream_id];
    let id = RecordId::from_digest(Digest::of_fields(fields.map(str::as_bytes)));
    Entry { id, subset: raw.subset.to_string(), upstream_id, origin, outcome: Err(rejection) }
}
