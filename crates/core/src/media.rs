//! Where the media of a record are. Paths are untrusted, as upstream wrote them; nothing here opens them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether a reference is to an image or a video, according to the annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    /// A still image. Of an animated file, the first frame.
    Image,
    /// A video file, an animated GIF, or a directory of frames.
    Video,
}

/// A reference to an image or a video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MediaRef {
    /// What it should be.
    pub kind: MediaKind,
    /// Where it is.
    pub location: MediaLocation,
    /// The part of a video that the record is about; `None` is all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<Clip>,
    /// Frames per second of media that do not state it: frame directories, and GIFs that upstream reads at a fixed rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
}

/// A part of a video, in seconds from its first frame.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Clip {
    /// Where the clip starts.
    pub start_s: f64,
    /// Where it ends. `None` is the end of the video.
    pub end_s: Option<f64>,
}

/// Where a medium is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaLocation {
    /// A path as upstream wrote it. It is looked up below the media roots of the source, never anywhere else.
    Path(String),
    /// Encoded bytes inside a file that the source itself named.
    Blob(BlobRef),
    /// Images that an earlier build sampled or cut, in placeholder order: the frames of a video, or the overview and
    /// tiles of an image (with its grid).
    Prepared {
        /// The encoded images.
        images: Vec<BlobRef>,
        /// Rows and columns of a tiled image.
        grid: Option<Grid>,
        /// How it was cut, where that was stated.
        cut: Option<TileCut>,
        /// Width and height in pixels of each image, as far as known.
        size_px: Option<(u32, u32)>,
        /// Where the frames are in their video, as far as known.
        frames: Option<FrameChoice>,
    },
    /// A video file that an earlier build delivered.
    PreparedClip(Box<PreparedClip>),
    /// Frames of several videos, and of none.
    Composed(Box<ComposedVideo>),
}

/// Frames of videos that follow each other, with needles in between.
///
/// # Invariants
/// * `edits` are in order of their index, at most one for each; every index is below [`ComposedVideo::num_shown`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComposedVideo {
    /// Videos as upstream wrote their paths. Frames are taken from one after the other until there are enough.
    pub videos: Vec<String>,
    /// Number of frames that are taken from them.
    pub num_frames: u32,
    /// Seconds from one of their frames to the next.
    pub interval_s: f64,
    /// What is put in between, or done to their frames.
    pub edits: Vec<FrameEdit>,
    /// An image that differs from a frame in no more bits of their perceptual hashes must not be put in between.
    pub max_distance: u32,
}

impl ComposedVideo {
    /// Number of frames that are shown.
    pub fn num_shown(&self) -> usize {
        let inserted = self.edits.iter().filter(|edit| edit.edit.is_inserted()).count();
        self.num_frames as usize + inserted
    }

    /// The images that are put in between, or on frames, by their paths.
    pub fn images(&self) -> impl Iterator<Item = &String> {
        self.edits.iter().filter_map(|edit| match &edit.edit {
            Edit::Insert(path) | Edit::Replace(path) | Edit::Paste(PastedImage { path, .. }) => Some(path),
            Edit::InsertFrame(_) | Edit::ReplaceFrame(_) | Edit::Write(_) => None,
        })
    }

    /// The clips that are put in between, each as often as it is shown.
    pub fn clips(&self) -> impl Iterator<Item = &NeedleClip> {
        self.edits.iter().filter_map(|edit| match &edit.edit {
            Edit::InsertFrame(frame) | Edit::ReplaceFrame(frame) => (frame.number == 0).then_some(&frame.clip),
            Edit::Insert(_) | Edit::Replace(_) | Edit::Paste(_) | Edit::Write(_) => None,
        })
    }

    /// Every path that upstream wrote.
    pub fn paths(&self) -> impl Iterator<Item = &String> {
        self.videos.iter().chain(self.images()).chain(self.clips().map(|clip| &clip.path))
    }
}

/// A frame that is not as its video has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrameEdit {
    /// Its position among all frames that are shown, from 0.
    pub index: u32,
    /// What is done there.
    #[serde(flatten)]
    pub edit: Edit,
}

/// What is done to a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    /// The image at this path is shown besides all frames.
    Insert(String),
    /// The image at this path is shown in place of the frame.
    Replace(String),
    /// A frame of a clip is shown besides all frames.
    InsertFrame(NeedleFrame),
    /// A frame of a clip is shown in place of the frame.
    ReplaceFrame(NeedleFrame),
    /// An image is put on the frame, small.
    Paste(PastedImage),
    /// This text is written on the frame.
    Write(String),
}

impl Edit {
    /// Whether something is shown besides all frames.
    pub fn is_inserted(&self) -> bool {
        matches!(self, Self::Insert(_) | Self::InsertFrame(_))
    }
}

/// An image in quarters of a frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastedImage {
    /// The image as upstream wrote its path.
    pub path: String,
    /// The quarters in whose middle it is, ascending: 0 is the top left one, 1 the top right, 2 the bottom left, 3 the bottom right.
    pub quarters: Vec<u8>,
}

/// A short part of a video that is put into others: its frames have their interval, and follow each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NeedleClip {
    /// The video as upstream wrote its path.
    pub path: String,
    /// Where the part starts, in seconds from the first frame of the video.
    pub start_s: f64,
    /// Number of frames that are shown of it.
    pub num_frames: u32,
}

/// A frame of a clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NeedleFrame {
    /// The clip.
    pub clip: NeedleClip,
    /// Position of the frame in it, from 0. Those before are shown right before it.
    pub number: u32,
}

