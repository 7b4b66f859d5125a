//! Options that choose where records have several of what one is read: answers or captions in a list, or texts beside each other.

use std::path::PathBuf;

use manyframe_sources::{SourceKind, SourceOptions, choice_in_list};

use super::sampled::read_some;

/// The texts of which one can be chosen, in the order in which they are read.
const TEXTS: &[&str] = &["conversations", "messages", "texts", "question", "caption", "text"];

/// The options that could read a file of whose records nothing, or little, is read without; none if its first record tells nothing.
pub(super) fn choosing_options(first: &PathBuf) -> Option<SourceOptions> {
    let sampled = read_some(&[first], (SourceKind::Auto, &SourceOptions::default()), 1).ok()?;
    let has = |name: &&&str| sampled.first_fields.get(**name).is_some_and(|value| !value.is_null());
    let record = serde_json::to_vec(&sampled.first_fields).ok()?;
    let (name, found) = match choice_in_list(&record) {
        Some(choice) => choice,
        None => TEXTS.iter().find(has).map(|name| (*name, (*name).to_owned()))?,
    };
    Some(SourceOptions { fields: [(name.to_owned(), found)].into(), ..SourceOptions::default() })
}
