//! The header of a PNG: the chunks before the pixels, and the metadata after them.

use std::borrow::Cow;
use std::io::Read;

use flate2::Crc;
use flate2::read::ZlibDecoder;

use super::header::{HeaderError, ParsedHeader, Source, array};
use crate::metadata::{Metadata, exif_from_raw_profile};
use crate::sniff::SourceFormat;

/// Number of bytes before the first chunk.
pub(crate) const PNG_SIGNATURE_BYTES: usize = 8;

/// Length, type and checksum of a chunk.
const CHUNK_FRAME_BYTES: usize = 12;

/// Largest palette in bytes: 256 colours.
const MOST_PALETTE_BYTES: usize = 768;

/// Largest text that is inflated, in bytes: Pillow refuses larger ones.
const MAX_TEXT_BYTES: usize = 1 << 20;

pub(super) fn parse(source: &Source<'_>) -> Result<ParsedHeader, HeaderError> {
    let mut said = Said::default();
    let (start, mut position) = header_chunk(source, &mut said)?;
    let header = source.read(start, 10)?;
    let (width_px, height_px) = (u32::from_be_bytes(array(&header, 0)?), u32::from_be_bytes(array(&header, 4)?));
    let [bit_depth, color_type] = array(&header, 8)?;
    let has_alpha_channel = color_type & 4 != 0;

    let (mut is_animated, mut has_transparency) = (false, has_alpha_channel);
    loop {
        let (length, kind) = chunk(source, position)?;
        match &kind {
            b"IDAT" | b"IEND" => break,
            b"PLTE" => ensure_intact(source, position, length)?,
            b"tRNS" => {
                ensure_intact(source, position, length)?;
                has_transparency = true;
            }
            b"acTL" => is_animated = u32::from_be_bytes(array(&source.read(position + 8, 4)?, 0)?) > 1,
            _ => said.read(source, position, length, kind)?,
        }
        position = next_chunk(position, length)?;
    }
    said.read_after_pixels(source, position)?;
    Ok(ParsedHeader {
        format: SourceFormat::Png,
        stored_px: (width_px, height_px),
        orientation: said.orientation(),
        is_animated,
        is_plain: bit_depth <= 8 && !has_transparency,
        jpeg: None,
        pixel_bits: None,
    })
}

/// Makes sure that a chunk is as it was written, by its checksum: without it, size and colours of the pixels are anything.
fn ensure_intact(source: &Source<'_>, position: usize, length: usize) -> Result<(), HeaderError> {
    // A larger one is neither a header nor a palette.
    if length > MOST_PALETTE_BYTES {
        return Ok(());
    }
    let chunk = source.read(position + 4, length + 8)?;
    let (content, stored) = chunk.split_at(length + 4);
    let mut crc = Crc::new();
    crc.update(content);
    if crc.sum().to_be_bytes() == *stored {
        return Ok(());
    }
    let name = String::from_utf8_lossy(content.get(..4).unwrap_or_default()).into_owned();
    Err(HeaderError::Bad(format!("the checksum of the PNG chunk {name} is wrong")))
}

/// Where the content of `IHDR` starts, and where the next chunk does. It has to be the first chunk, and some writers put
/// others before it.
fn header_chunk(source: &Source<'_>, said: &mut Said) -> Result<(usize, usize), HeaderError> {
    let mut position = PNG_SIGNATURE_BYTES;
    loop {
        let (length, kind) = chunk(source, position)?;
        let next = next_chunk(position, length)?;
        match &kind {
            b"IHDR" if length >= 13 => {
                ensure_intact(source, position, length)?;
                return Ok((position + 8, next));
            }
            b"IHDR" | b"PLTE" | b"IDAT" | b"IEND" => {
                return Err(HeaderError::Bad("the PNG does not start with its header chunk".to_owned()));
            }
            _ => said.read(source, position, length, kind)?,
        }
        position = next;
    }
}

/// What a PNG says about its orientation, wherever in the file; of several chunks, the last one counts, as with Pillow's
/// `exif_transpose`, which reads the whole file first.
#[derive(Default)]
struct Said {
    exif: Option<Vec<u8>>,
    raw_profile: Option<Vec<u8>>,
    xmp: Option<Vec<u8>>,
}

