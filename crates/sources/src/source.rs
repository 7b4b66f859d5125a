//! Reading the annotation files of a source, whatever their format.
//!
//! ```text
//! splits() ──▶ read(split) ──▶ Raw ──▶ parse(raw) ──▶ Record | RejectedRecord
//! planner       one thread       │       any thread
//!                                └── origin ──▶ read_at(origin): the same Raw again
//! ```
//!
//! What a record means is decided elsewhere: in `record.rs` and the files of `kinds/`.
//!
//! **Invariant:** `read_at(raw.origin)` returns `raw`, as long as the file does not change.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use manyframe_base::{FileAccess, InputFile};
use manyframe_columnar::{Row, RowReader, Rows};
use manyframe_core::{Origin, Position, Record, RejectCode, RejectedRecord, Rejection};
use serde::{Deserialize, Serialize};

use crate::artefact::Artefacts;
use crate::error::SourceError;
use crate::json::{self, Elements, FileFormat, Lines, LocatedRecord, NextRecord, NotRecords, ReadError};
use crate::kinds::SourceKind;
use crate::options::SourceOptions;
use crate::raw::{AnnotationFile, Raw, RawBody, Split};
use crate::record::{self, ParseContext};

/// How many rows of a Parquet file make a split.
const ROWS_PER_SPLIT: u64 = 16_384;
/// Splits of a file with more rows than any real one. A file of a hundred bytes can claim 2⁶³ rows.
const MAX_SPLITS: u64 = 1 << 16;

/// A source of records: annotation files of one upstream dataset, and how to read them. Plain data, as a plan has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceSpec {
    /// Name of the source in the pipeline file; part of every record's identity.
    pub name: Arc<str>,
    /// Which reader understands the files.
    pub kind: SourceKind,
    /// The files, in the order in which they are read.
    pub annotations: Vec<AnnotationFile>,
    /// How the reader decides what upstream leaves undecided.
    pub options: SourceOptions,
}

/// An upstream dataset, read record by record. Every method may be called from any thread.
pub trait Source: Send + Sync {
    /// The parts that can be read independently, in order. Reads the start of each file, and no record.
    ///
    /// # Errors
    /// If a file cannot be read or does not contain records.
    fn splits(&self) -> Result<Vec<Split>, SourceError>;

    /// The records of a split in order, not yet understood. Cheap, and in constant memory. Ends after an error.
    ///
    /// # Errors
    /// If the split names no file of the source, or the file cannot be read.
    fn read<'a>(&'a self, split: &Split) -> Result<RawRecords<'a>, SourceError>;

    /// The one record at an origin that [`Self::read`] returned.
    ///
    /// # Errors
    /// If the file is not of this source, cannot be read, or has no such record any more.
    fn read_at(&self, origin: &Origin) -> Result<Raw, SourceError>;

    /// Parses a record. Pure: the same `raw` has the same result, and no file is touched.
    ///
    /// # Errors
    /// Not an error of the source: the record cannot be delivered, and is counted as rejected.
    fn parse(&self, raw: &Raw) -> Result<Record, RejectedRecord>;
}

/// The records of a split.
pub type RawRecords<'a> = Box<dyn Iterator<Item = Result<Raw, SourceError>> + Send + 'a>;

/// Opens a source whose files are on this machine. Checks its options; files are first touched by [`Source::splits`].
///
/// # Errors
/// If an option is not allowed, or the annotation files are missing, are not valid Unicode, or share a name.
pub fn open(spec: SourceSpec) -> Result<Box<dyn Source>, SourceError> {
    open_with(spec, &FileAccess::default())
}

/// As [`open`], of files that are opened like this: some may be objects of stores.
///
/// # Errors
/// As [`open`].
pub fn open_with(spec: SourceSpec, access: &FileAccess) -> Result<Box<dyn Source>, SourceError> {
    let name = || Arc::clone(&spec.name);
    if let Some(problem) = spec.kind.option_problems(&spec.options).into_iter().next() {
        return Err(SourceError::Options { name: name(), problem });
    }
    if spec.annotations.is_empty() {
        return Err(SourceError::NoAnnotations { name: name() });
    }
    let mut files = BTreeMap::new();
    for annotation in &spec.annotations {
        let path = annotation.path.to_str().map(Arc::from);
        let path = path.ok_or_else(|| SourceError::PathEncoding { path: annotation.path.clone() })?;
        let subset = subset_of_file(spec.kind, annotation);
        let access = access.clone();
        let file = AnnotatedFile { access, annotation: annotation.clone(), path, subset, opened: OnceLock::new() };
        if files.insert(Arc::clone(&annotation.name), file).is_some() {
            return Err(SourceError::RepeatedName { name: name(), file: Arc::clone(&annotation.name) });
        }
    }
    let artefacts = Artefacts::with_answers(&spec.options.artefacts);
    Ok(Box::new(Annotations { spec, files, artefacts }))
}