/// A video file that an earlier build delivered, and the frames that it chose.
///
/// # Invariants
/// * `frame_indices`, `taken` and `times_s` have the same length, and are ascending.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreparedClip {
    /// The file.
    pub file: BlobRef,
    /// Where the frames are in the file.
    pub frames: ClipFrames,
    /// Where the frames are in the video, or the part of it, that the record is about.
    pub choice: FrameChoice,
    /// Times of the frames in seconds from the first frame of the video.
    pub times_s: Vec<f64>,
    /// Width and height in pixels of a frame, as shown.
    pub size_px: (u32, u32),
}

impl PreparedClip {
    /// The clip with the frames of these places in its list, which are ascending.
    #[must_use]
    pub fn with_frames(&self, places: &[usize]) -> Self {
        fn at<T: Copy>(list: &[T], places: &[usize]) -> Vec<T> {
            places.iter().filter_map(|&place| list.get(place).copied()).collect()
        }
        Self {
            frames: ClipFrames { frame_indices: at(&self.frames.frame_indices, places), ..self.frames.clone() },
            choice: FrameChoice { taken: at(&self.choice.taken, places), ..self.choice },
            times_s: at(&self.times_s, places),
            ..self.clone()
        }
    }
}

/// Where the frames of a visual are in a video file of the sample: the n-th visual with a clip shows the n-th file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClipFrames {
    /// Positions of the frames that are shown among all frames of the file, in order of presentation, counted from 0: decode
    /// exactly these. Where the processor takes a frame twice, its position is there twice.
    pub frame_indices: Vec<u32>,
    /// Number of frames of the file.
    pub num_frames: u32,
    /// Frames per second of the file, on average.
    pub fps: f64,
    /// What the file is.
    pub file: ClipFile,
    /// Why the whole file is delivered although the record is about a part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncut_because: Option<String>,
}

impl ClipFrames {
    /// What is delivered of a video, as text for people.
    pub fn description(&self) -> String {
        let num_frames = self.num_frames;
        match (self.file, &self.uncut_because) {
            (ClipFile::Cut, _) => format!("cut from it as a file of {num_frames} frames"),
            (ClipFile::Whole, None) => format!("delivered as its file of {num_frames} frames"),
            (ClipFile::Whole, Some(reason)) => {
                format!("delivered as its whole file of {num_frames} frames, because {reason}")
            }
        }
    }
}

/// What a delivered video file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClipFile {
    /// That of the source, byte for byte.
    Whole,
    /// The packets of the source's video stream that the clip needs, in a container of their own. None was encoded again.
    Cut,
}

/// Which frames of a video are shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FrameChoice {
    /// Number of frames of the video, or of the part of it that the record is about.
    pub num_frames: u32,
    /// Frames per second.
    pub fps: f64,
    /// The frames that are shown, counted from 0, in order.
    pub taken: Vec<u32>,
}

impl FrameChoice {
    /// More frames than any sample has: a number that a file states is not believed beyond it.
    pub const TOO_MANY: u32 = (1 << 16) + 1;

    /// Frames of which only the number is known, a second apart; at most [`Self::TOO_MANY`].
    pub fn unknown(num_frames: usize) -> Self {
        let num_frames = u32::try_from(num_frames).map_or(Self::TOO_MANY, |number| number.min(Self::TOO_MANY));
        Self { num_frames, fps: 1.0, taken: (0..num_frames).collect() }
    }
}

/// Encoded bytes inside a larger file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlobRef {
    /// A range of bytes of a file.
    Range {
        /// The file, as the pipeline or the source resolved it (trusted).
        file: Arc<str>,
        /// First byte.
        offset: u64,
        /// Number of bytes.
        num_bytes: u64,
    },
    /// A cell of a Parquet file: one element of a list of `struct<bytes, path>`, or a binary value.
    Cell {
        /// The Parquet file (trusted).
        file: Arc<str>,
        /// Name of the top-level column.
        column: Arc<str>,
        /// Row in the file, from 0.
        row: u64,
        /// Element of the list, from 0.
        index: u32,
    },
}

/// Rows and columns of tiles, in reading order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Grid {
    /// Number of rows, at least 1.
    pub rows: u32,
    /// Number of columns, at least 1.
    pub columns: u32,
}

/// Where the tiles of an image are cut, and whether they have its own coefficients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TileCut {
    /// Whether the coded blocks of the image were copied: outside of blocks that its right or bottom border crosses, the tiles
    /// have the coefficients of its file.
    pub is_lossless: bool,
    /// Width and height in pixels of the padding on the left and on the top.
    pub offset_px: (u32, u32),
}

impl Grid {
    /// Number of tiles, without the overview.
    pub fn num_tiles(self) -> u64 {
        u64::from(self.rows) * u64::from(self.columns)
    }
}

impl MediaLocation {
    /// The text that identifies this location in messages: the upstream path, or the place in a file.
    pub fn name(&self) -> String {
        match self {
            Self::Path(path) => path.clone(),
            Self::Blob(blob) => blob.name(),
            Self::Prepared { images, .. } => images.first().map(BlobRef::name).unwrap_or_default(),
            Self::PreparedClip(clip) => clip.file.name(),
            Self::Composed(composed) => composed.videos.first().cloned().unwrap_or_default(),
        }
    }
}

impl BlobRef {
    /// The place in its file, for messages.
    pub fn name(&self) -> String {
        match self {
            Self::Range { offset, num_bytes, .. } => format!("[{offset}+{num_bytes}]"),
            Self::Cell { column, row, index, .. } => format!("#{row}.{column}[{index}]"),
        }
    }

    /// The file that it is in.
    pub fn file(&self) -> &Arc<str> {
        match self {
            Self::Range { file, .. } | Self::Cell { file, .. } => file,
        }
    }
}
