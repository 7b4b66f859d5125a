//! What turns have beside what they say: thoughts, calls of tools, media, and whether they are to be learned.

use manyframe_core::{Rejection, Role};

use crate::conversation::{ANSWERS, CONTENTS, LISTS, QUESTIONS, ROLES, role_of};
use crate::number::Number;
use crate::reject::unexpected_schema;
use crate::value::{Object, Value};

/// Fields with what was thought before an answer.
pub(super) const THOUGHTS: [&str; 3] = ["reasoning_content", "reasoning", "thinking"];
/// Fields with calls of tools.
const CALLS: &[&str] = &["tool_calls", "function_call"];
/// Fields with media, which turns have in their parts.
const MEDIA: &[&str] = &["image", "images", "video", "videos", "audio", "audios"];

/// Rejects a record whose turns have something that is not read.
pub(crate) fn reject_lost_of_turns(row: &Object<'_>) -> Result<(), Rejection> {
    let has_turns = || row.get("completion").is_some() || turns_of(row).next().is_some();
    let is_unwanted = ["label", "kto_tag"].iter().any(|name| row.get(name) == Some(&Value::Bool(false))) && has_turns();
    let turns_with_more: Vec<_> = turns_of(row).filter(|turn| has_more(turn)).collect();
    if is_unwanted || turns_with_more.iter().any(|turn| is_untrained(turn)) {
        return Err(unexpected_schema(
            "an answer is marked as one that is not to be learned, which cannot be left out yet",
        ));
    }
    let is_list_of_tools = |tools: &Value<'_>| !matches!(tools.as_text().map(str::trim), Some("[]" | "{}" | "null"));
    let is_conversation = [LISTS, QUESTIONS, ANSWERS].iter().any(|names| row.get_filled(names).is_some());
    let tools = row.get_filled(&["tools", "functions"]).filter(|(_, tools)| is_list_of_tools(tools));
    if let (true, Some((name, _))) = (is_conversation, tools) {
        return Err(unexpected_schema(format!("the record has {name:?}, which are not read")));
    }
    turns_with_more.into_iter().try_for_each(reject_lost_of_turn)
}

/// The turns of each list of turns in a record.
pub(super) fn turns_of<'r>(row: &'r Object<'_>) -> impl Iterator<Item = &'r Object<'r>> {
    let names = [LISTS, QUESTIONS, ANSWERS, &["texts"]].into_iter().flatten();
    let lists = names.filter_map(|name| row.get(name)).filter_map(|value| match value {
        Value::List(turns) => Some(turns),
        _ => None,
    });
    lists.flatten().filter_map(|turn| match turn {
        Value::Object(turn) => Some(turn),
        _ => None,
    })
}

/// Whether a turn has more than who speaks and what it says; most have not.
pub(super) fn has_more(turn: &Object<'_>) -> bool {
    let has = |names| turn.get_any(names).is_some();
    !(turn.names().count() == 2 && has(ROLES) && has(CONTENTS))
}

fn is_untrained(turn: &Object<'_>) -> bool {
    let role = turn.get_any(ROLES).and_then(|(_, role)| role.as_text());
    let is_assistant = role.is_some_and(|role| role_of(role).ok() == Some(Role::Assistant));
    // As ms-swift, Axolotl and OpenAI say it.
    let is_off = ["loss", "train"].iter().any(|name| turn.get(name) == Some(&Value::Bool(false)));
    is_assistant && (is_off || turn.get("weight").and_then(Value::as_number) == Some(Number::Integer(0)))
}

fn reject_lost_of_turn(turn: &Object<'_>) -> Result<(), Rejection> {
    let (read, content) = turn.get_any(CONTENTS).unwrap_or(("content", &Value::Null));
    let is_lost = |name: &&&str| match (turn.get(name), content) {
        // What is read: to look for a long text in itself takes long.
        (Some(other), content) if std::ptr::eq(other, content) => false,
        (Some(Value::Text(other)), Value::Text(content)) => !content.contains(other.trim()),
        (Some(other @ (Value::Text(_) | Value::List(_) | Value::Object(_))), _) => {
            !other.is_blank() && other != content
        }
        _ => false,
    };
    if let Some(thought) = THOUGHTS.iter().find(is_lost) {
        return Err(unexpected_schema(format!(
            "a turn has {thought:?} beside {read:?}, which would be lost; write it into {read:?}, between <think> and </think>"
        )));
    }
    if let Some(other) = CONTENTS.iter().find(is_lost) {
        return Err(unexpected_schema(format!("a turn has {read:?} and {other:?}, of which one would be lost")));
    }
    // A part of a turn has no role.
    if let Some((name, _)) = turn.get_filled(MEDIA).filter(|_| turn.get_any(ROLES).is_some()) {
        return Err(unexpected_schema(format!(
            "a turn has {name:?}, which would be lost; expected media in the parts of {read:?}, or beside the turns"
        )));
    }
    match turn.get_filled(CALLS) {
        Some((name, _)) => Err(unexpected_schema(format!("a turn has {name:?}, which are not read"))),
        None => Ok(()),
    }
}
