//! Documents with images between their texts, all of which is trained.
//!
//! | shape | used by |
//! |---|---|
//! | `texts` and `images` of the same length, of which one is null at each position | OBELICS, MINT-1T |
//! | `text_list`, and `image_info` with the position of the text that each image comes before | MMC4 |
//! | `text` with `<image>` or `<video>` in it, and media | ms-swift, LLaMA-Factory |
//!
//! Texts of OBELICS that follow each other have an empty line between them, sentences of MMC4 a space. Next to an image nothing is added.

use manyframe_core::{MediaKind, Rejection, Role};

use crate::draft::{Draft, DraftMedia, DraftPart, DraftTurn};
use crate::fields::{Embedded, medium, read_location};
use crate::reject::{unexpected_schema, wrong_type};
use crate::value::{Object, Value};

/// The document that a record is; `None` if it is something else.
pub(crate) fn read_document<'r>(
    row: &'r Object<'_>,
    table: Option<&Embedded<'_>>,
) -> Result<Option<Draft<'r>>, Rejection> {
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
    let has_any = ["<image>", "<video>"].iter().any(|placeholder| text.contains(placeholder));
    (has_any && !media.is_empty()).then(|| DraftTurn::text(Role::Assistant, text))
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
        let place = info.get("matched_text_index").and_then(Value::as_f64).map(|place| place as usize);
        let (Some((_, name)), Some(place)) = (name, place.filter(|place| *place < sentences.len())) else {
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

fn read_image<'r>(
    field: &str,
    index: usize,
    image: &Value<'_>,
    table: Option<&Embedded<'_>>,
) -> Result<DraftPart<'r>, Rejection> {
    let bytes = table.and_then(|table| table.bytes(field, index));
    Ok(DraftPart::Medium(medium(MediaKind::Image, read_location(field, image, bytes)?)))
}
