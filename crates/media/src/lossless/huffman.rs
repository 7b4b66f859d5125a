//! Huffman codes of a JPEG (ITU-T T.81, annex C): read, completed and written.

use super::bits::BitWriter;

/// Most bits of a code.
const MAX_BITS: usize = 16;
/// Bits by which the next symbols are looked up.
const LOOKUP_BITS: u32 = 12;
/// Largest size of a difference and of a coefficient, in bits, of samples of 8 bits.
pub(super) const MAX_DC_BITS: u8 = 11;
pub(super) const MAX_AC_BITS: u8 = 10;
/// No further coefficient, and sixteen that are zero.
pub(super) const END_OF_BLOCK: u8 = 0;
pub(super) const SIXTEEN_ZEROS: u8 = 0xf0;

/// A code as a file states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HuffmanCode {
    /// How many codes have 1, 2, … 16 bits.
    counts: [u8; MAX_BITS],
    /// Symbols in the order of their codes.
    symbols: Vec<u8>,
}

/// Reads symbols.
pub(super) struct HuffmanDecoder {
    /// By length: codes, with ones behind them, are below this bound.
    bounds: [u32; MAX_BITS],
    /// By length: the place of a code's symbol, less the code.
    offsets: [i32; MAX_BITS],
    symbols: Vec<u8>,
    /// The number of bits of a code, and its symbol, by the next bits; no bits where codes are longer.
    lookup: Vec<(u8, u8)>,
}

/// What the next bits say of the coefficients of a block: how many bits they take, how many they are, and whether the block ends
/// with them. In two bytes, so that the tables stay in the fastest cache.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step(u16);

impl Step {
    /// They have to be looked at one by one: more bits than there are.
    const UNKNOWN: Self = Self(0xff00);
    const END: u16 = 64;

    fn new(num_bits: u8, num_coefficients: u16, is_last: bool) -> Self {
        match num_coefficients {
            _ if num_bits == 0 => Self::UNKNOWN,
            0..64 => Self((u16::from(num_bits) << 8) + u16::from(is_last) * Self::END + num_coefficients),
            _ => Self::UNKNOWN,
        }
    }

    #[inline]
    pub(super) fn num_bits(self) -> u32 {
        u32::from(self.0 >> 8)
    }

    #[inline]
    pub(super) fn num_coefficients(self) -> u32 {
        u32::from(self.0 % Self::END)
    }

    #[inline]
    pub(super) fn is_last(self) -> bool {
        self.0 & Self::END != 0
    }
}

/// A coefficient, or the end of a block.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ReadCoefficient {
    /// Bits of its code and of its value; 0 if it has to be looked at symbol by symbol.
    pub(super) num_bits: u8,
    /// How many coefficients it ends, zeros before it included; [`Self::REST`] at the end of a block.
    pub(super) num_coefficients: u8,
    pub(super) value: i16,
}

impl ReadCoefficient {
    /// More coefficients than any other symbol ends.
    pub(super) const REST: u8 = 64;
}

/// Reads coefficients one by one, or passes over several at a time.
pub(super) struct CoefficientDecoder {
    symbols: HuffmanDecoder,
    steps: Box<[Step; 1 << LOOKUP_BITS]>,
    lookup: Box<[ReadCoefficient; 1 << LOOKUP_BITS]>,
}

/// Writes symbols: the code and its number of bits, by symbol; no bits if there is none.
pub(super) struct HuffmanEncoder {
    codes: [(u16, u8); 256],
}

impl HuffmanCode {
    /// A code from the content of a segment, and what follows it. `None` if it contradicts itself.
    pub(super) fn parse(content: &[u8]) -> Option<(Self, &[u8])> {
        let (&counts, rest) = content.split_first_chunk::<MAX_BITS>()?;
        let num_symbols = counts.iter().map(|&count| usize::from(count)).sum();
        let (symbols, rest) = rest.split_at_checked(num_symbols)?;
        let code = Self { counts, symbols: symbols.to_vec() };
        let is_within = code.each().all(|(_, code, num_bits)| code < 1 << num_bits);
        (num_symbols <= 256 && is_within).then_some((code, rest))
    }

    /// Whether all symbols are sizes of differences, as libjpeg demands.
    pub(super) fn has_sizes_only(&self) -> bool {
        self.symbols.iter().all(|&symbol| symbol <= 15)
    }

