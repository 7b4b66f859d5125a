//! Files of your own, and datasets without a kind here: the fields of a record decide how it is read.
//!
//! | a record with | is read as |
//! |---|---|
//! | `QA` | VideoChat2-IT |
//! | `captions`, a list, and a video | ShareGPT4Video |
//! | a conversation in any shape of `conversation.rs` | a conversation, with its images and videos |
//! | `texts`: `[{user, assistant}]` | a conversation, as The Cauldron and FineVision write it |
//! | a document in any shape of `interleaved.rs` | a document, with images between its texts |
//! | a caption (`caption`, `text`, `description` …) and a medium | an answer to one of the option `questions`, or to the question that `fields` names beside it |
//! | `text` alone | a document |
//!
//! * Images are in `image`, `images`, `image_path`, `img` and others, videos in `video`, `videos`, `video_path` …; `file_name`, `path` and
//!   `images_file_names` are one or the other by their ending. The option `fields` adds names.
//! * Without any placeholder, all media come before the first question.
//! * `start` and `end`, or `start_time` and `end_time`, cut a clip out of its videos, in seconds.
//! * What would be lost, such as a second field with images or a second conversation, rejects the record (`unread/`).
//! * `data_source`, or a text `source`, is the subset, unless the file decides it.

use std::borrow::Cow;

use manyframe_core::{MediaKind, MediaLocation, Rejection, Role};

use crate::conversation::{ANSWERS, LISTS, QUESTIONS, has_conversation, read_list, read_turns};
use crate::draft::{Draft, DraftMedia, DraftTurn};
use crate::fields::{
    IMAGES, MediaFields, VIDEOS, files_of, items_of, kind_of_path, medium, read_clip, read_location, reject_audio,
};
use crate::interleaved::{document_of, read_document, read_placeholders};
use crate::kinds::{sharegpt4video, text, videochat2};
use crate::options::SourceOptions;
use crate::placement::Unplaced;
use crate::question::{CAPTIONS, choice_in, question_of};
use crate::reader::{KindReader, RecordContext};
use crate::reject::{names_of, unexpected_schema, wrong_type};
use crate::unread::{ReadRecord, reject_lost};
use crate::value::{Object, Value};

pub(crate) const READER: KindReader = KindReader {
    unplaced: Unplaced::AllComeFirst,
    own_options: &["questions"],
    subset_of_path: videochat2::subset_of_path,
    ..KindReader::new(
        &[
            "id",
            "idx",
            "sample_id",
            "uuid",
            "question_id",
            "conversation_id",
            "prompt_id",
            "image_id",
            "video_id",
            "__key__",
        ],
        draft,
    )
};

/// As the fields say, unless something of the record would be lost.
fn draft<'r>(row: &'r Object<'_>, context: &RecordContext<'_>) -> Result<Draft<'r>, Rejection> {
    if row.get("QA").is_some() {
        return (videochat2::READER.draft)(row, context);
    }
    if matches!(row.get("captions"), Some(Value::List(_))) && row.get_any(&["video_path", "video"]).is_some() {
        return (sharegpt4video::READER.draft)(row, context);
    }
    let draft = match read_document(row, context.table)? {
        Some(document) => document,
        None => draft_of_fields(row, context)?,
    };
    let RecordContext { options, columns_with_bytes, .. } = *context;
    reject_lost(&ReadRecord { row, draft: &draft, options, columns_with_bytes })?;
    Ok(draft)
}

