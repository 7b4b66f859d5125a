//! Turns a planned record into a sample: reads it again, decodes and encodes media, formats text, counts tokens.
//!
//! The prompt describes what was decoded: if a video has fewer frames than its index says, text and token counts follow the
//! frames that exist, and the ledger says how many do not.

use manyframe_core::{
    BlobRef, FrameChoice, Grid, HandledImages, Handling, Layout, MediaLocation, MediaRef, ModelVisual, Record,
    RecordId, RejectCode, Rejection, Sample, SampleClip, SampleImage, SampleTokens, SampleVisual, TileCut, Visual,
    VisualKind, VisualShape,
};
use manyframe_format::{Formatted, ResolvedVisual, VisualSpan};
use manyframe_media::video::{DeliveredClip, FrameKeeper};
use manyframe_media::{
    Check, FrameDamage, ImagePolicy, MediaError, Prepared, SourceFormat, TiledImage, prepare_image, probe_image_bytes,
    spread, tile_image,
};
use manyframe_plan::{
    Attempt, ChosenFrames, Context, Journal, OpenSource, PlanError, PlannedSample, guarded, in_visual, measure_shapes,
};

use crate::compose::Composer;
use crate::encoded::{EncodedVisual, handled, visual_key};
use crate::error::EngineError;
use crate::needles::check_images;

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
        let (encoded, resolved) = self.encode(record)?;
        check_images(self.source, &record.origin, (&encoded, &self.context.images.limits))?;
        let formatted = self.context.formatter.format(&record.turns, &resolved)?;
        let max_tokens = self.context.pipeline.file.format.max_tokens;
        if formatted.cost.num_tokens() > max_tokens {
            let detail = format!("{} tokens, at most {max_tokens} fit", formatted.cost.num_tokens());
            return Err(MediaError::rejected(RejectCode::TooLong, detail));
        }
        let tokens = self.tokens(&formatted)?;
        let layout = Layout::of(resolved.iter().map(|visual| visual.kind));
        let shapes: Vec<VisualShape> = encoded.iter().map(EncodedVisual::shape).collect();
        let models = self.context.formatter.model_visuals(&resolved, &shapes);
        let Shown { images, clips, visuals, handled, damage } = Shown::gather(encoded, models, &formatted.visual_spans);
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
            clips,
            visuals,
            origin: record.origin.clone(),
        };
        let damage = (!damage.is_none()).then(|| damage.to_string());
        Ok(Made { sample, handled, damage })
    }

    /// The visuals of a record with their images encoded, and what the model's processor makes of them.
    fn encode(&self, record: &Record) -> Result<(Vec<EncodedVisual>, Vec<ResolvedVisual>), MediaError> {
        let formatter = &self.context.formatter;
        let mut targets = if self.context.resizes() { self.planned_sizes(record)? } else { Vec::new() };
        // Frames that cannot be decoded may change the size of those that can.
        for _ in 0..MOST_SIZES {
            let mut encoded = Vec::new();
            for (index, visual) in record.visuals().enumerate() {
                let size_px = targets.get(index).copied();
                let kept = self.keep_visual(record, index, Wanted { visual, size_px });
                encoded.push(kept.map_err(|error| in_visual(error, record, index))?);
            }
            let shapes: Vec<VisualShape> = encoded.iter().map(EncodedVisual::shape).collect();
            let resolved = formatter.resolve_within(&shapes, self.planned.reduction.max_pixels())?;
            let now_px: Vec<(u32, u32)> = resolved.iter().map(resized_px).collect();
            if targets.is_empty() || targets == now_px {
                return Ok((encoded, resolved));
            }
            targets = now_px;
        }
        Err(MediaError::rejected(RejectCode::MediaCorrupt, "what can be decoded differs from one attempt to the next"))
    }

    /// The sizes to which the model's processor brings the visuals of a record, according to their headers.
    fn planned_sizes(&self, record: &Record) -> Result<Vec<(u32, u32)>, MediaError> {
        let shapes = measure_shapes(self.context, self.source, record, &self.planned.reduction)?;
        let resolved = self.context.formatter.resolve_within(&shapes, self.planned.reduction.max_pixels())?;
        Ok(resolved.iter().map(resized_px).collect())
    }

    /// Token ids and labels, if any of the shard formats holds them.
    fn tokens(&self, formatted: &Formatted) -> Result<Option<SampleTokens>, MediaError> {
        if !self.context.pipeline.file.output.has_tokens() {
            return Ok(None);
        }
        let encoded = self.context.formatter.encode(&formatted.prompt, &formatted.label_spans, &formatted.runs);
        encoded.map(Some).map_err(|error| {
            MediaError::rejected(RejectCode::MalformedRecord, format!("the text has no tokens: {error}"))
        })
    }

    /// The visual as an earlier process encoded it, or as it is encoded now.
    fn keep_visual(&self, record: &Record, index: usize, wanted: Wanted) -> Result<EncodedVisual, MediaError> {
        let Some(journal) = self.journal else { return self.encode_visual(record, wanted, &mut ()) };
        let key = visual_key(self.planned.id(), index);
        EncodedVisual::keep((journal, key), wanted.size_px, |keeper| self.encode_visual(record, wanted, keeper))
    }

    fn encode_visual(
        &self,
        record: &Record,
        wanted: Wanted,
        keeper: &mut dyn FrameKeeper,
    ) -> Result<EncodedVisual, MediaError> {
        let Wanted { visual, size_px } = wanted;
        let Some(medium) = record.media.get(visual.media) else {
            return Err(MediaError::rejected(RejectCode::MediaMissing, "the record has no such medium"));
        };
        if let MediaLocation::Prepared { images, grid, cut, frames, .. } = &medium.location {
            let choice = frames.clone().unwrap_or_else(|| FrameChoice::unknown(images.len()));
            let most = self.planned.reduction.max_frames.filter(|_| visual.kind == VisualKind::Video);
            let (images, taken) = match most {
                Some(most) => (spread(images, most.get()), spread(&choice.taken, most.get())),
                None => (images.clone(), choice.taken.clone()),
            };
            let frames = (visual.kind == VisualKind::Video).then_some(FrameChoice { taken, ..choice });
            return self.prepared(wanted, &images, PreparedShape { grid: *grid, cut: *cut, frames });
        }
        if let MediaLocation::Composed(composed) = &medium.location {
            let (context, source, journal) = (self.context, self.source, self.journal);
            return Composer { context, source, subset: &record.subset, size_px, journal }.encode(composed);
        }
        let mut encoded = match visual.kind {
            VisualKind::Video => {
                let chosen =
                    self.context.choose_frames(&self.source.media, &record.subset, medium, &self.planned.reduction)?;
                self.encode_video(&chosen, size_px, keeper)
            }
            VisualKind::Tiled => self.encode_tiles(&record.subset, medium),
            VisualKind::Image => self.encode_image(&record.subset, medium, size_px),
        }?;
        if let MediaLocation::Path(path) = &medium.location {
            encoded.path.clone_from(path);
        }
        Ok(encoded)
    }

    fn encode_image(
        &self,
        subset: &str,
        medium: &MediaRef,
        size_px: Option<(u32, u32)>,
    ) -> Result<EncodedVisual, MediaError> {
        let bytes = self.source.media.image_bytes(subset, medium)?;
        let header = probe_image_bytes(&bytes, &self.context.images.limits)?;
        let Prepared { image, handling } = prepare_image(bytes, &sized(&self.context.images, size_px))?;
        let own_px = (header.width_px, header.height_px);
        Ok(EncodedVisual {
            kind: VisualKind::Image,
            handled: handled([handling]),
            told_px: if size_px.is_some() { own_px } else { (image.width_px, image.height_px) },
            images: vec![image],
            clip: None,
            grid: None,
            cut: None,
            frames: None,
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
            handled: handled(tile_handlings(&tiled)),
            images: tiled.images,
            clip: None,
            grid: Some(tiled.grid),
            cut: tiled.cut,
            frames: None,
            told_px: (tiled.width_px, tiled.height_px),
            times_s: Vec::new(),
            path: String::new(),
            width_px: tiled.width_px,
            height_px: tiled.height_px,
            damage: FrameDamage::default(),
        })
    }

    fn encode_video(
        &self,
        chosen: &ChosenFrames,
        size_px: Option<(u32, u32)>,
        keeper: &mut dyn FrameKeeper,
    ) -> Result<EncodedVisual, MediaError> {
        let context = self.context;
        if context.delivers_clips()
            && let Some(clip) = chosen.clip(&context.frames.limits, keeper)?
        {
            return Ok(clip_visual(chosen, clip));
        }
        let video = chosen.decode(&sized(&context.frames, size_px), context.damage, keeper)?;
        let times_s = video.frames.iter().map(|frame| chosen.time_s(frame.index)).collect();
        let own_px = (chosen.index.width_px, chosen.index.height_px);
        let delivered_px = video.frames.first().map(|frame| (frame.image.width_px, frame.image.height_px));
        Ok(EncodedVisual {
            kind: VisualKind::Video,
            handled: handled(video.frames.iter().map(|frame| frame.handling)),
            frames: Some(chosen.choice(video.frames.iter().map(|frame| frame.index))),
            told_px: delivered_px.filter(|_| size_px.is_none()).unwrap_or(own_px),
            images: video.frames.into_iter().map(|frame| frame.image).collect(),
            clip: None,
            grid: None,
            cut: None,
            times_s,
            path: String::new(),
            width_px: chosen.index.width_px,
            height_px: chosen.index.height_px,
            damage: video.damage,
        })
    }

    /// Images that an earlier build encoded are delivered byte for byte, unless an earlier version was less strict, or another
    /// size is wanted.
    fn prepared(&self, wanted: Wanted, blobs: &[BlobRef], shape: PreparedShape) -> Result<EncodedVisual, MediaError> {
        let policy = ImagePolicy { check: Check::Header, max_edge_px: None, ..self.context.images.clone() };
        let policy = sized(&policy, wanted.size_px);
        let (mut images, mut handlings) = (Vec::new(), Vec::new());
        let mut own_px = None;
        for blob in blobs {
            let bytes = self.source.media.blob_bytes(blob)?;
            let header = probe_image_bytes(&bytes, &policy.limits)?;
            if !matches!(header.format, SourceFormat::Jpeg | SourceFormat::Png | SourceFormat::Webp) {
                let detail = format!("{} holds {:?}, which no dataset of manyframe does", blob.name(), header.format);
                return Err(MediaError::rejected(RejectCode::MediaType, detail));
            }
            own_px = own_px.or(Some((header.width_px, header.height_px)));
            let Prepared { image, handling } = prepare_image(bytes, &policy)?;
            images.push(image);
            handlings.push(handling);
        }
        // A visual without images has no size.
        let (width_px, height_px) = images.first().map_or((0, 0), |image| (image.width_px, image.height_px));
        Ok(EncodedVisual {
            kind: wanted.visual.kind,
            images,
            clip: None,
            grid: shape.grid,
            cut: shape.cut,
            frames: shape.frames,
            told_px: own_px.unwrap_or_default(),
            times_s: Vec::new(),
            path: String::new(),
            width_px,
            height_px,
            handled: handled(handlings),
            damage: FrameDamage::default(),
        })
    }
}

