//! The outermost boxes of an MP4 or QuickTime file: where its payload is, and whether it has an index at all.
//!
//! It reads nothing inside a box; FFmpeg does.

use std::io;
use std::ops::Range;

use super::input::ByteSource;

/// Boxes that an MP4 may start with. A file that starts otherwise is not an MP4.
const FIRST_BOXES: [&[u8; 4]; 12] =
    [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"moof", b"styp", b"sidx", b"uuid", b"emsg"];

/// Upper bound on boxes read. A fragmented file has two or three per fragment, and about one fragment per second.
const MAX_BOXES: usize = 1 << 18;

/// The outermost boxes of an MP4.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct OuterBoxes {
    /// The contents of `mdat` boxes, ascending and disjoint. The last one may extend beyond the end of the file.
    pub(super) payload: Vec<Range<u64>>,
    /// Whether there is a `moov` box, without which nothing can be decoded.
    pub(super) has_moov: bool,
    /// `sidx` boxes, which say where fragments are.
    pub(super) indexes: Vec<Range<u64>>,
    /// Whether there is a `moof` box: the tables do not list all frames.
    pub(super) has_fragments: bool,
    /// The kind of the last box, if it extends beyond the end of the file.
    pub(super) cut_short: Option<[u8; 4]>,
    /// Where the last box ends, which may be followed by something else.
    pub(super) end: u64,
    /// Whether zeros follow it: a hole, if they are not the end.
    pub(super) ends_in_zeros: bool,
}

/// Reads the outermost boxes; `None` if the file does not start like an MP4.
pub(super) fn read_outer_boxes(source: &ByteSource) -> io::Result<Option<OuterBoxes>> {
    let mut boxes = OuterBoxes::default();
    let mut start = 0;
    for number in 0..MAX_BOXES {
        let mut header = [0; 16];
        match (source.read_at(start, &mut header)?, number) {
            (8.., _) => {}
            (_, 0) => return Ok(None),
            _ => break,
        }
        let [s0, s1, s2, s3, k0, k1, k2, k3, large @ ..] = header;
        let kind = [k0, k1, k2, k3];
        if number == 0 && !FIRST_BOXES.contains(&&kind) {
            return Ok(None);
        }
        let (header_bytes, num_bytes) = match u32::from_be_bytes([s0, s1, s2, s3]) {
            0 => (8, source.num_bytes - start),
            1 => (16, u64::from_be_bytes(large)),
            small => (8, u64::from(small)),
        };
        boxes.ends_in_zeros = kind == [0; 4];
        // A box smaller than its own header would be read forever.
        if num_bytes < header_bytes {
            break;
        }
        let end = start.saturating_add(num_bytes);
        let contents = start + header_bytes..end;
        boxes.cut_short = (end > source.num_bytes).then_some(kind);
        // Zeros look like a box of an unknown kind that takes all the rest.
        let is_unknown = boxes.cut_short.is_some() || kind == [0; 4];
        boxes.end = if is_unknown { start + header_bytes } else { end };
        match &kind {
            b"mdat" if !contents.is_empty() => boxes.payload.push(contents),
            b"sidx" if !is_unknown => boxes.indexes.push(contents),
            b"moov" => boxes.has_moov = true,
            b"moof" => boxes.has_fragments = true,
            _ => {}
        }
        if end >= source.num_bytes {
            break;
        }
        // Of more boxes than are read, the rest is taken for whole.
        if number + 1 == MAX_BOXES {
            boxes.end = source.num_bytes;
        }
        start = end;
    }
    Ok(Some(boxes))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use super::*;
    use crate::located::ArchiveFile;

    /// Start and end of each payload range.
    fn payload(boxes: &OuterBoxes) -> Vec<(u64, u64)> {
        boxes.payload.iter().map(|range| (range.start, range.end)).collect()
    }

    fn boxes(parts: &[&[u8]]) -> Option<OuterBoxes> {
        let bytes = parts.concat();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let num_bytes = bytes.len() as u64;
        let file = ArchiveFile::of_file(std::path::Path::new("x"), file).unwrap();
        read_outer_boxes(&ByteSource { file: Arc::new(file), offset: 0, num_bytes, crc32: None }).unwrap()
    }

    #[test]
    fn payload_lies_between_the_headers() {
        let found = boxes(&[b"\0\0\0\x08ftyp", b"\0\0\0\x0amdatab", b"\0\0\0\x08moov"]).unwrap();
        assert_eq!((payload(&found), found.has_moov, found.cut_short), (vec![(16, 18)], true, None));
    }

    #[test]
    fn sizes_of_64_bits_and_to_the_end_are_understood() {
        let large = boxes(&[b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x12ab", b"\0\0\0\0mdatxyz"]).unwrap();
        assert_eq!(payload(&large), [(16, 18), (26, 29)]);
    }

    #[test]
    fn a_box_may_extend_beyond_the_end_of_the_file() {
        let found = boxes(&[b"\0\0\0\x08ftyp", b"\xff\xff\xff\xffmdatab"]).unwrap();
        assert_eq!(
            (payload(&found), found.has_moov, found.cut_short),
            (vec![(16, 8 + 0xffff_ffff)], false, Some(*b"mdat"))
        );
        let huge = boxes(&[b"\0\0\0\x01mdat\xff\xff\xff\xff\xff\xff\xff\xffab"]).unwrap();
        assert_eq!(payload(&huge), [(16, u64::MAX)]);
    }

    #[test]
    fn a_box_smaller_than_its_header_ends_the_list() {
        assert!(boxes(&[b"\0\0\0\x08ftyp", b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x01", b"\0\0\0\x08moov"]).is_some());
        assert!(!boxes(&[b"\0\0\0\x08ftyp", b"\0\0\0\x02moov"]).unwrap().has_moov);
    }

    #[test]
    fn other_files_are_not_mp4() {
        assert_eq!(boxes(&[b"RIFF\0\0\0\0AVI "]), None);
        assert_eq!(boxes(&[b"short"]), None);
    }
}
