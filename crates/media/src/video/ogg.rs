//! Ogg files: pages, which are numbered in each stream, have a checksum, and say which is the last of their stream.

use std::collections::BTreeMap;
use std::io;

use super::input::ByteSource;

/// Bytes of a page before the sizes of its parts.
const PAGE_HEADER_BYTES: usize = 27;

/// What the first packet of a stream of pictures begins with: Theora, VP8, Dirac, and codecs in OGM.
const VIDEO_MARKS: [&[u8]; 4] = [b"\x80theora", b"OVP80", b"BBCD", b"\x01video"];

/// The header of a page.
struct Page {
    stream: u32,
    number: u32,
    is_first: bool,
    is_last: bool,
    checksum: u32,
    header_bytes: usize,
    num_bytes: usize,
}

impl Page {
    /// `None` if there is no whole header.
    fn read(source: &ByteSource, start: u64) -> io::Result<Option<Self>> {
        let mut head = [0; PAGE_HEADER_BYTES + 255];
        let num_read = source.read_at(start, &mut head)?;
        let (head, sizes) = head.split_at(PAGE_HEADER_BYTES);
        let [b'O', b'g', b'g', b'S', _, flags, .., num_sizes] = head else { return Ok(None) };
        let header_bytes = PAGE_HEADER_BYTES + usize::from(*num_sizes);
        if num_read < header_bytes {
            return Ok(None);
        }
        let field = |at: usize| head.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
        let contents: usize = sizes.iter().take((*num_sizes).into()).map(|size| usize::from(*size)).sum();
        Ok(Some(Self {
            stream: u32::from_le_bytes(field(14)),
            number: u32::from_le_bytes(field(18)),
            is_first: flags & 2 != 0,
            is_last: flags & 4 != 0,
            checksum: u32::from_le_bytes(field(22)),
            header_bytes,
            num_bytes: header_bytes + contents,
        }))
    }
}

/// Whether the last page of a stream of pictures is missing, and all pages that might follow.
pub(super) fn is_ogg_cut(source: &ByteSource) -> io::Result<bool> {
    let mut has_ended: BTreeMap<u32, bool> = BTreeMap::new();
    let mut start = 0;
    while let Some(page) = Page::read(source, start)? {
        if page.is_first && is_of_video(source, start + page.header_bytes as u64)? {
            has_ended.insert(page.stream, false);
        }
        start += page.num_bytes as u64;
        if start > source.num_bytes {
            break;
        }
        if let Some(has_ended) = has_ended.get_mut(&page.stream) {
            *has_ended |= page.is_last;
        }
    }
    Ok(has_ended.values().any(|has_ended| !has_ended) && !source.contains_after(start + 1, b"OggS")?)
}

fn is_of_video(source: &ByteSource, start: u64) -> io::Result<bool> {
    let mut packet = [0; 8];
    source.read_at(start, &mut packet)?;
    Ok(VIDEO_MARKS.iter().any(|mark| packet.starts_with(mark)))
}

/// Whether a page is missing or damaged.
pub(super) fn is_ogg_broken(source: &ByteSource) -> io::Result<bool> {
    let mut next_of_stream: BTreeMap<u32, u32> = BTreeMap::new();
    let mut start = 0;
    loop {
        let Some(head) = Page::read(source, start)? else {
            // Something else may follow the last page.
            return source.contains_after(start + 1, b"OggS");
        };
        let before = next_of_stream.insert(head.stream, head.number.wrapping_add(1));
        if before.is_some_and(|next| next != head.number) && !head.is_first {
            return Ok(true);
        }
        let mut page = vec![0; head.num_bytes];
        // A page that was cut short is the end.
        if source.read_at(start, &mut page)? < page.len() {
            return Ok(false);
        }
        start += page.len() as u64;
        // The checksum counts as zeros in what it is of.
        page.iter_mut().skip(22).take(4).for_each(|byte| *byte = 0);
        if ogg_checksum(&page) != head.checksum {
            return Ok(true);
        }
    }
}

/// CRC-32 of Ogg: the polynomial 0x04c11db7, highest bit first.
fn ogg_checksum(page: &[u8]) -> u32 {
    page.iter().fold(0, |sum: u32, byte| {
        let [high, ..] = (sum ^ u32::from(*byte) << 24).to_be_bytes();
        sum << 8 ^ SUMS.get(usize::from(high)).copied().unwrap_or_default()
    })
}

/// The sum of each byte.
#[expect(clippy::indexing_slicing, reason = "a constant is made while this is compiled")]
const SUMS: [u32; 256] = {
    let mut sums = [0; 256];
    let mut byte = 0;
    while byte < sums.len() {
        let mut sum = (byte as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum >> 31 == 1 { sum << 1 ^ 0x04c1_1db7 } else { sum << 1 };
            bit += 1;
        }
        sums[byte] = sum;
        byte += 1;
    }
    sums
};
