//! The chunks of a PNG (ISO/IEC 15948), by the rules of libpng and Pillow.

use flate2::Crc;

use crate::metadata::{exif_from_raw_profile, is_sound_exif};
use crate::policy::Check;
use crate::probe::{PNG_SIGNATURE_BYTES, Text, inflated};

/// Most chunks beside those of pixels: libpng keeps no more.
const MOST_OTHER_CHUNKS: usize = 1_000;

/// Most bytes of texts, inflated: half of what Pillow keeps.
const MOST_TEXT_BYTES: usize = 32 << 20;

/// Most bytes of a single chunk beside those of pixels: libpng allocates no more.
const MOST_CHUNK_BYTES: usize = 8_000_000;

/// The colours of a palette that a byte can name.
const MOST_COLORS: usize = 256;

/// Colours of a palette, by its number in `IHDR`.
const PALETTED: u8 = 3;

/// Size of the content of `IHDR`.
const HEADER_BYTES: usize = 13;

/// Keywords under which Pillow keeps what it needs itself to read or write the image: a text takes its place, and Pillow stops.
const PILLOWS_OWN: [&[u8]; 6] = [b"bbox", b"exif", b"icc_profile", b"interlace", b"transparency", b"xmp"];

/// A chunk and its checksum as stored.
struct Chunk<'a> {
    kind: [u8; 4],
    content: &'a [u8],
    crc: [u8; 4],
}

impl<'a> Chunk<'a> {
    /// The first chunk, and what follows it.
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first_chunk::<4>()?;
        let (content, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        Some((Self { kind: *kind, content, crc: *crc }, rest))
    }

    /// The last chunk of a file that ends inside of its checksum.
    fn split_last(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first_chunk::<4>()?;
        let content = rest.get(..u32::from_be_bytes(*length) as usize)?;
        Some((Self { kind: *kind, content, crc: [0; 4] }, &[]))
    }

    fn is_intact(&self) -> bool {
        crc(self.kind, self.content) == self.crc
    }

    fn write_to(&self, file: &mut Vec<u8>) {
        file.extend_from_slice(&(self.content.len() as u32).to_be_bytes());
        file.extend_from_slice(&self.kind);
        file.extend_from_slice(self.content);
        file.extend_from_slice(&crc(self.kind, self.content));
    }
}

fn crc(kind: [u8; 4], content: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(&kind);
    crc.update(content);
    crc.sum().to_be_bytes()
}

pub(super) fn flaw(bytes: &[u8], check: Check) -> Option<&'static str> {
    let mut rest = bytes.get(PNG_SIGNATURE_BYTES..)?;
    let mut seen = Seen::default();
    while let Some((chunk, next)) = Chunk::split(rest) {
        rest = next;
        // Computing the checksum of pixels takes a tenth of the time of decoding them.
        let is_checked = &chunk.kind != b"IDAT" || check == Check::Decode;
        if is_checked && !chunk.is_intact() {
            return Some("a checksum of a chunk is wrong");
        }
        if &chunk.kind == b"IEND" {
            return (!chunk.content.is_empty() || !seen.has(*b"IDAT")).then_some("its end is not where it should be");
        }
        if let Some(flaw) = seen.flaw(&chunk) {
            return Some(flaw);
        }
    }
    Some("its end is missing")
}

/// What precedes a chunk.
#[derive(Default)]
struct Seen {
    /// Types of chunks, each once.
    kinds: Vec<[u8; 4]>,
    /// The type of the chunk before.
    last: [u8; 4],
    is_paletted: bool,
    num_others: usize,
    num_text_bytes: usize,
}

impl Seen {
    fn has(&self, kind: [u8; 4]) -> bool {
        self.kinds.contains(&kind)
    }

