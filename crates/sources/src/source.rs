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

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use manyframe_base::FileAccess;
use manyframe_core::{MediaRef, Origin, Position, Record, RejectedRecord};
use once_cell::sync::OnceCell;
use serde::{Deserialize, Serialize};

use crate::artefact::Artefacts;
use crate::containers::{Container, LocatedRecords, open_container};
use crate::error::SourceError;
use crate::json::{LocatedRecord, ReadError};
use crate::kinds::SourceKind;
use crate::merge::{Merging, merged};
use crate::needles::{NeedleOptions, NeedleSet};
use crate::options::{DEFAULT_MAX_TURNS, Merge, SourceOptions};
use crate::raw::{AnnotationFile, Raw, RawBody, Split};
use crate::record::{self, ParseContext};
use crate::side::{AskedFields, Sides};

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

    /// The images that a record names in fields of its own, whether or not it can be delivered: to show what was rejected.
    fn named_images(&self, _raw: &Raw) -> Vec<MediaRef> {
        Vec::new()
    }

    /// What the condition of the source asks for, of a record; `None` if there is none, or the record cannot be read.
    fn asked_fields(&self, _raw: &Raw) -> Option<AskedFields> {
        None
    }

    /// Endings of files beside those of its records of which nothing is read, such as `cls`; of files that consist of files.
    ///
    /// # Errors
    /// If a file cannot be read.
    fn unread_endings(&self) -> Result<BTreeSet<String>, SourceError> {
        Ok(BTreeSet::new())
    }
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
        let list = Arc::from(spec.options.list.as_str());
        let needles = spec.options.needles.clone();
        let annotation = annotation.clone();
        let merges = spec.options.merge != Merge::Nothing;
        let file = AnnotatedFile {
            access,
            list,
            merges,
            needles,
            annotation,
            path,
            subset,
            opened: OnceCell::new(),
            columns_with_bytes: OnceCell::new(),
        };
        let file_name = Arc::clone(&file.annotation.name);
        if files.insert(Arc::clone(&file_name), file).is_some() {
            return Err(SourceError::RepeatedName { name: name(), file: file_name });
        }
    }
    let artefacts = Artefacts::with_answers(&spec.options.artefacts);
    Ok(Box::new(Annotations { spec, files, artefacts, access: access.clone(), sides: OnceCell::new() }))
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
    access: FileAccess,
    /// Read with the first annotations.
    sides: OnceCell<Sides>,
}

struct AnnotatedFile {
    access: FileAccess,
    /// The list of a JSON file that has the records; empty for the only one.
    list: Arc<str>,
    /// Whether records that show the same media become one.
    merges: bool,
    /// What is made of its records, which are needles.
    needles: Option<NeedleOptions>,
    annotation: AnnotationFile,
    /// The path again, as records refer to it.
    path: Arc<str>,
    subset: Arc<str>,
    /// For point reads; opened once, whichever thread asks first: a compressed file is inflated as a whole.
    opened: OnceCell<Box<dyn Container>>,
    /// Known once a record was read.
    columns_with_bytes: OnceCell<BTreeSet<String>>,
}

impl Source for Annotations {
    fn splits(&self) -> Result<Vec<Split>, SourceError> {
        self.sides()?;
        let mut splits = Vec::new();
        for annotation in &self.spec.annotations {
            let file = self.file(&annotation.name)?;
            let num_bytes = file.access.num_bytes(&annotation.path).map_err(|source| file.error(source.into()))?;
            let parts = file.parts()?;
            let num_rows = parts.last().and_then(Option::as_ref).map_or(0, |rows| rows.end);
            splits.extend(parts.into_iter().map(|rows| {
                let num_bytes = rows.as_ref().map_or(num_bytes, |rows| {
                    (u128::from(num_bytes) * u128::from(rows.end - rows.start) / u128::from(num_rows.max(1))) as u64
                });
                Split { file: Arc::clone(&annotation.name), rows, num_bytes }
            }));
        }
        Ok(splits)
    }

    fn read<'a>(&'a self, split: &Split) -> Result<RawRecords<'a>, SourceError> {
        self.sides()?;
        let file = self.file(&split.file)?;
        let mut records = file.records(split.rows.clone())?;
        let mut has_failed = false;
        let raws = std::iter::from_fn(move || {
            let found = if has_failed { None } else { records.next() }?;
            has_failed = found.is_err();
            Some(file.raw_of(found))
        });
        if self.spec.options.merge == Merge::ByMedia { Ok(Box::new(self.merging(raws))) } else { Ok(Box::new(raws)) }
    }

    fn read_at(&self, origin: &Origin) -> Result<Raw, SourceError> {
        self.sides()?;
        let file = self.file(&origin.file)?;
        let unknown = || SourceError::UnknownOrigin { path: file.annotation.path.clone(), origin: origin.clone() };
        if let Some(run) = self.run_at(file, origin)? {
            return Ok(run);
        }
        let body = file.opened()?.record_at(origin.position).map_err(|error| file.error(error))?;
        Ok(file.raw(origin.position, body.ok_or_else(unknown)?))
    }

    fn parse(&self, raw: &Raw) -> Result<Record, RejectedRecord> {
        if let RawBody::Merged(bodies) = &raw.body {
            let of_body = |body: &RawBody| self.parse(&Raw { body: body.clone(), ..raw.clone() });
            return merged(bodies.iter().map(of_body).collect::<Result<_, _>>()?, &raw.origin);
        }
        record::parse(raw, &self.context_of(raw))
    }

    fn named_images(&self, raw: &Raw) -> Vec<MediaRef> {
        match &raw.body {
            // They show the same.
            RawBody::Merged(bodies) => bodies
                .first()
                .map(|body| Raw { body: body.clone(), ..raw.clone() })
                .map(|raw| self.named_images(&raw))
                .unwrap_or_default(),
            _ => record::named_images(raw, &self.context_of(raw)),
        }
    }

    fn asked_fields(&self, raw: &Raw) -> Option<AskedFields> {
        let RawBody::Merged(bodies) = &raw.body else { return record::asked_fields(raw, &self.context_of(raw)) };
        let raws = bodies.iter().map(|body| Raw { body: body.clone(), ..raw.clone() });
        raws.filter_map(|raw| record::asked_fields(&raw, &self.context_of(&raw))).reduce(AskedFields::and)
    }

    fn unread_endings(&self) -> Result<BTreeSet<String>, SourceError> {
        let endings = self.files.values().map(|file| Ok(file.open()?.unread_endings()));
        Ok(endings.collect::<Result<Vec<_>, SourceError>>()?.into_iter().flatten().collect())
    }
}

