//! Conversations in every commonly used shape.
//!
//! | shape | used by |
//! |---|---|
//! | `conversations`, `conversation`, `messages`: `[{from or role, value or content or text}]` | LLaVA, Mantis, most chat sets |
//! | the same, of `{human, assistant}` pairs, of `[question, answer]` pairs, or of alternating strings | ms-swift, UltraChat |
//! | `data`: `[question, answer, …]` | UltraChat |
//! | `query`, `instruction` (+ `input`), `prompt`, `question` with `response`, `output`, `completion`, `answer` | Alpaca, ms-swift |
//! | … each of which may be a list of turns | TRL |
//! | … and `history`: `[[question, answer]]`, `system`: text | ms-swift, LLaMA-Factory |
//!
//! What a turn says is a string, or a list of typed parts as chat interfaces write it. Text is not changed, and the
//! order of turns is not checked here.

use std::borrow::Cow;

use manyframe_core::{MediaKind, RejectCode, Rejection, Role};

use crate::draft::{DraftPart, DraftTurn};
use crate::fields::{medium, read_clip, read_location};
use crate::number::python_text;
use crate::reject::{names_of, quoted, unexpected_schema, wrong_type};
use crate::value::{Object, Value};

/// Fields with a list of turns, in order of preference; the others likewise.
pub(crate) const LISTS: &[&str] = &["conversations", "conversation", "messages", "data"];
pub(crate) const QUESTIONS: &[&str] = &["query", "instruction", "prompt", "question"];
pub(crate) const ANSWERS: &[&str] = &["response", "output", "completion", "answer"];
pub(crate) const ROLES: &[&str] = &["from", "role"];
pub(crate) const CONTENTS: &[&str] = &["value", "content", "text"];

/// Whether a record has any of the known shapes.
pub(crate) fn has_conversation(row: &Object<'_>) -> bool {
    let is_answered = row.get_any(QUESTIONS).is_some() && row.get_any(ANSWERS).is_some();
    is_answered || row.get_any(LISTS).is_some()
}

/// The turns of a record, in the first of the known shapes that it has.
pub(crate) fn read_turns<'r>(row: &'r Object<'_>) -> Result<Vec<DraftTurn<'r>>, Rejection> {
    read_turns_or(row, "")
}

/// As [`read_turns`], for a reader that knows other fields, too: ` or …`.
pub(crate) fn read_turns_or<'r>(row: &'r Object<'_>, others: &str) -> Result<Vec<DraftTurn<'r>>, Rejection> {
    if matches!((row.get("columns"), row.get("data")), (Some(Value::List(_)), Some(Value::List(_)))) {
        let detail = "a table as pandas writes it with orient=\"split\", not turns; write it with orient=\"records\"";
        return Err(unexpected_schema(detail));
    }
    let mut turns = if let Some((name, list)) = row.get_any(LISTS) {
        read_list(name, list)?
    } else if let Some((name, question)) = row.get_any(QUESTIONS) {
        read_question(row, name, question)?
    } else {
        return Err(no_conversation(row, others));
    };
    if let Some(system) = read_system(row)?
        && turns.first().is_none_or(|turn| turn.role != Role::System)
    {
        turns.insert(0, system);
    }
    if turns.is_empty() {
        return Err(Rejection::new(RejectCode::EmptyConversation, "the conversation has no turn"));
    }
    Ok(turns)
}

fn no_conversation(row: &Object<'_>, others: &str) -> Rejection {
    let is_pretrain_metadata = row.get("blip_caption").is_some();
    let hint = if is_pretrain_metadata { "; this looks like the metadata file beside the annotations" } else { "" };
    let null = LISTS.iter().chain(QUESTIONS).find(|name| row.has_null(name));
    if let Some(name) = null {
        return unexpected_schema(format!("no conversation: {name:?} is null, expected a list of turns"));
    }
    let (lists, questions, answers) = (LISTS.join(", "), QUESTIONS.join(", "), ANSWERS.join(", "));
    let expected = format!("a list of turns ({lists}), or a question ({questions}) and its answer ({answers}){others}");
    unexpected_schema(format!("no conversation: found the fields {}, expected {expected}{hint}", names_of(row)))
}

/// The turns of a list in one of the shapes above.
pub(crate) fn read_list<'r>(name: &str, list: &'r Value<'_>) -> Result<Vec<DraftTurn<'r>>, Rejection> {
    let Value::List(items) = list else { return Err(wrong_type(name, list, "a list of turns")) };
    let mut turns = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        match item {
            Value::Object(turn) => read_turn(turn, &mut turns)?,
            Value::Text(text) => turns.push(DraftTurn::text(alternating(index), text.as_ref())),
            Value::List(pair) => read_pair(name, pair, &mut turns)?,
            other => return Err(wrong_type(name, other, "a list of objects")),
        }
    }
    Ok(turns)
}

