//! Composes a haystack with its needles: decodes the frames of its videos, brings them to one size, puts images and clips in between
//! and writes texts on frames.
//!
//! **Invariant:** a needle does not look like a frame of its haystack or like another needle: the record is rejected instead.

use std::collections::BTreeMap;
use std::sync::Arc;

use manyframe_core::{
    ComposedVideo, Digest, Edit, Handling, ImageFormat, NeedleClip, PastedImage, RejectCode, SampleImage, VisualKind,
};
use manyframe_media::video::FrameKeeper;
use manyframe_media::{
    FrameDamage, ImageFingerprint, ImagePolicy, MediaError, RgbImage, decode_rgb, encode_jpeg, fit_into, fitting_px,
    paste_into_quarter, write_text,
};
use manyframe_plan::{ChosenFrames, ComposedFrames, Context, HaystackFrame, Journal, OpenSource};

use crate::encoded::{EncodedVisual, handled};

/// What composes the haystacks of a record.
pub(crate) struct Composer<'a> {
    pub(crate) context: &'a Context,
    pub(crate) source: &'a OpenSource,
    pub(crate) subset: &'a str,
    /// The size at which frames are delivered, if the model's processor decides it.
    pub(crate) size_px: Option<(u32, u32)>,
    /// What keeps frames while they are decoded.
    pub(crate) journal: Option<&'a Journal>,
}

/// How frames are shown.
struct FrameShape {
    /// Width and height in pixels of the first video of the haystack.
    own_px: (u32, u32),
    /// How frames are encoded, at a size that is stated.
    policy: ImagePolicy,
}

impl FrameShape {
    fn size_px(&self) -> (u32, u32) {
        self.policy.size_px.unwrap_or(self.own_px)
    }
}