impl Annotations {
    fn context_of(&self, raw: &Raw) -> ParseContext<'_> {
        let file = self.files.get(&raw.origin.file);
        ParseContext {
            name: &self.spec.name,
            kind: self.spec.kind,
            options: &self.spec.options,
            artefacts: &self.artefacts,
            sides: self.sides.get(),
            table: file.map(|file| &file.path),
            columns_with_bytes: file.and_then(|file| file.columns_with_bytes.get()),
        }
    }

    fn merging<Raws: Iterator<Item = Result<Raw, SourceError>>>(&self, raws: Raws) -> Merging<'_, Raws> {
        let max_turns = self.spec.options.max_merged_turns.map_or(DEFAULT_MAX_TURNS, |turns| turns as usize);
        Merging::new(raws, max_turns, |raw| self.parse(raw))
    }

    /// The records at a position that become one, if there are several.
    fn run_at(&self, file: &AnnotatedFile, origin: &Origin) -> Result<Option<Raw>, SourceError> {
        if self.spec.options.merge == Merge::Nothing {
            return Ok(None);
        }
        let records = file.opened()?.records_at(origin.position).map_err(|error| file.error(error))?;
        let first = self.merging(records.map(|found| file.raw_of(found))).next().transpose()?;
        Ok(first.filter(|raw| raw.origin == *origin && matches!(raw.body, RawBody::Merged(_))))
    }

    fn sides(&self) -> Result<&Sides, SourceError> {
        self.sides.get_or_try_init(|| Sides::read(&self.spec.options, self.spec.kind.reader().ids, &self.access))
    }

    fn file(&self, name: &Arc<str>) -> Result<&AnnotatedFile, SourceError> {
        let unknown = || SourceError::UnknownFile { name: Arc::clone(&self.spec.name), file: Arc::clone(name) };
        self.files.get(name).ok_or_else(unknown)
    }
}

impl AnnotatedFile {
    fn open(&self) -> Result<Box<dyn Container>, SourceError> {
        let list = Some(&*self.list).filter(|list| !list.is_empty());
        let opened = open_container(&self.access, &self.annotation.path, list).map_err(|error| self.error(error))?;
        if self.merges && opened.has_own_media() {
            return Err(SourceError::NothingToMerge { path: self.annotation.path.clone() });
        }
        self.columns_with_bytes.get_or_init(|| opened.columns_with_bytes());
        let Some(options) = &self.needles else { return Ok(opened) };
        let set = NeedleSet::read(opened, options).map_err(|error| self.error(error))?;
        Ok(Box::new(set.map_err(|detail| SourceError::Needles { path: self.annotation.path.clone(), detail })?))
    }

    /// A directory is listed once: there may be hundreds of thousands of files in it.
    fn parts(&self) -> Result<Vec<Option<Range<u64>>>, SourceError> {
        if self.annotation.path.is_dir() { Ok(self.opened()?.parts()) } else { Ok(self.open()?.parts()) }
    }

    fn records(&self, rows: Option<Range<u64>>) -> Result<LocatedRecords, SourceError> {
        let records = match rows {
            Some(rows) if self.annotation.path.is_dir() => {
                let records = self.opened()?.records_at(Position::Row(rows.start));
                records.map(|records| -> LocatedRecords {
                    Box::new(records.take(rows.end.saturating_sub(rows.start) as usize))
                })
            }
            rows => self.open()?.records(rows),
        };
        records.map_err(|error| self.error(error))
    }

    fn opened(&self) -> Result<&dyn Container, SourceError> {
        self.opened.get_or_try_init(|| self.open()).map(|opened| &**opened)
    }

    fn raw_of(&self, found: Result<LocatedRecord, ReadError>) -> Result<Raw, SourceError> {
        found.map(|LocatedRecord { position, body }| self.raw(position, body)).map_err(|error| self.error(error))
    }

    fn raw(&self, position: Position, body: RawBody) -> Raw {
        let origin = Origin { file: Arc::clone(&self.annotation.name), position };
        Raw { origin, subset: Arc::clone(&self.subset), body }
    }

    fn error(&self, error: ReadError) -> SourceError {
        SourceError::of(&self.annotation.path, error)
    }
}