fn alternating(index: usize) -> Role {
    if index.is_multiple_of(2) { Role::User } else { Role::Assistant }
}

fn read_turn<'r>(turn: &'r Object<'_>, turns: &mut Vec<DraftTurn<'r>>) -> Result<(), Rejection> {
    let Some((field, role)) = turn.get_any(ROLES) else { return read_exchange(turn, turns) };
    let Some(role) = role.as_text() else { return Err(wrong_type(field, role, "a string")) };
    let (name, content) = turn.get_any(CONTENTS).unzip();
    let parts = read_content(name.unwrap_or("value"), content)?;
    turns.push(DraftTurn { role: role_of(role)?, parts });
    Ok(())
}

/// Question and answer in one object.
fn read_exchange<'r>(turn: &'r Object<'_>, turns: &mut Vec<DraftTurn<'r>>) -> Result<(), Rejection> {
    let sides = [(Role::User, ["human", "user"]), (Role::Assistant, ["assistant", "gpt"])];
    for (role, names) in sides {
        let Some((name, content)) = turn.get_any(&names) else {
            let found = names_of(turn);
            return Err(unexpected_schema(format!("a turn has the fields {found}, expected a role and a text")));
        };
        turns.push(DraftTurn { role, parts: read_content(name, Some(content))? });
    }
    Ok(())
}

fn read_pair<'r>(name: &str, pair: &'r [Value<'_>], turns: &mut Vec<DraftTurn<'r>>) -> Result<(), Rejection> {
    let [question, answer] = pair else {
        return Err(unexpected_schema(format!("an entry of {name:?} has {} items, expected 2", pair.len())));
    };
    turns.push(DraftTurn { role: Role::User, parts: read_content(name, Some(question))? });
    turns.push(DraftTurn { role: Role::Assistant, parts: read_content(name, Some(answer))? });
    Ok(())
}

/// A single question and answer, with what came before.
fn read_question<'r>(
    row: &'r Object<'_>,
    name: &str,
    question: &'r Value<'_>,
) -> Result<Vec<DraftTurn<'r>>, Rejection> {
    let mut turns = Vec::new();
    match row.get("history") {
        None => {}
        Some(Value::List(pairs)) => {
            for pair in pairs {
                let Value::List(pair) = pair else { return Err(wrong_type("history", pair, "a list of pairs")) };
                read_pair("history", pair, &mut turns)?;
            }
        }
        Some(other) => return Err(wrong_type("history", other, "a list of pairs")),
    }
    reject_alternatives(name, question)?;
    if is_list_of_turns(question) {
        turns.extend(read_list(name, question)?);
    } else {
        turns.push(DraftTurn { role: Role::User, parts: read_instruction(row, name, question)? });
    }
    let Some((name, answer)) = row.get_any(ANSWERS) else {
        return Err(unexpected_schema(format!("{name:?} has no answer, expected one of {ANSWERS:?}")));
    };
    reject_alternatives(name, answer)?;
    if is_list_of_turns(answer) {
        turns.extend(read_list(name, answer)?);
    } else {
        turns.push(DraftTurn { role: Role::Assistant, parts: read_content(name, Some(answer))? });
    }
    Ok(turns)
}

/// Gives an answer to a question that is a number, or in a text `true` or `false`, as the text that a table of text has in its place.
pub(crate) fn write_out_answer(row: &mut Object<'_>, is_text: bool) {
    if row.get_any(LISTS).is_some() || row.get_any(QUESTIONS).is_none() {
        return;
    }
    let text = row.get_any(ANSWERS).and_then(|(name, answer)| match answer {
        // In Parquet, `true` is a cell with bytes.
        Value::Bool(answer) if is_text => Some((name, answer.to_string())),
        Value::Unsigned(number) => Some((name, number.to_string())),
        Value::Negative(number) => Some((name, number.to_string())),
        Value::LongInteger(digits) | Value::LongFraction(digits) => Some((name, digits.to_string())),
        Value::Float(number) => Some((name, python_text(*number))),
        _ => None,
    });
    if let Some((name, text)) = text {
        row.set(name, Value::Text(Cow::Owned(text)));
    }
}

/// Whether a side of the conversation is turns with their roles, and not the parts of one turn.
fn is_list_of_turns(side: &Value<'_>) -> bool {
    let Value::List(items) = side else { return false };
    matches!(items.first(), Some(Value::Object(first)) if first.get_any(ROLES).is_some())
}

/// Several strings where one text belongs are alternatives, of which nobody says which.
fn reject_alternatives(name: &str, side: &Value<'_>) -> Result<(), Rejection> {
    match side {
        Value::List(items) if items.len() > 1 && items.iter().all(|item| item.as_text().is_some()) => {
            Err(unexpected_schema(format!("{name:?} is a list of {} strings, expected one", items.len())))
        }
        _ => Ok(()),
    }
}

