//! From a planned record to a sample: read again, media decoded and encoded, text formatted, tokens counted.
//!
//! What was decoded is what the prompt says: if a video gives fewer frames than its index promised, the text and the
//! token counts follow the frames that exist.

use manyframe_core::{
    BlobRef, Grid, ImageFormat, Layout, MediaLocation, MediaRef, Record, RecordId, RejectCode, Rejection, Sample,
    SampleImage, SampleVisual, Visual, VisualKind, contained,
};
use manyframe_format::ResolvedVisual;
use manyframe_media::{MediaError, SourceFormat, prepare_image, probe_image_bytes, spread, tile_image};
use manyframe_plan::{Context, LengthReduction, OpenSource, PlanError, PlannedSample, in_visual};

use crate::error::EngineError;

/// A sample, or why its record cannot be delivered.
pub(crate) type Outcome = Result<Sample, Rejection>;

/// Makes a planned sample. `Err` is failing storage, or annotations that are not those of the plan.
pub(crate) fn make(context: &Context, planned: &PlannedSample) -> Result<Outcome, EngineError> {
    let changed =
        || EngineError::SourceChanged { id: planned.record_id.to_string(), origin: planned.origin.to_string() };
    let source = context.sources.get(planned.source).ok_or_else(changed)?;
    let raw = source
        .read_at(&planned.origin)
        .map_err(|error| EngineError::Plan(PlanError::Source { source_name: source.table.name.clone(), error }))?;
    let Ok(record) = source.parse(&raw) else { return Err(changed()) };
    if !is_same_record(record.id, planned) {
        return Err(changed());
    }
    let record = planned.reduction.split_turns(record);
    // A decoder that panics on hostile bytes costs the record, not the run.
    match contained(|| sample_from_record(context, source, record, planned)) {
        Ok(Ok(sample)) => Ok(Ok(sample)),
        Ok(Err(MediaError::Rejected(rejection))) => {
            Ok(Err(rejection.map_detail(|detail| context.portable_text(detail))))
        }
        Ok(Err(storage @ MediaError::Storage { .. })) => Err(EngineError::Plan(PlanError::Storage(storage))),
        Err(_text_of_the_panic) => {
            Ok(Err(Rejection::new(RejectCode::MediaCorrupt, "a decoder gave up on one of its images or videos")))
        }
    }
}

/// Pieces, and records that upstream lists more than once, have ids of their own.
fn is_same_record(found: RecordId, planned: &PlannedSample) -> bool {
    const MOST_OCCURRENCES: u64 = 100_000;
    let found = planned.reduction.split.map_or(found, |split| found.piece(u64::from(split.piece)));
    found == planned.record_id || (1..MOST_OCCURRENCES).any(|n| found.occurrence(n) == planned.record_id)
}

fn sample_from_record(
    context: &Context,
    source: &OpenSource,
    record: Record,
    planned: &PlannedSample,
) -> Result<Sample, MediaError> {
    let mut shown = Vec::new();
    for (index, visual) in record.visuals().enumerate() {
        let made = record.media.get(visual.media).map_or_else(
            || Err(MediaError::rejected(RejectCode::MediaMissing, "the record has no such medium")),
            |medium| show(context, source, &record, visual, medium, &planned.reduction),
        );
        shown.push(made.map_err(|error| in_visual(error, &record, index))?);
    }
    let resolved: Vec<ResolvedVisual> = shown.iter().map(Shown::resolved).collect();
    let formatted = context.formatter.format(&record.turns, &resolved)?;
    let max_tokens = context.pipeline.file.format.max_tokens;
    if formatted.cost.num_tokens() > max_tokens {
        let detail = format!("{} tokens, at most {max_tokens} fit", formatted.cost.num_tokens());
        return Err(MediaError::rejected(RejectCode::TooLong, detail));
    }
    let encode = || context.formatter.encode(&formatted.prompt, &formatted.label_spans);
    let tokens = context.pipeline.file.output.has_tokens().then(encode).transpose().map_err(|error| {
        MediaError::rejected(RejectCode::MalformedRecord, format!("the text has no tokens: {error}"))
    })?;
    let layout = Layout::of(resolved.iter().map(|visual| visual.kind()));
    let mut images = Vec::new();
    let mut visuals = Vec::new();
    for ((shown, span), medium) in shown.into_iter().zip(&formatted.visual_spans).zip(&record.media) {
        let path = if let MediaLocation::Path(path) = &medium.location { path.clone() } else { String::new() };
        visuals.push(SampleVisual {
            kind: shown.kind,
            message: span.message,
            start: span.start,
            end: span.end,
            first_image: span.first_image,
            num_images: span.num_images,
            grid: shown.grid,
            times_s: shown.times_s,
            path,
            width_px: shown.width_px,
            height_px: shown.height_px,
        });
        images.extend(shown.images);
    }
    Ok(Sample {
        id: planned.id(),
        source: record.source,
        subset: record.subset,
        upstream_id: record.upstream_id,
        layout,
        messages: formatted.messages,
        prompt: formatted.prompt,
        label_spans: formatted.label_spans,
        tokens,
        cost: formatted.cost,
        images,
        visuals,
        origin: record.origin,
    })
}

