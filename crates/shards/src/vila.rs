//! Tars as VILA's data loaders read them, with `wids-meta.json` beside them, without which VILA would read every tar first.
//!
//! ```text
//! 0123…ef.json     SampleJson; the conversation has `<image>` for an only image, and `<image-1>`, `<image-2>` … for several
//! 0123…ef.img      an only image
//! 0123…ef.1.img    the images of a sample that has several, in placeholder order
//! 0123…ef.2.img
//! ```
//!
//! `llava/data/dataset_impl/eagle_wds.py` reads samples, `llava/data/simple_vila_webdataset.py` and `llava/wids` the shards.

use std::borrow::Cow;
use std::fmt::Write;

use manyframe_core::Sample;
use serde_json::Value;

use crate::error::ShardError;
use crate::format::{DatasetFacts, FinishedShard};
use crate::json::{ConversationTurn, SampleJson};
use crate::placeholders::{IMAGE, image_placeholders, replaced};
use crate::tar_format::{FoundBytes, NewMember, NextMembers, TarLayout};

/// The layout.
#[derive(Clone, Copy)]
pub(crate) struct Vila;

impl TarLayout for Vila {
    fn name(&self) -> &'static str {
        "vila"
    }

    fn conversation(&self, sample: &Sample) -> Result<Option<Vec<ConversationTurn>>, String> {
        let num_images = sample.images.len();
        let replaced = replaced(sample, image_placeholders);
        let messages = replaced.as_ref().unwrap_or(&sample.messages);
        let num_places: usize = messages.iter().map(|message| message.content.matches(IMAGE).count()).sum();
        if num_places != num_images {
            return Err(format!("{num_places} times {IMAGE} for {num_images} images"));
        }
        if num_images <= 1 {
            return Ok(replaced.map(|messages| messages.iter().map(ConversationTurn::from_message).collect()));
        }
        let mut number = 0;
        let mut numbered = |text: &str| {
            let mut parts = text.split(IMAGE);
            let mut numbered = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                number += 1;
                // Writing to a string cannot fail.
                _ = write!(numbered, "<image-{number}>{part}");
            }
            numbered
        };
        let turns = messages.iter().map(|message| {
            let turn = ConversationTurn::from_message(message);
            ConversationTurn { value: numbered(&turn.value), ..turn }
        });
        Ok(Some(turns.collect()))
    }

    fn members<'s>(&self, sample: &'s Sample) -> Result<Vec<NewMember<'s>>, String> {
        if !sample.clips.is_empty() {
            return Err("video files have no place in this format".to_owned());
        }
        let names = member_names(sample.images.len());
        Ok(names.into_iter().zip(sample.images.iter().map(|image| Cow::from(&image.bytes))).collect())
    }

    fn find(&self, json: &SampleJson, members: &mut NextMembers<'_>) -> Result<FoundBytes, ShardError> {
        let names = member_names(json.images.len());
        let images = names.iter().map(|name| members.next_bytes(name)).collect::<Result<_, _>>()?;
        Ok(FoundBytes { images, clips: Vec::new() })
    }

    fn files(&self, shards: &[FinishedShard], facts: &DatasetFacts<'_>) -> Vec<(String, Vec<u8>)> {
        if shards.is_empty() {
            return Vec::new();
        }
        let line = |shard: &FinishedShard| {
            let url = Value::from(shard.path_below(self.name()));
            format!("    {{\"url\": {url}, \"nsamples\": {}, \"filesize\": {}}}", shard.num_samples, shard.num_bytes)
        };
        let name = Value::from(facts.name);
        let text = format!(
            "{{\n  \"name\": {name},\n  \"__kind__\": \"VILA-WebDataset\",\n  \"wids_version\": 1,\n  \"shardlist\": [\n{}\n  ]\n}}\n",
            shards.iter().map(line).collect::<Vec<_>>().join(",\n")
        );
        vec![(format!("{}/wids-meta.json", self.name()), text.into_bytes())]
    }
}

fn member_names(num_images: usize) -> Vec<String> {
    match num_images {
        1 => vec!["img".to_owned()],
        _ => (1..=num_images).map(|number| format!("{number}.img")).collect(),
    }
}
