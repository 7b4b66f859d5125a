//! Tables beside the annotations of a source, whose rows belong to its records by an id.
//!
//! They are read whole, and kept in memory as the text of their rows: a source that has one needs as much memory as it has text.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;

use manyframe_base::FileAccess;
use manyframe_core::{RejectCode, Rejection};

use crate::condition::Condition;
use crate::containers::open_container;
use crate::error::SourceError;
use crate::fields::read_id;
use crate::json::LocatedRecord;
use crate::options::{JoinOptions, SourceOptions};
use crate::raw::RawBody;
use crate::syntax::object_of;
use crate::value::{Object, Value};

/// The tables beside a source, and the condition on its records.
#[derive(Debug, Default)]
pub(crate) struct Sides {
    joins: Vec<(JoinOptions, SideTable)>,
    scores: Option<SideTable>,
    condition: Option<Condition>,
}

impl Sides {
    /// Reads the tables that the options name. `ids` are the names of the field with a record's id.
    pub(crate) fn read(options: &SourceOptions, ids: &[&str], access: &FileAccess) -> Result<Self, SourceError> {
        let mut sides = Self { condition: options.condition(), ..Self::default() };
        for join in &options.join {
            let id = [join.id.as_deref().unwrap_or(&join.on)];
            let table = SideTable::read(Path::new(&join.table), join.list.as_deref(), &id, access)?;
            sides.joins.push((join.clone(), table));
        }
        if !options.scores.is_empty() {
            sides.scores = Some(SideTable::read(Path::new(&options.scores), None, ids, access)?);
        }
        Ok(sides)
    }

    pub(crate) fn has_joins(&self) -> bool {
        !self.joins.is_empty()
    }

    /// Adds the columns of the rows that belong to a record, as far as it lacks them.
    ///
    /// # Errors
    /// [`RejectCode::NotJoined`] if a table has none.
    pub(crate) fn join<'r>(&'r self, row: &mut Object<'r>) -> Result<(), Rejection> {
        for (join, table) in &self.joins {
            let unjoined = |detail: String| Rejection::new(RejectCode::NotJoined, detail);
            let id = match row.get_at(&join.on) {
                Some(Value::Text(id)) => id.to_string(),
                Some(_) => read_id(row, &[join.on.as_str()])?,
                None => return Err(unjoined(format!("the record has no {:?}, by which a table is joined", join.on))),
            };
            let key = join.id.as_deref().unwrap_or(&join.on);
            let found =
                table.row(&id).ok_or_else(|| unjoined(format!("the joined table has no row with {key:?} {id:?}")))?;
            row.complete_with(found, key);
        }
        Ok(())
    }

    /// Whether a record is wanted.
    ///
    /// # Errors
    /// Why it is not, or why nobody can tell.
    pub(crate) fn select(&self, row: &Object<'_>, id: &str) -> Result<(), Rejection> {
        let Some(condition) = &self.condition else { return Ok(()) };
        let scores = match &self.scores {
            None => Object::default(),
            Some(table) => table.row(id).ok_or_else(|| {
                Rejection::new(RejectCode::NotJoined, format!("the table of scores has no row with the id {id:?}"))
            })?,
        };
        condition.check(&|name| row.get_at(name).or_else(|| scores.get_at(name)))
    }
}

/// The rows of a table by their ids.
#[derive(Debug)]
struct SideTable {
    rows: HashMap<String, Vec<u8>>,
}

impl SideTable {
    fn read(path: &Path, list: Option<&str>, ids: &[&str], access: &FileAccess) -> Result<Self, SourceError> {
        let failed = |error| SourceError::of(path, error);
        let unusable = |detail: String| SourceError::Side { path: path.to_owned(), detail };
        let mut rows = HashMap::new();
        for found in open_container(access, path, list).and_then(|table| table.records(None)).map_err(failed)? {
            let LocatedRecord { position, body } = found.map_err(failed)?;
            let place = || format!("row {} ({position:?})", rows.len());
            if let RawBody::Broken { rejection, .. } = &body {
                return Err(unusable(format!("{} is damaged: {rejection}", place())));
            }
            let text = body.text().into_owned();
            let id = object_of(&text)
                .map_err(|detail| unusable(format!("{} is damaged: {detail}", place())))
                .and_then(|row| read_id(&row, ids).map_err(|rejection| unusable(rejection.detail)))?;
            if id.is_empty() {
                return Err(unusable(format!("{} has no id, expected one of {ids:?}", place())));
            }
            match rows.entry(id) {
                Entry::Vacant(free) => _ = free.insert(text),
                Entry::Occupied(same) if *same.get() == text => {}
                Entry::Occupied(other) => {
                    return Err(unusable(format!("two different rows have the id {:?}", other.key())));
                }
            }
        }
        Ok(Self { rows })
    }

    fn row(&self, id: &str) -> Option<Object<'_>> {
        object_of(self.rows.get(id)?).ok()
    }
}
