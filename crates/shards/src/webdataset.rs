//! WebDataset shards: an image is a member with its own extension.
//!
//! ```text
//! 0123…ef.json       SampleJson
//! 0123…ef.000.jpg    its images, in placeholder order
//! 0123…ef.001.jpg
//! 0123…ef.000.mp4    its video files, if videos are delivered as such
//! ```

use std::borrow::Cow;

use manyframe_core::Sample;

use crate::energon;
use crate::error::ShardError;
use crate::format::{DatasetFacts, FinishedShard};
use crate::json::{SampleJson, names_of, names_of_clips};
use crate::tar_format::{FoundBytes, NewMember, NextMembers, TarLayout};

/// The layout.
#[derive(Clone, Copy)]
pub(crate) struct Webdataset;

impl TarLayout for Webdataset {
    fn name(&self) -> &'static str {
        "webdataset"
    }

    fn is_read_by_energon(&self) -> bool {
        true
    }

    fn stores_clips(&self) -> bool {
        true
    }

    fn members<'s>(&self, sample: &'s Sample) -> Result<Vec<NewMember<'s>>, String> {
        let images = names_of(&sample.images).into_iter().zip(sample.images.iter().map(|image| &image.bytes));
        let clips = names_of_clips(&sample.clips).into_iter().zip(sample.clips.iter().map(|clip| &clip.bytes));
        Ok(images.chain(clips).map(|(name, bytes)| (name, Cow::from(bytes))).collect())
    }

    fn find(&self, json: &SampleJson, members: &mut NextMembers<'_>) -> Result<FoundBytes, ShardError> {
        let images = json.images.iter().map(|name| members.next_bytes(name)).collect::<Result<_, _>>()?;
        let clips = json.videos.iter().map(|name| members.next_bytes(name)).collect::<Result<_, _>>()?;
        Ok(FoundBytes { images, clips })
    }

    fn files(&self, shards: &[FinishedShard], _: &DatasetFacts<'_>) -> Vec<(String, Vec<u8>)> {
        energon::files(self.name(), shards, energon::CRUDE_DATASET)
    }
}
