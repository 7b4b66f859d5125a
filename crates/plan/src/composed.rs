//! Videos that are composed of frames of several others: which frames, by their indexes. No pixel is decoded.

use std::sync::{Arc, Mutex, PoisonError};

use manyframe_core::{Clip, ComposedVideo, Digest, FrameChoice, MediaRef, NeedleClip, RejectCode, SampleImage};
use manyframe_media::{ImageFingerprint, MediaError, Sampling};

use crate::media::{ChosenFrames, SourceMedia, image_at, video_at};

/// The frames of a composed video that are taken from others.
pub struct ComposedFrames {
    /// The videos that are needed, each with its chosen frames; at least one.
    pub videos: Vec<ChosenFrames>,
    /// The frames that are shown, those between them included: all of them, an interval apart.
    pub choice: FrameChoice,
}

impl ComposedFrames {
    /// Width and height in pixels of the first video, whose shape all frames get.
    pub fn size_px(&self) -> (u32, u32) {
        self.videos.first().map_or((0, 0), |video| (video.index.width_px, video.index.height_px))
    }

    /// Size of the files of all videos.
    pub(crate) fn num_bytes(&self) -> u64 {
        self.videos.iter().map(|video| video.num_bytes).sum()
    }
}

impl SourceMedia {
    /// Opens the videos of a composed one, until there are enough frames.
    ///
    /// # Errors
    ///
    /// If a video, a clip or an image is missing or unusable, if one has too few frames, or on a storage error.
    pub fn open_composed(&self, subset: &str, composed: &ComposedVideo) -> Result<ComposedFrames, MediaError> {
        let wanted = composed.num_frames as usize;
        let sampling = every(composed.interval_s);
        let (mut videos, mut found) = (Vec::new(), 0);
        for path in &composed.videos {
            if found == wanted {
                break;
            }
            let mut chosen = self.open_video(subset, &video_at(path), &sampling)?;
            chosen.wanted.truncate(wanted - found);
            found += chosen.wanted.len();
            videos.push(chosen);
        }
        if found < wanted || videos.is_empty() {
            let num_videos = composed.videos.len();
            let detail = format!(
                "{found} frames, one every {} s, in {num_videos} videos; {wanted} are to be shown",
                composed.interval_s
            );
            return Err(MediaError::rejected(RejectCode::HaystackTooShort, detail));
        }
        for path in composed.images() {
            self.image_header(subset, &image_at(path))?;
        }
        for clip in composed.clips() {
            self.open_needle_clip(subset, clip, composed.interval_s)?;
        }
        let shown = FrameChoice::unknown(composed.num_shown());
        Ok(ComposedFrames { videos, choice: FrameChoice { fps: 1.0 / composed.interval_s, ..shown } })
    }

    /// Opens a clip that is put into a video, and chooses as many of its frames as are shown, so many seconds apart.
    ///
    /// # Errors
    ///
    /// If it is missing, unusable or too short, or on a storage error.
    pub fn open_needle_clip(
        &self,
        subset: &str,
        clip: &NeedleClip,
        interval_s: f64,
    ) -> Result<ChosenFrames, MediaError> {
        let part = Clip { start_s: clip.start_s, end_s: None };
        let video = MediaRef { clip: Some(part), ..video_at(&clip.path) };
        let mut chosen = self.open_video(subset, &video, &every(interval_s))?;
        let (found, wanted) = (chosen.wanted.len(), clip.num_frames as usize);
        if found < wanted {
            let detail = format!(
                "{found} frames, one every {interval_s} s, in {:?} from {} s on; {wanted} are to be shown",
                clip.path, clip.start_s
            );
            return Err(MediaError::rejected(RejectCode::NeedleTooShort, detail));
        }
        chosen.wanted.truncate(wanted);
        Ok(chosen)
    }

    /// The encoded bytes of an image of a composed video.
    ///
    /// # Errors
    ///
    /// If it is missing or too large, or on a storage error.
    pub fn needle_bytes(&self, subset: &str, path: &str) -> Result<Vec<u8>, MediaError> {
        self.image_bytes(subset, &image_at(path))
    }
}

/// Bytes of decoded haystacks that are kept for the questions that follow: each haystack has as many as there are depths, tasks and
/// orders of options.
const MOST_KEPT_BYTES: usize = 256 << 20;

/// A frame of a haystack, and what it looks like.
#[derive(Debug, Clone)]
pub struct HaystackFrame {
    /// The frame, as it is delivered.
    pub image: SampleImage,
    /// What its pixels are compared by.
    pub fingerprint: ImageFingerprint,
}

/// The haystacks that were decoded last. Of one with more frames, the first are those of one with fewer.
#[derive(Debug, Default)]
pub struct HaystackCache {
    kept: Mutex<Vec<(Digest, Arc<Vec<HaystackFrame>>)>>,
}

impl HaystackCache {
    /// The haystack with at least so many frames, if it is kept. `key` is of its videos, and of all on which its frames depend.
    pub fn get(&self, key: Digest, num_frames: usize) -> Option<Arc<Vec<HaystackFrame>>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().find(|(of, frames)| *of == key && frames.len() >= num_frames);
        found.map(|(_, frames)| Arc::clone(frames))
    }

    /// Keeps a haystack, in place of a shorter one and of those that were kept first.
    pub fn keep(&self, key: Digest, frames: &Arc<Vec<HaystackFrame>>) {
        let num_bytes = |frames: &[HaystackFrame]| frames.iter().map(|frame| frame.image.bytes.len()).sum::<usize>();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(of, _)| *of != key);
        kept.push((key, Arc::clone(frames)));
        let mut total: usize = kept.iter().map(|(_, frames)| num_bytes(frames)).sum();
        while total > MOST_KEPT_BYTES && !kept.is_empty() {
            total -= num_bytes(&kept.remove(0).1);
        }
    }
}

fn every(interval_s: f64) -> Sampling {
    Sampling::Interval { interval_s, max_frames: u32::MAX }
}
