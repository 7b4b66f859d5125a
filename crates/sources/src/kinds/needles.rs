//! Evaluation sets of needles in haystacks. Their records are made by `needles/` of the needles in an annotation file.
//!
//! ```json
//! {"id": "v_niah/64/500/0/1", "video": {"videos": ["a.mp4"], "num_frames": 64, "edits": [{"index": 32, "insert": "b.png"}], …},
//!  "human": "\nWhich fruit …?\nA. …", "gpt": "B", "needle": {"task": "v_niah", …}}
//! ```
//!
//! Tasks with many images have `images`, a list of paths, in place of `video`.

use manyframe_core::{ComposedVideo, Edit, MediaKind, MediaLocation, MediaRef, Rejection, Role};
use manyframe_media::ensure_writable;

use crate::draft::{Draft, DraftPart, DraftTurn};
use crate::fields::read_text;
use crate::reader::{KindReader, RecordContext};
use crate::reject::unexpected_schema;
use crate::value::{Object, Value};

pub(crate) const READER: KindReader = KindReader { own_options: &["needles"], ..KindReader::new(&["id"], draft) };

fn draft<'r>(row: &'r Object<'_>, _: &RecordContext<'_>) -> Result<Draft<'r>, Rejection> {
    let text = |name: &str| {
        let missing =
            || unexpected_schema(format!("{name:?} is missing: a needle set makes its records of `[source.needles]`"));
        read_text(row, name)?.ok_or_else(missing)
    };
    let mut parts: Vec<DraftPart<'r>> = media(row)?.into_iter().map(DraftPart::Medium).collect();
    parts.push(DraftPart::Text(text("human")?.into()));
    let turns = vec![DraftTurn { role: Role::User, parts }, DraftTurn::text(Role::Assistant, text("gpt")?)];
    let task =
        row.get("needle").and_then(|needle| if let Value::Object(needle) = needle { Some(needle) } else { None });
    let subset = task.map(|needle| read_text(needle, "task")).transpose()?.flatten();
    Ok(Draft { subset, turns, ..Draft::default() })
}

/// The composed video, or the images, which are shown first.
fn media(row: &Object<'_>) -> Result<Vec<MediaRef>, Rejection> {
    let of_kind = |kind, location| MediaRef { kind, location, clip: None, fps: None };
    if let Some(video) = row.get("video") {
        let composed: ComposedVideo = serde_json::from_value(video.to_json())
            .map_err(|error| unexpected_schema(format!("\"video\" is no composition of videos: {error}")))?;
        check_texts(&composed)?;
        return Ok(vec![of_kind(MediaKind::Video, MediaLocation::Composed(Box::new(composed)))]);
    }
    let Some(Value::List(images)) = row.get("images") else {
        return Err(unexpected_schema("neither \"video\" nor a list \"images\""));
    };
    let path = |image: &Value<'_>| image.as_text().map(str::to_owned);
    let paths: Option<Vec<String>> = images.iter().map(path).collect();
    let paths = paths.ok_or_else(|| unexpected_schema("\"images\" has something that is no path"))?;
    Ok(paths.into_iter().map(|path| of_kind(MediaKind::Image, MediaLocation::Path(path))).collect())
}

/// Rejects a text that nobody could read on its frame.
fn check_texts(composed: &ComposedVideo) -> Result<(), Rejection> {
    composed.edits.iter().try_for_each(|edit| match &edit.edit {
        Edit::Write(text) => ensure_writable(text),
        _ => Ok(()),
    })
}