    /// What is wrong with the next chunk at its place.
    fn flaw(&mut self, chunk: &Chunk<'_>) -> Option<&'static str> {
        let misplaced = |is_misplaced: bool| is_misplaced.then_some("its chunks are out of order");
        let Chunk { kind, content, .. } = chunk;
        let previous = std::mem::replace(&mut self.last, *kind);
        let (has_pixels, has_palette, is_repeated) = (self.has(*b"IDAT"), self.has(*b"PLTE"), self.has(*kind));
        if !is_repeated {
            self.kinds.push(*kind);
        }
        self.num_others += usize::from(kind != b"IDAT");
        if self.num_others > MOST_OTHER_CHUNKS || kind != b"IDAT" && content.len() > MOST_CHUNK_BYTES {
            return Some("it has more metadata than readers accept");
        }
        match kind {
            b"IHDR" => {
                self.is_paletted = content.get(9) == Some(&PALETTED);
                let is_first = previous == [0; 4];
                let is_known = matches!(content, [_, _, _, _, _, _, _, _, _, 0 | 2 | 3 | 4 | 6, 0, 0, 0 | 1]);
                (is_repeated || !is_first || !is_known).then_some("its header is unusual")
            }
            b"PLTE" => {
                let (colors, remainder) = content.as_chunks::<3>();
                let is_sound = remainder.is_empty() && (1..=256).contains(&colors.len());
                if is_sound { misplaced(is_repeated || has_pixels) } else { Some("its palette is unusual") }
            }
            b"IDAT" => misplaced(has_pixels && previous != *b"IDAT" || self.is_paletted && !has_palette),
            b"tRNS" => misplaced(has_pixels),
            b"acTL" | b"fcTL" | b"fdAT" => Some("it is part of an animation"),
            [b'A'..=b'Z', ..] => Some("it has a chunk that readers must know and do not"),
            kind if !kind.iter().all(u8::is_ascii_alphabetic) => Some("it has a chunk without a name"),
            b"iCCP" | b"cHRM" | b"gAMA" | b"sRGB" | b"sBIT" if has_pixels || has_palette => misplaced(true),
            b"pHYs" | b"bKGD" | b"hIST" if has_pixels => misplaced(true),
            // Of two, some readers take the first and some the last.
            b"eXIf" if is_repeated => Some("it has EXIF twice"),
            _ => self.flaw_of_metadata(chunk),
        }
    }

    fn flaw_of_metadata(&mut self, chunk: &Chunk<'_>) -> Option<&'static str> {
        let Chunk { kind, content, .. } = chunk;
        let is_sound = match kind {
            b"cHRM" => content.len() == 32,
            b"gAMA" => content.len() == 4,
            b"sRGB" => content.len() == 1,
            b"pHYs" => content.len() == 9,
            b"eXIf" => is_sound_exif(content),
            b"iCCP" => is_sound_profile(content),
            b"tEXt" | b"zTXt" | b"iTXt" => return self.flaw_of_text(chunk),
            _ => true,
        };
        (!is_sound).then_some("its metadata are damaged")
    }

    fn flaw_of_text(&mut self, chunk: &Chunk<'_>) -> Option<&'static str> {
        let text = Text::of_chunk(chunk.kind, chunk.content);
        let Some((keyword, text)) = text.and_then(|text| Some((text.keyword, text.text.inflated()?))) else {
            return Some("a text is damaged, or inflates to more than readers accept");
        };
        self.num_text_bytes += text.len();
        let is_sound = match keyword {
            b"" => false,
            keyword if PILLOWS_OWN.contains(&keyword) => false,
            b"Raw profile type exif" => exif_from_raw_profile(&text).is_some_and(|exif| is_sound_exif(&exif)),
            _ => self.num_text_bytes <= MOST_TEXT_BYTES,
        };
        (!is_sound).then_some("a text is damaged, or there are more than readers accept")
    }
}

/// A name, the method of compression, and a profile that inflates to what readers accept.
fn is_sound_profile(content: &[u8]) -> bool {
    let Some(end) = memchr::memchr(0, content) else { return false };
    matches!(content.get(end + 1..), Some([0, profile @ ..]) if (1..80).contains(&end) && inflated(profile).is_some())
}

/// The file with nothing but what its pixels are made of, in the order that readers expect, and right checksums.
pub(crate) fn cleaned(bytes: &[u8]) -> Option<Vec<u8>> {
    let (signature, mut rest) = bytes.split_at_checked(PNG_SIGNATURE_BYTES)?;
    let (mut header, mut palette, mut pixels) = (None, None, Vec::new());
    while let Some((chunk, next)) = Chunk::split(rest).or_else(|| Chunk::split_last(rest)) {
        rest = next;
        match &chunk.kind {
            b"IHDR" => header = header.or(Some(chunk)),
            b"PLTE" if pixels.is_empty() => palette = Some(chunk),
            b"IDAT" => pixels.push(chunk),
            b"IEND" => break,
            _ => {}
        }
    }
    let mut header: [u8; HEADER_BYTES] = *header?.content.first_chunk()?;
    // There is one method of compression, and readers do not look at its number.
    let [.., color, method, _filter, _interlace] = &mut header;
    *method = 0;
    let palette = palette.filter(|_| *color == PALETTED).map(|palette| {
        let num_colors = (palette.content.len() / 3).min(MOST_COLORS);
        Chunk { content: palette.content.get(..num_colors * 3).unwrap_or_default(), ..palette }
    });
    let mut file = Vec::with_capacity(bytes.len());
    file.extend_from_slice(signature);
    let [header, end] =
        [(*b"IHDR", &header[..]), (*b"IEND", &[])].map(|(kind, content)| Chunk { kind, content, crc: [0; 4] });
    [header].iter().chain(&palette).chain(&pixels).chain([&end]).for_each(|chunk| chunk.write_to(&mut file));
    Some(file)
}
