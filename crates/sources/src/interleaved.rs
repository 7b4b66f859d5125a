//! Documents with images between their texts, all of which is trained.
//!
//! | shape | used by |
//! |---|---|
//! | `texts` and `images` of the same length, of which one is null at each position | OBELICS, MINT-1T |
//! | `text_list`, and `image_info` with the position of the text that each image comes before | MMC4 |
//! | `text` with `<image>`, `<video>` or a placeholder of another model in it, and media | ms-swift, LLaMA-Factory |
//! | rows with `sample_id`, `position`, `modality`, `text_content`, `binary_content` | NeMo Curator |
//!
//! Texts of OBELICS and NeMo Curator that follow each other have an empty line between them, sentences of MMC4 a space. Next to an image nothing is added.

use manyframe_core::{MediaKind, MediaLocation, RejectCode, Rejection, Role};

use crate::draft::{Draft, DraftMedia, DraftPart, DraftTurn};
use crate::fields::{Embedded, medium, read_location};
use crate::number::Number;
use crate::placeholders::has_other;
use crate::reject::{unexpected_schema, wrong_type};
use crate::syntax::object_of;
use crate::value::{Object, Value};

/// The column with the id of a document of several rows.
pub(crate) const ID: &str = "sample_id";
/// The field with the rows of a document.
pub(crate) const ROWS: &str = "interleaved_rows";
/// The columns that NeMo Curator keeps for itself, but for the id; all others say something of the document.
pub(crate) const OWN_COLUMNS: &[&str] = &[
    "position",
    "modality",
    "content_type",
    "text_content",
    "binary_content",
    "source_ref",
    "source_member",
    "source_frame_index",
    "materialize_error",
];

/// The document that a record is; `None` if it is something else.
pub(crate) fn read_document<'r>(
    row: &'r Object<'_>,
    table: Option<&Embedded<'_>>,
) -> Result<Option<Draft<'r>>, Rejection> {
    if let Some(Value::List(rows)) = row.get(ROWS) {
        return Ok(Some(document_of(of_rows(rows, table)?, DraftMedia::default())));
    }
    let parts = match (row.get("texts"), row.get("text_list")) {
        (Some(Value::List(texts)), _) if texts.iter().any(is_text_or_null) => alternating(texts, row, table)?,
        (_, Some(Value::List(sentences))) => with_images_before(sentences, row, table)?,
        _ => return Ok(None),
    };
    Ok(Some(document_of(parts, DraftMedia::default())))
}

/// The document with placeholders for these media in its text; `None` if it has none.
pub(crate) fn read_placeholders<'r>(row: &'r Object<'_>, media: &DraftMedia) -> Option<DraftTurn<'r>> {
    let text = row.get("text")?.as_text()?;
    if media.is_empty() {
        return None;
    }
    let has_usual = ["<image>", "<video>"].iter().any(|placeholder| text.contains(placeholder));
    (has_usual || has_other(text)).then(|| DraftTurn::text(Role::Assistant, text))
}

/// A document with these parts.
pub(crate) fn document_of(parts: Vec<DraftPart<'_>>, media: DraftMedia) -> Draft<'_> {
    let turns = vec![DraftTurn { role: Role::Assistant, parts }];
    Draft { turns, media, is_document: true, ..Draft::default() }
}

fn is_text_or_null(item: &Value<'_>) -> bool {
    matches!(item, Value::Text(_) | Value::Null)
}

fn alternating<'r>(
    texts: &'r [Value<'_>],
    row: &'r Object<'_>,
    table: Option<&Embedded<'_>>,
) -> Result<Vec<DraftPart<'r>>, Rejection> {
    let images = match row.get("images") {
        Some(Value::List(images)) => images.as_slice(),
        None => &[],
        Some(other) => return Err(wrong_type("images", other, "a list")),
    };
    if images.len() != texts.len() {
        let (images, texts) = (images.len(), texts.len());
        return Err(unexpected_schema(format!("{texts} \"texts\" and {images} \"images\", expected as many of each")));
    }
    let mut parts = Vec::new();
    let mut follows_text = false;
    for (index, (text, image)) in texts.iter().zip(images).enumerate() {
        match (text, image) {
            (Value::Text(text), Value::Null) => {
                parts.extend(follows_text.then(|| DraftPart::Text("\n\n".into())));
                parts.push(DraftPart::Text(text.as_ref().into()));
            }
            (Value::Null, Value::Null) => continue,
            (Value::Null, image) => parts.push(read_image("images", index, image, table)?),
            (Value::Text(_), _) => {
                return Err(unexpected_schema(format!("\"texts\" and \"images\" both have position {index}")));
            }
            (other, _) => return Err(wrong_type("texts", other, "a list of strings")),
        }
        follows_text = matches!(text, Value::Text(_));
    }
    Ok(parts)
}

