//! Turns a planned record into a sample: reads it again, decodes and encodes media, formats text, counts tokens.
//!
//! The prompt describes what was decoded: if a video has fewer frames than its index says, text and token counts follow the
//! frames that exist, and the ledger says how many do not.

use manyframe_core::{
    BlobRef, Grid, HandledImages, Handling, Layout, MediaLocation, MediaRef, Record, RecordId, RejectCode, Rejection,
    Sample, SampleTokens, SampleVisual, Visual, VisualKind,
};
use manyframe_format::{Formatted, ResolvedVisual};
use manyframe_media::{
    Check, FrameDamage, ImagePolicy, MediaError, Prepared, SourceFormat, prepare_image, probe_image_bytes, spread,
    tile_image,
};
use manyframe_plan::{Attempt, Context, OpenSource, PlanError, PlannedSample, guarded, in_visual};

use crate::encoded::EncodedVisual;
use crate::error::EngineError;
use crate::journal::Journal;

/// A sample that was made, or why its record cannot be delivered.
pub(crate) type Outcome = Result<Made, Rejection>;

/// A sample that was made.
pub(crate) struct Made {
    pub(crate) sample: Sample,
    /// How its images were made.
    pub(crate) handled: HandledImages,
    /// How many frames of its videos are missing or damaged, as text for people.
    pub(crate) damage: Option<String>,
}

/// Makes a planned sample. `Err` is failing storage, or annotations that have changed since the plan was made.
pub(crate) fn make(
    context: &Context,
    planned: &PlannedSample,
    journal: Option<&Journal>,
) -> Result<Outcome, EngineError> {
    let changed =
        || EngineError::SourceChanged { id: planned.record_id.to_string(), origin: planned.origin.to_string() };
    let source = context.sources.get(planned.source).ok_or_else(changed)?;
    let unreadable = |error| PlanError::Source { source_name: source.table.name.clone(), error };
    let record = source.shown_record(&planned.origin, &planned.reduction).map_err(unreadable)?;
    let Ok(record) = record else { return Err(changed()) };
    if !is_same_record(record.id, planned) {
        return Err(changed());
    }
    let maker = SampleMaker { context, source, planned, journal };
    // A decoder that does not survive hostile bytes costs the record, not the run.
    let attempt = || Attempt::Make(Box::new(planned.clone()));
    match guarded(context, attempt, || source.media_version(&record), || maker.make(&record)) {
        Ok(made) => Ok(Ok(made)),
        Err(MediaError::Rejected(rejection)) => Ok(Err(rejection)),
        Err(storage @ MediaError::Storage { .. }) => Err(EngineError::Plan(PlanError::Storage(storage))),
    }
}

/// Does again what a process did not survive; only whether this one does matters.
///
/// # Errors
///
/// If the record cannot be read.
pub fn repeat(context: &Context, attempt: &Attempt) -> Result<(), EngineError> {
    match attempt {
        Attempt::Make(planned) => make(context, planned, None).map(drop),
        other => Ok(manyframe_plan::repeat(context, other)?),
    }
}

/// The parts of a split record, and records that upstream lists more than once, have distinct ids.
fn is_same_record(read: RecordId, planned: &PlannedSample) -> bool {
    const MOST_OCCURRENCES: u64 = 100_000;
    let read = planned.reduction.split.map_or(read, |split| read.piece(u64::from(split.piece)));
    read == planned.record_id || (1..MOST_OCCURRENCES).any(|n| read.occurrence(n) == planned.record_id)
}

/// What is needed to make one sample, apart from its record.
struct SampleMaker<'a> {
    context: &'a Context,
    source: &'a OpenSource,
    planned: &'a PlannedSample,
    journal: Option<&'a Journal>,
}

