//! A record as it is delivered: formatted, its images encoded, its tokens counted.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cost::Cost;
use crate::digest::RecordId;
use crate::media::{ClipFile, ClipFrames, FrameChoice, Grid, TileCut};
use crate::record::{Origin, Role, VisualKind};
use crate::shape::VisualShape;

/// Which kinds of visuals a sample has; shards can be split by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// At least one video: frames in time.
    Temporal,
    /// No video, at least one tiled image.
    Spatial,
    /// Plain images only.
    Image,
    /// No visual at all.
    Text,
}

impl Layout {
    /// Every layout, in the order in which shards are listed.
    pub const ALL: [Self; 4] = [Self::Temporal, Self::Spatial, Self::Image, Self::Text];

    /// The layout of a sample with these visuals.
    pub fn of(visuals: impl IntoIterator<Item = VisualKind>) -> Self {
        visuals.into_iter().fold(Self::Text, |layout, kind| {
            layout.min(match kind {
                VisualKind::Video => Self::Temporal,
                VisualKind::Tiled => Self::Spatial,
                VisualKind::Image => Self::Image,
            })
        })
    }

    /// The name in paths and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Temporal => "temporal",
            Self::Spatial => "spatial",
            Self::Image => "image",
            Self::Text => "text",
        }
    }

    /// The layout with a name.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| layout.as_str() == text)
    }
}

/// The encoding of a delivered image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImageFormat {
    /// JPEG, extension `jpg`.
    Jpeg,
    /// PNG, extension `png`.
    Png,
    /// WebP, extension `webp`.
    Webp,
}

impl ImageFormat {
    /// File name extension, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Webp => "webp",
        }
    }

    /// The format whose [`Self::extension`] this is.
    pub fn from_extension(extension: &str) -> Option<Self> {
        [Self::Jpeg, Self::Png, Self::Webp].into_iter().find(|format| format.extension() == extension)
    }
}

/// An encoded image of a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleImage {
    /// The encoded bytes.
    pub bytes: Vec<u8>,
    /// Their encoding.
    pub format: ImageFormat,
    /// Width in pixels, as shown (orientation applied).
    pub width_px: u32,
    /// Height in pixels, as shown.
    pub height_px: u32,
}

/// The container of a delivered video file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ClipFormat {
    /// MP4 or QuickTime.
    Mp4,
    /// Matroska or WebM.
    Matroska,
    /// AVI.
    Avi,
    /// GIF.
    Gif,
    /// Flash.
    Flv,
    /// MPEG program stream, or a bare MPEG stream.
    Mpeg,
    /// MPEG transport stream.
    MpegTs,
    /// Windows Media.
    Asf,
    /// Ogg.
    Ogg,
    /// Any other that FFmpeg reads.
    Other,
}

impl ClipFormat {
    /// Every format.
    pub const ALL: [Self; 10] = [
        Self::Mp4,
        Self::Matroska,
        Self::Avi,
        Self::Gif,
        Self::Flv,
        Self::Mpeg,
        Self::MpegTs,
        Self::Asf,
        Self::Ogg,
        Self::Other,
    ];

    /// File name extension, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Matroska => "mkv",
            Self::Avi => "avi",
            Self::Gif => "gif",
            Self::Flv => "flv",
            Self::Mpeg => "mpg",
            Self::MpegTs => "ts",
            Self::Asf => "wmv",
            Self::Ogg => "ogv",
            Self::Other => "video",
        }
    }

    /// The format whose [`Self::extension`] this is.
    pub fn from_extension(extension: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.extension() == extension)
    }
}

/// A video file of a sample, which holds the frames that a visual shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleClip {
    /// The bytes of the file.
    pub bytes: Vec<u8>,
    /// Its container.
    pub format: ClipFormat,
}

/// How a delivered image came to its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handling {
    /// They are those of the source.
    Unchanged,
    /// They are those of the source without what is not pixels, because some reader would refuse it.
    Cleaned,
    /// It was decoded and encoded.
    Encoded,
    /// It is a tile that has the coded blocks of its source.
    Cut,
}

/// Numbers of delivered images by their handling.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HandledImages {
    /// Images that kept their bytes.
    pub num_unchanged: u64,
    /// Images that kept the bytes of their pixels only.
    pub num_cleaned: u64,
    /// Images that were encoded.
    pub num_encoded: u64,
    /// Tiles that have the coded blocks of their image.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub num_cut: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl HandledImages {
    /// Counts images of one kind.
    pub fn add(&mut self, handling: Handling, num_images: u64) {
        *match handling {
            Handling::Unchanged => &mut self.num_unchanged,
            Handling::Cleaned => &mut self.num_cleaned,
            Handling::Encoded => &mut self.num_encoded,
            Handling::Cut => &mut self.num_cut,
        } += num_images;
    }
}

impl std::ops::AddAssign for HandledImages {
    fn add_assign(&mut self, other: Self) {
        self.num_unchanged += other.num_unchanged;
        self.num_cleaned += other.num_cleaned;
        self.num_encoded += other.num_encoded;
        self.num_cut += other.num_cut;
    }
}