fn with_images_before<'r>(
    sentences: &'r [Value<'_>],
    row: &'r Object<'_>,
    table: Option<&Embedded<'_>>,
) -> Result<Vec<DraftPart<'r>>, Rejection> {
    let images = match row.get("image_info") {
        Some(Value::List(images)) => images.as_slice(),
        None => &[],
        Some(other) => return Err(wrong_type("image_info", other, "a list of objects")),
    };
    let mut places = Vec::new();
    for (index, image) in images.iter().enumerate() {
        let Value::Object(info) = image else { return Err(wrong_type("image_info", image, "a list of objects")) };
        let name = info.get_any(&["image_name", "image", "path"]);
        let place =
            info.get("matched_text_index").and_then(Value::as_position).filter(|place| *place < sentences.len());
        let (Some((_, name)), Some(place)) = (name, place) else {
            let expected = "\"image_name\", and in \"matched_text_index\" the position of a text";
            return Err(unexpected_schema(format!("an entry of \"image_info\" lacks {expected}")));
        };
        places.push((place, read_image("image_info", index, name, table)?));
    }
    places.sort_by_key(|(place, _)| *place);
    let mut places = places.into_iter().peekable();
    let mut parts = Vec::new();
    for (index, sentence) in sentences.iter().enumerate() {
        let Value::Text(text) = sentence else { return Err(wrong_type("text_list", sentence, "a list of strings")) };
        parts.extend((index > 0).then(|| DraftPart::Text(" ".into())));
        while let Some((_, image)) = places.next_if(|(place, _)| *place == index) {
            parts.push(image);
        }
        parts.push(DraftPart::Text(text.as_ref().into()));
    }
    Ok(parts)
}

/// Rows of NeMo Curator, by their positions; the position of those with metadata is −1.
fn of_rows<'r>(rows: &'r [Value<'_>], table: Option<&Embedded<'_>>) -> Result<Vec<DraftPart<'r>>, Rejection> {
    let mut placed = Vec::new();
    for (nth, row) in rows.iter().enumerate() {
        let Value::Object(row) = row else { return Err(wrong_type(ROWS, row, "a list of objects")) };
        let modality = row.get("modality").and_then(Value::as_text).unwrap_or_default();
        if modality == "metadata" {
            continue;
        }
        let is_placed = |position: &Number<'_>| position.order(&Number::Integer(0)).is_ge();
        let position = row.get("position").and_then(Value::as_number).filter(is_placed);
        let position =
            position.ok_or_else(|| unexpected_schema(format!("a row of modality {modality:?} has no \"position\"")))?;
        placed.push((position, nth, modality, row));
    }
    placed.sort_by(|a, b| a.0.order(&b.0));
    if let Some([(position, ..), _]) = placed.windows(2).find(|pair| matches!(pair, [a, b] if a.0 == b.0)) {
        return Err(unexpected_schema(format!("two rows have the position {position}")));
    }
    let mut parts = Vec::new();
    let mut follows_text = false;
    for (_, nth, modality, row) in placed {
        match modality {
            "text" => {
                let Some(text) = row.get("text_content") else { continue };
                let Some(text) = text.as_text() else { return Err(wrong_type("text_content", text, "a string")) };
                parts.extend(follows_text.then(|| DraftPart::Text("\n\n".into())));
                parts.push(DraftPart::Text(text.into()));
            }
            "image" => parts.push(image_of_row(nth, row, table)?),
            other => {
                let detail = format!("a part of the document is of modality {other:?}, expected text or image");
                return Err(Rejection::new(RejectCode::UnsupportedMedia, detail));
            }
        }
        follows_text = modality == "text";
    }
    Ok(parts)
}

/// The bytes that a row has, or what its source is called among the media.
fn image_of_row<'r>(nth: usize, row: &Object<'_>, table: Option<&Embedded<'_>>) -> Result<DraftPart<'r>, Rejection> {
    const BYTES: &str = "binary_content";
    let location = match (row.get(BYTES), table.and_then(|table| table.bytes_of_row(nth, BYTES))) {
        (Some(Value::Bool(true)), Some(cell)) => MediaLocation::Blob(cell),
        (Some(other), _) => return Err(wrong_type(BYTES, other, "bytes in a Parquet file")),
        (None, _) => MediaLocation::Path(path_of_row(row)?),
    };
    Ok(DraftPart::Medium(medium(MediaKind::Image, location)))
}

/// The path of an image that was not read into its row: of the member of an archive, or of a file.
fn path_of_row(row: &Object<'_>) -> Result<String, Rejection> {
    let missing = |detail: String| Rejection::new(RejectCode::MediaMissing, detail);
    let text = |row: &Object<'_>, name: &str| {
        row.get(name).and_then(Value::as_text).filter(|it| !it.is_empty()).map(str::to_owned)
    };
    if let Some(error) = text(row, "materialize_error") {
        return Err(missing(format!("an image could not be read when the file was written: {error}")));
    }
    let path = |source: &Object<'_>| text(source, "member").or_else(|| text(source, "path"));
    let of_source = match row.get("source_ref") {
        Some(Value::Text(reference)) => object_of(reference.as_bytes()).ok().as_ref().and_then(path),
        Some(Value::Object(reference)) => path(reference),
        _ => None,
    };
    let found = text(row, "source_member").or(of_source);
    found.ok_or_else(|| missing("an image has neither \"binary_content\" nor a path in \"source_ref\"".to_owned()))
}

fn read_image<'r>(
    field: &str,
    index: usize,
    image: &Value<'_>,
    table: Option<&Embedded<'_>>,
) -> Result<DraftPart<'r>, Rejection> {
    let bytes = table.and_then(|table| table.bytes(field, index));
    Ok(DraftPart::Medium(medium(MediaKind::Image, read_location(field, image, bytes)?)))
}