    /// The content of a segment.
    pub(super) fn content(&self) -> impl Iterator<Item = u8> {
        self.counts.iter().chain(&self.symbols).copied()
    }

    /// The same code with longest codes for symbols that it lacks. Codes of ones only are not used. `None` if there is no room.
    pub(super) fn with_symbols(&self, needed: impl IntoIterator<Item = u8>) -> Option<Self> {
        let mut completed = self.clone();
        for symbol in needed {
            if !completed.symbols.contains(&symbol) {
                completed.symbols.push(symbol);
                let longest = completed.counts.last_mut()?;
                *longest = longest.checked_add(1)?;
            }
        }
        let has_room = completed.each().all(|(_, code, num_bits)| code + 1 < 1 << num_bits);
        (has_room || completed == *self).then_some(completed)
    }

    /// Symbols with their codes and the number of bits of these.
    fn each(&self) -> impl Iterator<Item = (u8, u32, u32)> {
        let lengths = (1..).zip(self.counts).flat_map(|(num_bits, count)| std::iter::repeat_n(num_bits, count.into()));
        let mut next = (0_u32, 0_u32);
        self.symbols.iter().zip(lengths).map(move |(&symbol, num_bits)| {
            // No more than 256 codes are counted, so that they do not overflow.
            next = (next.0 << (num_bits - next.1), num_bits);
            let code = next.0;
            next.0 += 1;
            (symbol, code, num_bits)
        })
    }
}

impl HuffmanDecoder {
    pub(super) fn new(code: &HuffmanCode) -> Self {
        let mut decoder = Self {
            bounds: [0; MAX_BITS],
            offsets: [0; MAX_BITS],
            symbols: code.symbols.clone(),
            lookup: vec![(0, 0); 1 << LOOKUP_BITS],
        };
        for (place, (symbol, code, num_bits)) in (0..).zip(code.each()) {
            let length = num_bits as usize - 1;
            if let (Some(bound), Some(offset)) = (decoder.bounds.get_mut(length), decoder.offsets.get_mut(length)) {
                *bound = (code + 1) << (MAX_BITS as u32 - num_bits);
                *offset = place - code.cast_signed();
            }
            if let Some(shift) = LOOKUP_BITS.checked_sub(num_bits) {
                let entries = (code as usize) << shift..(code as usize + 1) << shift;
                decoder.lookup.get_mut(entries).unwrap_or_default().fill((num_bits as u8, symbol));
            }
        }
        decoder
    }

    /// The number of bits of the code on top, and its symbol. `None` if there is no such code.
    #[inline]
    pub(super) fn symbol(&self, bits: u64) -> Option<(u8, u8)> {
        match self.lookup.get((bits >> (64 - LOOKUP_BITS)) as usize) {
            Some(&(0, _)) | None => self.long_symbol((bits >> 48) as u32),
            Some(&found) => Some(found),
        }
    }

    /// The coefficient on top. `None` if there is no such code.
    fn coefficient(&self, bits: u64) -> Option<ReadCoefficient> {
        let (code_bits, symbol) = self.symbol(bits)?;
        let size = symbol & 15;
        let num_coefficients = if symbol == END_OF_BLOCK { ReadCoefficient::REST } else { num_coefficients(symbol)? };
        let value = number(bits << code_bits, size) as i16;
        Some(ReadCoefficient { num_bits: code_bits + size, num_coefficients, value })
    }

    #[cold]
    fn long_symbol(&self, bits: u32) -> Option<(u8, u8)> {
        let length = self.bounds.iter().position(|&bound| bits < bound)?;
        let code = (bits >> (MAX_BITS - 1 - length)).cast_signed();
        let place = usize::try_from(code + self.offsets.get(length)?).ok()?;
        Some((length as u8 + 1, *self.symbols.get(place)?))
    }
}

