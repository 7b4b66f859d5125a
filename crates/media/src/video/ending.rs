//! Whether a container file ends before it says it does: a download or a copy that was cut short.
//!
//! Sizes that containers state for themselves are compared with that of the file. Streams that were joined or recorded (MPEG)
//! state none: they are cut where their last packet is, or the last picture in it. Ogg marks its last pages.

use std::io::{self, BufReader, Read};

use super::boxes::OuterBoxes;
use super::deadline::Deadline;
use super::flv::{flv_duration_s, is_flv_cut};
use super::fragments::lacks_fragments;
use super::input::{ByteSource, HEAD_BYTES};
use super::ogg::is_ogg_cut;
use super::program::{Program, walk_program};
use super::real_media::{RealMedia, walk_real_media};
use super::transport::TransportForm;

/// Upper bound on parts of a file that are read.
const MAX_PARTS: usize = 1 << 18;

pub(super) const MATROSKA_SEGMENT: u64 = 0x1853_8067;
pub(super) const MATROSKA_CLUSTER: u64 = 0x1f43_b675;

/// What the keys of an MXF file begin with.
pub(super) const KEY_MARK: [u8; 4] = [0x06, 0x0e, 0x2b, 0x34];

/// The object of an ASF file that states its size.
pub(super) const ASF_FILE_PROPERTIES: [u8; 16] =
    [0xa1, 0xdc, 0xab, 0x8c, 0x47, 0xa9, 0xcf, 0x11, 0x8e, 0xe4, 0x00, 0xc0, 0x0c, 0x20, 0x53, 0x65];

/// What a file says about its end.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct StatedEnd {
    /// Whether it should have more bytes than it has.
    pub(super) is_cut_short: bool,
    /// When its last frame should end, in seconds, if FFmpeg does not tell what is stated from what it measured.
    pub(super) end_s: Option<f64>,
}

/// What the file says about its end. An MP4 is judged by its boxes: only where it has fragments, its tables do not list all
/// frames.
pub(super) fn read_stated_end(
    source: &ByteSource,
    boxes: Option<&OuterBoxes>,
    deadline: Deadline,
) -> io::Result<StatedEnd> {
    if let Some(boxes) = boxes {
        let is_cut_short = boxes.has_fragments
            && (matches!(boxes.cut_short.as_ref(), Some(b"moof" | b"mdat"))
                || (boxes.ends_in_zeros && source.has_data_after(boxes.end)?)
                || lacks_fragments(source, boxes)?);
        return Ok(StatedEnd { is_cut_short, end_s: None });
    }
    let mut head = vec![0; HEAD_BYTES];
    let num_bytes = source.read_at(0, &mut head)?;
    head.truncate(num_bytes);
    let is_cut_short = match head.first_chunk() {
        Some(b"RIFF") => is_riff_cut(source)?,
        Some([0x1a, 0x45, 0xdf, 0xa3]) => is_matroska_cut(source)?,
        Some([b'F', b'L', b'V', _]) => {
            return Ok(StatedEnd { is_cut_short: is_flv_cut(source, &head)?, end_s: flv_duration_s(&head) });
        }
        Some(b"GIF8") => is_gif_cut(&mut BufReader::new(source.reader(Vec::new(), deadline).0))?,
        Some([0x30, 0x26, 0xb2, 0x75]) => return Ok(asf_end(source.num_bytes, &head).unwrap_or_default()),
        Some(b"DKIF") => is_ivf_cut(source)?,
        Some(b"OggS") => is_ogg_cut(source)?,
        Some(b".RMF") => walk_real_media(source)? == RealMedia::Cut,
        Some([0x1f, 0x07, 0x00, _]) => is_dv_cut(source)?,
        Some(&KEY_MARK) => is_mxf_cut(source)?,
        Some([0, 0, 1, 0xba]) => walk_program(source)? == Program::Cut,
        _ => match TransportForm::of(&head) {
            Some(form) => form.is_cut(source)?,
            None => false,
        },
    };
    Ok(StatedEnd { is_cut_short, end_s: None })
}

/// An AVI is a `RIFF` chunk, and further ones if it is large.
fn is_riff_cut(source: &ByteSource) -> io::Result<bool> {
    let mut start = 0;
    for _ in 0..MAX_PARTS {
        let mut header = [0; 8];
        if source.read_at(start, &mut header)? < header.len() {
            return Ok(false);
        }
        let [b'R', b'I', b'F', b'F', size @ ..] = header else { return Ok(false) };
        let size = u32::from_le_bytes(size);
        // What was not finished states no size.
        if size == 0 || size == u32::MAX {
            return Ok(false);
        }
        // Some writers count the header.
        let end = start + u64::from(size);
        if end > source.num_bytes {
            return Ok(true);
        }
        start = end + 8 + u64::from(size % 2);
    }
    Ok(false)
}

