//! Bounds how deeply the schema of a file nests, before the library sees it.
//!
//! The library builds the schema by recursion without a limit: a footer of 8 KiB can make it overflow the stack, which
//! no error handling survives. This walks over the footer (Thrift compact protocol, `FileMetaData` of `parquet.thrift`)
//! and looks at the numbers of children in field 2 only. The library checks the rest.

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use crate::chunks::FileChunks;

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
    let mut thrift = Compact { rest: &footer };
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

/// How a value is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ThriftType {
    /// A boolean; as a field it takes no bytes.
    Bool,
    Byte,
    /// Of 16, 32 or 64 bits, all stored alike.
    Integer,
    Double,
    Binary,
    List,
    Map,
    Struct,
    Uuid,
}

/// Reads the Thrift compact protocol.
struct Compact<'a> {
    rest: &'a [u8],
}

fn malformed() -> ParquetError {
    ParquetError::General("the footer is not Thrift".to_owned())
}

impl ThriftType {
    fn from_code(code: u8) -> Result<Self, ParquetError> {
        Ok(match code {
            1 | 2 => Self::Bool,
            3 => Self::Byte,
            4..=6 => Self::Integer,
            7 => Self::Double,
            8 => Self::Binary,
            9 | 10 => Self::List,
            11 => Self::Map,
            12 => Self::Struct,
            13 => Self::Uuid,
            _ => return Err(malformed()),
        })
    }
}

impl Compact<'_> {
    fn take(&mut self, num_bytes: u64) -> Result<(), ParquetError> {
        let num_bytes = usize::try_from(num_bytes).map_err(|_large| malformed())?;
        self.rest = self.rest.get(num_bytes..).ok_or_else(malformed)?;
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, ParquetError> {
        let (&byte, rest) = self.rest.split_first().ok_or_else(malformed)?;
        self.rest = rest;
        Ok(byte)
    }

    fn unsigned(&mut self) -> Result<u64, ParquetError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(malformed())
    }

    fn signed(&mut self) -> Result<i64, ParquetError> {
        let zigzag = self.unsigned()?;
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    /// The kind of the next field, whose number replaces that of the field before; `None` at the end of the struct.
    fn field(&mut self, number: &mut i64) -> Result<Option<ThriftType>, ParquetError> {
        let header = self.byte()?;
        if header == 0 {
            return Ok(None);
        }
        *number = match header >> 4 {
            0 => self.signed()?,
            step => number.saturating_add(i64::from(step)),
        };
        ThriftType::from_code(header & 0xf).map(Some)
    }

    fn list(&mut self) -> Result<(u64, ThriftType), ParquetError> {
        let header = self.byte()?;
        let num_elements = match header >> 4 {
            15 => self.unsigned()?,
            few => u64::from(few),
        };
        Ok((num_elements, ThriftType::from_code(header & 0xf)?))
    }

    fn skip(&mut self, kind: ThriftType, depth: usize) -> Result<(), ParquetError> {
        let inner = depth.checked_sub(1).ok_or_else(malformed)?;
        match kind {
            ThriftType::Bool => {}
            ThriftType::Byte => self.take(1)?,
            ThriftType::Integer => drop(self.unsigned()?),
            ThriftType::Double => self.take(8)?,
            ThriftType::Uuid => self.take(16)?,
            ThriftType::Binary => {
                let num_bytes = self.unsigned()?;
                self.take(num_bytes)?;
            }
            ThriftType::List => {
                let (num_elements, kind) = self.list()?;
                for _ in 0..num_elements {
                    self.skip_element(kind, inner)?;
                }
            }
            ThriftType::Map => {
                let num_entries = self.unsigned()?;
                if num_entries > 0 {
                    let kinds = self.byte()?;
                    let (key, value) = (ThriftType::from_code(kinds >> 4)?, ThriftType::from_code(kinds & 0xf)?);
                    for _ in 0..num_entries {
                        self.skip_element(key, inner)?;
                        self.skip_element(value, inner)?;
                    }
                }
            }
            ThriftType::Struct => {
                let mut field = 0;
                while let Some(kind) = self.field(&mut field)? {
                    self.skip(kind, inner)?;
                }
            }
        }
        Ok(())
    }

    /// Every element takes at least one byte, so that no count, however large, keeps this busy for long.
    fn skip_element(&mut self, kind: ThriftType, depth: usize) -> Result<(), ParquetError> {
        match kind {
            ThriftType::Bool => self.take(1),
            kind => self.skip(kind, depth),
        }
    }
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
        assert!(check_footer(&mut Compact { rest: &chain(MAX_DEPTH) }).is_ok());
        let error = check_footer(&mut Compact { rest: &chain(MAX_DEPTH + 1) }).unwrap_err();
        assert_eq!(error.to_string(), "Parquet error: the schema nests deeper than 64 levels");
    }

    #[test]
    fn a_cut_footer_is_malformed() {
        let whole = chain(3);
        for num_bytes in 0..whole.len() {
            let mut thrift = Compact { rest: whole.get(..num_bytes).unwrap_or_default() };
            assert!(check_footer(&mut thrift).is_err(), "cut to {num_bytes} bytes");
        }
    }
}