impl Composer<'_> {
    /// The frames that are shown, encoded.
    ///
    /// # Errors
    ///
    /// If a frame of the haystack cannot be decoded, if a needle cannot be shown or looks like a frame, or on a storage error.
    pub(crate) fn encode(&self, composed: &ComposedVideo) -> Result<EncodedVisual, MediaError> {
        let frames = self.source.media.open_composed(self.subset, composed)?;
        let own_px = frames.size_px();
        let policy = ImagePolicy { size_px: self.size_px, ..self.context.frames.clone() };
        let size_px = policy.delivered_px(own_px.0, own_px.1);
        let shape = FrameShape { own_px, policy: ImagePolicy { size_px: Some(size_px), ..policy } };
        let haystack = self.haystack(composed, &frames, &shape)?;
        let haystack = haystack.get(..composed.num_frames as usize).unwrap_or_default();
        self.check_leaks(composed, haystack, &shape)?;
        let images = self.with_needles(composed, haystack, &shape)?;
        Ok(EncodedVisual {
            kind: VisualKind::Video,
            handled: handled(images.iter().map(|_| Handling::Encoded)),
            times_s: (0..images.len()).map(|number| number as f64 * composed.interval_s).collect(),
            images,
            clip: None,
            grid: None,
            cut: None,
            frames: Some(frames.choice),
            told_px: if self.size_px.is_some() { own_px } else { size_px },
            path: composed.videos.first().cloned().unwrap_or_default(),
            width_px: own_px.0,
            height_px: own_px.1,
            damage: FrameDamage::default(),
        })
    }

    /// The frames of its videos, at least as many as are shown.
    fn haystack(
        &self,
        composed: &ComposedVideo,
        frames: &ComposedFrames,
        shape: &FrameShape,
    ) -> Result<Arc<Vec<HaystackFrame>>, MediaError> {
        let settings = (&composed.videos, composed.interval_s, shape.policy.size_px, shape.policy.jpeg(), self.subset);
        let key = Digest::of(format!("{settings:?}").as_bytes());
        if let Some(kept) = self.source.haystacks.get(key, composed.num_frames as usize) {
            return Ok(kept);
        }
        let mut haystack = Vec::new();
        for (number, video) in frames.videos.iter().enumerate() {
            haystack.extend(self.frames_of((video, key, number), "a haystack", shape)?);
        }
        let haystack = Arc::new(haystack);
        self.source.haystacks.keep(key, &haystack);
        Ok(haystack)
    }

    /// The chosen frames of a video, at the size of the first one's. All must be there: places of needles are counted in frames.
    /// The video has this number in what the key is of.
    fn frames_of(
        &self,
        (video, key, number): (&ChosenFrames, Digest, usize),
        what: &str,
        shape: &FrameShape,
    ) -> Result<Vec<HaystackFrame>, MediaError> {
        let size_px = shape.size_px();
        let own_px = (video.index.width_px, video.index.height_px);
        let fitted_px = fitting_px(own_px, size_px);
        // One pixel is lost in rounding.
        let has_shape =
            own_px == shape.own_px || fitted_px.0.abs_diff(size_px.0) <= 1 && fitted_px.1.abs_diff(size_px.1) <= 1;
        let decoded_px = if has_shape { size_px } else { fitted_px };
        let decoded_policy = ImagePolicy { size_px: Some(decoded_px), ..shape.policy.clone() };
        // Other questions have the same haystack.
        let key = Digest::of_fields([&key.0[..], &(number as u64).to_le_bytes()]);
        let mut kept = self.journal.map(|journal| journal.frames(key, Some(decoded_px)));
        let mut nothing = ();
        let keeper: &mut dyn FrameKeeper = match &mut kept {
            Some(kept) => kept,
            None => &mut nothing,
        };
        let decoded = video.decode(&decoded_policy, self.context.damage, keeper)?;
        if decoded.frames.len() < video.wanted.len() {
            let (found, wanted) = (decoded.frames.len(), video.wanted.len());
            let detail = format!("{found} of {wanted} frames of {what} can be decoded; all are needed");
            return Err(MediaError::rejected(RejectCode::MediaCorrupt, detail));
        }
        let shown = |image: SampleImage| {
            let pixels = self.decoded(&image)?;
            // What is around a frame of another shape would make it look like others.
            let fingerprint = fingerprint(&pixels);
            let image = if has_shape { image } else { jpeg(&fit_into(pixels.view(), size_px)?, &shape.policy)? };
            Ok(HaystackFrame { image, fingerprint })
        };
        decoded.frames.into_iter().map(|frame| shown(frame.image)).collect()
    }

    fn decoded(&self, image: &SampleImage) -> Result<RgbImage, MediaError> {
        decode_rgb(&image.bytes, &self.context.images.limits)
    }

    /// Rejects a needle that looks like a frame of the haystack, or like another needle.
    fn check_leaks(
        &self,
        composed: &ComposedVideo,
        haystack: &[HaystackFrame],
        shape: &FrameShape,
    ) -> Result<(), MediaError> {
        let mut needles: BTreeMap<String, Vec<ImageFingerprint>> = BTreeMap::new();
        for path in composed.images() {
            needles.insert(format!("the needle {path:?}"), vec![self.needle(path, &shape.policy)?.fingerprint]);
        }
        for clip in composed.clips() {
            let frames = self.clip(clip, composed.interval_s, shape)?;
            let name = format!("the needle {:?} from {} s", clip.path, clip.start_s);
            needles.insert(name, frames.iter().map(|frame| frame.fingerprint).collect());
        }
        let haystack: Vec<ImageFingerprint> = haystack.iter().map(|frame| frame.fingerprint).collect();
        for (name, needle) in &needles {
            if let Some((of_needle, of_haystack)) = first_alike(needle, &haystack, composed.max_distance) {
                let what = if needle.len() > 1 { format!("frame {of_needle} of {name}") } else { name.clone() };
                let detail = format!("{what} looks like frame {of_haystack} of its haystack");
                return Err(MediaError::rejected(RejectCode::NeedleInHaystack, detail));
            }
        }
        check_needles_alike(&needles, composed.max_distance)
    }

    /// The frames of a clip that is a needle. They get the size of the haystack's as those of its videos do.
    fn clip(
        &self,
        clip: &NeedleClip,
        interval_s: f64,
        shape: &FrameShape,
    ) -> Result<Arc<Vec<HaystackFrame>>, MediaError> {
        let settings = (clip, interval_s, shape.policy.size_px, shape.policy.jpeg(), self.subset);
        let key = Digest::of(format!("{settings:?}").as_bytes());
        if let Some(kept) = self.source.haystacks.get(key, clip.num_frames as usize) {
            return Ok(kept);
        }
        let chosen = self.source.media.open_needle_clip(self.subset, clip, interval_s)?;
        let frames = Arc::new(self.frames_of((&chosen, key, 0), "a needle", shape)?);
        self.source.haystacks.keep(key, &frames);
        Ok(frames)
    }

    /// An image of a needle as a frame, and what it looks like without what is around it.
    fn needle(&self, path: &str, policy: &ImagePolicy) -> Result<HaystackFrame, MediaError> {
        let key = Digest::of(format!("{:?}", (path, policy.size_px, policy.jpeg(), self.subset)).as_bytes());
        if let Some(kept) = self.source.haystacks.get(key, 1).and_then(|kept| kept.first().cloned()) {
            return Ok(kept);
        }
        let pixels = self.decoded_needle(path)?;
        let image = jpeg(&fit_into(pixels.view(), policy.size_px.unwrap_or_default())?, policy)?;
        let needle = HaystackFrame { image, fingerprint: fingerprint(&pixels) };
        self.source.haystacks.keep(key, &Arc::new(vec![needle.clone()]));
        Ok(needle)
    }

    /// A frame with an image in some of its quarters.
    fn with_pasted(
        &self,
        pasted: &PastedImage,
        frame: &HaystackFrame,
        policy: &ImagePolicy,
    ) -> Result<SampleImage, MediaError> {
        let image = self.decoded_needle(&pasted.path)?;
        let mut pixels = self.decoded(&frame.image)?;
        pasted.quarters.iter().try_for_each(|&quarter| paste_into_quarter(&mut pixels, image.view(), quarter))?;
        jpeg(&pixels, policy)
    }

    fn decoded_needle(&self, path: &str) -> Result<RgbImage, MediaError> {
        decode_rgb(&self.source.media.needle_bytes(self.subset, path)?, &self.context.images.limits)
    }

    /// The frames with their edits. An edit has its place among all frames that are shown.
    fn with_needles(
        &self,
        composed: &ComposedVideo,
        haystack: &[HaystackFrame],
        shape: &FrameShape,
    ) -> Result<Vec<SampleImage>, MediaError> {
        let (mut frames, mut edits) = (haystack.iter(), composed.edits.iter().peekable());
        let mut shown = Vec::new();
        for index in 0..composed.num_shown() {
            let edit = edits.next_if(|edit| edit.index as usize == index).map(|edit| &edit.edit);
            let frame = if edit.is_some_and(Edit::is_inserted) { None } else { frames.next() };
            shown.push(match (edit, frame) {
                (Some(Edit::Insert(path) | Edit::Replace(path)), _) => self.needle(path, &shape.policy)?.image,
                (Some(Edit::InsertFrame(needle) | Edit::ReplaceFrame(needle)), _) => {
                    let clip = self.clip(&needle.clip, composed.interval_s, shape)?;
                    let frame = clip.get(needle.number as usize).ok_or_else(|| misplaced(index))?;
                    frame.image.clone()
                }
                (Some(Edit::Write(text)), Some(frame)) => {
                    let mut pixels = self.decoded(&frame.image)?;
                    write_text(&mut pixels, text)?;
                    jpeg(&pixels, &shape.policy)?
                }
                (Some(Edit::Paste(pasted)), Some(frame)) => self.with_pasted(pasted, frame, &shape.policy)?,
                (None, Some(frame)) => frame.image.clone(),
                (_, None) => return Err(misplaced(index)),
            });
        }
        match edits.next() {
            None => Ok(shown),
            Some(edit) => Err(misplaced(edit.index as usize)),
        }
    }
}

