//! Whether pictures are missing from a bare HEVC stream, which has no times: each picture says where in the order of presentation it is
//! (ITU-T H.265, sections 7.3 and 8.3.1).
//!
//! Of other streams nothing is said.

use std::collections::BTreeMap;
use std::io;

use super::bits::Bits;
use super::input::ByteSource;
use super::units::visit_units;

/// A step between pictures that is longer than this many usual ones has room for another.
const LONGEST_STEP: i64 = 2;

/// Whether the order of pictures has gaps.
pub(super) fn lacks_pictures(source: &ByteSource) -> io::Result<bool> {
    let mut order = PictureOrder::default();
    visit_units(source, |unit| _ = order.add(unit))?;
    order.end_sequence();
    Ok(order.has_gap)
}

/// The pictures of a stream in their order.
#[derive(Default)]
struct PictureOrder {
    /// Bits of the lower part of a picture's place, and whether three planes are coded apart: what the stream says of its pictures.
    sequence: Option<(usize, bool)>,
    /// What precedes the place in the header of a slice, by parameter set: whether a flag does, and how many further bits.
    pictures: BTreeMap<u32, (bool, usize)>,
    /// The place of the last picture that places are counted from.
    last: i64,
    /// Whether places are counted from the next picture on.
    is_ended: bool,
    /// The places of the pictures since the last one that refers to nothing before it.
    places: Vec<i64>,
    has_gap: bool,
}

impl PictureOrder {
    /// Reads the beginning of a unit. `None` if it says nothing about the order, or is not understood.
    fn add(&mut self, unit: &[u8]) -> Option<()> {
        let [high, low, rest @ ..] = unit else { return None };
        let (kind, layer, temporal) = (high >> 1 & 63, (high & 1) << 5 | low >> 3, low & 7);
        let mut bits = Bits::of_unit(rest);
        match kind {
            // Layers above the first are other pictures.
            _ if layer > 0 => None,
            0..=9 | 16..=21 => {
                let place = self.place(kind, &mut bits)?;
                let is_referred_to = !matches!(kind, 6..=9) && (kind > 15 || kind % 2 == 1);
                if temporal == 1 && is_referred_to {
                    self.last = place;
                }
                self.places.push(place);
                Some(())
            }
            33 => {
                self.sequence = Some(read_sequence(&mut bits)?);
                Some(())
            }
            34 => {
                let (id, _sequence, _dependent) = (bits.golomb()?, bits.golomb()?, bits.number(1)?);
                let has_flag = bits.number(1)? == 1;
                self.pictures.insert(id, (has_flag, bits.number(3)? as usize));
                Some(())
            }
            36 | 37 => {
                self.is_ended = true;
                Some(())
            }
            _ => None,
        }
    }

    /// The place of the picture whose first slice this is, after those of the sequence that it may end.
    fn place(&mut self, kind: u8, bits: &mut Bits) -> Option<i64> {
        let (place_bits, has_planes) = self.sequence?;
        if bits.number(1)? == 0 {
            return None;
        }
        if kind >= 16 {
            bits.number(1)?;
        }
        let (has_flag, num_further) = *self.pictures.get(&bits.golomb()?)?;
        bits.number(num_further)?;
        let _kind = bits.golomb()?;
        bits.number(usize::from(has_flag))?;
        bits.number(if has_planes { 2 } else { 0 })?;
        let is_alone = matches!(kind, 19 | 20);
        let lower = if is_alone { 0 } else { i64::from(bits.number(place_bits)?) };
        if is_alone || matches!(kind, 16..=18) || std::mem::take(&mut self.is_ended) {
            self.end_sequence();
            return Some(lower);
        }
        // The nearest place to the last one.
        let modulus = 1 << place_bits;
        let step = (lower - self.last).rem_euclid(modulus);
        Some(self.last + if step < modulus / 2 { step } else { step - modulus })
    }

    /// Looks for gaps between the pictures of a sequence.
    fn end_sequence(&mut self) {
        let mut places = std::mem::take(&mut self.places);
        places.sort_unstable();
        let mut steps: Vec<i64> = places.array_windows().map(|[place, next]| next - place).collect();
        steps.sort_unstable();
        let usual = steps.get(steps.len() / 2).copied().unwrap_or(0);
        let (shortest, longest) = (steps.first().copied(), steps.last().copied());
        self.has_gap |= shortest == Some(0) || longest.is_some_and(|longest| longest >= LONGEST_STEP * usual.max(1));
    }
}

/// Bits of the lower part of a picture's place, and whether three planes are coded apart (section 7.3.2.2.1).
fn read_sequence(bits: &mut Bits) -> Option<(usize, bool)> {
    bits.number(4)?;
    let num_sub_layers = bits.number(3)?;
    bits.number(1)?;
    // Profile and level: 96 bits, then those of the lower layers.
    (0..3).try_for_each(|_| bits.number(32).map(drop))?;
    let stated: Vec<(u32, u32)> =
        (0..num_sub_layers).map(|_| Some((bits.number(1)?, bits.number(1)?))).collect::<Option<_>>()?;
    if num_sub_layers > 0 {
        (num_sub_layers..8).try_for_each(|_| bits.number(2).map(drop))?;
    }
    for (has_profile, has_level) in stated {
        for _ in 0..11 * has_profile + has_level {
            bits.number(8)?;
        }
    }
    bits.golomb()?;
    let has_planes = bits.golomb()? == 3 && bits.number(1)? == 1;
    let (_width, _height) = (bits.golomb()?, bits.golomb()?);
    if bits.number(1)? == 1 {
        (0..4).try_for_each(|_| bits.golomb().map(drop))?;
    }
    let (_luma_bits, _color_bits) = (bits.golomb()?, bits.golomb()?);
    let place_bits = bits.golomb()? as usize + 4;
    (place_bits <= 16).then_some((place_bits, has_planes))
}