/// The part of the source that a file belongs to: as configured, or as its path names it.
fn subset_of_file(kind: SourceKind, annotation: &AnnotationFile) -> Arc<str> {
    match &*annotation.subset {
        "" => (kind.reader().subset_of_path)(&annotation.place).into(),
        _ => Arc::clone(&annotation.subset),
    }
}

struct Annotations {
    spec: SourceSpec,
    files: BTreeMap<Arc<str>, AnnotatedFile>,
    artefacts: Artefacts,
}

struct AnnotatedFile {
    access: FileAccess,
    annotation: AnnotationFile,
    /// The path again, as records refer to it.
    path: Arc<str>,
    subset: Arc<str>,
    /// For point reads; opened once.
    opened: OnceLock<Opened>,
}

enum Opened {
    Bytes(InputFile),
    Rows(RowReader),
}

impl Source for Annotations {
    fn splits(&self) -> Result<Vec<Split>, SourceError> {
        let mut splits = Vec::new();
        for annotation in &self.spec.annotations {
            let file = self.file(&annotation.name)?;
            let path = &annotation.path;
            let num_bytes = file.access.num_bytes(path).map_err(|source| read_error(path, source))?;
            let split = |rows, num_bytes| Split { file: Arc::clone(&annotation.name), rows, num_bytes };
            let format = file.format();
            if unreadable_body(&format).is_some() {
                splits.push(split(None, num_bytes));
                continue;
            }
            match format? {
                FileFormat::Rows => {
                    let num_rows = file.open_rows()?.num_rows();
                    let share =
                        |rows: u64| (u128::from(num_bytes) * u128::from(rows) / u128::from(num_rows.max(1))) as u64;
                    let rows_per_split = ROWS_PER_SPLIT.max(num_rows.div_ceil(MAX_SPLITS));
                    let starts = (0..num_rows).step_by(rows_per_split as usize);
                    splits.extend(starts.map(|start| {
                        let end = num_rows.min(start.saturating_add(rows_per_split));
                        split(Some(start..end), share(end - start))
                    }));
                }
                FileFormat::Array | FileFormat::Objects | FileFormat::Lines | FileFormat::Wrapped { .. } => {
                    splits.push(split(None, num_bytes));
                }
            }
        }
        Ok(splits)
    }

    fn read<'a>(&'a self, split: &Split) -> Result<RawRecords<'a>, SourceError> {
        let file = self.file(&split.file)?;
        let path = &file.annotation.path;
        let open = || Ok::<_, SourceError>(file.open()?.reader(0));
        let format = file.format();
        if let Some(body) = unreadable_body(&format) {
            return Ok(Box::new(std::iter::once(Ok(file.raw(Position::File, body)))));
        }
        Ok(match format? {
            FileFormat::Array | FileFormat::Objects => {
                let mut elements = Elements::new(open()?);
                Box::new(file.found(move || elements.next_record()))
            }
            FileFormat::Wrapped { start } => {
                let mut elements = Elements::within(open()?, start);
                Box::new(file.found(move || elements.next_record()))
            }
            FileFormat::Lines => {
                let mut lines = Lines::new(open()?);
                Box::new(file.found(move || lines.next_record()))
            }
            FileFormat::Rows => {
                let reader = file.open_rows()?;
                let rows = split.rows.clone().unwrap_or(0..reader.num_rows());
                let rows: Rows = reader.rows(rows).map_err(|source| rows_error(path, source))?;
                Box::new(rows.map(|next| {
                    let (number, row) = next.map_err(|source| rows_error(path, source))?;
                    Ok(file.raw(Position::Row(number), body_of_row(row)))
                }))
            }
        })
    }

    fn read_at(&self, origin: &Origin) -> Result<Raw, SourceError> {
        let file = self.file(&origin.file)?;
        let path = &file.annotation.path;
        let unknown = || SourceError::UnknownOrigin { path: path.clone(), origin: origin.clone() };
        if let (Position::File, Some(body)) = (origin.position, unreadable_body(&file.format())) {
            return Ok(file.raw(Position::File, body));
        }
        let body = match (file.opened()?, origin.position) {
            (Opened::Bytes(bytes), Position::Bytes { offset, num_bytes, .. }) => {
                let body = body_at(bytes, offset, num_bytes).map_err(|source| read_error(path, source))?;
                body.ok_or_else(unknown)?
            }
            (Opened::Rows(reader), Position::Row(row)) => {
                if row >= reader.num_rows() {
                    return Err(unknown());
                }
                body_of_row(reader.row(row).map_err(|source| rows_error(path, source))?)
            }
            _ => return Err(unknown()),
        };
        Ok(file.raw(origin.position, body))
    }

    fn parse(&self, raw: &Raw) -> Result<Record, RejectedRecord> {
        let context = ParseContext {
            name: &self.spec.name,
            kind: self.spec.kind,
            options: &self.spec.options,
            artefacts: &self.artefacts,
            table: self.files.get(&raw.origin.file).map(|file| &file.path),
        };
        record::parse(raw, &context)
    }
}

