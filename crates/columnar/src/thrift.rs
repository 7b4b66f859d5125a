//! The Thrift compact protocol, in which footers and page indexes are stored, as far as they are walked over here.
//!
//! It sets no memory aside for what a count claims.

use parquet::errors::ParquetError;

/// How a value is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ThriftType {
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
pub(crate) struct Compact<'a> {
    rest: &'a [u8],
}

pub(crate) fn malformed() -> ParquetError {
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

impl<'a> Compact<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

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

    pub(crate) fn signed(&mut self) -> Result<i64, ParquetError> {
        let zigzag = self.unsigned()?;
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    /// The kind of the next field, whose number replaces that of the field before; `None` at the end of the struct.
    pub(crate) fn field(&mut self, number: &mut i64) -> Result<Option<ThriftType>, ParquetError> {
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

    pub(crate) fn list(&mut self) -> Result<(u64, ThriftType), ParquetError> {
        let header = self.byte()?;
        let num_elements = match header >> 4 {
            15 => self.unsigned()?,
            few => u64::from(few),
        };
        Ok((num_elements, ThriftType::from_code(header & 0xf)?))
    }

    pub(crate) fn skip(&mut self, kind: ThriftType, depth: usize) -> Result<(), ParquetError> {
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
