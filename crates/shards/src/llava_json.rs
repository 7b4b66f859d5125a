//! A sample as LLaVA's own trainers read it: a record of their JSON array, whose images are files.
//!
//! ```json
//! {"id": "0123…ef", "image": ["images/0000/000/0123…ef.000.jpg"],
//!  "conversations": [{"from": "human", "value": "<image>\nWhat …?"}, {"from": "gpt", "value": "…"}]}
//! ```
//!
//! How three loaders read `image`: LongLLaVA opens each item of a list as a path, and would take a string for a list of
//! letters; LLaVA-NeXT joins a string, or each item of a list, to its `--image_folder`; LLaVA-1.5 joins a string only. So
//! there is a form for each ([`SingleImage`]), and none that LongLLaVA and LLaVA-1.5 both read. All know the speakers
//! `human` and `gpt` only: a system text opens the first turn of the human.
//!
//! Texts keep the dialect of the dataset where that is LLaVA's own or LongLLaVA's. In those of other families, `<image>` takes
//! the place of each image, which is what these loaders look for.
//!
//! Nothing here writes files.

use std::borrow::Cow;

use manyframe_core::{Message, RecordId, Role, Sample, SampleVisual};
use serde::{Deserialize, Serialize};

use crate::json::{ConversationTurn, Speaker};

/// A record of LLaVA's JSON array.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LlavaRecord {
    /// Identity, as in the dataset's shards.
    pub id: RecordId,
    /// The paths of its images, in placeholder order; absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<LlavaImage>,
    /// What human and model say in turn, with `<image>` for each image.
    pub conversations: Vec<ConversationTurn>,
}

/// A pack as LongLLaVA's trainer reads one: a record of its JSON array, with the images and the turns of its samples in a row.
///
/// After the last answer of each sample is an end token, where the released packer writes one; unlike there, no sample is
/// left out. The trainer keeps no boundaries: attention and state run from one sample into the next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LlavaPack {
    /// `pack-` and its number.
    pub id: String,
    /// The paths of its images, in placeholder order; absent if it has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image: Vec<String>,
    /// What human and model say in turn, sample after sample.
    pub conversations: Vec<ConversationTurn>,
}

impl LlavaPack {
    /// Appends a sample whose images have these paths, and the end token.
    pub fn push(&mut self, sample: &Sample, paths: Vec<String>, end_token: &str) {
        let record = LlavaRecord::from_sample(sample, Vec::new(), SingleImage::List);
        self.image.extend(paths);
        self.conversations.extend(record.conversations);
        if let Some(last) = self.conversations.last_mut() {
            last.value.push_str(end_token);
        }
    }
}

/// Paths of images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LlavaImage {
    /// The path of the only image.
    One(String),
    /// The paths of all images.
    List(Vec<String>),
}

/// How the image of a record that has exactly one is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SingleImage {
    /// As a list, as LongLLaVA and LLaVA-NeXT read it.
    #[default]
    List,
    /// As a string, as LLaVA-1.5 and LLaVA-NeXT read it.
    Text,
}

const IMAGE: &str = "<image>";

impl LlavaRecord {
    /// The record of a sample whose images have these paths.
    pub fn from_sample(sample: &Sample, mut paths: Vec<String>, single: SingleImage) -> Self {
        let image = match (paths.len(), single) {
            (0, _) => None,
            (1, SingleImage::Text) => paths.pop().map(LlavaImage::One),
            _ => Some(LlavaImage::List(paths)),
        };
        let mut conversations: Vec<ConversationTurn> = Vec::with_capacity(sample.messages.len());
        let mut system = None;
        // Only where every image costs the same, samples do not say what the model makes of each.
        let is_llava = !sample.visuals.is_empty() && sample.visuals.iter().all(|visual| visual.model.is_none());
        for (number, message) in sample.messages.iter().enumerate() {
            let content = if is_llava {
                Cow::Borrowed(&*message.content)
            } else {
                let visuals = sample.visuals.iter().filter(|visual| visual.message == number);
                Cow::Owned(with_images(message, visuals))
            };
            let from = match message.role {
                Role::System => {
                    system = Some(content);
                    continue;
                }
                Role::User => Speaker::Human,
                Role::Assistant => Speaker::Gpt,
            };
            let value = match system.take() {
                Some(system) => format!("{system}\n{content}"),
                None => content.into_owned(),
            };
            conversations.push(ConversationTurn { from, value });
        }
        Self { id: sample.id, image, conversations }
    }
}

