//! The one schema of samples as rows: its columns, from which come the Arrow schema of Parquet shards, their features for
//! Hugging Face, and a JSON Schema.
//!
//! What the columns do not hold is JSON in `metadata`.

use std::sync::Arc;

use manyframe_columnar::{Column, List, columns_of, schema_of_row, table};
use manyframe_core::{
    ClipFrames, Message, Role, Sample, SampleClip, SampleImage, SampleTokens, SampleVisual, VisualKind,
};

use crate::format::clip_visuals;

/// A sample as it is written.
#[derive(Clone, Copy)]
pub(crate) struct SampleParts<'a> {
    pub(crate) sample: &'a Sample,
    /// File names of its images.
    pub(crate) names: &'a [String],
    /// File names of its clips.
    pub(crate) clip_names: &'a [String],
    pub(crate) label_spans: &'a [(i64, i64)],
    pub(crate) num_tokens: i64,
    pub(crate) num_images: i64,
    /// JSON of `SampleMetadata`.
    pub(crate) metadata: &'a str,
}

/// A sample as it is read, nothing in it checked but types.
pub(crate) struct SampleRow {
    pub(crate) id: String,
    pub(crate) source: Arc<str>,
    pub(crate) subset: Arc<str>,
    pub(crate) layout: String,
    /// Role and content of each message.
    pub(crate) messages: Vec<(String, String)>,
    pub(crate) images: Vec<StoredImage>,
    pub(crate) videos: Vec<StoredImage>,
    pub(crate) prompt: String,
    pub(crate) label_spans: Vec<(i64, i64)>,
    pub(crate) tokens: Option<SampleTokens>,
    pub(crate) num_tokens: i64,
    /// Number of images and frames of clips, also where `images` lacks their bytes.
    pub(crate) num_images: i64,
    pub(crate) metadata: String,
}

/// An encoded image or a video file of a row.
pub(crate) struct StoredImage {
    /// `None` where they are absent or were not read.
    pub(crate) bytes: Option<Vec<u8>>,
    pub(crate) name: String,
}

/// The columns of tokens, which tables of earlier versions do not have.
pub(crate) const TOKEN_COLUMNS: [&str; 3] = ["input_ids", "labels", "image_positions"];
/// The columns that only tables with expanded placeholders have.
pub(crate) const EXPANDED_COLUMNS: [&str; 3] = ["mm_token_type_ids", "image_grid_thw", "video_grid_thw"];
/// The column of images.
pub(crate) const IMAGES: &str = "images";
/// The column of video files, which only tables of clips have.
pub(crate) const VIDEOS: &str = "videos";
/// The fields of [`IMAGES`] and [`VIDEOS`] that take nearly all the space.
pub(crate) const IMAGE_BYTES: &str = "images.bytes";
pub(crate) const VIDEO_BYTES: &str = "videos.bytes";

table! {
    /// A row of a Parquet shard.
    pub(crate) struct SampleTable<'r>(row: SampleParts<'r>) -> SampleRow {
        /// Identity: 32 hexadecimal digits; in a tar, the key of the sample's members.
        id: String as Distinct = &row.sample.id.to_string(),
        /// Name of the source in the pipeline file.
        source: Arc<str> = &row.sample.source,
        /// Part of the source; may be empty.
        subset: Arc<str> = &row.sample.subset,
        /// What kind of visuals it holds.
        layout: String = row.sample.layout.as_str(),
        /// The conversation: role and content of each message, with placeholders.
        messages: List<MessageTable> = row.sample.messages.iter().collect(),
        /// The images in placeholder order, as Hugging Face `datasets` stores images.
        images: List<ImageTable> = row.names.iter().zip(&row.sample.images).collect(),
        /// The whole text as the trainer sees it, chat template included.
        prompt: String = &row.sample.prompt,
        /// Where in `prompt` the loss is computed: (first, one past last) character, counted in Unicode scalar values.
        label_spans: List<SpanTable> = row.label_spans.to_vec(),
        tokens: SampleTokensTable = row.sample.tokens.as_ref(),
        /// Length of the sequence in tokens: `text_tokens` and `visual_tokens`.
        num_tokens: i64 = row.num_tokens,
        /// Number of images, frames of videos included.
        num_images: i64 = row.num_images,
        /// JSON with everything else: see `sample-metadata.schema.json`.
        metadata: String = row.metadata,
    }
    read {
        Ok(SampleRow {
            id, source, subset, layout, messages, images, videos: Vec::new(), prompt, label_spans, tokens, num_tokens,
            num_images, metadata,
        })
    }
}

