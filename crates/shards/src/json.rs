//! A sample as JSON, without the bytes of its images.
//!
//! [`SampleJson`] is the `KEY.json` of a tar. [`SampleMetadata`] is the column `metadata` of a Parquet or MDS shard: what
//! the other columns do not hold. Both become committed JSON Schemas; fields may be added, not changed.

use std::sync::Arc;

use manyframe_core::{
    ClipFormat, Cost, ImageFormat, Layout, Message, Origin, Position, RecordId, Role, Sample, SampleClip, SampleImage,
    SampleVisual,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::format::SampleEntry;

/// A sample as the JSON member of a WebDataset shard has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SampleJson {
    /// Identity: 32 hexadecimal digits; in a tar, the key of the sample's members.
    pub id: RecordId,
    /// Name of the source in the pipeline file.
    pub source: Arc<str>,
    /// Part of the source; may be empty.
    pub subset: Arc<str>,
    /// Its id in the upstream dataset; may be empty.
    pub upstream_id: String,
    /// What kind of visuals it holds.
    pub layout: Layout,
    /// The conversation in LLaVA's form: each `<image>` is the place of the next image. In shards of the format
    /// `energon_chatml`, each `<video>` is the place of a video; in those of `vila`, `<image-1>` is the place of the first
    /// of several images.
    pub conversations: Vec<ConversationTurn>,
    /// The conversation with `<image>` in each place, where `conversations` has something else there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Vec<ConversationTurn>>,
    /// Names of the images, in placeholder order. In shards of the format `webdataset`, `000.jpg` is the member `KEY.000.jpg`.
    pub images: Vec<String>,
    /// Width and height of each image in pixels.
    pub image_sizes: Vec<(u32, u32)>,
    /// Members with the video files, in placeholder order: `000.mp4` is the member `KEY.000.mp4`. Absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub videos: Vec<String>,
    /// What the images are: frames of videos, overviews and tiles, or images.
    pub visuals: Vec<SampleVisual>,
    /// The whole text as the trainer sees it, chat template included.
    pub prompt: String,
    /// Where in `prompt` the loss is computed: (first, one past last) character, counted in Unicode scalar values.
    pub label_spans: Vec<(usize, usize)>,
    /// Length of the sequence in tokens: `text_tokens` and `visual_tokens`.
    pub num_tokens: u64,
    /// Tokens of text, delimiters included.
    pub text_tokens: u64,
    /// Of these, tokens that the delimiters of visuals add. 0 in shards of versions that did not count them.
    #[serde(default)]
    pub delimiter_tokens: u64,
    /// Tokens of images.
    pub visual_tokens: u64,
    /// How many of the images are frames of videos.
    pub num_frames: u64,
    /// Where the record was read from.
    pub origin: OriginJson,
}

/// A turn of the conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConversationTurn {
    /// Who speaks.
    pub from: Speaker,
    /// What is said, with placeholders.
    pub value: String,
}

/// Who speaks, in LLaVA's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// The person.
    Human,
    /// The model.
    Gpt,
    /// Instructions before the conversation.
    System,
}

/// A position in an annotation file: bytes of a JSON file, a row of a table, or the file as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OriginJson {
    /// The annotation file.
    pub file: Arc<str>,
    /// Line of the record's first byte, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// First byte of the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Number of bytes of the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_bytes: Option<u64>,
    /// Row of the record, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
}

/// What a Parquet shard keeps of a sample besides its columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SampleMetadata {
    /// Its id in the upstream dataset; may be empty.
    pub upstream_id: String,
    /// Width and height of each image in pixels.
    pub image_sizes: Vec<(u32, u32)>,
    /// What the images are.
    pub visuals: Vec<SampleVisual>,
    /// Tokens of text, delimiters included.
    pub text_tokens: u64,
    /// Of these, tokens that the delimiters of visuals add. 0 in shards of versions that did not count them.
    #[serde(default)]
    pub delimiter_tokens: u64,
    /// Tokens of images.
    pub visual_tokens: u64,
    /// How many of the images are frames of videos.
    pub num_frames: u64,
    /// Where the record was read from.
    pub origin: OriginJson,
}