impl SampleMaker<'_> {
    fn make(&self, record: &Record) -> Result<Made, MediaError> {
        let mut encoded = Vec::new();
        for (index, visual) in record.visuals().enumerate() {
            encoded.push(self.keep_visual(record, index, visual).map_err(|error| in_visual(error, record, index))?);
        }
        let resolved: Vec<ResolvedVisual> = encoded.iter().map(EncodedVisual::resolved).collect();
        let formatted = self.context.formatter.format(&record.turns, &resolved)?;
        let max_tokens = self.context.pipeline.file.format.max_tokens;
        if formatted.cost.num_tokens() > max_tokens {
            let detail = format!("{} tokens, at most {max_tokens} fit", formatted.cost.num_tokens());
            return Err(MediaError::rejected(RejectCode::TooLong, detail));
        }
        let tokens = self.tokens(&formatted)?;
        let layout = Layout::of(resolved.iter().map(|visual| visual.kind()));
        let mut images = Vec::new();
        let mut visuals = Vec::new();
        let mut handled = HandledImages::default();
        let mut damage = FrameDamage::default();
        for (encoded, span) in encoded.into_iter().zip(&formatted.visual_spans) {
            visuals.push(SampleVisual {
                kind: encoded.kind,
                message: span.message,
                start: span.start,
                end: span.end,
                first_image: span.first_image,
                num_images: span.num_images,
                grid: encoded.grid,
                times_s: encoded.times_s,
                path: encoded.path,
                width_px: encoded.width_px,
                height_px: encoded.height_px,
            });
            images.extend(encoded.images);
            handled += encoded.handled;
            damage.add(encoded.damage);
        }
        let sample = Sample {
            id: self.planned.id(),
            source: record.source.clone(),
            subset: record.subset.clone(),
            upstream_id: record.upstream_id.clone(),
            layout,
            messages: formatted.messages,
            prompt: formatted.prompt,
            label_spans: formatted.label_spans,
            tokens,
            cost: formatted.cost,
            images,
            visuals,
            origin: record.origin.clone(),
        };
        let damage = (!damage.is_none()).then(|| damage.to_string());
        Ok(Made { sample, handled, damage })
    }

    /// Token ids and labels, if any of the shard formats holds them.
    fn tokens(&self, formatted: &Formatted) -> Result<Option<SampleTokens>, MediaError> {
        if !self.context.pipeline.file.output.has_tokens() {
            return Ok(None);
        }
        let encoded = self.context.formatter.encode(&formatted.prompt, &formatted.label_spans);
        encoded.map(Some).map_err(|error| {
            MediaError::rejected(RejectCode::MalformedRecord, format!("the text has no tokens: {error}"))
        })
    }

    /// The visual as an earlier process encoded it, or as it is encoded now.
    fn keep_visual(&self, record: &Record, index: usize, visual: Visual) -> Result<EncodedVisual, MediaError> {
        let Some(journal) = self.journal else { return self.encode_visual(record, visual) };
        let (id, index) = (self.planned.id(), index as u32);
        match journal.read(id, index) {
            Some(kept) => Ok(kept),
            None => journal.keep(id, index, || self.encode_visual(record, visual)),
        }
    }

    fn encode_visual(&self, record: &Record, visual: Visual) -> Result<EncodedVisual, MediaError> {
        let Some(medium) = record.media.get(visual.media) else {
            return Err(MediaError::rejected(RejectCode::MediaMissing, "the record has no such medium"));
        };
        if let MediaLocation::Prepared { images, grid } = &medium.location {
            return match self.planned.reduction.max_frames.filter(|_| visual.kind == VisualKind::Video) {
                Some(most) => self.prepared(visual.kind, &spread(images, most.get()), *grid),
                None => self.prepared(visual.kind, images, *grid),
            };
        }
        let mut encoded = match visual.kind {
            VisualKind::Video => self.encode_video(&record.subset, medium),
            VisualKind::Tiled => self.encode_tiles(&record.subset, medium),
            VisualKind::Image => self.encode_image(&record.subset, medium),
        }?;
        if let MediaLocation::Path(path) = &medium.location {
            encoded.path.clone_from(path);
        }
        Ok(encoded)
    }

    fn encode_image(&self, subset: &str, medium: &MediaRef) -> Result<EncodedVisual, MediaError> {
        let bytes = self.source.media.image_bytes(subset, medium)?;
        let header = probe_image_bytes(&bytes, &self.context.images.limits)?;
        let Prepared { image, handling } = prepare_image(bytes, &self.context.images)?;
        Ok(EncodedVisual {
            kind: VisualKind::Image,
            handled: handled([handling]),
            images: vec![image],
            grid: None,
            times_s: Vec::new(),
            path: String::new(),
            width_px: header.width_px,
            height_px: header.height_px,
            damage: FrameDamage::default(),
        })
    }

    fn encode_tiles(&self, subset: &str, medium: &MediaRef) -> Result<EncodedVisual, MediaError> {
        let bytes = self.source.media.image_bytes(subset, medium)?;
        let policy = self.planned.reduction.tile_policy(&self.context.tiles);
        let tiled = tile_image(&bytes, &self.context.images, &policy)?;
        Ok(EncodedVisual {
            kind: VisualKind::Tiled,
            handled: handled(tiled.images.iter().map(|_| Handling::Encoded)),
            images: tiled.images,
            grid: Some(tiled.grid),
            times_s: Vec::new(),
            path: String::new(),
            width_px: tiled.width_px,
            height_px: tiled.height_px,
            damage: FrameDamage::default(),
        })
    }

    fn encode_video(&self, subset: &str, medium: &MediaRef) -> Result<EncodedVisual, MediaError> {
        let sampling = self.context.sampling_for(&self.planned.reduction);
        let chosen = self.source.media.choose_frames(subset, medium, &sampling)?;
        let video = chosen.decode(&self.context.frames, self.context.damage)?;
        let times_s = video.frames.iter().map(|frame| frame.time_s).collect();
        Ok(EncodedVisual {
            kind: VisualKind::Video,
            handled: handled(video.frames.iter().map(|frame| frame.handling)),
            images: video.frames.into_iter().map(|frame| frame.image).collect(),
            grid: None,
            times_s,
            path: String::new(),
            width_px: chosen.index.width_px,
            height_px: chosen.index.height_px,
            damage: video.damage,
        })
    }

    /// Images that an earlier build encoded are delivered byte for byte, unless an earlier version was less strict.
    fn prepared(&self, kind: VisualKind, blobs: &[BlobRef], grid: Option<Grid>) -> Result<EncodedVisual, MediaError> {
        let policy = ImagePolicy { check: Check::Header, max_edge_px: None, ..self.context.images.clone() };
        let (mut images, mut handlings) = (Vec::new(), Vec::new());
        for blob in blobs {
            let bytes = self.source.media.blob_bytes(blob)?;
            let format = probe_image_bytes(&bytes, &policy.limits)?.format;
            if !matches!(format, SourceFormat::Jpeg | SourceFormat::Png | SourceFormat::Webp) {
                let detail = format!("{} holds {format:?}, which no dataset of manyframe does", blob.name());
                return Err(MediaError::rejected(RejectCode::MediaType, detail));
            }
            let Prepared { image, handling } = prepare_image(bytes, &policy)?;
            images.push(image);
            handlings.push(handling);
        }
        // A visual without images has no size.
        let (width_px, height_px) = images.first().map_or((0, 0), |image| (image.width_px, image.height_px));
        Ok(EncodedVisual {
            kind,
            images,
            grid,
            times_s: Vec::new(),
            path: String::new(),
            width_px,
            height_px,
            handled: handled(handlings),
            damage: FrameDamage::default(),
        })
    }
}

fn handled(handlings: impl IntoIterator<Item = Handling>) -> HandledImages {
    let mut handled = HandledImages::default();
    handlings.into_iter().for_each(|handling| handled.add(handling, 1));
    handled
}
