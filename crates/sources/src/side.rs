//! Tables beside the annotations of a source, whose rows belong to its records by an id.
//!
//! They are read whole, and kept in memory as the text of their rows: a source that has one needs as much memory as it has text.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use manyframe_base::FileAccess;
use manyframe_core::{Position, RejectCode, Rejection};

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

    /// What the condition asks for, of a record; `None` if there is no condition.
    pub(crate) fn asked_fields(&self, row: &Object<'_>, id: &str) -> Option<AskedFields> {
        let condition = self.condition.as_ref()?;
        let scores = self.scores.as_ref().and_then(|table| table.row(id)).unwrap_or_default();
        let is_absent = |name: &&str| row.find(name).or_else(|| scores.find(name)).is_none();
        Some(AskedFields {
            absent: condition.fields().into_iter().filter(is_absent).map(str::to_owned).collect(),
            present: row.names().chain(scores.names()).map(str::to_owned).collect(),
        })
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

/// What is wrong with a row without an id.
fn without_id(place: &str, row: &Object<'_>, ids: &[&str]) -> String {
    if let Some(id) = ids.iter().find(|id| row.get_or_null(id).is_some()) {
        return format!("{place} has no id: its {id:?} is empty");
    }
    let (expected, found) = (ids.join(" or "), row.names().collect::<Vec<_>>().join(", "));
    format!("{place} has no id: expected the column {expected}, found {found}")
}

/// What a condition asks for, of one record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AskedFields {
    /// The fields that the record does not have, tables beside it included. One that is null is there.
    pub absent: BTreeSet<String>,
    /// Those that it has.
    pub present: BTreeSet<String>,
}

impl AskedFields {
    /// What neither of two records has, and what any has.
    #[must_use]
    pub fn and(self, mut other: Self) -> Self {
        other.absent.retain(|name| self.absent.contains(name));
        other.present.extend(self.present);
        other
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
            let place = || match position {
                Position::Bytes { line, .. } => format!("line {line}"),
                Position::Row(row) => format!("row {row}"),
                Position::File => "the file".to_owned(),
            };
            if let RawBody::Broken { rejection, .. } = &body {
                return Err(unusable(format!("{} is damaged: {rejection}", place())));
            }
            let text = body.text().into_owned();
            let row = object_of(&text).map_err(|detail| unusable(format!("{} is damaged: {detail}", place())))?;
            let id = read_id(&row, ids).map_err(|rejection| unusable(rejection.detail))?;
            if id.is_empty() {
                return Err(unusable(without_id(&place(), &row, ids)));
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
