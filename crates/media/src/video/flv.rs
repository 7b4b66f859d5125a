//! FLV files: tags that follow each other, each before its size.

use std::io;

use super::input::{ByteSource, HEAD_BYTES};

/// Bytes of a tag before its contents.
const TAG_HEADER_BYTES: u64 = 11;

/// Seconds between the last time and the stated end, if nothing is missing: the duration of what is shown then.
const LAST_TAG_S: f64 = 0.1;

/// Whether the file should have more bytes than it has: it ends with a whole tag and its size, and may state its own size.
pub(super) fn is_flv_cut(source: &ByteSource, head: &[u8]) -> io::Result<bool> {
    let is_larger = stated(head, b"filesize\0").is_some_and(|num_bytes| num_bytes > source.num_bytes as f64);
    // Something else may follow the last tag.
    Ok(is_larger || (!ends_with_tag(source)? && Tags::read(source)?.end == TagsEnd::Cut))
}

/// The duration that its description states, in seconds.
pub(super) fn flv_duration_s(head: &[u8]) -> Option<f64> {
    stated(head, b"duration\0")
}

/// Whether something that is no tag is between tags, or in place of the last ones, or pictures are said to be of several codecs.
/// What follows the last tag is no part of the file.
pub(super) fn is_flv_broken(source: &ByteSource) -> io::Result<bool> {
    let tags = Tags::read(source)?;
    if tags.has_several_codecs {
        return Ok(true);
    }
    if tags.end != TagsEnd::Lost {
        return Ok(false);
    }
    let mut head = vec![0; HEAD_BYTES];
    let num_bytes = source.read_at(0, &mut head)?;
    head.truncate(num_bytes);
    // Of a file that has the bytes it states, nothing follows the last tag.
    let states_end = stated(&head, b"filesize\0").is_some_and(|num_bytes| num_bytes >= source.num_bytes as f64);
    let ends_early = flv_duration_s(&head).is_some_and(|end_s| tags.last_time_s + LAST_TAG_S < end_s);
    Ok(states_end || ends_early || ends_with_tag(source)?)
}

/// A number of the description that is greater than 0.
fn stated(head: &[u8], name: &[u8]) -> Option<f64> {
    let number = head.get(memchr::memmem::find(head, name)? + name.len()..)?.first_chunk()?;
    Some(f64::from_be_bytes(*number)).filter(|number| *number > 0.0)
}

/// Whether the file ends with a whole tag.
fn ends_with_tag(source: &ByteSource) -> io::Result<bool> {
    let mut last = [0; 4];
    source.read_at(source.num_bytes.saturating_sub(4), &mut last)?;
    let tag_bytes = u64::from(u32::from_be_bytes(last));
    let Some(start) = source.num_bytes.checked_sub(tag_bytes + 4) else { return Ok(false) };
    let mut tag = [0; 4];
    source.read_at(start, &mut tag)?;
    let [kind, size @ ..] = tag;
    let [high, middle, low] = size.map(u64::from);
    Ok(is_tag(kind) && tag_bytes == (high << 16 | middle << 8 | low) + TAG_HEADER_BYTES)
}

/// Sound, pictures or data, encrypted or not.
fn is_tag(kind: u8) -> bool {
    matches!(kind & 0x1f, 8 | 9 | 18)
}

/// The tags of a file.
struct Tags {
    end: TagsEnd,
    /// The time of that which is shown last.
    last_time_s: f64,
    /// Whether pictures are said to be of several codecs, of which only the first is read.
    has_several_codecs: bool,
}

/// How the tags of a file end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TagsEnd {
    /// With the file.
    Whole,
    /// One is longer than the file.
    Cut,
    /// Something follows that is not a tag.
    Lost,
}

impl Tags {
    /// Reads the headers of tags, each of which is followed by its size.
    fn read(source: &ByteSource) -> io::Result<Self> {
        let (mut start, mut before, mut last_time_s) = (9, 0, 0.0);
        let (mut codec, mut has_several_codecs) = (None, false);
        loop {
            let end = |end| Ok(Self { end, last_time_s, has_several_codecs });
            let mut head = [0; 16];
            let num_bytes = source.read_at(start, &mut head)?;
            let [size_before @ .., kind, high, middle, low, t0, t1, t2, t3, s0, s1, s2, first] = head;
            if num_bytes < size_before.len() {
                return end(TagsEnd::Cut);
            }
            if start > 9 && u64::from(u32::from_be_bytes(size_before)) != before {
                return end(TagsEnd::Lost);
            }
            if num_bytes == size_before.len() {
                return end(TagsEnd::Whole);
            }
            if !is_tag(kind) {
                return end(TagsEnd::Lost);
            }
            before = (u64::from(high) << 16 | u64::from(middle) << 8 | u64::from(low)) + TAG_HEADER_BYTES;
            start += 4 + before;
            // Of a tag, the number of its stream is 0.
            if start > source.num_bytes && (s0, s1, s2) != (0, 0, 0) {
                return end(TagsEnd::Lost);
            }
            if kind & 0x3f == 9 && before > TAG_HEADER_BYTES {
                // A name of four letters instead of a number is announced by the first bit.
                let of_picture = if first & 0x80 == 0 { first & 15 } else { 0x80 };
                has_several_codecs |= *codec.get_or_insert(of_picture) != of_picture;
            }
            // The highest byte of the time, in milliseconds, comes last.
            last_time_s = f64::max(last_time_s, f64::from(u32::from_be_bytes([t3, t0, t1, t2])) / 1000.0);
        }
    }
}