fn misplaced(index: usize) -> MediaError {
    let detail = format!("no place for the needle at {index}");
    MediaError::rejected(RejectCode::UnexpectedSchema, detail)
}

fn jpeg(image: &RgbImage, policy: &ImagePolicy) -> Result<SampleImage, MediaError> {
    let (width_px, height_px) = (image.width_px(), image.height_px());
    let bytes = encode_jpeg(image.view(), policy.jpeg())?;
    Ok(SampleImage { bytes, format: ImageFormat::Jpeg, width_px, height_px })
}

fn fingerprint(image: &RgbImage) -> ImageFingerprint {
    ImageFingerprint::of(&image.view())
}

/// Rejects two needles, each by its name, of which two frames look alike.
///
/// # Errors
///
/// That rejection.
pub(crate) fn check_needles_alike(
    needles: &BTreeMap<String, Vec<ImageFingerprint>>,
    max_distance: u32,
) -> Result<(), MediaError> {
    for (number, (name, needle)) in needles.iter().enumerate() {
        let alike = |(_, other): &(&String, &Vec<ImageFingerprint>)| first_alike(needle, other, max_distance).is_some();
        if let Some((other, _)) = needles.iter().skip(number + 1).find(alike) {
            let detail = format!("{name} and {other} look alike");
            return Err(MediaError::rejected(RejectCode::NeedlesAlike, detail));
        }
    }
    Ok(())
}

/// The first two images that look alike, by their positions in each list.
fn first_alike(some: &[ImageFingerprint], others: &[ImageFingerprint], max_distance: u32) -> Option<(usize, usize)> {
    some.iter().enumerate().find_map(|(number, &one)| {
        Some((number, others.iter().position(|&other| are_alike(one, other, max_distance))?))
    })
}

/// Whether two images look alike. Images with too little contrast for a hash are alike if their pixels are equal.
pub(crate) fn are_alike(a: ImageFingerprint, b: ImageFingerprint, max_distance: u32) -> bool {
    match (a.hash, b.hash) {
        (Some(a_hash), Some(b_hash)) => (a_hash ^ b_hash).count_ones() <= max_distance,
        _ => a.pixels == b.pixels,
    }
}