table! {
    /// An element of `messages`.
    pub(crate) struct MessageTable<'r>(message: &'r Message) -> (String, String) {
        /// Who speaks: system, user or assistant.
        role: String = role_text(message.role),
        /// What is said.
        content: String = &message.content,
    }
    read { Ok((role, content)) }
}

table! {
    /// An element of `images`.
    pub(crate) struct ImageTable<'r>(image: (&'r String, &'r SampleImage)) -> StoredImage {
        /// The encoded image.
        bytes: Option<Vec<u8>> as Raw = Some(&image.1.bytes),
        /// File name within the sample, such as `000.jpg`.
        path: String = image.0,
    }
    read { Ok(StoredImage { bytes, name: path }) }
}

table! {
    /// An element of `label_spans`.
    pub(crate) struct SpanTable<'r>(span: (i64, i64)) -> (i64, i64) {
        /// First character.
        start: i64 = span.0,
        /// One past the last character.
        end: i64 = span.1,
    }
    read { Ok((start, end)) }
}

table! {
    /// The prompt as token ids, and what is to be predicted; all absent where it was not tokenized.
    pub(crate) struct SampleTokensTable<'r>(tokens: Option<&'r SampleTokens>) -> Option<SampleTokens> {
        /// Ids of tokens; −200 for each image.
        input_ids: Option<Vec<i32>> = tokens.map(|tokens| &*tokens.input_ids),
        /// The id to be predicted at each position, not shifted; −100 where there is no loss.
        labels: Option<Vec<i32>> = tokens.map(|tokens| &*tokens.labels),
        /// Positions of the images in `input_ids`.
        image_positions: Option<Vec<i32>> = signed_positions(tokens).as_deref(),
    }
    read {
        match (input_ids, labels, image_positions) {
            (Some(input_ids), Some(labels), Some(positions)) => {
                let position = |n: i32| u32::try_from(n).map_err(|_negative| format!("image position {n} is negative"));
                let image_positions = positions.into_iter().map(position).collect::<Result<_, _>>()?;
                Ok(Some(SampleTokens { input_ids, labels, image_positions, type_ids: Vec::new() }))
            }
            (None, None, None) => Ok(None),
            _ => Err(format!("only some of {TOKEN_COLUMNS:?} are absent")),
        }
    }
}

table! {
    /// A row of a Parquet shard with expanded placeholders.
    pub(crate) struct ExpandedSampleTable<'r>(row: SampleParts<'r>) -> SampleRow {
        sample: SampleTable = row,
        expanded: ExpandedTable = row,
    }
    read {
        let mut row = sample;
        if let (Some(tokens), Some(type_ids)) = (&mut row.tokens, expanded) {
            tokens.type_ids = type_ids;
        }
        Ok(row)
    }
}

table! {
    /// What a processor returns beside the ids, where placeholders are expanded.
    pub(crate) struct ExpandedTable<'r>(row: SampleParts<'r>) -> Option<Vec<i8>> {
        /// What each id of `input_ids` is part of: 0 text, 1 an image, 2 a video.
        mm_token_type_ids: Option<Vec<i32>> = type_ids(row.sample).as_deref(),
        /// Patches in time, height and width of each image, one after another: reshape to (−1, 3).
        image_grid_thw: Option<Vec<i32>> = grids(row.sample, Medium::Image).as_deref(),
        /// Patches in time, height and width of each video, one after another: reshape to (−1, 3).
        video_grid_thw: Option<Vec<i32>> = grids(row.sample, Medium::Video).as_deref(),
    }
    read {
        // Grids are in the metadata, too.
        let _ = (image_grid_thw, video_grid_thw);
        let narrow = |type_id: i32| i8::try_from(type_id).map_err(|_large| format!("{type_id} is no type of a token"));
        mm_token_type_ids.map(|type_ids| type_ids.into_iter().map(narrow).collect()).transpose()
    }
}

table! {
    /// A row of a Parquet shard with video files.
    pub(crate) struct VideoSampleTable<'r>(row: SampleParts<'r>) -> SampleRow {
        sample: SampleTable = row,
        /// The video files of visuals that are delivered as clips, in placeholder order. `images` has none of their frames.
        videos: List<VideoTable> = videos(row),
    }
    read { Ok(SampleRow { videos, ..sample }) }
}

table! {
    /// A row of a Parquet shard with expanded placeholders and video files: all columns that there are.
    pub(crate) struct WholeSampleTable<'r>(row: SampleParts<'r>) -> SampleRow {
        sample: ExpandedSampleTable = row,
        /// The video files of visuals that are delivered as clips, in placeholder order. `images` has none of their frames.
        videos: List<VideoTable> = videos(row),
    }
    read { Ok(SampleRow { videos, ..sample }) }
}

