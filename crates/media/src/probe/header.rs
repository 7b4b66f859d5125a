//! What the parsers of all formats share: their result, their errors, and reading bytes that may not have arrived yet.

use std::borrow::Cow;
use std::cell::RefCell;

use crate::error::MediaError;
use crate::sniff::SourceFormat;

/// Result of a header parser, before orientation is applied.
#[derive(Debug, Clone)]
pub(crate) struct ParsedHeader {
    pub format: SourceFormat,
    /// Width and height in pixels as stored.
    pub stored_px: (u32, u32),
    /// How the image is turned, 1 to 8, as in EXIF.
    pub orientation: u8,
    pub is_animated: bool,
    /// Whether the colours are such that every reader shows the same: at most 8 bits a channel, no transparency, no CMYK.
    pub is_plain: bool,
    pub jpeg: Option<JpegHeader>,
    /// Bits of a pixel with all of its samples, where these can be more than 64.
    pub pixel_bits: Option<u64>,
}

/// What the decoder needs to know of a JPEG.
#[derive(Debug, Clone)]
pub(crate) struct JpegHeader {
    /// How colours are coded.
    pub color: JpegColor,
    /// Bits of a sample; the decoder supports 8.
    pub precision_bits: u8,
    /// Position of the first scan's marker.
    pub scan_start: usize,
    /// Whether each scan has whole coefficients.
    pub is_sequential: bool,
}

/// How the colours of a JPEG are coded, by libjpeg's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JpegColor {
    Gray,
    YCbCr,
    Rgb,
    /// CMYK or YCCK.
    Cmyk,
}

/// Why a header was not parsed.
#[derive(Debug)]
pub(crate) enum HeaderError {
    /// The bytes end inside the header.
    Incomplete,
    /// The bytes are not a header, and why.
    Bad(String),
    /// The header is of a kind that no decoder here supports, and which.
    Unsupported(String),
    /// The rest of the image cannot be read.
    Unread(MediaError),
}

/// Reads a range of an image.
pub(crate) type ReadAt<'a> = dyn Fn(u64, u64) -> Result<Vec<u8>, MediaError> + 'a;

/// An encoded image of which the beginning was read, or all of it.
pub(crate) struct Source<'a> {
    /// The beginning.
    pub head: &'a [u8],
    rest: Option<Rest<'a>>,
}

/// What follows the beginning, read where a parser asks for it.
struct Rest<'a> {
    num_bytes: u64,
    read_at: &'a ReadAt<'a>,
    /// The part read last, and its position.
    window: RefCell<(u64, Vec<u8>)>,
}

/// Number of bytes that are read at once beyond the beginning: small chunks share a read, and large ones are skipped.
const WINDOW_BYTES: u64 = 4 << 10;

impl<'a> Source<'a> {
    /// An image of which every byte is there.
    pub(crate) fn whole(bytes: &'a [u8]) -> Self {
        Self { head: bytes, rest: None }
    }

    /// An image of `num_bytes` bytes, of which the first are there.
    pub(crate) fn growing(head: &'a [u8], num_bytes: u64, read_at: &'a ReadAt<'a>) -> Self {
        if num_bytes <= head.len() as u64 {
            return Self::whole(head);
        }
        Self { head, rest: Some(Rest { num_bytes, read_at, window: RefCell::default() }) }
    }

    /// Whether every byte was read.
    pub(crate) fn is_whole(&self) -> bool {
        self.rest.is_none()
    }

    /// A range, wherever it is; [`HeaderError::Incomplete`] only if it reaches beyond the end of the image.
    pub(super) fn read(&self, start: usize, length: usize) -> Result<Cow<'_, [u8]>, HeaderError> {
        match (part(self.head, start, length), &self.rest) {
            (Err(HeaderError::Incomplete), Some(rest)) => rest.read(start as u64, length as u64).map(Cow::Owned),
            (found, _) => found.map(Cow::Borrowed),
        }
    }
}

impl Rest<'_> {
    fn read(&self, start: u64, length: u64) -> Result<Vec<u8>, HeaderError> {
        if start.checked_add(length).is_none_or(|end| end > self.num_bytes) {
            return Err(HeaderError::Incomplete);
        }
        let mut window = self.window.borrow_mut();
        let (at, bytes) = &*window;
        let inside = start.checked_sub(*at).and_then(|offset| part(bytes, offset as usize, length as usize).ok());
        if let Some(inside) = inside {
            return Ok(inside.to_vec());
        }
        let wanted = length.max(WINDOW_BYTES.min(self.num_bytes - start));
        *window = (start, (self.read_at)(start, wanted).map_err(HeaderError::Unread)?);
        part(&window.1, 0, length as usize).map(<[u8]>::to_vec)
    }
}

/// A range of a header; beyond the end it requests more bytes.
pub(super) fn part(bytes: &[u8], start: usize, length: usize) -> Result<&[u8], HeaderError> {
    start.checked_add(length).and_then(|end| bytes.get(start..end)).ok_or(HeaderError::Incomplete)
}

/// A fixed number of bytes of a header.
pub(super) fn array<const N: usize>(bytes: &[u8], start: usize) -> Result<[u8; N], HeaderError> {
    part(bytes, start, N)?.try_into().map_err(|_length| HeaderError::Incomplete)
}
