//! A visual with its images encoded, before its sample is made; a journal keeps it.

use std::time::{Duration, Instant};

use manyframe_core::{
    ClipFormat, ClipFrames, Digest, FrameChoice, Grid, HandledImages, Handling, RecordId, SampleClip, SampleImage,
    TileCut, VisualKind, VisualShape,
};
use manyframe_media::video::{DeliveredClip, FrameKeeper};
use manyframe_media::{FrameDamage, MediaError};
use manyframe_plan::{Journal, Payload};
use serde::{Deserialize, Serialize};

/// A visual with its images encoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EncodedVisual {
    pub(crate) kind: VisualKind,
    /// The journal keeps them beside the rest.
    #[serde(skip)]
    pub(crate) images: Vec<SampleImage>,
    /// The video file that is delivered instead of images. The journal keeps it beside the rest, too.
    #[serde(skip)]
    pub(crate) clip: Option<Box<DeliveredClip>>,
    /// Rows and columns of its tiles, if it has any.
    pub(crate) grid: Option<Grid>,
    /// How it was cut, where tiles without loss were asked for.
    #[serde(default)]
    pub(crate) cut: Option<TileCut>,
    /// Times of its frames, if it is a video that was decoded.
    pub(crate) times_s: Vec<f64>,
    /// Path of its medium; empty if an earlier build encoded it.
    pub(crate) path: String,
    pub(crate) width_px: u32,
    pub(crate) height_px: u32,
    /// Width and height in pixels of what the model's processor is told of.
    pub(crate) told_px: (u32, u32),
    /// Where its frames are in their video, if it is one.
    pub(crate) frames: Option<FrameChoice>,
    /// How its images came to their bytes.
    pub(crate) handled: HandledImages,
    pub(crate) damage: FrameDamage,
}

/// What a journal keeps of a visual beside the bytes of its images and its video file.
#[derive(Serialize, Deserialize)]
struct KeptVisual {
    encoded: EncodedVisual,
    /// The extension of its video file, and what is said of its frames.
    clip: Option<(String, ClipFrames)>,
}

/// Under what a visual of a sample is kept.
pub(crate) fn visual_key(sample: RecordId, visual: usize) -> Digest {
    Digest::of_fields([&sample.0[..], &(visual as u64).to_le_bytes()])
}

impl EncodedVisual {
    /// The visual as an earlier process made it, or as it is made now. All of its images have this size, if one is given.
    pub(crate) fn keep(
        (journal, key): (&Journal, Digest),
        size_px: Option<(u32, u32)>,
        make: impl FnOnce(&mut dyn FrameKeeper) -> Result<Self, MediaError>,
    ) -> Result<Self, MediaError> {
        let kept = Self::read(journal, key);
        if let Some(kept) = kept.filter(|kept| size_px.is_none_or(|size_px| kept.is_of(size_px))) {
            return Ok(kept);
        }
        // What is made does not depend on the clock, only whether it is kept.
        let started = Instant::now();
        let encoded = make(&mut journal.frames(key, size_px))?;
        encoded.write((journal, key), started.elapsed());
        Ok(encoded)
    }

    fn read(journal: &Journal, key: Digest) -> Option<Self> {
        let (KeptVisual { encoded, clip }, Payload { images, rest }) = journal.read(key)?;
        let clip = match clip {
            None => None,
            Some((extension, frames)) => {
                let clip = SampleClip { bytes: rest, format: ClipFormat::from_extension(&extension)? };
                Some(Box::new(DeliveredClip { clip, frames }))
            }
        };
        Some(Self { images, clip, ..encoded })
    }

    fn write(&self, (journal, key): (&Journal, Digest), elapsed: Duration) {
        let clip = self.clip.as_deref();
        let describe = |clip: &DeliveredClip| (clip.clip.format.extension().to_owned(), clip.frames.clone());
        let kept = KeptVisual { encoded: self.without_files(), clip: clip.map(describe) };
        journal.keep(key, &kept, &self.images, (clip.map_or(&[][..], |clip| &clip.clip.bytes), elapsed));
    }

    /// Whether all of its images have this width and height.
    fn is_of(&self, size_px: (u32, u32)) -> bool {
        self.images.iter().all(|image| (image.width_px, image.height_px) == size_px)
    }

    /// All but its images and its video file.
    fn without_files(&self) -> Self {
        let (times_s, path, frames) = (self.times_s.clone(), self.path.clone(), self.frames.clone());
        Self { images: Vec::new(), clip: None, times_s, path, frames, ..*self }
    }

    /// The size and the frames or tiles on which its tokens depend.
    pub(crate) fn shape(&self) -> VisualShape {
        let size_px = self.told_px;
        match (self.kind, self.grid) {
            (VisualKind::Video, _) => {
                let unknown = || FrameChoice::unknown(self.images.len());
                VisualShape::Video { size_px, frames: self.frames.clone().unwrap_or_else(unknown) }
            }
            (_, Some(grid)) => VisualShape::Tiled { grid },
            (_, None) => VisualShape::Image { size_px },
        }
    }
}

/// The counts of how images came to their bytes.
pub(crate) fn handled(handlings: impl IntoIterator<Item = Handling>) -> HandledImages {
    let mut handled = HandledImages::default();
    handlings.into_iter().for_each(|handling| handled.add(handling, 1));
    handled
}

#[cfg(test)]
mod tests {
    use manyframe_core::{ClipFile, ImageFormat};

    use super::*;

    #[test]
    fn a_visual_is_kept_with_its_images_or_its_video_file() {
        let image = SampleImage { bytes: b"one".to_vec(), format: ImageFormat::Png, width_px: 3, height_px: 2 };
        let frames = ClipFrames {
            frame_indices: vec![3, 7],
            num_frames: 9,
            fps: 29.97,
            file: ClipFile::Cut,
            uncut_because: None,
        };
        let clip = SampleClip { bytes: b"a video".to_vec(), format: ClipFormat::Matroska };
        let encoded = EncodedVisual {
            kind: VisualKind::Video,
            images: vec![image.clone(), image],
            clip: None,
            grid: None,
            cut: None,
            times_s: vec![0.1, 1.0 / 3.0],
            path: "a b.mp4".to_owned(),
            width_px: 5,
            height_px: 6,
            told_px: (5, 6),
            frames: Some(FrameChoice { num_frames: 9, fps: 29.97, taken: vec![0, 4] }),
            handled: HandledImages { num_encoded: 2, ..HandledImages::default() },
            damage: FrameDamage { num_chosen: 3, num_missing: 1, ..FrameDamage::default() },
        };
        let as_file = EncodedVisual {
            images: Vec::new(),
            clip: Some(Box::new(DeliveredClip { clip, frames })),
            ..encoded.clone()
        };
        let folder = tempfile::tempdir().unwrap();
        let keys = [0, 1].map(|visual| visual_key(RecordId([7; 16]), visual));
        let journal = Journal::open(folder.path(), "000003");
        encoded.write((&journal, keys[0]), Duration::from_secs(1));
        as_file.write((&journal, keys[1]), Duration::from_secs(1));
        let journal = Journal::open(folder.path(), "000003");
        assert_eq!(keys.map(|key| EncodedVisual::read(&journal, key)), [Some(encoded), Some(as_file)]);
    }
}