/// What is known of an image without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ImageShape {
    pub(crate) format: ImageFormat,
    pub(crate) width_px: u32,
    pub(crate) height_px: u32,
}

/// File names of a sample's images: numbers of three digits, of more only where there are more than 1000 images, so
/// that their alphabetical order is their order.
pub(crate) fn image_names(formats: &[ImageFormat]) -> Vec<String> {
    let num_digits = formats.len().saturating_sub(1).to_string().len().max(3);
    let names = formats.iter().enumerate();
    names.map(|(index, format)| format!("{index:0num_digits$}.{}", format.extension())).collect()
}

/// File names of a sample's images, as [`image_names`] returns them.
pub(crate) fn names_of(images: &[SampleImage]) -> Vec<String> {
    image_names(&images.iter().map(|image| image.format).collect::<Vec<_>>())
}

/// File names of a sample's clips: numbers of three digits, as those of images.
pub(crate) fn clip_names(formats: impl IntoIterator<Item = ClipFormat>) -> Vec<String> {
    let formats = formats.into_iter().enumerate();
    formats.map(|(index, format)| format!("{index:03}.{}", format.extension())).collect()
}

/// File names of a sample's clips, as [`clip_names`] returns them.
pub(crate) fn names_of_clips(clips: &[SampleClip]) -> Vec<String> {
    clip_names(clips.iter().map(|clip| clip.format))
}

/// The format of a clip by the extension of its name. The error explains what does not fit.
pub(crate) fn clip_format(name: &str) -> Result<ClipFormat, String> {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    let format = extension.and_then(ClipFormat::from_extension);
    format.ok_or_else(|| format!("video {name:?} has no known extension"))
}

/// Formats by the extensions of the names, and sizes. The error explains what does not fit.
pub(crate) fn image_shapes(names: &[impl AsRef<str>], sizes: &[(u32, u32)]) -> Result<Vec<ImageShape>, String> {
    if names.len() != sizes.len() {
        return Err(format!("{} images but {} image sizes", names.len(), sizes.len()));
    }
    names
        .iter()
        .zip(sizes)
        .map(|(name, &(width_px, height_px))| {
            let name = name.as_ref();
            let extension = name.rsplit_once('.').map(|(_, extension)| extension);
            let format = extension.and_then(ImageFormat::from_extension);
            let format = format.ok_or_else(|| format!("image {name:?} has no known extension"))?;
            Ok(ImageShape { format, width_px, height_px })
        })
        .collect()
}

impl SampleJson {
    /// The JSON form of a sample.
    pub fn from_sample(sample: &Sample) -> Self {
        Self {
            id: sample.id,
            source: Arc::clone(&sample.source),
            subset: Arc::clone(&sample.subset),
            upstream_id: sample.upstream_id.clone(),
            layout: sample.layout,
            conversations: sample.messages.iter().map(ConversationTurn::from_message).collect(),
            original: None,
            images: names_of(&sample.images),
            image_sizes: image_sizes(&sample.images),
            videos: names_of_clips(&sample.clips),
            visuals: sample.visuals.clone(),
            prompt: sample.prompt.clone(),
            label_spans: sample.label_spans.clone(),
            num_tokens: sample.cost.num_tokens(),
            text_tokens: sample.cost.text_tokens,
            delimiter_tokens: sample.cost.delimiter_tokens,
            visual_tokens: sample.cost.visual_tokens,
            num_frames: sample.cost.num_frames,
            origin: OriginJson::from_origin(&sample.origin),
        }
    }

    /// The JSON form of a sample whose images stay in their shard.
    pub fn from_entry(entry: &SampleEntry) -> Self {
        let formats: Vec<ImageFormat> = entry.images.iter().map(|image| image.format).collect();
        Self {
            images: image_names(&formats),
            image_sizes: entry.images.iter().map(|image| (image.width_px, image.height_px)).collect(),
            ..Self::from_sample(&entry.sample)
        }
    }