/// How the videos among these visuals are delivered, as text for people; `None` if there are none.
pub fn describe_videos(visuals: &[SampleVisual]) -> Option<String> {
    let describe = |visual: &SampleVisual| {
        let delivered = visual.clip.as_ref().map(ClipFrames::description);
        let delivered = delivered.unwrap_or_else(|| "delivered as images of its frames".to_owned());
        if visual.path.is_empty() { delivered } else { format!("{}, {delivered}", visual.path) }
    };
    let videos = visuals.iter().filter(|visual| visual.kind == VisualKind::Video);
    Some(videos.map(describe).collect::<Vec<_>>().join("; ")).filter(|text| !text.is_empty())
}

/// Numbers of delivered videos by what was delivered of them. Those that are delivered as images of their frames count only where
/// the pipeline file asks for clips.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HandledVideos {
    /// Videos that are delivered as their whole file.
    pub num_whole: u64,
    /// Clips that were cut out of their file.
    pub num_cut: u64,
    /// Clips that could not be cut, so that the whole file is delivered.
    pub num_uncut: u64,
    /// Videos that cannot be delivered as a file: their frames are delivered as images.
    pub num_as_frames: u64,
}

impl HandledVideos {
    /// The videos among these visuals.
    pub fn of(visuals: &[SampleVisual]) -> Self {
        let mut handled = Self::default();
        for visual in visuals.iter().filter(|visual| visual.kind == VisualKind::Video) {
            *match &visual.clip {
                None => &mut handled.num_as_frames,
                Some(ClipFrames { file: ClipFile::Cut, .. }) => &mut handled.num_cut,
                Some(ClipFrames { uncut_because: Some(_), .. }) => &mut handled.num_uncut,
                Some(_) => &mut handled.num_whole,
            } += 1;
        }
        handled
    }
}

impl std::ops::AddAssign for HandledVideos {
    fn add_assign(&mut self, other: Self) {
        self.num_whole += other.num_whole;
        self.num_cut += other.num_cut;
        self.num_uncut += other.num_uncut;
        self.num_as_frames += other.num_as_frames;
    }
}

/// A turn as text, with placeholders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// Text in the dialect of the dataset, with a placeholder for each image.
    pub content: String,
}

/// Where a visual is in the messages, and which images it shows: enough to undo the dialect when a sample is replayed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SampleVisual {
    /// How it is shown.
    pub kind: VisualKind,
    /// Position of its message.
    pub message: usize,
    /// First character of its text in the message.
    pub start: usize,
    /// One past the last character, the separators that the dialect put there included.
    pub end: usize,
    /// Its first image; with a `clip`, where its images would be.
    pub first_image: usize,
    /// How many images it shows; with a `clip`, frames.
    pub num_images: usize,
    /// Rows and columns of a tiled image; the overview comes before them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grid: Option<Grid>,
    /// How a tiled image was cut, where tiles without loss were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<TileCut>,
    /// Times of the frames in seconds from the first frame of the video, as far as known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times_s: Vec<f64>,
    /// The path upstream wrote; empty if its bytes were embedded.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Width of the original in pixels, as shown.
    pub width_px: u32,
    /// Height of the original in pixels, as shown.
    pub height_px: u32,
    /// What the model's processor makes of it, where that depends on its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelVisual>,
    /// Where its frames are in a video file of the sample, which it then has no images of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<ClipFrames>,
}

/// What a model's processor makes of a visual, and from what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelVisual {
    /// Width and height in pixels of the image, or of each frame, of which it was told.
    pub size_px: (u32, u32),
    /// Which frames of a video are shown: its `VideoMetadata`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<FrameChoice>,
    /// Width and height in pixels to which it brings the image, or each frame.
    pub resized_px: (u32, u32),
    /// Whether the processor, given it at that size, would resize it once more, or refuse it, because rounding missed the limits
    /// of its area. Its tokens are then right only with `do_resize=False`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resizes_again: bool,
    /// Tokens that are replaced with features of the vision tower.
    pub num_tokens: u64,
    /// Patches in time, height and width: `image_grid_thw`, `video_grid_thw`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grid_thw: Option<[u32; 3]>,
    /// Seconds between two steps of the grid in time: `second_per_grid_ts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_per_step: Option<f64>,
    /// The most pixels of an image or frame, where the record was shortened to fewer than the model's own maximum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_pixels: Option<u64>,
}

impl Sample {
    /// The most pixels of each of its images and frames, where the record was shortened to fewer than the model's own maximum.
    pub fn max_pixels(&self) -> Option<u64> {
        self.visuals.iter().find_map(|visual| visual.model.as_ref()?.max_pixels)
    }
}

impl SampleVisual {
    /// The size and the frames or tiles on which its tokens depend.
    pub fn shape(&self) -> VisualShape {
        let size_px = self.model.as_ref().map_or((self.width_px, self.height_px), |model| model.size_px);
        match (self.kind, self.grid) {
            (VisualKind::Video, _) => {
                let known = self.model.as_ref().and_then(|model| model.frames.clone());
                let unknown = || FrameChoice::unknown(self.num_images);
                VisualShape::Video { size_px, frames: known.unwrap_or_else(unknown) }
            }
            (_, Some(grid)) => VisualShape::Tiled { grid },
            (_, None) => VisualShape::Image { size_px },
        }
    }
}

