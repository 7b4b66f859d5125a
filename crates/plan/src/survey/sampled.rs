//! Some records of annotation files: the first, and others from all of each file.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use manyframe_core::{Record, Rejection};
use manyframe_sources::{
    AnnotationFile, Raw, RawRecords, Source, SourceError, SourceKind, SourceOptions, SourceSpec, Split,
};

use serde_json::{Map, Value};

/// How much text of a file is looked through.
const MAX_BYTES: usize = 64 << 20;
/// How many records of a file are looked through.
const MAX_RECORDS: usize = 100_000;
/// How many parts of a table or directory records are taken from.
const NUM_WINDOWS: u64 = 8;

/// Records that were read.
#[derive(Default)]
pub(super) struct Sampled {
    /// Those that can be delivered, as far as annotations say.
    pub(super) records: Vec<Record>,
    /// Number of those, and of the others.
    pub(super) num_records: usize,
    /// Why the first of the others cannot be.
    pub(super) rejection: Option<Rejection>,
    /// The fields of the first of all.
    pub(super) first_fields: Map<String, Value>,
    /// Endings of files in samples of which nothing is read.
    pub(super) ignored: BTreeSet<String>,
}

/// Reads up to so many records of each file as this kind of source does.
pub(super) fn read_some(
    files: &[&PathBuf],
    (kind, options): (SourceKind, &SourceOptions),
    most: usize,
) -> Result<Sampled, SourceError> {
    let mut sampled = Sampled::default();
    for path in files {
        let file = AnnotationFile {
            path: (*path).clone(),
            name: Arc::from("file"),
            place: (*path).clone(),
            subset: Arc::from(""),
        };
        let (name, options) = (Arc::from("survey"), options.clone());
        let source = manyframe_sources::open(SourceSpec { name, kind, annotations: vec![file], options })?;
        for raw in raws_of(&*source, most)? {
            if sampled.num_records == 0 {
                sampled.first_fields = fields_of(&raw);
            }
            sampled.num_records += 1;
            match source.parse(&raw) {
                Ok(record) => sampled.records.push(record),
                Err(rejected) => sampled.rejection = sampled.rejection.or(Some(rejected.rejection)),
            }
        }
        sampled.ignored.extend(source.unread_endings()?);
    }
    Ok(sampled)
}

fn fields_of(raw: &Raw) -> Map<String, Value> {
    serde_json::from_slice(&raw.body.text()).unwrap_or_default()
}

fn raws_of(source: &dyn Source, most: usize) -> Result<Vec<Raw>, SourceError> {
    let splits = source.splits()?;
    let num_rows = splits.last().and_then(|split| split.rows.as_ref()).map(|rows| rows.end);
    let mut raws = Vec::new();
    match (splits.first(), num_rows) {
        (Some(first), Some(num_rows)) => {
            for window in 0..NUM_WINDOWS {
                let start = window * num_rows / NUM_WINDOWS;
                let end = (window + 1) * num_rows / NUM_WINDOWS;
                let end = end.min(start + (most as u64).div_ceil(NUM_WINDOWS));
                let split = Split { rows: Some(start..end), ..first.clone() };
                for raw in source.read(&split)? {
                    raws.push(raw?);
                }
            }
        }
        (Some(split), None) => raws = spread(source.read(split)?, most)?,
        (None, _) => {}
    }
    Ok(raws)
}

/// The first records, and as many of the others at equal distances.
fn spread(records: RawRecords<'_>, most: usize) -> Result<Vec<Raw>, SourceError> {
    let num_first = most.div_ceil(2);
    let (mut first, mut others): (Vec<Raw>, Vec<Raw>) = (Vec::new(), Vec::new());
    let (mut distance, mut num_bytes) = (1, 0);
    for (number, raw) in records.enumerate().take(MAX_RECORDS) {
        let raw = raw?;
        num_bytes += raw.body.text().len();
        if first.len() < num_first {
            first.push(raw);
        } else if number.is_multiple_of(distance) {
            others.push(raw);
            if others.len() > most - num_first {
                distance *= 2;
                let mut number = 0;
                others.retain(|_| {
                    number += 1;
                    number % 2 == 1
                });
            }
        }
        if num_bytes > MAX_BYTES {
            break;
        }
    }
    first.extend(others);
    Ok(first)
}