impl Annotations {
    fn file(&self, name: &Arc<str>) -> Result<&AnnotatedFile, SourceError> {
        let unknown = || SourceError::UnknownFile { name: Arc::clone(&self.spec.name), file: Arc::clone(name) };
        self.files.get(name).ok_or_else(unknown)
    }
}

impl AnnotatedFile {
    fn open(&self) -> Result<InputFile, SourceError> {
        let path = &self.annotation.path;
        self.access.open(path).map_err(|source| read_error(path, source))
    }

    fn open_rows(&self) -> Result<RowReader, SourceError> {
        RowReader::of(self.open()?).map_err(|source| rows_error(&self.annotation.path, source))
    }

    fn format(&self) -> Result<FileFormat, SourceError> {
        let path = &self.annotation.path;
        let mut head = Vec::new();
        let read = self.open()?.reader(0).take(json::SNIFFED_BYTES).read_to_end(&mut head);
        read.map_err(|source| read_error(path, source))?;
        json::format_of(&head).map_err(|it| not_records(path, it))
    }

    fn raw(&self, position: Position, body: RawBody) -> Raw {
        let origin = Origin { file: Arc::clone(&self.annotation.name), position };
        Raw { origin, subset: Arc::clone(&self.subset), body }
    }

    /// Records of a JSON file as an iterator that ends after an error.
    fn found<'a>(
        &'a self,
        mut next: impl FnMut() -> NextRecord + Send + 'a,
    ) -> impl Iterator<Item = Result<Raw, SourceError>> {
        let mut has_failed = false;
        std::iter::from_fn(move || {
            if has_failed {
                return None;
            }
            let found = next();
            has_failed = found.is_err();
            match found {
                Ok(found) => found.map(|LocatedRecord { position, body }| Ok(self.raw(position, body))),
                Err(ReadError::Io(source)) => Some(Err(read_error(&self.annotation.path, source))),
                Err(ReadError::NotRecords(found)) => Some(Err(not_records(&self.annotation.path, found))),
            }
        })
    }

    fn opened(&self) -> Result<&Opened, SourceError> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let opened = match self.format()? {
            FileFormat::Rows => Opened::Rows(self.open_rows()?),
            FileFormat::Array | FileFormat::Objects | FileFormat::Lines | FileFormat::Wrapped { .. } => {
                Opened::Bytes(self.open()?)
            }
        };
        Ok(self.opened.get_or_init(|| opened))
    }
}

/// The record at a range of bytes. `None` if the file is too short.
fn body_at(file: &InputFile, offset: u64, num_bytes: u64) -> io::Result<Option<RawBody>> {
    let file_bytes = file.num_bytes();
    let Some(end) = offset.checked_add(num_bytes).filter(|&end| end <= file_bytes) else { return Ok(None) };
    let is_overlong = num_bytes > json::MAX_RECORD_BYTES;
    let num_kept = if is_overlong { json::MAX_HEAD_BYTES } else { num_bytes as usize };
    let mut bytes = vec![0; num_kept];
    file.bytes().read_exact_at(&mut bytes, offset)?;
    Ok(Some(match (num_bytes, end == file_bytes) {
        (0, _) => json::unclosed(),
        _ if is_overlong => json::overlong(&bytes),
        (_, true) => json::last(&bytes),
        (_, false) => RawBody::Json(bytes),
    }))
}

fn body_of_row(row: Row) -> RawBody {
    match row {
        Row::Json(text) => RawBody::Json(text.into_bytes()),
        Row::Broken { detail } => {
            RawBody::Broken { rejection: Rejection::new(RejectCode::MalformedRecord, detail), head: Vec::new() }
        }
    }
}

/// The single rejection for the records of a file that may not be opened: it costs what is in it, and the source is incomplete.
fn unreadable_body(format: &Result<FileFormat, SourceError>) -> Option<RawBody> {
    match format {
        Err(SourceError::Read { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
            Some(json::unreadable(source))
        }
        _ => None,
    }
}

fn not_records(path: &Path, it: NotRecords) -> SourceError {
    SourceError::NotRecords { path: path.to_owned(), found: it.found, advice: it.advice }
}

fn read_error(path: &Path, source: io::Error) -> SourceError {
    SourceError::Read { path: path.to_owned(), source }
}

fn rows_error(path: &Path, source: manyframe_columnar::ColumnarError) -> SourceError {
    SourceError::Rows { path: path.to_owned(), source }
}