/// Frames of raw DV have one size, by their standard, and begin alike.
fn is_dv_cut(source: &ByteSource) -> io::Result<bool> {
    let mut head = [0; 4];
    source.read_at(0, &mut head)?;
    let [mark @ .., system] = head;
    let frame_bytes = if system & 0x80 == 0 { 120_000 } else { 144_000 };
    let rest_bytes = source.num_bytes % frame_bytes;
    let mut rest = [0; 3];
    source.read_at(source.num_bytes - rest_bytes, &mut rest)?;
    Ok(rest_bytes > 0 && rest == mark)
}

/// A Matroska file is a header and a segment; where that has no stated size, its parts may have one.
fn is_matroska_cut(source: &ByteSource) -> io::Result<bool> {
    let mut start = 0;
    for _ in 0..MAX_PARTS {
        let Some((id, header_bytes, size)) = read_element(source, start)? else { return Ok(false) };
        let Some(size) = size else {
            if id != MATROSKA_SEGMENT {
                return Ok(false);
            }
            start += header_bytes;
            continue;
        };
        start = start.saturating_add(header_bytes).saturating_add(size);
        if start > source.num_bytes {
            // Anything else has no frames, or follows the segment and is not a part of it.
            return Ok(matches!(id, MATROSKA_SEGMENT | MATROSKA_CLUSTER));
        }
        if id == MATROSKA_SEGMENT {
            return Ok(false);
        }
    }
    Ok(false)
}

/// Identifier of an EBML element, bytes of its header, and the size of its contents, if it is stated.
pub(super) fn read_element(source: &ByteSource, start: u64) -> io::Result<Option<(u64, u64, Option<u64>)>> {
    let mut header = [0; 12];
    let num_bytes = source.read_at(start, &mut header)?;
    let (header, _) = header.split_at(num_bytes);
    let number = |bytes: &[u8]| {
        let length = bytes.first()?.leading_zeros() as usize + 1;
        let number = bytes.get(..length)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        Some((number, length))
    };
    let element = || {
        let (id, id_bytes) = number(header).filter(|(_, length)| *length <= 4)?;
        let (size, size_bytes) = number(header.get(id_bytes..)?).filter(|(_, length)| *length <= 8)?;
        let mask = (1 << (7 * size_bytes)) - 1;
        let size = Some(size & mask).filter(|size| *size != mask);
        Some((id, (id_bytes + size_bytes) as u64, size))
    };
    Ok(element())
}

/// An ASF file states its size and duration, unless it was broadcast.
fn asf_end(num_bytes: u64, head: &[u8]) -> Option<StatedEnd> {
    let properties = head.get(memchr::memmem::find(head, &ASF_FILE_PROPERTIES)?..)?;
    let number = |at: usize| properties.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let (stated_bytes, duration_100ns, preroll_ms) = (number(40)?, number(64)?, number(80)?);
    let is_broadcast = properties.get(88)? & 1 != 0;
    let end_s = duration_100ns as f64 / 1e7 - preroll_ms as f64 / 1e3;
    Some(StatedEnd { is_cut_short: !is_broadcast && stated_bytes > num_bytes, end_s: Some(end_s) })
}

/// Frames of an IVF file follow each other, each after a header of twelve bytes that begins with its size.
fn is_ivf_cut(source: &ByteSource) -> io::Result<bool> {
    let mut start = ivf_header_bytes(source)?;
    // What was not finished states no frames, and may end anywhere.
    while start < source.num_bytes {
        let mut size = [0; 4];
        if source.read_at(start, &mut size)? < size.len() {
            return Ok(true);
        }
        start = start.saturating_add(12 + u64::from(u32::from_le_bytes(size)));
    }
    Ok(start > source.num_bytes)
}

/// Where the first frame of an IVF file starts.
pub(super) fn ivf_header_bytes(source: &ByteSource) -> io::Result<u64> {
    let mut header = [0; 8];
    source.read_at(0, &mut header)?;
    let [.., low, high] = header;
    Ok(u16::from_le_bytes([low, high]).into())
}