table! {
    /// An element of `videos`.
    pub(crate) struct VideoTable<'r>(video: StoredClip<'r>) -> StoredImage {
        /// The file, as the source has it or cut out of it without encoding.
        bytes: Option<Vec<u8>> as Raw = Some(&video.clip.bytes),
        /// File name within the sample, such as `000.mp4`.
        path: String = video.name,
        /// Positions of the frames that are shown among all frames of the file, in order of presentation, counted from 0.
        frame_indices: Option<Vec<i32>> = Some(&indices(video.frames)),
        /// Frames per second of the file, on average.
        fps: Option<f64> = Some(video.frames.fps),
    }
    read {
        // Both are in the metadata, too.
        let _ = (frame_indices, fps);
        Ok(StoredImage { bytes, name: path })
    }
}

/// A video file as it is written.
pub(crate) struct StoredClip<'r> {
    clip: &'r SampleClip,
    name: &'r str,
    frames: &'r ClipFrames,
}

fn videos(row: SampleParts<'_>) -> Vec<StoredClip<'_>> {
    let clips = row.sample.clips.iter().zip(row.clip_names).zip(clip_visuals(&row.sample.visuals));
    clips.map(|((clip, name), frames)| StoredClip { clip, name, frames }).collect()
}

/// A file has less than 2³¹ frames.
fn indices(frames: &ClipFrames) -> Vec<i32> {
    frames.frame_indices.iter().map(|index| index.cast_signed()).collect()
}

table! {
    /// The column that finds a sample.
    pub(crate) struct IdTable<'r>(id: &'r str) -> String {
        id: String = id,
    }
    read { Ok(id) }
}

pub(crate) fn role_text(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// A row has less than 2³¹ tokens.
fn signed_positions(tokens: Option<&SampleTokens>) -> Option<Vec<i32>> {
    tokens.map(|tokens| tokens.image_positions.iter().map(|position| position.cast_signed()).collect())
}

fn type_ids(sample: &Sample) -> Option<Vec<i32>> {
    let type_ids = sample.tokens.as_ref().map(|tokens| &tokens.type_ids).filter(|type_ids| !type_ids.is_empty())?;
    Some(type_ids.iter().map(|type_id| i32::from(*type_id)).collect())
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Medium {
    Image,
    Video,
}

/// The grids of the images or the videos of a sample; absent where the model is told none.
pub(crate) fn grids(sample: &Sample, medium: Medium) -> Option<Vec<i32>> {
    let is_wanted = |visual: &&SampleVisual| (visual.kind == VisualKind::Video) == (medium == Medium::Video);
    let models = sample.visuals.iter().filter(is_wanted).filter_map(|visual| visual.model.as_ref());
    let grids: Vec<i32> = models.filter_map(|model| model.grid_thw).flatten().map(u32::cast_signed).collect();
    (!grids.is_empty()).then_some(grids)
}

/// The JSON Schema of a row of a Parquet shard: all columns that there are, of which those are required that every shard has.
pub fn sample_row_schema() -> serde_json::Value {
    let of_row = |columns: &[Column]| schema_of_row("SampleRow", "A row of a Parquet shard: a sample.", columns);
    let (mut schema, least) = (of_row(&columns_of::<WholeSampleTable>()), of_row(&columns_of::<SampleTable>()));
    if let (Some(required), Some(least)) = (schema.get_mut("required"), least.get("required")) {
        *required = least.clone();
    }
    schema
}

#[cfg(test)]
mod tests {
    use schemars::schema_for;

    use super::*;
    use crate::json::SampleJson;

    #[test]
    fn rows_and_json_describe_what_they_share_alike() {
        let (row, json) = (sample_row_schema(), schema_for!(SampleJson));
        for name in ["id", "source", "subset", "layout", "prompt", "label_spans", "num_tokens"] {
            let of_row = &row["properties"][name]["description"];
            assert!(of_row.is_string() && *of_row == json.as_value()["properties"][name]["description"], "{name}");
        }
    }

    #[test]
    fn columns_that_only_some_shards_have_are_not_required() {
        let schema = sample_row_schema();
        let required: Vec<&str> = schema["required"].as_array().unwrap().iter().filter_map(|it| it.as_str()).collect();
        for (columns, is_required) in
            [(&[IMAGES, "metadata"][..], true), (&EXPANDED_COLUMNS[..], false), (&[VIDEOS][..], false)]
        {
            for name in columns {
                assert!(schema["properties"][name].is_object() && required.contains(name) == is_required, "{name}");
            }
        }
    }
}
