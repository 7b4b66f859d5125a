//! Bounds how deeply the schema of a file nests, before the library sees it.
//!
//! The library builds the schema by recursion without a limit: a footer of 8 KiB can make it overflow the stack, which
//! no error handling survives. This walks over the footer (Thrift compact protocol, `FileMetaData` of `parquet.thrift`)
//! and looks at the numbers of children in field 2 only. The library checks the rest.

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use crate::chunks::FileChunks;
use crate::thrift::{Compact, ThriftType, malformed};

/// Maximum nesting that is read. Real datasets stay below 10.
const MAX_DEPTH: usize = 64;
/// Field of `FileMetaData` with the list of `SchemaElement`s, parents before children.
const SCHEMA: i64 = 2;
/// Field of `SchemaElement`.
const NUM_CHILDREN: i64 = 5;
/// The last bytes of a file: the length of the footer and `PAR1`.
const TAIL_BYTES: usize = 8;

/// Fails if the file has no footer, or one that nests too deeply.
pub(crate) fn check_nesting(chunks: &FileChunks) -> Result<(), ParquetError> {
    let footer = read_footer(chunks)?;
    let mut thrift = Compact::new(&footer);
    check_footer(&mut thrift)
}

fn read_footer(chunks: &FileChunks) -> Result<Bytes, ParquetError> {
    let not_parquet = || ParquetError::General("the file does not end as Parquet does".to_owned());
    let start = chunks.len().checked_sub(TAIL_BYTES as u64).ok_or_else(not_parquet)?;
    let tail = chunks.get_bytes(start, TAIL_BYTES)?;
    let (length, magic) = tail.split_first_chunk::<4>().ok_or_else(not_parquet)?;
    let num_bytes = u32::from_le_bytes(*length);
    if magic != b"PAR1" || u64::from(num_bytes) > start {
        return Err(not_parquet());
    }
    chunks.get_bytes(start - u64::from(num_bytes), num_bytes as usize)
}

fn check_footer(thrift: &mut Compact<'_>) -> Result<(), ParquetError> {
    let mut field = 0;
    while let Some(kind) = thrift.field(&mut field)? {
        match (field, kind) {
            (SCHEMA, ThriftType::List) => check_schema(thrift)?,
            _ => thrift.skip(kind, MAX_DEPTH)?,
        }
    }
    Ok(())
}

fn check_schema(thrift: &mut Compact<'_>) -> Result<(), ParquetError> {
    let (num_elements, kind) = thrift.list()?;
    if kind != ThriftType::Struct {
        return Err(malformed());
    }
    // For each open group, how many children are still to come.
    let mut open: Vec<i64> = Vec::new();
    for _ in 0..num_elements {
        let num_children = num_children(thrift)?;
        if let Some(siblings) = open.last_mut() {
            *siblings -= 1;
        }
        if num_children > 0 {
            open.push(num_children);
        }
        if open.len() > MAX_DEPTH {
            return Err(ParquetError::General(format!("the schema nests deeper than {MAX_DEPTH} levels")));
        }
        while open.last().is_some_and(|&siblings| siblings <= 0) {
            open.pop();
        }
    }
    Ok(())
}

fn num_children(thrift: &mut Compact<'_>) -> Result<i64, ParquetError> {
    let mut num_children = 0;
    let mut field = 0;
    while let Some(kind) = thrift.field(&mut field)? {
        match (field, kind) {
            (NUM_CHILDREN, ThriftType::Integer) => num_children = thrift.signed()?,
            _ => thrift.skip(kind, MAX_DEPTH)?,
        }
    }
    Ok(num_children)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The footer of a file whose schema is one chain of groups.
    fn chain(num_groups: usize) -> Vec<u8> {
        // `repetition_type`: 1, `name`: "a", `num_children`: 1.
        let group = [0x35, 2, 0x18, 1, b'a', 0x15, 2, 0];
        // `type`: 1, `repetition_type`: 1, `name`: "a".
        let leaf = [0x15, 2, 0x25, 2, 0x18, 1, b'a', 0];
        let num_elements = num_groups + 1;
        let size = [(num_elements & 0x7f | 0x80) as u8, (num_elements >> 7) as u8];
        // `version`: 1, then the schema, then the end.
        [&[0x15, 2, 0x19, 0xfc][..], &size, &group.repeat(num_groups), &leaf, &[0]].concat()
    }

    #[test]
    fn depth_is_bounded_wherever_the_file_says_otherwise() {
        assert!(check_footer(&mut Compact::new(&chain(MAX_DEPTH))).is_ok());
        let error = check_footer(&mut Compact::new(&chain(MAX_DEPTH + 1))).unwrap_err();
        assert_eq!(error.to_string(), "Parquet error: the schema nests deeper than 64 levels");
    }

    #[test]
    fn a_cut_footer_is_malformed() {
        let whole = chain(3);
        for num_bytes in 0..whole.len() {
            let mut thrift = Compact::new(whole.get(..num_bytes).unwrap_or_default());
            assert!(check_footer(&mut thrift).is_err(), "cut to {num_bytes} bytes");
        }
    }
}
