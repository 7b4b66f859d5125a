//! ShareGPT4Video: captions of videos, and the mix of its video conversations with LLaVA's.
//!
//! ```json
//! {"video_id": "…", "video_path": "pexels/….mp4", "zip_folder": "pexels_1.zip", "timestamp": …, "keyframe": …,
//!  "captions": [{"idx": "0", "content": "…"}, {"idx": "-1", "content": "The video begins …"}]}
//! ```
//!
//! * The caption with `idx` −1 (a string or a number) is that of the whole video; the others are of key frames.
//!   The option `captions` chooses, `questions` sets the question. A record without the chosen caption is rejected.
//! * `video_path` begins with the collection (`panda/`, `pexels/` …), and `zip_folder` names the archive that has it:
//!   use the archives, or the directories they are unpacked to, as media roots.
//! * Records with `conversations` are in LLaVA's format, with `video` or `image`.

use std::borrow::Cow;

use manyframe_core::{Rejection, Role};

use crate::draft::{Draft, DraftPart, DraftTurn};
use crate::fields::{MediaFields, read_id};
use crate::kinds::llava;
use crate::options::Captions;
use crate::placement::Unplaced;
use crate::question::question_of;
use crate::reader::{KindReader, RecordContext};
use crate::reject::{names_of, unexpected_schema, wrong_type};
use crate::value::{Object, Value};

/// The question if the options set none.
const DEFAULT_QUESTION: &str = "Describe this video in detail.";

pub(crate) const READER: KindReader = KindReader {
    unplaced: Unplaced::OneComesFirst,
    own_options: &["questions", "captions"],
    ..KindReader::new(&["video_id", "id"], draft)
};

fn draft<'r>(row: &'r Object<'_>, context: &RecordContext<'_>) -> Result<Draft<'r>, Rejection> {
    if row.get("conversations").is_some() {
        return llava::draft(row, context);
    }
    let captions = read_captions(row)?;
    let answer = match context.options.captions {
        Captions::Whole => {
            captions.iter().find(|caption| caption.index == WHOLE_VIDEO).map(|it| Cow::Borrowed(it.text))
        }
        Captions::Keyframes => join_keyframes(captions),
    };
    let Some(answer) = answer else {
        let expected = match context.options.captions {
            Captions::Whole => "one of the whole video, with idx \"-1\"",
            Captions::Keyframes => "some of key frames",
        };
        return Err(unexpected_schema(format!("the captions lack {expected}")));
    };
    let videos = MediaFields::videos(&["video_path", "video"]).read(row, context.table)?;
    if videos.is_empty() {
        return Err(unexpected_schema("no \"video_path\""));
    }
    let path = read_id(row, &["video_path", "video"])?;
    let question = question_of(&path, DEFAULT_QUESTION, context);
    let question = videos.into_iter().map(DraftPart::Medium).chain([DraftPart::Text(Cow::Owned(question))]).collect();
    let turns = vec![DraftTurn { role: Role::User, parts: question }, DraftTurn::text(Role::Assistant, answer)];
    Ok(Draft { turns, ..Draft::default() })
}

/// The index of the caption of the whole video.
const WHOLE_VIDEO: &str = "-1";

struct Caption<'r> {
    index: String,
    text: &'r str,
}

fn read_captions<'r>(row: &'r Object<'_>) -> Result<Vec<Caption<'r>>, Rejection> {
    let captions = match row.get("captions") {
        Some(Value::List(captions)) => captions,
        Some(other) => return Err(wrong_type("captions", other, "a list")),
        None => {
            let found = names_of(row);
            return Err(unexpected_schema(format!(
                "found the fields {found}, expected \"captions\" or \"conversations\""
            )));
        }
    };
    let caption = |caption: &'r Value<'_>| {
        let Value::Object(caption) = caption else {
            return Err(wrong_type("captions", caption, "a list of objects"));
        };
        let text = match caption.get("content") {
            Some(Value::Text(text)) => text,
            Some(other) => return Err(wrong_type("content", other, "a string")),
            None => return Err(unexpected_schema("a caption has no \"content\"")),
        };
        Ok(Caption { index: read_id(caption, &["idx"])?, text })
    };
    captions.iter().map(caption).collect()
}

/// The captions of key frames in the order of their numbers. `None` if there are none.
fn join_keyframes<'r>(mut captions: Vec<Caption<'_>>) -> Option<Cow<'r, str>> {
    captions.retain(|caption| caption.index != WHOLE_VIDEO);
    // Captions of pairs ("0-1") sort by the first frame, those without a number first; the sort is stable.
    captions.sort_by_key(|caption| caption.index.split('-').next().and_then(|first| first.parse::<u64>().ok()));
    let texts: Vec<_> = captions.iter().map(|caption| caption.text).collect();
    (!texts.is_empty()).then(|| Cow::Owned(texts.join("\n\n")))
}
