//! Whether pictures are missing from a stream of H.264: pictures that others refer to are numbered (ITU-T H.264, sections 7.3 and 7.4.3).
//!
//! Nothing is said of pictures that no other refers to, and of what is missing before a picture where decoding can begin: streams are
//! cut and joined there.

use std::collections::BTreeMap;
use std::io;

use ffmpeg_next::codec::Id;

use super::bits::Bits;
use super::input::ByteSource;
use super::units::{Framing, bare_units, sized_units, visit_units};

/// Bytes of a slice that hold what is read of it.
const SLICE_BYTES: usize = 24;

/// Bytes of another unit that hold what is read of it.
const UNIT_BYTES: usize = 500;

/// The message that decoding can begin at the next picture (section D.1.8).
const RECOVERY_POINT: usize = 6;

/// A stream in which more than one number in so many follows no other is numbered in another way.
const LEAST_NUMBERS_PER_GAP: usize = 4;

/// Whether numbers are missing between the pictures of a bare stream.
pub(super) fn lacks_pictures(source: &ByteSource) -> io::Result<bool> {
    let mut numbers = PictureNumbers::default();
    visit_units(source, |unit| numbers.add(unit))?;
    Ok(numbers.have_gaps())
}

/// What a sequence parameter set says of the pictures that use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sequence {
    id: u32,
    /// Bits of the number of a picture.
    number_bits: usize,
    /// Whether three planes are coded apart.
    has_planes: bool,
    /// Whether numbers may be left out.
    has_gaps: bool,
    /// Whether no picture is of one field.
    pub(super) is_frames_only: bool,
}

