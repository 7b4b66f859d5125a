//! Motion JPEG in AVI (RIFF): JPEGs as a video file, as they are, for readers that take nothing but videos.
//!
//! `RIFF AVI { LIST hdrl { avih, LIST strl { strh, strf } }, LIST movi { 00dc … }, idx1 }`, with all numbers in little-endian order.

use std::io::{self, Write};

/// Length of a header of a chunk: a name and a size.
const HEADER_BYTES: usize = 8;
/// `AVIF_HASINDEX`.
const HAS_INDEX: u32 = 0x10;
/// `AVIIF_KEYFRAME`.
const KEYFRAME: u32 = 0x10;
/// Denominator of times, in ticks a second.
const TICKS: u32 = 1_000_000;

/// Writes JPEGs of one size as a video that shows each for `interval_s` seconds.
///
/// # Errors
/// If writing fails, or there is more than a file of this kind can hold: 2 GiB.
pub fn write_motion_jpeg(
    file: &mut dyn Write,
    frames: &[&[u8]],
    (size_px, interval_s): ((u32, u32), f64),
) -> io::Result<()> {
    let mut movi = b"movi".to_vec();
    let mut index = Vec::new();
    for frame in frames {
        let numbers = [KEYFRAME, length(movi.len())?, length(frame.len())?];
        index.extend(b"00dc");
        index.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        movi.extend(chunk(*b"00dc", frame)?);
    }
    let mut body = b"AVI ".to_vec();
    body.extend(chunk(*b"LIST", &headers(frames, size_px, interval_s)?)?);
    body.extend(chunk(*b"LIST", &movi)?);
    body.extend(chunk(*b"idx1", &index)?);
    file.write_all(&chunk(*b"RIFF", &body)?)
}

/// The list of headers.
fn headers(frames: &[&[u8]], (width_px, height_px): (u32, u32), interval_s: f64) -> io::Result<Vec<u8>> {
    // The cast saturates.
    let ticks = (interval_s * f64::from(TICKS)).round() as u32;
    let (num_frames, largest) =
        (length(frames.len())?, length(frames.iter().map(|frame| frame.len()).max().unwrap_or(0))?);
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let main = words(&[ticks, 0, 0, HAS_INDEX, num_frames, 0, 1, largest, width_px, height_px, 0, 0, 0, 0]);
    let mut stream = b"vidsMJPG".to_vec();
    stream.extend(words(&[0, 0, 0, ticks, TICKS, 0, num_frames, largest, u32::MAX, 0]));
    // The rectangle in which the stream is shown: left, top, right, bottom.
    let right_bottom = [width_px, height_px].map(|side| u16::try_from(side).unwrap_or(u16::MAX));
    stream.extend([0, 0, right_bottom[0], right_bottom[1]].iter().flat_map(|side: &u16| side.to_le_bytes()));
    let mut format = words(&[40, width_px, height_px]);
    format.extend([1, 0, 24, 0]);
    format.extend(b"MJPG");
    format.extend(words(&[width_px.saturating_mul(height_px).saturating_mul(3), 0, 0, 0, 0]));
    let mut of_stream = b"strl".to_vec();
    of_stream.extend(chunk(*b"strh", &stream)?);
    of_stream.extend(chunk(*b"strf", &format)?);
    let mut list = b"hdrl".to_vec();
    list.extend(chunk(*b"avih", &main)?);
    list.extend(chunk(*b"LIST", &of_stream)?);
    Ok(list)
}

/// A chunk, with a byte after an odd number of them.
fn chunk(name: [u8; 4], content: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + content.len() + 1);
    bytes.extend(name);
    bytes.extend(length(content.len())?.to_le_bytes());
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    Ok(bytes)
}

fn length(number: usize) -> io::Result<u32> {
    let fits = u32::try_from(number).ok().filter(|number| *number < 1 << 31);
    fits.ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, "a video of more than 2 GiB"))
}