/// A prompt as a trainer feeds it: token ids and a label for each id. Where images are, there is one id for each run of visual
/// tokens, or the model's own placeholder as often as the run has tokens.
///
/// # Invariants
/// * `input_ids` and `labels` are equally long, and `type_ids`, unless it is empty.
/// * `image_positions` are where runs begin in `input_ids`, in order; no image has a label.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SampleTokens {
    /// Token ids; one [`Self::IMAGE`] for each run of visual tokens, unless placeholders are expanded.
    pub input_ids: Vec<i32>,
    /// The id to predict at each position of `input_ids`, not shifted; [`Self::IGNORED`] where there is no loss.
    pub labels: Vec<i32>,
    /// Positions in `input_ids` at which images begin; more than one for a visual that the model sees in parts.
    pub image_positions: Vec<u32>,
    /// What each id is part of, where placeholders are expanded: 0 text, 1 an image, 2 a video. `mm_token_type_ids`.
    pub type_ids: Vec<i8>,
}

impl SampleTokens {
    /// The id of an image: −200, as in LLaVA.
    pub const IMAGE: i32 = -200;
    /// The label without a loss: −100, as in PyTorch.
    pub const IGNORED: i32 = -100;
}

/// A record as it is delivered.
///
/// # Invariants
/// * The messages have one placeholder per image or frame of a clip, and `visuals` cover all images and clips in order.
/// * `label_spans` are ranges of characters in `prompt`, in order, disjoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Identity; its text form is the key in shards.
    pub id: RecordId,
    /// Name of the source in the pipeline file.
    pub source: Arc<str>,
    /// Part of the source; may be empty.
    pub subset: Arc<str>,
    /// Its id in the upstream dataset; may be empty.
    pub upstream_id: String,
    /// Which kinds of visuals it has.
    pub layout: Layout,
    /// The conversation, with placeholders.
    pub messages: Vec<Message>,
    /// The whole text as the trainer sees it, chat template included.
    pub prompt: String,
    /// Where in `prompt` the loss is computed: (first, one past last) character of each answer with its end token.
    pub label_spans: Vec<(usize, usize)>,
    /// The ids and labels of `prompt`; absent if the pipeline file does not request them, or the shard does not have
    /// them.
    pub tokens: Option<SampleTokens>,
    /// Exact tokens and images.
    pub cost: Cost,
    /// The images, in placeholder order.
    pub images: Vec<SampleImage>,
    /// The video files of those visuals that have a clip, in placeholder order.
    pub clips: Vec<SampleClip>,
    /// What the images are.
    pub visuals: Vec<SampleVisual>,
    /// Where the record was read.
    pub origin: Origin,
}

impl Sample {
    /// How many images its visuals show, frames of clips included: what its cost counts. What is read from a file may be any
    /// number, so the sum saturates.
    pub fn num_shown_images(&self) -> u64 {
        self.num_clip_frames().saturating_add(self.images.len() as u64)
    }

    /// The visual tokens of each visual: those that the model's processor makes of it; where every image costs the same, those of
    /// its images.
    pub fn tokens_per_visual(&self) -> Vec<u64> {
        let tokens_per_image = self.cost.visual_tokens.checked_div(self.cost.num_images).unwrap_or(0);
        let of_images = |visual: &SampleVisual| tokens_per_image.saturating_mul(visual.num_images as u64);
        let of_visual =
            |visual: &SampleVisual| visual.model.as_ref().map_or_else(|| of_images(visual), |m| m.num_tokens);
        self.visuals.iter().map(of_visual).collect()
    }

    /// How many frames are shown of its clips.
    pub fn num_clip_frames(&self) -> u64 {
        let with_clip = self.visuals.iter().filter(|visual| visual.clip.is_some());
        with_clip.fold(0, |sum, visual| sum.saturating_add(visual.num_images as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_frames_that_a_file_claims_sets_no_memory_aside() {
        let visual: SampleVisual = serde_json::from_value(serde_json::json!({
            "kind": "video", "message": 0, "start": 0, "end": 1, "first_image": 0, "num_images": u64::MAX,
            "width_px": 8, "height_px": 8,
        }))
        .unwrap();
        assert_eq!(visual.shape().num_images(), u64::from(FrameChoice::TOO_MANY));
    }

    #[test]
    fn the_layout_is_that_of_the_rarest_visual() {
        assert_eq!(Layout::of([]), Layout::Text);
        assert_eq!(Layout::of([VisualKind::Image]), Layout::Image);
        assert_eq!(Layout::of([VisualKind::Image, VisualKind::Tiled]), Layout::Spatial);
        assert_eq!(Layout::of([VisualKind::Tiled, VisualKind::Video, VisualKind::Image]), Layout::Temporal);
    }
}
