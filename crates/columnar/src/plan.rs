//! Which leaves of a row group must be read to list its rows, so that the bytes of images stay on the disk.
//!
//! Of a binary value, a row shows only whether it is present. Where the footer's count of nulls settles that for a whole
//! row group, the leaf is not read: `true` or `null` is written from the values beside it.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

use crate::file::ParquetFile;
use crate::pages::GroupPart;
use crate::shape::{LeafKind, Shape};

/// Aim of a batch in bytes before encoding. A batch holds at least one row, whatever its size.
const BATCH_BYTES: u64 = 4 << 20;
/// Most bytes of a batch if each of its values is the longest one of its dictionary.
const BATCH_DICTIONARY_BYTES: u64 = 256 << 20;
/// Maximum number of rows of a batch.
const BATCH_ROWS: u64 = 1024;

/// How the rows of a row group are listed.
#[derive(Debug)]
pub(crate) struct GroupPlan {
    /// Leaves to read, in order.
    pub(crate) leaves: Vec<usize>,
    /// Binary leaves that are not read, with the JSON of each of their values: `true` or `null`.
    pub(crate) constants: Vec<(usize, &'static str)>,
    /// Rows to decode at once.
    pub(crate) batch_rows: usize,
}

/// A binary leaf that could be left out.
struct Candidate {
    leaf: usize,
    /// A leaf beside it in the same struct; `None` for a top-level column.
    sibling: Option<usize>,
}

impl GroupPlan {
    /// The plan of a group. What cannot be settled cheaply is read.
    pub(crate) fn new(file: &ParquetFile, group: usize) -> Self {
        let mut candidates = Vec::new();
        let mut leaves = Vec::new();
        for (_, shape) in &file.columns {
            match shape {
                &Shape::Leaf { leaf, kind: LeafKind::Binary } => candidates.push(Candidate { leaf, sibling: None }),
                shape => collect(shape, &mut candidates),
            }
            collect_leaves(shape, &mut leaves);
        }
        let constants: Vec<_> = candidates
            .iter()
            .filter_map(|candidate| Some((candidate.leaf, constant(file, group, candidate)?)))
            .collect();
        leaves.retain(|leaf| constants.iter().all(|(constant, _)| constant != leaf));
        let batch_rows = batch_rows(file, group, &leaves);
        Self { leaves, constants, batch_rows }
    }
}

fn collect_leaves(shape: &Shape, leaves: &mut Vec<usize>) {
    match shape {
        Shape::Leaf { leaf, .. } => leaves.push(*leaf),
        Shape::Struct(fields) => fields.iter().for_each(|(_, field)| collect_leaves(field, leaves)),
        Shape::List(element) => collect_leaves(element, leaves),
    }
}

fn collect(shape: &Shape, candidates: &mut Vec<Candidate>) {
    match shape {
        Shape::Leaf { .. } => {}
        Shape::List(element) => collect(element, candidates),
        Shape::Struct(fields) => {
            let sibling = fields.iter().find_map(|(_, field)| match field {
                Shape::Leaf { leaf, kind: LeafKind::Text | LeafKind::Plain | LeafKind::Absent } => Some(*leaf),
                _ => None,
            });
            for (_, field) in fields {
                match (field, sibling) {
                    (&Shape::Leaf { leaf, kind: LeafKind::Binary }, Some(_)) => {
                        candidates.push(Candidate { leaf, sibling });
                    }
                    _ => collect(field, candidates),
                }
            }
        }
    }
}

fn constant(file: &ParquetFile, group: usize, candidate: &Candidate) -> Option<&'static str> {
    let column = file.footer().row_groups().get(group)?.columns().get(candidate.leaf)?;
    if column.column_descr().max_def_level() == 0 {
        return Some("true");
    }
    // Nulls are counted per entry: null and empty lists, null structs, and null values alike.
    let num_nulls = column.statistics()?.null_count_opt()?;
    let num_entries = u64::try_from(column.num_values()).ok()?;
    let num_values = num_entries.checked_sub(num_nulls)?;
    if num_values == 0 {
        return Some("null");
    }
    if num_nulls == 0 {
        return Some("true");
    }
    let num_structs = count_structs(file, group, candidate.sibling?)?;
    (num_values == num_structs).then_some("true")
}

/// How many structs around a leaf are not null.
fn count_structs(file: &ParquetFile, group: usize, leaf: usize) -> Option<u64> {
    let rows = file.group_rows(group);
    let leaves = vec![leaf];
    let rows = Range { start: 0, end: rows.end - rows.start };
    let part = GroupPart { group, batch_rows: batch_rows(file, group, &leaves), leaves, rows };
    let mut num_structs = 0;
    for batch in file.read(part).ok()? {
        num_structs += count_innermost(batch.ok()?.columns().first()?)?;
    }
    Some(num_structs)
}

/// Counts in an array of one leaf: every struct on the way down has one field.
fn count_innermost(array: &ArrayRef) -> Option<u64> {
    match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (start, end) = (list.offsets().first(), list.offsets().last());
            let values = list.values().slice(usize::try_from(start).ok()?, usize::try_from(end - start).ok()?);
            count_innermost(&values)
        }
        DataType::Struct(_) => {
            let child = array.as_struct().columns().first()?;
            match child.data_type() {
                DataType::List(_) | DataType::Struct(_) => count_innermost(child),
                _ => Some((array.len() - array.null_count()) as u64),
            }
        }
        _ => None,
    }
}

fn batch_rows(file: &ParquetFile, number: usize, leaves: &[usize]) -> usize {
    let rows = file.group_rows(number);
    let Some(group) = file.footer().row_groups().get(number) else {
        return 1;
    };
    let num_bytes: u64 = leaves
        .iter()
        .filter_map(|&leaf| group.columns().get(leaf))
        .map(|column| u64::try_from(column.uncompressed_size()).unwrap_or(u64::MAX))
        .fold(0, u64::saturating_add);
    let bytes_per_row = num_bytes / (rows.end - rows.start).max(1);
    // The footer counts the values of a dictionary once, however often they occur.
    let longest = leaves.iter().map(|&leaf| file.longest_in_dictionary(number, leaf)).fold(0, u64::saturating_add);
    (BATCH_BYTES / bytes_per_row.max(1)).min(BATCH_DICTIONARY_BYTES / longest.max(1)).clamp(1, BATCH_ROWS) as usize
}