impl Sequence {
    /// Reads a sequence parameter set, whose first byte says that it is one (section 7.3.2.1.1).
    pub(super) fn of_unit(unit: &[u8]) -> Option<Self> {
        const WITH_CHROMA_FORMAT: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
        let mut bits = Bits::of_unit(unit.get(1..)?);
        let profile = bits.number(8)?;
        bits.number(16)?;
        let id = bits.golomb()?;
        let mut has_planes = false;
        if WITH_CHROMA_FORMAT.contains(&profile) {
            let chroma_format = bits.golomb()?;
            if chroma_format == 3 {
                has_planes = bits.number(1)? == 1;
            }
            bits.golomb()?;
            bits.golomb()?;
            bits.number(1)?;
            if bits.number(1)? == 1 {
                for list in 0..if chroma_format == 3 { 12 } else { 8 } {
                    if bits.number(1)? == 1 {
                        bits.skip_scaling_list(if list < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }
        let number_bits = bits.golomb()? as usize + 4;
        match bits.golomb()? {
            0 => _ = bits.golomb()?,
            1 => {
                bits.number(1)?;
                bits.golomb()?;
                bits.golomb()?;
                for _ in 0..bits.golomb()?.min(255) {
                    bits.golomb()?;
                }
            }
            _ => {}
        }
        bits.golomb()?;
        let has_gaps = bits.number(1)? == 1;
        bits.golomb()?;
        bits.golomb()?;
        let is_frames_only = bits.number(1)? == 1;
        (number_bits <= 16).then_some(Self { id, number_bits, has_planes, has_gaps, is_frames_only })
    }
}

/// What is known of the numbers before a picture.
#[derive(Debug, Clone, Copy)]
struct Before {
    sequence: Sequence,
    /// The number of the last picture that others refer to.
    number: u32,
    /// Whether what follows has to go on from there. After a picture where decoding can begin, but for one that all begins with, those
    /// may have been left out that are shown before it.
    is_settled: bool,
}

/// The numbers of the pictures of a stream, in the order of decoding.
#[derive(Debug, Default)]
pub(super) struct PictureNumbers {
    sequences: BTreeMap<u32, Sequence>,
    /// The sequence parameter set of each picture parameter set.
    pictures: BTreeMap<u32, u32>,
    before: Option<Before>,
    /// Whether decoding can begin at the next picture.
    can_begin: bool,
    /// Whether pictures are numbered in another way.
    is_strange: bool,
    num_numbers: usize,
    num_gaps: usize,
}

impl PictureNumbers {
    /// Whether numbers are missing.
    pub(super) fn have_gaps(&self) -> bool {
        !self.is_strange && self.num_gaps > 0 && self.num_gaps * LEAST_NUMBERS_PER_GAP <= self.num_numbers
    }

    /// Reads the parameter sets that a container keeps apart from packets (ISO/IEC 14496-15, section 5.3.3.1, or units of a bare
    /// stream).
    pub(super) fn add_headers(&mut self, headers: &[u8]) {
        const SIZE_BYTES: usize = 2;
        let [1, _, _, _, _, num_sequences, sets @ ..] = headers else {
            return bare_units(headers).for_each(|unit| self.add(unit));
        };
        let mut rest = sets;
        let num_sequences = usize::from(num_sequences & 31);
        for unit in sized_units(rest, SIZE_BYTES).take(num_sequences) {
            self.add(unit);
            rest = rest.get(SIZE_BYTES + unit.len()..).unwrap_or_default();
        }
        if let Some((&num_pictures, rest)) = rest.split_first() {
            sized_units(rest, SIZE_BYTES).take(num_pictures.into()).for_each(|unit| self.add(unit));
        }
    }

    /// Reads a packet. Returns whether pictures are missing before it. `headers` are those that the container keeps apart.
    pub(super) fn add_packet(&mut self, headers: &[u8], packet: &[u8]) -> bool {
        let num_gaps = self.num_gaps;
        match Framing::of(Id::H264, headers) {
            Framing::Sizes(size_bytes) => sized_units(packet, size_bytes).for_each(|unit| self.add(unit)),
            Framing::StartCodes => bare_units(packet).for_each(|unit| self.add(unit)),
            Framing::Unknown => {}
        }
        self.num_gaps > num_gaps
    }

    /// Decoding begins at the next picture, or may do so.
    pub(super) fn begin(&mut self) {
        self.can_begin = true;
    }

    /// Reads the beginning of a unit.
    pub(super) fn add(&mut self, unit: &[u8]) {
        let unit = unit.get(..UNIT_BYTES).unwrap_or(unit);
        let Some((&head, contents)) = unit.split_first() else { return };
        let is_referred_to = head >> 5 & 3 > 0;
        match head & 31 {
            kind @ (1 | 2 | 5) => {
                let slice = self.slice(contents.get(..SLICE_BYTES).unwrap_or(contents));
                let can_begin = std::mem::take(&mut self.can_begin);
                self.before = match slice {
                    Some(slice) if kind == 5 => Some(self.first(&slice)),
                    Some(slice) => {
                        self.next(&Slice { can_begin: slice.can_begin || can_begin, ..slice }, is_referred_to)
                    }
                    None => None,
                };
            }
            6 => self.can_begin |= may_be_recovery_point(contents),
            // What is not understood may take the place of any.
            7 => match Sequence::of_unit(unit) {
                Some(sequence) => _ = self.sequences.insert(sequence.id, sequence),
                None => self.sequences.clear(),
            },
            8 => match sequence_of_picture(contents) {
                Some((id, sequence)) => _ = self.pictures.insert(id, sequence),
                None => self.pictures.clear(),
            },
            // The end of a sequence, or of a stream.
            10 | 11 => self.before = None,
            _ => {}
        }
    }

    fn slice(&self, contents: &[u8]) -> Option<Slice> {
        let mut bits = Bits::of_unit(contents);
        let (_first_block, kind, picture) = (bits.golomb()?, bits.golomb()?, bits.golomb()?);
        let sequence = *self.sequences.get(self.pictures.get(&picture)?)?;
        bits.number(if sequence.has_planes { 2 } else { 0 })?;
        let number = bits.number(sequence.number_bits)?;
        Some(Slice { sequence, number, can_begin: matches!(kind % 5, 2 | 4), is_b: kind % 5 == 1 })
    }

    /// A slice of a picture that all begins with.
    fn first(&mut self, slice: &Slice) -> Before {
        self.is_strange |= slice.number != 0;
        Before { sequence: slice.sequence, number: slice.number, is_settled: true }
    }

    /// A slice of another picture: its number is the last one, where it is another part of the same picture, or the next one.
    fn next(&mut self, slice: &Slice, is_referred_to: bool) -> Option<Before> {
        let &Slice { sequence, number, can_begin, is_b } = slice;
        let Some(before) = self.before.filter(|before| !can_begin && before.sequence == sequence) else {
            return is_referred_to.then_some(Before { sequence, number, is_settled: false });
        };
        let modulus = 1 << sequence.number_bits;
        let step = (number + modulus - before.number) % modulus;
        if !before.is_settled {
            let is_settled = is_referred_to && !is_b && step > 0;
            let number = if is_referred_to { number } else { before.number };
            return Some(Before { number, is_settled, ..before });
        }
        self.num_numbers += usize::from(step > 0 && is_referred_to);
        // A picture can say that its number is to be taken for 0 once it is decoded (section 7.4.3.3).
        let is_gap = step > 1 && number > 1 && !sequence.has_gaps && !self.is_strange;
        self.num_gaps += usize::from(is_gap);
        let number = match (is_referred_to, is_gap) {
            (true, _) => number,
            (false, true) => number - 1,
            (false, false) => before.number,
        };
        Some(Before { number, ..before })
    }
}

/// The beginning of a slice (section 7.3.3).
#[derive(Debug, Clone, Copy)]
struct Slice {
    sequence: Sequence,
    /// The number of its picture.
    number: u32,
    /// Whether decoding can begin at its picture, as far as it can tell.
    can_begin: bool,
    is_b: bool,
}

/// The number of a picture parameter set, and of its sequence parameter set (section 7.3.2.2).
fn sequence_of_picture(contents: &[u8]) -> Option<(u32, u32)> {
    let mut bits = Bits::of_unit(contents);
    Some((bits.golomb()?, bits.golomb()?))
}

/// Whether a unit of messages says that decoding can begin at the next picture, or is longer than what is there of it (section 7.3.2.3).
fn may_be_recovery_point(messages: &[u8]) -> bool {
    /// One bit and zeros end a unit.
    const END: usize = 0x80;
    let mut bits = Bits::of_unit(messages);
    loop {
        match message_number(&mut bits) {
            Some(END) => return false,
            None | Some(RECOVERY_POINT) => return true,
            Some(_) => {}
        }
        let Some(num_bytes) = message_number(&mut bits) else { return true };
        if (0..num_bytes).any(|_| bits.number(8).is_none()) {
            return true;
        }
    }
}

/// A number in bytes, of which all but the last are 255.
fn message_number(bits: &mut Bits) -> Option<usize> {
    let mut number = 0;
    loop {
        let byte = bits.number(8)? as usize;
        number += byte;
        if byte < 255 {
            return Some(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits of a unit, as text, after its first byte.
    fn unit(head: u8, bits: &str) -> Vec<u8> {
        let bits: Vec<u8> = bits.bytes().filter(|bit| *bit != b' ').map(|bit| bit - b'0').collect();
        let byte = |bits: &[u8]| bits.iter().enumerate().fold(0, |byte, (place, bit)| byte | bit << (7 - place));
        std::iter::once(head).chain(bits.chunks(8).map(byte)).collect()
    }

    const SEQUENCE: u8 = 0x67;
    const PICTURE: u8 = 0x68;
    /// A slice of a picture that all begins with.
    const FIRST: u8 = 0x65;
    /// A slice of a picture that others refer to, and of one that none does.
    const REFERENCE: u8 = 0x41;
    const OTHER: u8 = 1;
    /// Kinds of slices.
    const P: &str = "1";
    const B: &str = "010";
    const I: &str = "011";

    /// A slice: its first byte, kind and number.
    type Sketch = (u8, &'static str, u32);

    /// Numbers of four bits in a stream of frames. `gaps` says whether numbers may be left out.
    fn stream(gaps: u8) -> PictureNumbers {
        let mut numbers = PictureNumbers::default();
        // Profile, flags and level; set 0; bits and order of numbers; one reference; gaps; size; frames only.
        numbers.add(&unit(SEQUENCE, &format!("01000010 00000000 00011110 1 1 011 010 {gaps} 1 1 1")));
        numbers.add(&unit(PICTURE, "1 1 1 1"));
        numbers.add(&slice((FIRST, I, 0)));
        numbers
    }

    fn slice((head, kind, number): Sketch) -> Vec<u8> {
        unit(head, &format!("1 {kind} 1 {number:04b} 1111"))
    }

    /// Which of these slices follow a gap.
    fn gaps_of(numbers: &mut PictureNumbers, slices: &[Sketch]) -> Vec<usize> {
        let mut follows_gap = |&sketch: &Sketch| {
            let before = numbers.num_gaps;
            numbers.add(&slice(sketch));
            numbers.num_gaps > before
        };
        let found: Vec<bool> = slices.iter().map(&mut follows_gap).collect();
        (0..slices.len()).filter(|&position| found[position]).collect()
    }

    #[test]
    fn numbers_go_on_from_the_last_picture_that_others_refer_to() {
        let fields = [(REFERENCE, P, 1), (REFERENCE, P, 1), (REFERENCE, P, 2), (OTHER, P, 2)];
        assert_eq!(gaps_of(&mut stream(0), &fields), [0; 0]);
        let b_pictures = [(REFERENCE, P, 1), (OTHER, B, 2), (OTHER, B, 2), (REFERENCE, P, 2), (REFERENCE, B, 3)];
        assert_eq!(gaps_of(&mut stream(0), &b_pictures), [0; 0]);
        let wraps: Vec<Sketch> = (1..40).map(|number| (REFERENCE, P, number % 16)).collect();
        assert_eq!(gaps_of(&mut stream(0), &wraps), [0; 0]);
        let again = [(REFERENCE, P, 1), (FIRST, I, 0), (REFERENCE, P, 1)];
        assert_eq!(gaps_of(&mut stream(0), &again), [0; 0]);
    }

    #[test]
    fn a_number_that_is_missing_is_a_gap() {
        assert_eq!(gaps_of(&mut stream(0), &[(REFERENCE, P, 1), (REFERENCE, P, 3), (REFERENCE, P, 4)]), [1]);
        // Each of its slices is missing, and pictures that no other refers to have the number of the next one.
        let lost = [(REFERENCE, P, 1), (OTHER, B, 3), (OTHER, B, 3), (REFERENCE, P, 3), (OTHER, B, 4)];
        assert_eq!(gaps_of(&mut stream(0), &lost), [1]);
        let mut long = stream(0);
        let numbers: Vec<Sketch> =
            (1..40).filter(|number| *number != 22).map(|number| (REFERENCE, P, number % 16)).collect();
        assert_eq!(gaps_of(&mut long, &numbers), [21]);
        assert!(long.have_gaps());
    }

    #[test]
    fn where_numbers_may_be_left_out_or_start_again_nothing_is_missing() {
        assert_eq!(gaps_of(&mut stream(1), &[(REFERENCE, P, 1), (REFERENCE, P, 5)]), [0; 0]);
        // A picture may say that its number is 0 afterwards.
        assert_eq!(gaps_of(&mut stream(0), &[(REFERENCE, P, 1), (REFERENCE, P, 2), (REFERENCE, P, 1)]), [0; 0]);
        for begins in [unit(6, "00000110 00000001 11000000 1"), unit(10, ""), unit(11, "")] {
            let mut joined = stream(0);
            joined.add(&begins);
            assert_eq!(gaps_of(&mut joined, &[(REFERENCE, P, 9), (REFERENCE, P, 10), (REFERENCE, P, 13)]), [2]);
        }
        // Those that are shown before a keyframe may be left out.
        let open = [(REFERENCE, I, 7), (REFERENCE, P, 10), (REFERENCE, P, 11), (REFERENCE, P, 13)];
        assert_eq!(gaps_of(&mut stream(0), &open), [3]);
        let shown_before = [(REFERENCE, I, 7), (REFERENCE, B, 9), (OTHER, B, 10), (REFERENCE, P, 11), (OTHER, B, 12)];
        assert_eq!(gaps_of(&mut stream(0), &shown_before), [0; 0]);
    }

    #[test]
    fn who_numbers_in_another_way_loses_nothing() {
        let mut all_counted = stream(0);
        let pictures = (1..15).map(|number| if number % 3 == 1 { (REFERENCE, P, number) } else { (OTHER, B, number) });
        gaps_of(&mut all_counted, &pictures.collect::<Vec<_>>());
        assert!(all_counted.num_gaps > 0 && !all_counted.have_gaps());
        let mut never_0 = stream(0);
        assert_eq!(gaps_of(&mut never_0, &[(REFERENCE, P, 1), (FIRST, I, 2), (REFERENCE, P, 9)]), [0; 0]);
    }

    #[test]
    fn a_parameter_set_that_is_not_understood_ends_what_is_known() {
        for head in [SEQUENCE, PICTURE] {
            let mut numbers = stream(0);
            numbers.add(&[head]);
            assert_eq!(gaps_of(&mut numbers, &[(REFERENCE, P, 1), (REFERENCE, P, 9)]), [0; 0]);
        }
    }

    #[test]
    fn messages_are_read_one_after_another() {
        // One of three bytes, and one of 256 whose size takes two.
        let first = [4, 3, 6, 1, 1];
        let long = [&[5, 255, 1][..], &[9; 256]].concat();
        assert!(!may_be_recovery_point(&[&first[..], &long, &[0x80]].concat()));
        assert!(may_be_recovery_point(&[&first[..], &long, &[6, 1, 0xc0, 0x80]].concat()));
        assert!(may_be_recovery_point(&long[..200]));
    }

    #[test]
    fn headers_that_a_container_keeps_apart_are_read() {
        let stream_units = [unit(SEQUENCE, "01000010 00000000 00011110 1 1 011 010 0 1 1 1"), unit(PICTURE, "1 1 1 1")];
        let sized = |unit: &Vec<u8>| [&[0, unit.len() as u8][..], unit].concat();
        let listed =
            [&[1, 66, 0, 30, 0xff, 0xe1][..], &sized(&stream_units[0]), &[1], &sized(&stream_units[1])].concat();
        let bare = stream_units.iter().flat_map(|unit| [&[0, 0, 0, 1][..], unit].concat()).collect::<Vec<u8>>();
        let pictures: [Sketch; 6] = [
            (FIRST, I, 0),
            (REFERENCE, P, 1),
            (REFERENCE, P, 2),
            (REFERENCE, P, 3),
            (REFERENCE, P, 4),
            (REFERENCE, P, 6),
        ];
        for headers in [listed, bare] {
            let mut numbers = PictureNumbers::default();
            numbers.add_headers(&headers);
            let found = pictures.map(|sketch| {
                let unit = slice(sketch);
                let before = if headers[0] == 1 { [0, 0, 0, unit.len() as u8] } else { [0, 0, 0, 1] };
                numbers.add_packet(&headers, &[&before[..], &unit].concat())
            });
            assert_eq!(found, [false, false, false, false, false, true]);
        }
    }
}