/// What a sample shows.
#[derive(Default)]
struct Shown {
    images: Vec<SampleImage>,
    clips: Vec<SampleClip>,
    visuals: Vec<SampleVisual>,
    handled: HandledImages,
    damage: FrameDamage,
}

impl Shown {
    /// The visuals of a sample with what the model's processor makes of each, and where it is in the messages.
    fn gather(encoded: Vec<EncodedVisual>, models: Vec<Option<ModelVisual>>, spans: &[VisualSpan]) -> Self {
        let mut shown = Self::default();
        for ((mut encoded, model), span) in encoded.into_iter().zip(models).zip(spans) {
            let (clip, clip_frames) = encoded.clip.take().map(|clip| (clip.clip, clip.frames)).unzip();
            shown.visuals.push(SampleVisual {
                kind: encoded.kind,
                message: span.message,
                start: span.start,
                end: span.end,
                first_image: shown.images.len(),
                num_images: span.num_images,
                grid: encoded.grid,
                cut: encoded.cut,
                model,
                clip: clip_frames,
                times_s: encoded.times_s,
                path: encoded.path,
                width_px: encoded.width_px,
                height_px: encoded.height_px,
            });
            shown.images.extend(encoded.images);
            shown.clips.extend(clip);
            shown.handled += encoded.handled;
            shown.damage.add(encoded.damage);
        }
        shown
    }
}