/// A visual with its images encoded.
struct Shown {
    kind: VisualKind,
    images: Vec<SampleImage>,
    grid: Option<Grid>,
    times_s: Vec<f64>,
    width_px: u32,
    height_px: u32,
}

impl Shown {
    fn resolved(&self) -> ResolvedVisual {
        match (self.kind, self.grid) {
            (VisualKind::Video, _) => ResolvedVisual::Video { num_frames: self.images.len() as u32 },
            (_, Some(grid)) => ResolvedVisual::Tiled { grid },
            (_, None) => ResolvedVisual::Image,
        }
    }
}

fn show(
    context: &Context,
    source: &OpenSource,
    record: &Record,
    visual: Visual,
    medium: &MediaRef,
    reduction: &LengthReduction,
) -> Result<Shown, MediaError> {
    if let MediaLocation::Prepared { images, grid } = &medium.location {
        return match (visual.kind, reduction.max_frames) {
            (VisualKind::Video, Some(most)) if images.len() > most.get() as usize => {
                show_prepared(context, source, visual, &spread(images, most.get()), *grid)
            }
            _ => show_prepared(context, source, visual, images, *grid),
        };
    }
    match visual.kind {
        VisualKind::Video => show_video(context, source, record, medium, reduction),
        VisualKind::Tiled => {
            let bytes = source.media.image_bytes(&record.subset, medium)?;
            let tiled = tile_image(&bytes, &context.images, &reduction.tile_policy(&context.tiles))?;
            Ok(Shown {
                kind: visual.kind,
                images: tiled.images,
                grid: Some(tiled.grid),
                times_s: Vec::new(),
                width_px: tiled.width_px,
                height_px: tiled.height_px,
            })
        }
        VisualKind::Image => {
            let bytes = source.media.image_bytes(&record.subset, medium)?;
            let header = probe_image_bytes(&bytes, &context.images.limits)?;
            let image = prepare_image(bytes, &context.images)?;
            Ok(Shown {
                kind: visual.kind,
                images: vec![image],
                grid: None,
                times_s: Vec::new(),
                width_px: header.width_px,
                height_px: header.height_px,
            })
        }
    }
}

/// Images that an earlier build encoded are delivered byte for byte.
fn show_prepared(
    context: &Context,
    source: &OpenSource,
    visual: Visual,
    blobs: &[BlobRef],
    grid: Option<Grid>,
) -> Result<Shown, MediaError> {
    let mut images = Vec::new();
    for blob in blobs {
        let bytes = source.media.blob_bytes(blob)?;
        let header = probe_image_bytes(&bytes, &context.images.limits)?;
        let format = match header.format {
            SourceFormat::Jpeg => ImageFormat::Jpeg,
            SourceFormat::Png => ImageFormat::Png,
            SourceFormat::Webp => ImageFormat::Webp,
            other => {
                let detail = format!("{} holds {other:?}, which no dataset of manyframe does", blob.name());
                return Err(MediaError::rejected(RejectCode::MediaType, detail));
            }
        };
        images.push(SampleImage { bytes, format, width_px: header.width_px, height_px: header.height_px });
    }
    let (width_px, height_px) = images.first().map_or((0, 0), |image| (image.width_px, image.height_px));
    Ok(Shown { kind: visual.kind, images, grid, times_s: Vec::new(), width_px, height_px })
}

fn show_video(
    context: &Context,
    source: &OpenSource,
    record: &Record,
    medium: &MediaRef,
    reduction: &LengthReduction,
) -> Result<Shown, MediaError> {
    let chosen = source.media.choose_frames(&record.subset, medium, &context.sampling_for(reduction))?;
    let frames = chosen.decode(&context.frames)?;
    let times_s = frames.iter().map(|frame| frame.time_s).collect();
    let images = frames.into_iter().map(|frame| frame.image).collect();
    let (width_px, height_px) = (chosen.index.width_px, chosen.index.height_px);
    Ok(Shown { kind: VisualKind::Video, images, grid: None, times_s, width_px, height_px })
}
