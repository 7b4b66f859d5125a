//! The visuals of a record as their headers describe them. No pixel is decoded.

use manyframe_core::{
    BlobRef, ComposedVideo, Digest, FrameChoice, MediaLocation, MediaRef, PreparedClip, Record, RejectCode, Rejection,
    Visual, VisualKind, VisualShape,
};
use manyframe_media::video;
use manyframe_media::{MediaError, Sampling, plan_tiles, spread};

use crate::context::{Context, OpenSource};
use crate::reduction::LengthReduction;

/// A visual as its header describes it.
#[derive(Debug, Clone)]
pub(super) struct MeasuredVisual {
    pub(super) shape: VisualShape,
    /// Bytes that its images take in a shard, roughly, unless the model's processor decides about their size.
    pub(super) estimated_bytes: u64,
    /// Width and height of an image that is cut into tiles here, so that there could be fewer of them.
    pub(super) cut_from_px: Option<(u32, u32)>,
    /// Whether the model's processor chooses its frames, so that it can be asked for fewer.
    pub(super) is_sampled_by_law: bool,
    /// Equal for equal media; different for most others.
    pub(super) signature: [u64; 3],
}

impl MeasuredVisual {
    /// The visual with no more frames and tiles than the reduction keeps: frames as the model's processor takes them if it is
    /// asked for that number; if they were chosen otherwise, evenly spaced among these.
    ///
    /// # Errors
    /// If the processor cannot take so few frames.
    pub(super) fn reduced(&self, reduction: &LengthReduction, context: &Context) -> Result<Self, Rejection> {
        let shape = match (&self.shape, reduction.max_frames, reduction.max_tiles, self.cut_from_px) {
            (VisualShape::Video { size_px, frames }, Some(most), ..) => {
                let taken = if self.is_sampled_by_law && frames.taken.len() > most.get() as usize {
                    context.formatter.fewer_frames_by_law(*size_px, frames, most)?
                } else {
                    spread(&frames.taken, most.get())
                };
                VisualShape::Video { size_px: *size_px, frames: FrameChoice { taken, ..*frames } }
            }
            (VisualShape::Tiled { .. }, _, Some(_), Some((width_px, height_px))) => VisualShape::Tiled {
                grid: plan_tiles(width_px, height_px, &reduction.tile_policy(&context.tiles)).grid,
            },
            (as_it_is, ..) => as_it_is.clone(),
        };
        let (before, after) = (self.shape.num_images().max(1), shape.num_images());
        Ok(Self { shape, estimated_bytes: self.estimated_bytes * after / before, ..*self })
    }
}

/// Measures the visuals of one record.
pub(super) struct VisualMeter<'a> {
    pub(super) context: &'a Context,
    pub(super) open: &'a OpenSource,
    pub(super) record: &'a Record,
}

