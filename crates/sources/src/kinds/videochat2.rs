//! VideoChat2-IT: questions and answers about a video or an image, one JSON array per subset.
//!
//! ```json
//! {"video": "video_05028.mp4", "start": 0.0, "end": 4.5,
//!  "QA": [{"i": "Review the shown video …", "q": "Question: …?\nOptions:\n(A) red …", "a": "Answer: (B) purple"}]}
//! ```
//!
//! * There are no ids and no placeholders: the medium comes before the first question, and text that looks like a
//!   placeholder is text.
//! * A question is the instruction `i`, a line feed, and `q`; either may be absent or empty. An instruction that
//!   repeats from one question to the next is written once, as upstream's loader does.
//! * The text subsets have `QA` only. Where media are depends on the subset, which is the file's path from `image`,
//!   `video` or `text` on, such as `video/reasoning/clevrer_qa`.
//! * `start` and `end` cut a clip out of the video, in seconds.
//! * Animated GIFs (TGIF) are read at 25 frames per second, as upstream does: their own timing is damaged.

use std::borrow::Cow;
use std::path::Path;

use manyframe_core::{MediaLocation, MediaRef, RejectCode, Rejection, Role};

use crate::draft::{Draft, DraftPart, DraftTurn};
use crate::fields::{MediaFields, read_clip};
use crate::placement::Unplaced;
use crate::reader::{KindReader, RecordContext};
use crate::reject::{names_of, unexpected_schema, wrong_type};
use crate::value::{Object, Value};

/// Frames per second at which upstream reads animated GIFs.
const GIF_FPS: f64 = 25.0;

pub(crate) const READER: KindReader =
    KindReader { unplaced: Unplaced::AllComeFirst, subset_of_path, ..KindReader::new(&["id"], draft) };

/// The subset in the path of a file: its directories from the last `image`, `video` or `text` on; else empty.
pub(crate) fn subset_of_path(path: &Path) -> String {
    let directories: Vec<_> = path.parent().into_iter().flat_map(Path::iter).filter_map(|name| name.to_str()).collect();
    let start = directories.iter().rposition(|name| matches!(*name, "image" | "video" | "text"));
    start.map_or_else(String::new, |start| directories.split_at(start).1.join("/"))
}

fn draft<'r>(row: &'r Object<'_>, context: &RecordContext<'_>) -> Result<Draft<'r>, Rejection> {
    let mut turns = read_exchanges(row)?;
    let media = read_first_media(row, context)?;
    if let Some(first) = turns.first_mut() {
        first.parts.splice(0..0, media.into_iter().map(DraftPart::Medium));
    }
    Ok(Draft { turns, ..Draft::default() })
}

fn read_exchanges<'r>(row: &'r Object<'_>) -> Result<Vec<DraftTurn<'r>>, Rejection> {
    let exchanges = match row.get("QA") {
        Some(Value::List(exchanges)) if !exchanges.is_empty() => exchanges,
        Some(Value::List(_)) => return Err(Rejection::new(RejectCode::EmptyConversation, "\"QA\" is empty")),
        Some(other) => return Err(wrong_type("QA", other, "a list")),
        None => {
            let found = names_of(row);
            return Err(unexpected_schema(format!("found the fields {found}, expected \"QA\"")));
        }
    };
    let mut turns = Vec::with_capacity(2 * exchanges.len());
    let mut said = "";
    for exchange in exchanges {
        let Value::Object(exchange) = exchange else {
            return Err(wrong_type("QA", exchange, "a list of objects"));
        };
        let [instruction, question, answer] = ["i", "q", "a"].map(|name| match exchange.get(name) {
            None => Ok(""),
            Some(value) => value.as_text().ok_or_else(|| wrong_type(name, value, "a string")),
        });
        let (instruction, question) = (instruction?, question?);
        let text = match (instruction, question) {
            ("", question) => Cow::Borrowed(question),
            (instruction, question) if instruction == said && !question.is_empty() => Cow::Borrowed(question),
            (instruction, "") => Cow::Borrowed(instruction),
            (instruction, question) => Cow::Owned(format!("{instruction}\n{question}")),
        };
        said = instruction;
        turns.push(DraftTurn { role: Role::User, parts: vec![DraftPart::Text(text)] });
        turns.push(DraftTurn::text(Role::Assistant, answer?));
    }
    Ok(turns)
}

fn read_first_media(row: &Object<'_>, context: &RecordContext<'_>) -> Result<Vec<MediaRef>, Rejection> {
    let mut media = MediaFields::images(&["image"]).read(row, context.table)?;
    let mut videos = MediaFields::videos(&["video"]).read(row, context.table)?;
    if media.is_empty() && videos.is_empty() && ["image", "video"].iter().any(|kind| is_below(context.subset, kind)) {
        return Err(unexpected_schema(format!(
            "no medium in subset {:?}, expected \"image\" or \"video\"",
            context.subset
        )));
    }
    let clip = read_clip(row, ["start", "end"])?;
    for video in &mut videos {
        video.clip = clip;
        video.fps = is_gif(&video.location).then_some(GIF_FPS);
    }
    media.append(&mut videos);
    Ok(media)
}

fn is_below(subset: &str, directory: &str) -> bool {
    subset.split('/').next() == Some(directory)
}

fn is_gif(location: &MediaLocation) -> bool {
    matches!(location, MediaLocation::Path(path) if Path::new(path).extension().is_some_and(|it| it.eq_ignore_ascii_case("gif")))
}
