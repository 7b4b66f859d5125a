//! The header of a safetensors file, checked against the file's size before anything is believed.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use candle_core::DType;
use safetensors::tensor::Metadata;

use crate::ValidateError;

/// Largest header that is read, in bytes; the limit of the format.
const MOST_HEADER_BYTES: u64 = 100_000_000;
/// Bytes that say how long the header is.
const LENGTH_BYTES: u64 = 8;

/// An open file of tensors.
#[derive(Debug)]
pub(super) struct TensorFile {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) metadata: Metadata,
    /// First byte after the header.
    pub(super) data_start: u64,
}

impl TensorFile {
    /// Opens a file and reads its header.
    pub(super) fn open(path: &Path) -> Result<Self, ValidateError> {
        let file = File::open(path).map_err(ValidateError::read(path))?;
        let num_bytes = file.metadata().map_err(ValidateError::read(path))?.len();
        let damaged = |detail: String| ValidateError::Damaged { path: path.to_owned(), detail };
        let mut length = [0; LENGTH_BYTES as usize];
        if num_bytes < LENGTH_BYTES {
            return Err(damaged(format!("it has {num_bytes} bytes")));
        }
        file.read_exact_at(&mut length, 0).map_err(ValidateError::read(path))?;
        let header_bytes = u64::from_le_bytes(length);
        if header_bytes > MOST_HEADER_BYTES.min(num_bytes - LENGTH_BYTES) {
            return Err(damaged(format!("a header of {header_bytes} bytes in a file of {num_bytes}")));
        }
        let mut header = vec![0; usize::try_from(header_bytes).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut header, LENGTH_BYTES).map_err(ValidateError::read(path))?;
        // Parsing checks that tensors follow one another without gaps, and that sizes are those of shapes.
        let metadata: Metadata = serde_json::from_slice(&header).map_err(|error| damaged(error.to_string()))?;
        let data_start = LENGTH_BYTES + header_bytes;
        let expected = data_start.checked_add(metadata.data_len() as u64);
        if expected != Some(num_bytes) {
            let expected = expected.map_or_else(|| "more than can be".to_owned(), |bytes| bytes.to_string());
            return Err(damaged(format!("it has {num_bytes} bytes, its header asks for {expected}")));
        }
        Ok(Self { path: path.to_owned(), file, metadata, data_start })
    }
}

/// The type of floating-point values; `None` for others.
pub(super) fn float_type(dtype: safetensors::Dtype) -> Option<DType> {
    match dtype {
        safetensors::Dtype::F64 => Some(DType::F64),
        safetensors::Dtype::F32 => Some(DType::F32),
        safetensors::Dtype::F16 => Some(DType::F16),
        safetensors::Dtype::BF16 => Some(DType::BF16),
        _ => None,
    }
}