/// A video that is delivered as a file: its frames keep their size.
fn clip_visual(chosen: &ChosenFrames, clip: DeliveredClip) -> EncodedVisual {
    let own_px = (chosen.index.width_px, chosen.index.height_px);
    EncodedVisual {
        kind: VisualKind::Video,
        images: Vec::new(),
        clip: Some(Box::new(clip)),
        grid: None,
        cut: None,
        frames: Some(chosen.choice(chosen.wanted.iter().copied())),
        told_px: own_px,
        times_s: chosen.wanted.iter().map(|&frame| chosen.time_s(frame)).collect(),
        path: String::new(),
        width_px: own_px.0,
        height_px: own_px.1,
        handled: HandledImages::default(),
        damage: FrameDamage::default(),
    }
}

/// How often a record is encoded at most until the size of its frames is that of those that can be decoded.
const MOST_SIZES: usize = 3;

/// A visual, and the width and height in pixels at which it is delivered, if the model's processor decides it.
#[derive(Clone, Copy)]
struct Wanted {
    visual: Visual,
    size_px: Option<(u32, u32)>,
}

/// Tiles or frames that an earlier build made.
struct PreparedShape {
    grid: Option<Grid>,
    cut: Option<TileCut>,
    frames: Option<FrameChoice>,
}

fn sized(policy: &ImagePolicy, size_px: Option<(u32, u32)>) -> ImagePolicy {
    ImagePolicy { size_px, ..policy.clone() }
}

fn resized_px(visual: &ResolvedVisual) -> (u32, u32) {
    let size = visual.plan.layout.size();
    (size.width_px, size.height_px)
}

/// The overview is encoded, whatever is done with the tiles.
fn tile_handlings(tiled: &TiledImage) -> impl Iterator<Item = Handling> {
    let of_tiles = if tiled.cut.is_some_and(|cut| cut.is_lossless) { Handling::Cut } else { Handling::Encoded };
    std::iter::once(Handling::Encoded).chain(tiled.images.iter().skip(1).map(move |_| of_tiles))
}