fn draft_of_fields<'r>(row: &'r Object<'_>, context: &RecordContext<'_>) -> Result<Draft<'r>, Rejection> {
    let media = read_media(row, context)?;
    if media.is_empty() {
        reject_unknown_medium(row)?;
    }
    let subset = row.get_any(&["data_source", "source"]).and_then(|(_, name)| name.as_text()).map(str::to_owned);
    let is_asked = names_question_of_caption(context.options);
    if has_conversation(row) && !is_asked {
        return Ok(Draft { subset, turns: read_turns(row)?, media, ..Draft::default() });
    }
    if let Some(texts) = row.get("texts") {
        let subset = subset.or_else(|| source_of_texts(texts));
        return Ok(Draft { subset, turns: read_list("texts", texts)?, media, ..Draft::default() });
    }
    if let Some(turn) = read_placeholders(row, &media) {
        return Ok(Draft { subset, ..document_of(turn.parts, media) });
    }
    if media.is_empty() && row.get("text").is_some() {
        return (text::READER.draft)(row, context);
    }
    let caption = row.get_any(CAPTIONS).filter(|_| !media.is_empty());
    let Some((name, caption)) = caption else {
        let found = names_of(row);
        let expected = "a conversation, a question with its answer, or an image or video with a caption";
        let advice = match choice_in(row) {
            Some((name, found)) => format!("there is a list of them: fields = {{ {name} = {found:?} }}"),
            None => "`fields` gives them other names".to_owned(),
        };
        return Err(unexpected_schema(format!("found the fields {found}, expected {expected}; {advice}")));
    };
    let caption = match caption {
        Value::Text(caption) => caption,
        Value::List(items) if items.len() > 1 && items.iter().all(|item| item.as_text().is_some()) => {
            let detail =
                format!("{name:?} is a list of {} strings: fields = {{ caption = \"{name}[0]\" }}", items.len());
            return Err(unexpected_schema(detail));
        }
        Value::List(items) if let [Value::Text(caption)] = items.as_slice() => caption,
        other => return Err(wrong_type(name, other, "a string")),
    };
    let question = match row.get_filled(QUESTIONS).filter(|_| is_asked) {
        Some((_, Value::Text(question))) => Cow::Borrowed(question.as_ref()),
        Some((name, other)) => return Err(wrong_type(name, other, "a string")),
        None => Cow::Owned(question_of(first_path(&media), default_question(&media), context)),
    };
    let turns = vec![DraftTurn::text(Role::User, question), DraftTurn::text(Role::Assistant, caption.as_ref())];
    Ok(Draft { subset, turns, media, ..Draft::default() })
}

/// Whether `fields` says that a caption answers a question of the record.
fn names_question_of_caption(options: &SourceOptions) -> bool {
    let names_any = |names: &[&str]| names.iter().any(|name| options.fields.contains_key(*name));
    names_any(QUESTIONS) && names_any(CAPTIONS) && !names_any(ANSWERS) && !names_any(LISTS)
}

/// A record that shows nothing although a field seems to name an image or video is not a text.
fn reject_unknown_medium(row: &Object<'_>) -> Result<(), Rejection> {
    let is_like_medium = |name: &&str| {
        let name = name.to_ascii_lowercase();
        ["image", "img", "picture", "photo", "video"].iter().any(|word| name.starts_with(word))
    };
    let unknown = row.names().filter(is_like_medium).find(|name| row.get_filled(&[name]).is_some());
    // Parts of turns name their media themselves.
    match unknown.filter(|_| row.get_any(&["conversations", "conversation", "messages"]).is_none()) {
        None => Ok(()),
        Some(name) => {
            let detail = format!("{name:?} may name its image or video: set `fields`, or use kind \"text\"");
            Err(unexpected_schema(detail))
        }
    }
}

fn read_media(row: &Object<'_>, context: &RecordContext<'_>) -> Result<DraftMedia, Rejection> {
    reject_audio(row)?;
    let mut media = DraftMedia {
        images: MediaFields::images(IMAGES).read(row, context.table)?,
        videos: MediaFields::videos(VIDEOS).read(row, context.table)?,
    };
    let clip = match read_clip(row, ["start", "end"])? {
        None => read_clip(row, ["start_time", "end_time"])?,
        clip => clip,
    };
    if let (true, Some((name, files))) = (media.is_empty(), files_of(row)) {
        for file in items_of(files).iter() {
            let location = read_location(name, file, None)?;
            let (kind, list) = if is_video(&location) {
                (MediaKind::Video, &mut media.videos)
            } else {
                (MediaKind::Image, &mut media.images)
            };
            list.push(medium(kind, location));
        }
    }
    media.videos.iter_mut().for_each(|video| video.clip = clip);
    Ok(media)
}

fn is_video(location: &MediaLocation) -> bool {
    matches!(location, MediaLocation::Path(path) if kind_of_path(path) == Some(MediaKind::Video))
}

/// The dataset that the first exchange of The Cauldron comes from.
fn source_of_texts(texts: &Value<'_>) -> Option<String> {
    let Value::List(items) = texts else { return None };
    let Some(Value::Object(first)) = items.first() else { return None };
    first.get("source")?.as_text().map(str::to_owned)
}

/// What tells apart the questions of captions without ids.
fn first_path(media: &DraftMedia) -> &str {
    match media.images.iter().chain(&media.videos).next().map(|medium| &medium.location) {
        Some(MediaLocation::Path(path)) => path,
        _ => "",
    }
}

fn default_question(media: &DraftMedia) -> &'static str {
    match (media.images.len(), media.videos.len()) {
        (1, 0) => "Describe this image.",
        (_, 0) => "Describe these images.",
        (0, 1) => "Describe this video.",
        _ => "Describe what you see.",
    }
}
