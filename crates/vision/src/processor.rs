//! The trait that every model family implements.

use std::borrow::Cow;

use crate::geometry::{Clip, Geometry, Size};
use crate::plan::VisualPlan;
use crate::refusal::{Refusal, Refused};

/// What a model's processor makes of the media of one sample, computed from their headers.
pub trait VisionProcessor: Send + Sync {
    /// The plan of each medium, in order. Some models show an image of a sample with several images in another way.
    ///
    /// # Errors
    /// The first medium that the processor refuses, and why.
    fn plan(&self, media: &[Geometry<'_>]) -> Result<Vec<VisualPlan>, Refused>;

    /// The visual tokens of a video of which `num_frames` are taken, where frames share a budget, so that fewer can cost more each.
    /// `None` where each frame costs the same, and if the processor refuses them.
    fn tokens_of_frames(&self, _size: Size, _num_frames: u32) -> Option<u64> {
        None
    }

    /// What the processor writes in place of media. No text may contain any of it.
    fn tokens(&self) -> Vec<MediaToken>;

    /// The texts of which every token counts as part of an image in `mm_token_type_ids`, not only placeholders; none by default.
    fn image_text(&self) -> Option<ImageText> {
        None
    }

    /// What the family's chat template writes where a medium is: its plan's markup takes the place of it.
    fn marks(&self) -> MediaMarks {
        MediaMarks::of(&self.tokens())
    }
}

/// What templates write where a video is, if its frames are written as images.
pub(crate) const VIDEO_MARK: &str = "<video>";

/// What a chat template writes where a medium is: one of some texts. None if the family has no token for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaMarks {
    /// Where an image is.
    pub image: Vec<Cow<'static, str>>,
    /// Where a video is.
    pub video: Vec<Cow<'static, str>>,
}

impl MediaMarks {
    /// The placeholders of a family; `<video>` where the frames of a video have those of images.
    fn of(tokens: &[MediaToken]) -> Self {
        let placeholder = |type_id| tokens.iter().find(|token| token.is_placeholder && token.type_id == type_id);
        let frames = || tokens.iter().find(|token| token.text == VIDEO_MARK);
        let texts = |token: Option<&MediaToken>| token.map(|token| token.text.clone()).into_iter().collect();
        Self { image: texts(placeholder(1)), video: texts(placeholder(2).or_else(frames)) }
    }
}

/// A string that stands for media in a prompt, or marks where they are; a single token of the model's own tokenizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaToken {
    /// The string.
    pub text: Cow<'static, str>,
    /// Whether features of the vision tower take its place.
    pub is_placeholder: bool,
    /// Its number in `mm_token_type_ids`: 1 for images, 2 for videos, otherwise 0.
    pub type_id: i8,
}

impl MediaToken {
    pub(crate) fn image(text: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.into(), is_placeholder: true, type_id: 1 }
    }

    pub(crate) fn video(text: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.into(), is_placeholder: true, type_id: 2 }
    }

    pub(crate) fn delimiter(text: &'static str) -> Self {
        Self { text: text.into(), is_placeholder: false, type_id: 0 }
    }

    /// A delimiter that counts as part of the image.
    pub(crate) fn image_delimiter(text: &'static str) -> Self {
        Self { text: text.into(), is_placeholder: false, type_id: 1 }
    }
}

/// What is written in place of an image, with one placeholder for each run: how it begins and how it ends. No such text holds the
/// end of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageText {
    /// Its beginning.
    pub first: String,
    /// Its end.
    pub last: String,
}

/// Plans each image and each video by itself, after a look at what no processor can show.
pub(crate) fn plan_each(
    media: &[Geometry<'_>],
    plan_image: impl Fn(Size) -> Result<VisualPlan, Refusal>,
    plan_video: impl Fn(Clip<'_>) -> Result<VisualPlan, Refusal>,
) -> Result<Vec<VisualPlan>, Refused> {
    let plan_one = |(medium_index, &medium): (usize, &Geometry<'_>)| {
        let planned = ensure_visible(medium).and_then(|()| match medium {
            Geometry::Image(size) => plan_image(size),
            Geometry::Tiles { .. } => Err(Refusal::Tiles),
            Geometry::Video(clip) => plan_video(clip),
        });
        planned.map_err(|reason| Refused { medium_index, reason })
    };
    media.iter().enumerate().map(plan_one).collect()
}

/// As [`plan_each`], for processors that stack the frames of all videos of a sample in one tensor: each has as many as the first.
pub(crate) fn plan_stacked(
    media: &[Geometry<'_>],
    plan_image: impl Fn(Size) -> Result<VisualPlan, Refusal>,
    plan_video: impl Fn(Clip<'_>) -> Result<VisualPlan, Refusal>,
) -> Result<Vec<VisualPlan>, Refused> {
    let plans = plan_each(media, plan_image, plan_video)?;
    let is_video = |(_, (medium, _)): &(usize, (&Geometry<'_>, &VisualPlan))| matches!(medium, Geometry::Video(_));
    let videos = media.iter().zip(&plans).enumerate().filter(is_video);
    let mut lengths = videos.map(|(medium_index, (_, plan))| (medium_index, plan.frames.len()));
    let Some((_, others)) = lengths.next() else { return Ok(plans) };
    match lengths.find(|(_, num_frames)| *num_frames != others) {
        None => Ok(plans),
        Some((medium_index, num_frames)) => {
            Err(Refused { medium_index, reason: Refusal::UnlikeVideos { num_frames, others } })
        }
    }
}

/// For models that show no videos.
pub(crate) fn no_video(_: Clip<'_>) -> Result<VisualPlan, Refusal> {
    Err(Refusal::Video)
}

fn ensure_visible(medium: Geometry<'_>) -> Result<(), Refusal> {
    if let Some(size) = medium.size().filter(|size| size.num_pixels() == 0) {
        return Err(Refusal::Empty { size });
    }
    let Geometry::Video(clip) = medium else { return Ok(()) };
    match clip.taken {
        Some(taken) => ensure_few_frames(taken.len())?,
        None if clip.num_frames == 0 => return Err(Refusal::NoFrame { num_frames: 0 }),
        None => {}
    }
    if clip.rate.is_finite() && clip.rate > 0.0 { Ok(()) } else { Err(Refusal::NoRate { rate: clip.rate }) }
}

/// That there are frames, and not more than any model takes.
pub(crate) fn ensure_few_frames(num_frames: usize) -> Result<(), Refusal> {
    if num_frames == 0 { Err(Refusal::NoFrame { num_frames: 0 }) } else { ensure_few(num_frames as u64) }
}

/// That there are not more images than any model takes.
pub(crate) fn ensure_few(num_images: u64) -> Result<(), Refusal> {
    const MOST: u64 = 1 << 16;
    if num_images > MOST { Err(Refusal::TooManyImages { num_images, most: MOST }) } else { Ok(()) }
}