/// An MXF file is a list of keys, each with the size of what follows it; its first part says where the last one begins.
fn is_mxf_cut(source: &ByteSource) -> io::Result<bool> {
    // `FooterPartition` of the first partition pack (SMPTE 377-1, section 7.1): after the key, the size, and four fields.
    let mut head = [0; 64];
    source.read_at(0, &mut head)?;
    let Some((header_bytes, _)) = read_key(source, 0)? else { return Ok(false) };
    let field = head.get(usize::try_from(header_bytes).unwrap_or(usize::MAX).saturating_add(24)..);
    let footer = field.and_then(|field| field.first_chunk()).map_or(0, |bytes| u64::from_be_bytes(*bytes));
    // What was not completed may be zeros.
    if footer >= source.num_bytes || (footer > 0 && read_key(source, footer)?.is_none()) {
        return Ok(true);
    }
    let mut start = 0;
    for _ in 0..MAX_PARTS {
        let Some((header_bytes, num_bytes)) = read_key(source, start)? else { return Ok(false) };
        start = start.saturating_add(header_bytes).saturating_add(num_bytes);
        if start > source.num_bytes {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Bytes of a key and of the size after it, and that size; `None` if there is no key.
pub(super) fn read_key(source: &ByteSource, start: u64) -> io::Result<Option<(u64, u64)>> {
    const KEY_BYTES: usize = 16;
    let mut header = [0; KEY_BYTES + 9];
    let filled = source.read_at(start, &mut header)?;
    let (header, _) = header.split_at(filled);
    let size = || {
        let (key, size) = header.split_at_checked(KEY_BYTES)?;
        if !key.starts_with(&KEY_MARK) {
            return None;
        }
        let (&first, rest) = size.split_first()?;
        if first < 0x80 {
            return Some((KEY_BYTES as u64 + 1, first.into()));
        }
        let digits = rest.get(..usize::from(first & 0x7f))?;
        let number = digits.iter().fold(0_u64, |number, digit| number << 8 | u64::from(*digit));
        Some(((KEY_BYTES + 1 + digits.len()) as u64, number))
    };
    Ok(size())
}

/// A GIF ends within one of its blocks, or something follows them that is no block, such as a hole. Where only its last byte is
/// missing, no frame is.
fn is_gif_cut(gif: &mut BufReader<impl Read>) -> io::Result<bool> {
    match skip_gif(gif) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(true),
        result => result,
    }
}

/// Reads a GIF to its end, or as far as it is one. Returns whether there is more.
fn skip_gif(gif: &mut BufReader<impl Read>) -> io::Result<bool> {
    let mut header = [0; 13];
    gif.read_exact(&mut header)?;
    let [.., flags, _, _] = header;
    skip_gif_colours(gif, flags)?;
    loop {
        let mut kind = [0];
        if gif.read(&mut kind)? == 0 {
            return Ok(false);
        }
        match kind {
            // An extension: its label, then blocks.
            [0x21] => gif.read_exact(&mut [0])?,
            // An image: its frame, colours and code size, then blocks.
            [0x2c] => {
                let mut frame = [0; 9];
                gif.read_exact(&mut frame)?;
                let [.., flags] = frame;
                skip_gif_colours(gif, flags)?;
                gif.read_exact(&mut [0])?;
            }
            [kind] => return Ok(kind != b';'),
        }
        loop {
            let mut num_bytes = [0];
            gif.read_exact(&mut num_bytes)?;
            match num_bytes {
                [0] => break,
                [num_bytes] => skip(gif, num_bytes.into())?,
            }
        }
    }
}

fn skip_gif_colours(gif: &mut BufReader<impl Read>, flags: u8) -> io::Result<()> {
    if flags & 0x80 == 0 { Ok(()) } else { skip(gif, 3 << ((flags & 7) + 1)) }
}

/// Passes over bytes that must be there.
fn skip(gif: &mut impl Read, num_bytes: u64) -> io::Result<()> {
    let skipped = io::copy(&mut gif.take(num_bytes), &mut io::sink())?;
    if skipped < num_bytes { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn a_gif_is_cut_within_a_block() {
        let header = b"GIF89a\x02\0\x02\0\x80\0\0\0\0\0\xff\xff\xff";
        let gif =
            [&header[..], b"\x21\xf9\x04\0\0\0\0\0", b"\x2c\0\0\0\0\x02\0\x02\0\0\x02\x02\x84\x51\0", b";"].concat();
        let whole = [13 + 6, 13 + 6 + 8, gif.len() - 1, gif.len()];
        for length in 13..=gif.len() {
            let is_cut = is_gif_cut(&mut BufReader::new(Cursor::new(&gif[..length]))).unwrap();
            assert_eq!(is_cut, !whole.contains(&length), "{length} of {} bytes", gif.len());
        }
        assert!(!is_gif_cut(&mut BufReader::new(Cursor::new([&gif[..], &[0; 99]].concat()))).unwrap());
    }
}