/// A question with the `input` that belongs to it.
fn read_instruction<'r>(
    row: &'r Object<'_>,
    name: &str,
    question: &'r Value<'_>,
) -> Result<Vec<DraftPart<'r>>, Rejection> {
    let mut parts = read_content(name, Some(question))?;
    if let Some(input) = row.get("input").filter(|input| !input.is_blank()) {
        let Some(input) = input.as_text() else { return Err(wrong_type("input", input, "a string")) };
        parts.push(DraftPart::Text(Cow::Owned(format!("\n{input}"))));
    }
    Ok(parts)
}

fn read_system<'r>(row: &'r Object<'_>) -> Result<Option<DraftTurn<'r>>, Rejection> {
    match row.get_any(&["system", "system_prompt"]) {
        None => Ok(None),
        Some((_, Value::Text(text))) => Ok(Some(DraftTurn::text(Role::System, text.as_ref()))),
        Some((name, other)) => Err(wrong_type(name, other, "a string")),
    }
}

/// Who speaks. `chatgpt`, `bing` and `bard` answered in ShareGPT's conversations.
pub(crate) fn role_of(role: &str) -> Result<Role, Rejection> {
    let is_any = |names: &[&str]| names.iter().any(|name| role.eq_ignore_ascii_case(name));
    if is_any(&["human", "user"]) {
        Ok(Role::User)
    } else if is_any(&["gpt", "assistant", "chatgpt", "bing", "bard", "model"]) {
        Ok(Role::Assistant)
    } else if is_any(&["system"]) {
        Ok(Role::System)
    } else {
        let detail = format!("the role is {}, expected one of user, assistant, system", quoted(role));
        Err(Rejection::new(RejectCode::UnknownRole, detail))
    }
}

/// The parts of a turn's content. `None` is a turn without content: it says nothing.
fn read_content<'r>(name: &str, content: Option<&'r Value<'_>>) -> Result<Vec<DraftPart<'r>>, Rejection> {
    match content {
        None => Ok(Vec::new()),
        Some(Value::Text(text)) => Ok(vec![DraftPart::Text(Cow::Borrowed(text))]),
        Some(Value::List(parts)) => parts.iter().map(|part| read_part(name, part)).collect(),
        Some(other) => Err(wrong_type(name, other, "a string or a list of parts")),
    }
}

fn read_part<'r>(name: &str, part: &'r Value<'_>) -> Result<DraftPart<'r>, Rejection> {
    let part = match part {
        Value::Text(text) => return Ok(DraftPart::Text(Cow::Borrowed(text))),
        Value::Object(part) => part,
        other => return Err(wrong_type(name, other, "a string or an object with a type")),
    };
    match part.get("type").and_then(Value::as_text) {
        Some("text" | "input_text" | "output_text") | None => read_text_part(name, part),
        Some("image" | "image_url" | "input_image") => {
            read_medium(part, MediaKind::Image, &["image", "image_url", "value", "url", "path"])
        }
        Some("video" | "video_url" | "input_video") => {
            let mut video = read_medium(part, MediaKind::Video, &["video", "video_url", "value", "url", "path"])?;
            if let DraftPart::Medium(video) = &mut video {
                video.clip = read_clip(part, ["video_start", "video_end"])?;
            }
            Ok(video)
        }
        Some(kind @ ("audio" | "audio_url" | "input_audio")) => {
            Err(Rejection::new(RejectCode::UnsupportedMedia, format!("a part of {name:?} is of type {kind:?}")))
        }
        Some(other) => {
            let found = format!("a part of {name:?} is of type {}, expected text, image or video", quoted(other));
            Err(unexpected_schema(found))
        }
    }
}

fn read_text_part<'r>(name: &str, part: &'r Object<'_>) -> Result<DraftPart<'r>, Rejection> {
    match part.get_any(&["text", "value", "content"]) {
        Some((_, Value::Text(text))) => Ok(DraftPart::Text(Cow::Borrowed(text))),
        Some((field, other)) => Err(wrong_type(field, other, "a string")),
        None => Err(unexpected_schema(format!("a part of {name:?} has no text"))),
    }
}

fn read_medium<'r>(part: &Object<'_>, kind: MediaKind, fields: &[&str]) -> Result<DraftPart<'r>, Rejection> {
    match part.get_any(fields) {
        Some((field, value)) => Ok(DraftPart::Medium(medium(kind, read_location(field, value, None)?))),
        None => Ok(DraftPart::Placeholder { kind, index: read_index(part)? }),
    }
}

/// Which medium of the record a part shows, from 0, as llava-instruct-mix-vsft says it.
fn read_index(part: &Object<'_>) -> Result<Option<usize>, Rejection> {
    let Some(value) = part.get("index") else { return Ok(None) };
    let expected = "the position of an image or video of the record, from 0";
    value.as_position().map(Some).ok_or_else(|| wrong_type("index", value, expected))
}
