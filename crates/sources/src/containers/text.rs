//! Files of text: JSON arrays, JSON lines, objects around an array, CSV and TSV, compressed or not.
//!
//! A compressed file that is damaged has the records before the damage, and one more that says so, without a position. What is left of the
//! record in which the damage is belongs to that one.

use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use manyframe_base::InputFile;
use manyframe_core::{Position, RejectCode};
use tracing::warn;

use super::container::{Container, LocatedRecords};
use super::content::{Content, Damage};
use super::delimited::{Columns, DelimitedRecords};
use crate::json::{
    self, ByteWindow, Elements, FileFormat, FoundList, Lines, LocatedRecord, NextRecord, NotRecords, ReadError,
    find_list,
};
use crate::raw::RawBody;

/// Files without a line end at their end of which a process warns: hand-made ones come in thousands.
const MOST_NAMED: usize = 20;

/// Those that this process has found.
static NUM_UNENDED: AtomicUsize = AtomicUsize::new(0);

/// An open file of text.
pub(crate) struct TextFile {
    content: Content,
    layout: Layout,
}

enum Layout {
    Json(FileFormat),
    /// One of the lists of a JSON object, from this position on.
    List(u64),
    Delimited(Arc<Columns>),
}

impl TextFile {
    /// `list` is the list with the records, if one object is around several.
    pub(crate) fn open(content: Content, list: Option<&str>) -> Result<Self, ReadError> {
        let mut head = Vec::new();
        let (reader, damage) = content.reader()?;
        reader.take(json::SNIFFED_BYTES).read_to_end(&mut head)?;
        if let (true, Some(damage)) = (head.is_empty(), damage.found()) {
            return Err(NotRecords::cut_off(&damage).into());
        }
        if let Some(list) = list {
            return match find_list(content.reader()?.0, list)? {
                FoundList::At(start) => Ok(Self { content, layout: Layout::List(start) }),
                FoundList::Others(others) => Err(NotRecords::no_list(list, &others).into()),
            };
        }
        let layout = match json::format_of(&head) {
            Err(_) if Columns::may_be_in(content.file().path(), &head) && !head.starts_with(LFS_POINTER) => {
                Layout::Delimited(Arc::new(Columns::read(content.reader()?.0, &head)?))
            }
            format => Layout::Json(format?),
        };
        Ok(Self { content, layout })
    }
}

fn warn_of_open_end(path: &Path) {
    match NUM_UNENDED.fetch_add(1, Ordering::Relaxed) {
        ..MOST_NAMED => warn!(?path, "the file ends without a line end: its last record may be cut"),
        MOST_NAMED => warn!("more files end without a line end, and are not named"),
        _ => {}
    }
}

impl Container for TextFile {
    fn parts(&self) -> Vec<Option<Range<u64>>> {
        vec![None]
    }

    fn records(self: Box<Self>, _: Option<Range<u64>>) -> Result<LocatedRecords, ReadError> {
        let (reader, damage) = self.content.reader()?;
        Ok(match self.layout {
            Layout::Json(FileFormat::Array | FileFormat::Objects) => {
                let mut elements = Elements::new(reader);
                until_damage(move || elements.next_record(), damage)
            }
            Layout::Json(FileFormat::Wrapped { start }) => {
                let mut elements = Elements::within(reader, start as u64);
                until_damage(move || elements.next_record(), damage)
            }
            Layout::List(start) => {
                let mut elements = Elements::of_list(reader, start);
                until_damage(move || elements.next_record(), damage)
            }
            Layout::Json(FileFormat::Lines) => {
                let mut lines = Lines::new(reader);
                until_damage(move || lines.next_record(), damage)
            }
            Layout::Delimited(columns) => {
                let mut records = DelimitedRecords::new(reader, columns);
                let until_here = damage.clone();
                let path = self.content.file().path().to_owned();
                let whole = move || {
                    let found = records.next_record()?;
                    if !records.is_unended() {
                        return Ok(found);
                    }
                    // The end of the last line may be what is lost.
                    let found = found.filter(|_| until_here.found().is_none());
                    if found.as_ref().is_some_and(|record| !matches!(record.body, RawBody::Broken { .. })) {
                        warn_of_open_end(&path);
                    }
                    Ok(found)
                };
                until_damage(whole, damage)
            }
        })
    }

