//! Tars that Megatron-Bridge's recipes for Qwen-VL read as they are, as `ChatMLWebdataset`.
//!
//! ```text
//! 0123…ef.json      SampleJson; its conversation has `<image>` for each image and `<video>` for each video
//! 0123…ef.jpgs      a pickled list of its images
//! 0123…ef.videos    a pickled list of its videos, of which each is a list of frames
//! ```
//!
//! Every sample has all three members, because Energon's `field_map` knows no member that may be absent.
//! `megatron/bridge/data/energon/task_encoder_utils.py` unpickles them.

use std::borrow::Cow;

use manyframe_core::{Sample, SampleVisual, VisualKind};

use crate::energon;
use crate::error::ShardError;
use crate::format::{DatasetFacts, FinishedShard};
use crate::json::{ConversationTurn, SampleJson};
use crate::pickle::{PickleReader, list, list_of_lists};
use crate::placeholders::{VIDEO, image_placeholders, is_video, replaced, with_newline_of};
use crate::tar::ByteRange;
use crate::tar_format::{FoundBytes, NewMember, NextMembers, TarLayout};

/// The layout.
#[derive(Clone, Copy)]
pub(crate) struct EnergonChatml;

const DATASET_YAML: &str = "__module__: megatron.bridge.data.energon.task_encoder_utils\n__class__: ChatMLWebdataset\n\
                            field_map:\n  imgs: jpgs\n  videos: videos\n  conversation: json\nsubflavors: {}\n";

impl TarLayout for EnergonChatml {
    fn name(&self) -> &'static str {
        "energon_chatml"
    }

    fn is_read_by_energon(&self) -> bool {
        true
    }

    fn conversation(&self, sample: &Sample) -> Result<Option<Vec<ConversationTurn>>, String> {
        let messages = replaced(sample, |visual, text| match visual.kind {
            VisualKind::Video => Some(with_newline_of(text, VIDEO.to_owned())),
            _ => image_placeholders(visual, text),
        });
        Ok(messages.map(|messages| messages.iter().map(ConversationTurn::from_message).collect()))
    }

    fn members<'s>(&self, sample: &'s Sample) -> Result<Vec<NewMember<'s>>, String> {
        if !sample.clips.is_empty() {
            return Err("video files have no place in this format".to_owned());
        }
        let (mut images, mut videos) = (Vec::new(), Vec::new());
        let mut remaining = sample.images.iter().map(|image| image.bytes.as_slice());
        for visual in &sample.visuals {
            let shown = remaining.by_ref().take(visual.num_images);
            if is_video(visual) { videos.push(shown.collect::<Vec<_>>()) } else { images.extend(shown) }
        }
        if images.len() + videos.iter().map(Vec::len).sum::<usize>() != sample.images.len()
            || remaining.next().is_some()
        {
            return Err(format!("its visuals do not show each of its {} images", sample.images.len()));
        }
        let members = [("jpgs", list(&images)?), ("videos", list_of_lists(&videos)?)];
        Ok(members.map(|(name, pickle)| (name.to_owned(), Cow::from(pickle))).into())
    }

    fn find(&self, json: &SampleJson, members: &mut NextMembers<'_>) -> Result<FoundBytes, ShardError> {
        let num_images = |visual: &SampleVisual| visual.num_images;
        let num_plain = json.visuals.iter().filter(|visual| !is_video(visual)).map(num_images).sum();
        let num_frames: Vec<usize> = json.visuals.iter().filter(|visual| is_video(visual)).map(num_images).collect();
        let member = members.next("jpgs")?;
        let mut plain = PickleReader::read_list(members.tar, &member, num_plain)?.into_iter();
        let member = members.next("videos")?;
        let mut videos = PickleReader::read_lists(members.tar, &member, &num_frames)?.into_iter();
        let mut images: Vec<ByteRange> = Vec::new();
        for visual in &json.visuals {
            if is_video(visual) {
                images.extend(videos.next().into_iter().flatten());
            } else {
                images.extend(plain.by_ref().take(visual.num_images));
            }
        }
        Ok(FoundBytes { images, clips: Vec::new() })
    }

    fn files(&self, shards: &[FinishedShard], _: &DatasetFacts<'_>) -> Vec<(String, Vec<u8>)> {
        energon::files(self.name(), shards, DATASET_YAML)
    }
}
