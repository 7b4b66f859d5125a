//! Whether the codes of a GIF's images are those of all their pixels. FFmpeg takes what there is, and shows the picture before in
//! place of the rest.

use weezl::decode::Configuration;
use weezl::{BitOrder, LzwStatus};

/// Pixels that are decoded at once.
const CHUNK_PIXELS: usize = 1 << 14;

/// More pixels than any decoder is allowed to make.
const MOST_PIXELS: usize = 1 << 28;

/// Bytes after the last pixel that are no pixels: the code that ends them, and what fills up.
const MOST_LEFT_BYTES: usize = 16;

/// Codes have at most so many bits when they begin.
const MOST_CODE_BITS: u8 = 8;

/// Whether the codes of an image in a packet end before its last pixel, or go on after it.
pub(super) fn lacks_pixels(packet: &[u8]) -> bool {
    images(packet).any(|image| image.lacks_pixels())
}

/// An image with its codes.
struct CodedImage {
    num_pixels: usize,
    /// How many bits a pixel has.
    bits: u8,
    codes: Vec<u8>,
}

impl CodedImage {
    fn lacks_pixels(&self) -> bool {
        let Self { num_pixels, bits, ref codes } = *self;
        if num_pixels > MOST_PIXELS || !(1..=MOST_CODE_BITS).contains(&bits) {
            // A decoder refuses it.
            return false;
        }
        let mut decoder = Configuration::new(BitOrder::Lsb, bits).with_yield_on_full_buffer(true).build();
        let mut pixels = vec![0; CHUNK_PIXELS];
        let (mut num_decoded, mut rest) = (0, &codes[..]);
        while num_decoded < num_pixels {
            let (chunk, _) = pixels.split_at_mut(CHUNK_PIXELS.min(num_pixels - num_decoded));
            let result = decoder.decode_bytes(rest, chunk);
            num_decoded += result.consumed_out;
            rest = rest.get(result.consumed_in..).unwrap_or_default();
            match result.status {
                Ok(LzwStatus::Ok) if result.consumed_in + result.consumed_out > 0 => {}
                _ => break,
            }
        }
        num_decoded < num_pixels || rest.len() > MOST_LEFT_BYTES
    }
}

/// The images in a packet. Ends where it is no GIF any more.
fn images(packet: &[u8]) -> impl Iterator<Item = CodedImage> {
    let mut rest = after_screen(packet).unwrap_or_default();
    std::iter::from_fn(move || {
        loop {
            let (&kind, after) = rest.split_first()?;
            match kind {
                // An extension: its label, then blocks.
                0x21 => rest = after_blocks(after.get(1..)?, &mut Vec::new()),
                // An image: its frame, colours and code size, then blocks.
                0x2c => {
                    let &[_, _, _, _, w0, w1, h0, h1, flags] = after.first_chunk()?;
                    let [width, height] = [[w0, w1], [h0, h1]].map(|side| usize::from(u16::from_le_bytes(side)));
                    let (&bits, blocks) = after.get(9 + colour_bytes(flags)..)?.split_first()?;
                    let mut codes = Vec::new();
                    rest = after_blocks(blocks, &mut codes);
                    return Some(CodedImage { num_pixels: width * height, bits, codes });
                }
                _ => return None,
            }
        }
    })
}

/// What follows the header of a file, which its first packet has.
fn after_screen(packet: &[u8]) -> Option<&[u8]> {
    if !packet.starts_with(b"GIF8") {
        return Some(packet);
    }
    packet.get(13 + colour_bytes(*packet.get(10)?)..)
}

fn colour_bytes(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

/// What follows blocks, whose contents are added to `contents`.
fn after_blocks<'a>(mut bytes: &'a [u8], contents: &mut Vec<u8>) -> &'a [u8] {
    while let Some((&num_bytes, rest)) = bytes.split_first() {
        let (block, rest) = rest.split_at(rest.len().min(num_bytes.into()));
        contents.extend(block);
        bytes = rest;
        if num_bytes == 0 {
            break;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet with an image of 30×20 pixels of one colour, whose codes are those of so many.
    fn packet(num_pixels: usize, more: &[u8]) -> Vec<u8> {
        let pixels: Vec<u8> = (0..num_pixels).map(|at| (at * at % 4) as u8).collect();
        let codes = weezl::encode::Encoder::new(BitOrder::Lsb, 2).encode(&pixels).unwrap();
        let codes = [&codes, more].concat();
        let blocks = codes.chunks(50).flat_map(|block| [&[block.len() as u8], block].concat());
        let blocks: Vec<u8> = blocks.chain([0]).collect();
        [b"\x21\xf9\x04\0\0\0\0\0".as_slice(), b"\x2c\0\0\0\0\x1e\0\x14\0\0\x02", &blocks].concat()
    }

    #[test]
    fn an_image_has_codes_for_all_its_pixels_and_no_more() {
        assert!(!lacks_pixels(&packet(600, &[])));
        assert!(!lacks_pixels(&packet(600, &[0])));
        assert!(lacks_pixels(&packet(599, &[])));
        assert!(lacks_pixels(&packet(5000, &[])));
        assert!(lacks_pixels(&packet(600, &[0xff; 60])));
        let first = [&b"GIF89a\x1e\0\x14\0\x80\0\0"[..], &[0; 6], &packet(600, &[])].concat();
        assert!(!lacks_pixels(&first));
        assert!(lacks_pixels(&first[..first.len() - 12]));
        assert!(!lacks_pixels(&[]) && !lacks_pixels(b"GIF89a") && !lacks_pixels(&[0x2c, 0]));
    }
}