impl VisualMeter<'_> {
    /// Measures all visuals, in order.
    ///
    /// # Errors
    ///
    /// The first visual that cannot be shown, or a storage error.
    pub(super) fn measure_all(&self) -> Result<Vec<MeasuredVisual>, MediaError> {
        let measure = |(index, visual): (usize, Visual)| {
            self.measure(visual).map_err(|error| in_visual(error, self.record, index))
        };
        self.record.visuals().enumerate().map(measure).collect()
    }

    fn measure(&self, visual: Visual) -> Result<MeasuredVisual, MediaError> {
        let Self { context, open, record } = self;
        let missing = || MediaError::rejected(RejectCode::MediaMissing, "the record has no such medium");
        let medium = record.media.get(visual.media).ok_or_else(missing)?;
        if let MediaLocation::Prepared { images, grid, size_px, frames, .. } = &medium.location {
            let size_px = size_px.unwrap_or_default();
            let frames = frames.clone().unwrap_or_else(|| FrameChoice::unknown(images.len()));
            let shape = match (visual.kind, grid) {
                (VisualKind::Video, _) => VisualShape::Video { size_px, frames },
                (_, Some(grid)) => VisualShape::Tiled { grid: *grid },
                (_, None) => VisualShape::Image { size_px },
            };
            return Ok(measure_prepared(shape, images));
        }
        if let MediaLocation::PreparedClip(clip) = &medium.location {
            return self.measure_clip(clip);
        }
        if let MediaLocation::Composed(composed) = &medium.location {
            return self.measure_composed(composed);
        }
        if visual.kind == VisualKind::Video {
            return self.measure_video(medium);
        }
        let header = open.media.image_header(&record.subset, medium)?;
        let signature = [header.num_bytes, u64::from(header.width_px), u64::from(header.height_px)];
        if visual.kind == VisualKind::Tiled {
            let plan = plan_tiles(header.width_px, header.height_px, &context.tiles);
            let edge_px = u64::from(context.tiles.edge_px.get());
            let tile_pixels = plan.grid.num_tiles() * edge_px * edge_px;
            let cut_from_px = Some((header.width_px, header.height_px));
            return Ok(MeasuredVisual {
                shape: VisualShape::Tiled { grid: plan.grid },
                estimated_bytes: encoded_bytes(tile_pixels),
                cut_from_px,
                is_sampled_by_law: false,
                signature,
            });
        }
        let own_px = (header.width_px, header.height_px);
        let delivered_px = context.images.delivered_px(header.width_px, header.height_px);
        let is_unchanged = header.deliverable_as_is && delivered_px == own_px;
        let estimated_bytes = if is_unchanged { header.num_bytes } else { encoded_bytes(num_pixels(delivered_px)) };
        let shape = VisualShape::Image { size_px: if context.resizes() { own_px } else { delivered_px } };
        Ok(MeasuredVisual { shape, estimated_bytes, cut_from_px: None, is_sampled_by_law: false, signature })
    }

    fn measure_video(&self, medium: &MediaRef) -> Result<MeasuredVisual, MediaError> {
        let Self { context, open, record } = self;
        let whole = LengthReduction::default();
        let chosen = context.choose_frames(&open.media, &record.subset, medium, &whole)?;
        context.damage.check(&chosen.index.known_damage(&chosen.wanted))?;
        let own_px = (chosen.index.width_px, chosen.index.height_px);
        let clip_start = medium.clip.map_or(0, |clip| clip.start_s.to_bits());
        let frames = chosen.choice(chosen.wanted.iter().copied());
        let is_clip = context.delivers_clips() && chosen.may_be_clip(&context.images.limits)?;
        let num_frames = frames.taken.len() as u64;
        let clip_bytes = is_clip.then(|| chosen.estimated_clip_bytes());
        let (shape, estimated_bytes) = self.delivered_video(own_px, frames, clip_bytes);
        Ok(MeasuredVisual {
            shape,
            estimated_bytes,
            cut_from_px: None,
            is_sampled_by_law: context.sampling == Sampling::All,
            signature: [chosen.num_bytes, num_frames, clip_start],
        })
    }

    /// Its frames are stated, so that no processor chooses among them.
    fn measure_composed(&self, composed: &ComposedVideo) -> Result<MeasuredVisual, MediaError> {
        let frames = self.open.media.open_composed(&self.record.subset, composed)?;
        let (num_bytes, num_frames) = (frames.num_bytes(), frames.choice.taken.len() as u64);
        let composition = Digest::of(format!("{composed:?}").as_bytes()).first_bits();
        let (shape, estimated_bytes) = self.delivered_video(frames.size_px(), frames.choice, None);
        let signature = [num_bytes, num_frames, composition];
        Ok(MeasuredVisual { shape, estimated_bytes, cut_from_px: None, is_sampled_by_law: false, signature })
    }

    /// What an earlier build said of a clip is believed here, and checked when the clip is read.
    fn measure_clip(&self, clip: &PreparedClip) -> Result<MeasuredVisual, MediaError> {
        video::ensure_enabled()?;
        let num_frames = clip.choice.taken.len() as u64;
        // How long a cell of a table is, is known when it is read.
        let num_bytes = if let BlobRef::Range { num_bytes, .. } = clip.file { Some(num_bytes) } else { None };
        let of_frames = encoded_bytes(num_frames * num_pixels(clip.size_px));
        let clip_bytes = self.context.delivers_clips().then(|| num_bytes.unwrap_or(of_frames));
        let (shape, estimated_bytes) = self.delivered_video(clip.size_px, clip.choice.clone(), clip_bytes);
        let signature = [num_bytes.unwrap_or_default(), num_frames, 0];
        Ok(MeasuredVisual { shape, estimated_bytes, cut_from_px: None, is_sampled_by_law: false, signature })
    }

    /// The shape of a video, and the bytes that it takes in a shard: as a file of so many bytes, or else as its frames.
    fn delivered_video(&self, own_px: (u32, u32), frames: FrameChoice, clip_bytes: Option<u64>) -> (VisualShape, u64) {
        let delivered_px = self.context.frames.delivered_px(own_px.0, own_px.1);
        let keeps_size = self.context.resizes() || clip_bytes.is_some();
        let of_frames = encoded_bytes(frames.taken.len() as u64 * num_pixels(delivered_px));
        let shape = VisualShape::Video { size_px: if keeps_size { own_px } else { delivered_px }, frames };
        (shape, clip_bytes.unwrap_or(of_frames))
    }
}

/// The shapes of the visuals of a record that is shortened, according to their headers.
///
/// # Errors
///
/// The first visual that cannot be shown, or a storage error.
pub fn measure_shapes(
    context: &Context,
    open: &OpenSource,
    record: &Record,
    reduction: &LengthReduction,
) -> Result<Vec<VisualShape>, MediaError> {
    let measured = VisualMeter { context, open, record }.measure_all()?;
    let shape = |visual: &MeasuredVisual| Ok(visual.reduced(reduction, context)?.shape);
    measured.iter().map(shape).collect()
}

/// Names the visual of the record in the error.
pub fn in_visual(error: MediaError, record: &Record, index: usize) -> MediaError {
    match error {
        MediaError::Rejected(rejection) => {
            let name = record.media.get(index).map(|medium| format!(" {:?}", medium.location.name()));
            let name = format!("medium {}{}", index + 1, name.unwrap_or_default());
            MediaError::Rejected(rejection.map_detail(|detail| format!("{name}: {detail}")))
        }
        storage @ MediaError::Storage { .. } => storage,
    }
}

/// Frames or tiles that an earlier build made are shown as they are.
fn measure_prepared(shape: VisualShape, images: &[BlobRef]) -> MeasuredVisual {
    let sizes = images.iter().map(|image| if let BlobRef::Range { num_bytes, .. } = image { *num_bytes } else { 0 });
    let num_bytes: u64 = sizes.sum();
    let signature = [num_bytes, images.len() as u64, 0];
    MeasuredVisual { shape, estimated_bytes: num_bytes, cut_from_px: None, is_sampled_by_law: false, signature }
}

fn num_pixels((width_px, height_px): (u32, u32)) -> u64 {
    u64::from(width_px) * u64::from(height_px)
}

/// Bytes of a JPEG at quality 90, roughly: a quarter of a byte per pixel.
pub(super) fn encoded_bytes(num_pixels: u64) -> u64 {
    num_pixels / 4
}