impl CoefficientDecoder {
    pub(super) fn new(code: &HuffmanCode) -> Self {
        let symbols = HuffmanDecoder::new(code);
        let read = |bits: u32| {
            let bits = u64::from(bits) << (64 - LOOKUP_BITS);
            // Values that are cut off, and what is no code, are looked at when they occur.
            let is_within = |read: &ReadCoefficient| u32::from(read.num_bits) <= LOOKUP_BITS;
            symbols.coefficient(bits).filter(is_within).unwrap_or_default()
        };
        let lookup = Box::new(std::array::from_fn(|bits| read(bits as u32)));
        let steps = Box::new(std::array::from_fn(|bits| step(&symbols, (bits as u32) << (32 - LOOKUP_BITS))));
        Self { symbols, steps, lookup }
    }

    /// What the bits on top are sure to say.
    #[inline]
    pub(super) fn step(&self, bits: u64) -> Step {
        self.steps.get((bits >> (64 - LOOKUP_BITS)) as usize).copied().unwrap_or(Step::UNKNOWN)
    }

    /// The number of bits of the code on top, and its symbol. `None` if there is no such code.
    #[inline]
    pub(super) fn symbol(&self, bits: u64) -> Option<(u8, u8)> {
        self.symbols.symbol(bits)
    }

    /// The coefficient on top. `None` if there is no such code.
    #[inline]
    pub(super) fn read(&self, bits: u64) -> Option<ReadCoefficient> {
        match self.lookup.get((bits >> (64 - LOOKUP_BITS)) as usize) {
            Some(read) if read.num_bits > 0 => Some(*read),
            _ => self.symbols.coefficient(bits),
        }
    }
}

/// As many symbols as the bits on top are sure to hold the codes of.
fn step(decoder: &HuffmanDecoder, bits: u32) -> Step {
    let (mut num_bits, mut num, mut is_last) = (0, 0, false);
    while let Some(left) = LOOKUP_BITS.checked_sub(num_bits.into()).filter(|_| !is_last) {
        let next = bits << num_bits >> (32 - LOOKUP_BITS);
        let Some(&(code_bits, symbol)) = decoder.lookup.get(next as usize) else { break };
        let Some(num_coefficients) = num_coefficients(symbol) else { break };
        if code_bits == 0 || u32::from(code_bits) > left {
            break;
        }
        num_bits += code_bits + (symbol & 15);
        num += u16::from(num_coefficients);
        is_last = symbol == END_OF_BLOCK;
    }
    Step::new(num_bits, num, is_last)
}

/// Number of coefficients that a symbol covers, zeros included. `None` if the symbol does not occur in baseline files.
#[inline]
pub(super) fn num_coefficients(symbol: u8) -> Option<u8> {
    match (symbol, symbol & 15) {
        (END_OF_BLOCK, _) => Some(0),
        (SIXTEEN_ZEROS, _) => Some(16),
        (_, 1..=MAX_AC_BITS) => Some((symbol >> 4) + 1),
        _ => None,
    }
}

impl HuffmanEncoder {
    pub(super) fn new(code: &HuffmanCode) -> Self {
        let mut codes = [(0, 0); 256];
        for (symbol, code, num_bits) in code.each() {
            if let Some(entry) = codes.get_mut(usize::from(symbol)) {
                *entry = (code as u16, num_bits as u8);
            }
        }
        Self { codes }
    }

    /// Appends a symbol, and a number of as many bits as the symbol's lowest four say. `None` if the symbol has no code.
    #[inline]
    pub(super) fn put(&self, symbol: u8, value: i16, bits: &mut BitWriter) -> Option<()> {
        let &(code, code_bits) = self.codes.get(usize::from(symbol))?;
        let size = u32::from(symbol & 15);
        // Negative numbers are stated less one, without their sign.
        let value = i32::from(value) + i32::from(value >> 15);
        let value = value.cast_unsigned() & ((1 << size) - 1);
        bits.put(u32::from(code) << size | value, u32::from(code_bits) + size);
        (code_bits > 0).then_some(())
    }
}

/// Number of bits of a number without its sign.
#[inline]
pub(super) fn num_bits(value: i16) -> u8 {
    (16 - value.unsigned_abs().leading_zeros()) as u8
}

/// The number that `num_bits` bits on top state.
#[inline]
pub(super) fn number(bits: u64, num_bits: u8) -> i32 {
    if num_bits == 0 {
        return 0;
    }
    let value = (bits >> (64 - u32::from(num_bits))) as i32;
    if bits >> 63 == 0 { value - (1 << num_bits) + 1 } else { value }
}