impl Said {
    fn read(&mut self, source: &Source<'_>, position: usize, length: usize, kind: [u8; 4]) -> Result<(), HeaderError> {
        if &kind == b"eXIf" {
            self.exif = Some(source.read(position + 8, length)?.into_owned());
        }
        if !matches!(&kind, b"tEXt" | b"zTXt" | b"iTXt") {
            return Ok(());
        }
        let chunk = source.read(position + 8, length)?;
        let Some(Text { keyword, text }) = Text::of_chunk(kind, &chunk) else { return Ok(()) };
        let place = match keyword {
            b"exif" => &mut self.exif,
            b"Raw profile type exif" => &mut self.raw_profile,
            b"XML:com.adobe.xmp" => &mut self.xmp,
            _ => return Ok(()),
        };
        *place = text.inflated().map(Cow::into_owned);
        Ok(())
    }

    /// The chunks from the first of the pixels on. What is damaged there matters only to those who deliver the file.
    fn read_after_pixels(&mut self, source: &Source<'_>, mut position: usize) -> Result<(), HeaderError> {
        let unless_damaged = |outcome| match outcome {
            Err(HeaderError::Unread(error)) => Err(HeaderError::Unread(error)),
            _ => Ok(()),
        };
        loop {
            let (length, kind) = match chunk(source, position) {
                Ok((_, kind)) if &kind == b"IEND" => break,
                Ok(chunk) => chunk,
                Err(error) => {
                    unless_damaged(Err(error))?;
                    break;
                }
            };
            unless_damaged(self.read(source, position, length, kind))?;
            let Ok(next) = next_chunk(position, length) else { break };
            position = next;
        }
        Ok(())
    }

    fn orientation(&self) -> u8 {
        let raw_profile = self.raw_profile.as_deref().and_then(exif_from_raw_profile);
        Metadata { exif: self.exif.as_deref().or(raw_profile.as_deref()), xmp: self.xmp.as_deref() }.orientation()
    }
}

/// The text of a `tEXt`, `zTXt` or `iTXt` chunk.
pub(crate) struct Text<'a> {
    pub keyword: &'a [u8],
    pub text: StoredText<'a>,
}

/// A text as stored.
pub(crate) enum StoredText<'a> {
    Plain(&'a [u8]),
    Deflated(&'a [u8]),
}

impl<'a> Text<'a> {
    /// `None` if the chunk is of another kind or not built as its kind requires.
    pub(crate) fn of_chunk(kind: [u8; 4], chunk: &'a [u8]) -> Option<Self> {
        let (keyword, rest) = split_at_zero(chunk)?;
        let text = match (&kind, rest) {
            (b"tEXt", text) => StoredText::Plain(text),
            (b"zTXt", [0, text @ ..]) => StoredText::Deflated(text),
            (b"iTXt", [is_deflated @ (0 | 1), 0, rest @ ..]) => {
                let (_language, rest) = split_at_zero(rest)?;
                let (_translated_keyword, text) = split_at_zero(rest)?;
                if *is_deflated == 1 { StoredText::Deflated(text) } else { StoredText::Plain(text) }
            }
            _ => return None,
        };
        Some(Self { keyword, text })
    }
}

impl<'a> StoredText<'a> {
    /// The text; `None` if it cannot be inflated or is larger than readers accept.
    pub(crate) fn inflated(&self) -> Option<Cow<'a, [u8]>> {
        match *self {
            Self::Plain(text) => Some(Cow::Borrowed(text)),
            Self::Deflated(text) => inflated(text).map(Cow::Owned),
        }
    }
}

/// A deflated text or profile; `None` if it cannot be inflated or is larger than readers accept.
pub(crate) fn inflated(deflated: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let num_bytes = ZlibDecoder::new(deflated).take(MAX_TEXT_BYTES as u64 + 1).read_to_end(&mut text).ok()?;
    (num_bytes <= MAX_TEXT_BYTES).then_some(text)
}

fn split_at_zero(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(memchr::memchr(0, bytes)?).map(|(before, rest)| (before, rest.get(1..).unwrap_or_default()))
}

/// Length and type of the chunk at a position.
fn chunk(source: &Source<'_>, position: usize) -> Result<(usize, [u8; 4]), HeaderError> {
    let frame = source.read(position, 8)?;
    let length = u32::from_be_bytes(array(&frame, 0)?);
    if length > i32::MAX.cast_unsigned() {
        return Err(HeaderError::Bad(format!("a PNG chunk claims {length} bytes")));
    }
    Ok((length as usize, array(&frame, 4)?))
}

fn next_chunk(position: usize, length: usize) -> Result<usize, HeaderError> {
    let end = position.checked_add(CHUNK_FRAME_BYTES).and_then(|end| end.checked_add(length));
    end.ok_or_else(|| HeaderError::Bad("a PNG chunk claims an impossible length".to_owned()))
}