/// The text of a message with `<image>` for each image, in lines of their own where they begin a line. What its text has of it
/// is spelled in upper case, so that it is no place of an image.
fn with_images<'v>(message: &Message, visuals: impl Iterator<Item = &'v SampleVisual>) -> String {
    let (mut text, mut end) = (String::new(), 0);
    let between = |start: usize, end: usize| {
        let chars = message.content.chars().skip(start).take(end.saturating_sub(start));
        chars.collect::<String>().replace(IMAGE, "<IMAGE>")
    };
    for visual in visuals {
        text.push_str(&between(end, visual.start));
        let begins_line = text.is_empty() || text.ends_with('\n');
        text.push_str(&vec![IMAGE; visual.num_images].join("\n"));
        end = visual.end;
        if begins_line || between(visual.start, end).ends_with('\n') {
            text.push('\n');
        }
    }
    let rest = between(end, usize::MAX);
    text.push_str(if text.ends_with('\n') { rest.strip_prefix('\n').unwrap_or(&rest) } else { &rest });
    if text.trim_end().ends_with(IMAGE) { text.trim_end().to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use manyframe_core::{Cost, Digest, Layout, Message, Origin, Position, VisualKind};

    use super::*;

    fn json(num_images: usize, single: SingleImage) -> String {
        let message = |role, content: &str| Message { role, content: content.to_owned() };
        let visual = SampleVisual {
            kind: VisualKind::Video,
            message: 1,
            start: 0,
            end: 8,
            first_image: 0,
            num_images,
            grid: None,
            cut: None,
            times_s: Vec::new(),
            path: String::new(),
            width_px: 8,
            height_px: 8,
            model: None,
            clip: None,
        };
        let question = if num_images == 0 { "What?" } else { "<image>\nWhat?" };
        let sample = Sample {
            id: RecordId::from_digest(Digest::of(b"x")),
            source: "s".into(),
            subset: "".into(),
            upstream_id: "1".into(),
            layout: Layout::Image,
            messages: vec![
                message(Role::System, "Be kind."),
                message(Role::User, question),
                message(Role::Assistant, "A \"cat\"."),
            ],
            prompt: String::new(),
            label_spans: Vec::new(),
            tokens: None,
            cost: Cost::default(),
            images: Vec::new(),
            clips: Vec::new(),
            visuals: (num_images > 0).then_some(visual).into_iter().collect(),
            origin: Origin { file: "a.json".into(), position: Position::File },
        };
        let paths = (0..num_images).map(|index| format!("{index}.jpg")).collect();
        let text = serde_json::to_string(&LlavaRecord::from_sample(&sample, paths, single)).unwrap();
        text.replace(&sample.id.to_string(), "ID")
    }

    const TALK: &str =
        r#""conversations":[{"from":"human","value":"Be kind.\n<image>\nWhat?"},{"from":"gpt","value":"A \"cat\"."}]}"#;

    #[test]
    fn several_images_are_a_list_in_every_form() {
        for single in [SingleImage::List, SingleImage::Text] {
            assert_eq!(json(2, single), format!(r#"{{"id":"ID","image":["0.jpg","1.jpg"],{TALK}"#));
        }
    }

    #[test]
    fn one_image_has_the_form_that_is_asked_for() {
        assert_eq!(json(1, SingleImage::List), format!(r#"{{"id":"ID","image":["0.jpg"],{TALK}"#));
        assert_eq!(json(1, SingleImage::Text), format!(r#"{{"id":"ID","image":"0.jpg",{TALK}"#));
    }

    #[test]
    fn a_record_without_images_has_no_such_field() {
        assert_eq!(json(0, SingleImage::List), format!(r#"{{"id":"ID",{TALK}"#).replace(r"<image>\n", ""));
    }
}