    /// The conversation in manyframe's words.
    pub fn messages(&self) -> Vec<Message> {
        let turns = self.original.as_ref().unwrap_or(&self.conversations);
        turns.iter().cloned().map(ConversationTurn::into_message).collect()
    }

    /// The sample without its images and clips.
    pub(crate) fn into_sample(self) -> Sample {
        let mut sample = Sample {
            id: self.id,
            source: self.source,
            subset: self.subset,
            upstream_id: self.upstream_id,
            layout: self.layout,
            messages: self
                .original
                .unwrap_or(self.conversations)
                .into_iter()
                .map(ConversationTurn::into_message)
                .collect(),
            prompt: self.prompt,
            label_spans: self.label_spans,
            tokens: None,
            cost: Cost {
                text_tokens: self.text_tokens,
                delimiter_tokens: self.delimiter_tokens,
                visual_tokens: self.visual_tokens,
                num_images: 0,
                num_frames: self.num_frames,
            },
            images: Vec::new(),
            clips: Vec::new(),
            visuals: self.visuals,
            origin: self.origin.into_origin(),
        };
        sample.cost.num_images = sample.num_clip_frames().saturating_add(self.images.len() as u64);
        sample
    }
}

impl SampleMetadata {
    /// What a Parquet shard's other columns do not hold.
    pub fn from_sample(sample: &Sample) -> Self {
        Self {
            upstream_id: sample.upstream_id.clone(),
            image_sizes: image_sizes(&sample.images),
            visuals: sample.visuals.clone(),
            text_tokens: sample.cost.text_tokens,
            delimiter_tokens: sample.cost.delimiter_tokens,
            visual_tokens: sample.cost.visual_tokens,
            num_frames: sample.cost.num_frames,
            origin: OriginJson::from_origin(&sample.origin),
        }
    }
}

impl SampleMetadata {
    /// The cost of the sample, its images not counted yet.
    pub(crate) fn cost(&self) -> Cost {
        Cost {
            text_tokens: self.text_tokens,
            delimiter_tokens: self.delimiter_tokens,
            visual_tokens: self.visual_tokens,
            num_images: 0,
            num_frames: self.num_frames,
        }
    }
}

fn image_sizes(images: &[SampleImage]) -> Vec<(u32, u32)> {
    images.iter().map(|image| (image.width_px, image.height_px)).collect()
}

impl ConversationTurn {
    pub(crate) fn from_message(message: &Message) -> Self {
        let from = match message.role {
            Role::User => Speaker::Human,
            Role::Assistant => Speaker::Gpt,
            Role::System => Speaker::System,
        };
        Self { from, value: message.content.clone() }
    }

    pub(crate) fn into_message(self) -> Message {
        let role = match self.from {
            Speaker::Human => Role::User,
            Speaker::Gpt => Role::Assistant,
            Speaker::System => Role::System,
        };
        Message { role, content: self.value }
    }
}

impl OriginJson {
    /// The JSON form of an origin.
    pub fn from_origin(origin: &Origin) -> Self {
        let file = Arc::clone(&origin.file);
        let whole = Self { file, line: None, offset: None, num_bytes: None, row: None };
        match origin.position {
            Position::Bytes { offset, num_bytes, line } => {
                Self { line: Some(line), offset: Some(offset), num_bytes: Some(num_bytes), ..whole }
            }
            Position::Row(row) => Self { row: Some(row), ..whole },
            Position::File => whole,
        }
    }

    /// The origin. A position of which a part is missing is the whole file.
    pub fn into_origin(self) -> Origin {
        let position = match self {
            Self { offset: Some(offset), num_bytes: Some(num_bytes), line: Some(line), .. } => {
                Position::Bytes { offset, num_bytes, line }
            }
            Self { row: Some(row), .. } => Position::Row(row),
            _ => Position::File,
        };
        Origin { file: self.file, position }
    }
}
