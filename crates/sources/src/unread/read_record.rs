//! A record, and what was read of it.

use std::collections::BTreeSet;

use crate::draft::{Draft, DraftPart};
use crate::options::SourceOptions;
use crate::value::Object;

/// A record with its draft.
#[derive(Clone, Copy)]
pub(crate) struct ReadRecord<'a, 'r> {
    pub(crate) row: &'a Object<'r>,
    pub(crate) draft: &'a Draft<'a>,
    pub(crate) options: &'a SourceOptions,
    /// Columns of its file whose bytes are `true`.
    pub(crate) columns_with_bytes: Option<&'a BTreeSet<String>>,
}

impl<'a> ReadRecord<'a, '_> {
    /// The texts of its turns.
    pub(super) fn texts(&self) -> impl Iterator<Item = &'a str> {
        self.draft.turns.iter().flat_map(|turn| &turn.parts).filter_map(|part| match part {
            DraftPart::Text(text) => Some(&**text),
            DraftPart::Medium(_) | DraftPart::Placeholder { .. } => None,
        })
    }

    /// Whether the option `fields` names one of these, by a field that the record has.
    pub(super) fn is_decided(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.options.fields.contains_key(*name) && self.row.get(name).is_some())
    }
}