    fn record_at(&self, position: Position) -> Result<Option<RawBody>, ReadError> {
        let (file, damage) = self.content.at_any_position()?;
        match position {
            Position::File => Ok(damage.map(|damage| damaged(&damage))),
            Position::Bytes { offset, num_bytes, .. } => Ok(self.body_at(file, offset, num_bytes)?),
            Position::Row(_) => Ok(None),
        }
    }

    fn records_at(&self, position: Position) -> Result<LocatedRecords, ReadError> {
        match position {
            Position::Bytes { offset, num_bytes, line } => {
                Ok(self.records_in(self.content.at_any_position()?.0, [offset, num_bytes, line]))
            }
            Position::File | Position::Row(_) => Ok(Box::new(std::iter::empty())),
        }
    }
}

impl TextFile {
    /// The records in a range of bytes, which begins with one.
    fn records_in(&self, file: &InputFile, [offset, num_bytes, line]: [u64; 3]) -> LocatedRecords {
        let window = ByteWindow::at(file.reader(offset).take(num_bytes), offset, line);
        match &self.layout {
            Layout::Json(FileFormat::Lines) => {
                let mut lines = Lines::of_window(window);
                until_damage(move || lines.next_record(), Damage::default())
            }
            Layout::Json(_) | Layout::List(_) => {
                let mut elements = Elements::of_window(window);
                until_damage(move || elements.next_record(), Damage::default())
            }
            Layout::Delimited(columns) => {
                let mut records = DelimitedRecords::of_window(window, Arc::clone(columns));
                until_damage(move || records.next_record(), Damage::default())
            }
        }
    }

    /// The record at a range of bytes. `None` if the file is too short.
    fn body_at(&self, file: &InputFile, offset: u64, num_bytes: u64) -> io::Result<Option<RawBody>> {
        let file_bytes = file.num_bytes();
        let Some(end) = offset.checked_add(num_bytes).filter(|&end| end <= file_bytes) else { return Ok(None) };
        let is_overlong = num_bytes > json::MAX_RECORD_BYTES;
        let num_kept = num_bytes.min(json::MAX_RECORD_BYTES) as usize;
        let mut bytes = vec![0; num_kept];
        file.bytes().read_exact_at(&mut bytes, offset)?;
        let is_last = end == file_bytes;
        Ok(Some(match &self.layout {
            Layout::Json(_) | Layout::List(_) if num_bytes == 0 => json::unclosed(),
            _ if is_overlong => json::overlong(&bytes),
            Layout::Delimited(columns) => columns.body_of(&bytes, is_last),
            Layout::Json(_) | Layout::List(_) if is_last => json::last(&bytes),
            Layout::Json(_) | Layout::List(_) => json::unwritten(&bytes).unwrap_or(RawBody::Json(bytes)),
        }))
    }
}

/// How a file begins that git keeps elsewhere, whose name may be that of a table.
const LFS_POINTER: &[u8] = b"version https://git-lfs";

/// The records that a reader finds, up to its first error, and then what is wrong with the stream.
fn until_damage(mut next: impl FnMut() -> NextRecord + Send + 'static, damage: Damage) -> LocatedRecords {
    let mut has_ended = false;
    // What was read to find out whether it is the end.
    let mut ahead = None;
    Box::new(std::iter::from_fn(move || {
        if has_ended {
            return None;
        }
        let mut found = ahead.take().unwrap_or_else(&mut next);
        if let Ok(Some(record)) = &found
            && is_cut(&record.body)
            && damage.found().is_some()
        {
            match next() {
                Ok(None) => found = Ok(None),
                after => ahead = Some(after),
            }
        }
        has_ended = !matches!(found, Ok(Some(_)));
        match found {
            Ok(None) => {
                let damage = damage.found()?;
                Some(Ok(LocatedRecord { position: Position::File, body: damaged(&damage) }))
            }
            found => found.transpose(),
        }
    }))
}

/// Whether a record says that others are missing, as the last one of a file that is cut off does.
fn is_cut(body: &RawBody) -> bool {
    matches!(body, RawBody::Broken { rejection, .. } if rejection.code == RejectCode::IncompleteFile)
}

fn damaged(damage: &str) -> RawBody {
    json::incomplete(&format!("the file is cut off or damaged, and cannot be unpacked to its end: {damage}"), &[])
}
