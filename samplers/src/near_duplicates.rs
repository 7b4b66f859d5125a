//! Near-duplicates and decontamination by 64-bit perceptual hash: pairs of hashes that differ in a few bits, found without
//! comparing all pairs.
//!
//! Hashes are divided into blocks. Two hashes that differ in d bits agree in all but at most d blocks, so the only
//! candidates are those that share a fixed number of blocks (Manku, Jain and Das Sarma 2007). There is one table for each
//! choice of blocks; the number of blocks to fix is the cheapest one for uniform hashes.
//!
//! It deliberately computes no hashes and knows nothing of images. Hashes that agree in many bits by nature, such as those
//! of blank images, make it slower, but never wrong.

use rustc_hash::FxHashMap;

use crate::duplicates::Duplicate;

/// A row that shows an image of the set that the dataset is decontaminated against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContaminatedRow {
    /// Position of the row.
    pub row: usize,
    /// Position of the first hash of that set within the distance.
    pub against: usize,
}

/// Rows that are near-duplicates of a kept row, in the order of `hashes`, which pairs rows with their hashes.
///
/// Of two rows whose hashes differ in at most `max_distance` bits, the first is kept, unless it is itself a
/// near-duplicate of an earlier one. So every removed row names the first *kept* row within the distance, and any two
/// kept rows are further apart than that.
pub fn near_duplicates(hashes: &[(usize, u64)], max_distance: u32) -> Vec<Duplicate> {
    let mut kept = HammingIndex::new(hashes.len(), max_distance);
    let mut kept_rows = Vec::new();
    // Equal hashes have equal answers, and are by far the most frequent case.
    let mut answers: FxHashMap<u64, usize> = FxHashMap::default();
    let mut duplicates = Vec::new();
    for &(row, hash) in hashes {
        let known = answers.get(&hash).copied().or_else(|| kept.first_within(hash));
        let nth_kept = known.unwrap_or(kept_rows.len());
        answers.insert(hash, nth_kept);
        // A hash that is near none is kept: it gets the next position.
        if let Some(&kept) = kept_rows.get(nth_kept) {
            duplicates.push(Duplicate { row, kept });
        } else {
            kept.push(hash);
            kept_rows.push(row);
        }
    }
    duplicates
}

/// Rows whose hash differs from one of `against` in at most `max_distance` bits, in the order of `hashes`.
pub fn contaminated_rows(hashes: &[(usize, u64)], against: &[u64], max_distance: u32) -> Vec<ContaminatedRow> {
    let mut index = HammingIndex::new(against.len(), max_distance);
    for &hash in against {
        index.push(hash);
    }
    let nearest = |&(row, hash): &(usize, u64)| Some(ContaminatedRow { row, against: index.first_within(hash)? });
    hashes.iter().filter_map(nearest).collect()
}

/// The end of a chain.
const NONE: u32 = u32::MAX;

/// Maximum number of tables of an index. Each takes 8 bytes per hash.
const MAX_TABLES: usize = 256;

/// Maximum number of bits of a key: 2²⁶ chains take 256 MiB per table, and there are hardly more hashes.
const MAX_KEY_BITS: u32 = 26;

/// Maximum number of blocks that are fixed. Four fix half of the bits at distance 4, and chains are short by then.
const MAX_FIXED_BLOCKS: u32 = 4;

/// An odd number without a pattern (2⁶⁴ over the golden ratio): the highest bits of a product with it depend on all bits of
/// the other number.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Hashes that can be searched by Hamming distance.
struct HammingIndex {
    max_distance: u32,
    hashes: Vec<u64>,
    tables: Vec<ChainTable>,
    /// A key is a number of this many bits.
    key_bits: u32,
}

/// Chains of hashes that agree in the bits of a mask.
///
/// # Invariants
/// `first_of_key` has an element for every key. `next_in_chain` has an element for every hash of the index.
struct ChainTable {
    mask: u64,
    first_of_key: Vec<u32>,
    next_in_chain: Vec<u32>,
}

impl HammingIndex {
    fn new(num_hashes: usize, max_distance: u32) -> Self {
        let key_bits = num_hashes.max(2).next_power_of_two().ilog2().min(MAX_KEY_BITS);
        let table = |mask| ChainTable { mask, first_of_key: vec![NONE; 1 << key_bits], next_in_chain: Vec::new() };
        let tables = cheapest_masks(num_hashes, max_distance).into_iter().map(table).collect();
        Self { max_distance, hashes: Vec::new(), tables, key_bits }
    }

    #[expect(clippy::indexing_slicing, reason = "there is a chain for every key")]
    fn push(&mut self, hash: u64) {
        let number = self.hashes.len() as u32;
        self.hashes.push(hash);
        for table in &mut self.tables {
            let first = &mut table.first_of_key[key(hash & table.mask, self.key_bits)];
            table.next_in_chain.push(std::mem::replace(first, number));
        }
    }

    /// Position of the first hash within the distance.
    #[expect(clippy::indexing_slicing, reason = "there is a chain for every key, and a next element for every hash")]
    fn first_within(&self, hash: u64) -> Option<usize> {
        let mut first = NONE;
        for table in &self.tables {
            let mut at = table.first_of_key[key(hash & table.mask, self.key_bits)];
            while let Some(other) = self.hashes.get(at as usize) {
                if at < first && (hash ^ other).count_ones() <= self.max_distance {
                    first = at;
                }
                at = table.next_in_chain[at as usize];
            }
        }
        (first != NONE).then_some(first as usize)
    }
}

/// The upper bits of a product: masked hashes differ in few bits, and all of them have to count.
fn key(masked: u64, bits: u32) -> usize {
    (masked.wrapping_mul(MULTIPLIER) >> (64 - bits)) as usize
}

/// Masks such that any two hashes within the distance agree in all bits of at least one of them.
fn cheapest_masks(num_hashes: usize, max_distance: u32) -> Vec<u64> {
    // Fixing no block is a table with one chain: a search through all hashes.
    let mut cheapest = (num_hashes as f64, vec![0]);
    for num_fixed in 1..=MAX_FIXED_BLOCKS {
        let num_blocks = max_distance.saturating_add(num_fixed);
        if num_blocks > 64 {
            break;
        }
        let masks = masks(&blocks(num_blocks), num_fixed as usize);
        // One step for each table, and one for each hash that is in its chain by chance.
        let chain = |mask: &u64| 1.0 + num_hashes as f64 / f64::from(mask.count_ones()).exp2();
        let cost: f64 = masks.iter().map(chain).sum();
        if masks.len() <= MAX_TABLES && cost < cheapest.0 {
            cheapest = (cost, masks);
        }
    }
    cheapest.1
}

/// The 64 bits in contiguous blocks whose sizes differ by at most one.
fn blocks(num_blocks: u32) -> Vec<u64> {
    let bits = |from: u32, to: u32| (from..to).fold(0, |mask, bit| mask | 1u64 << bit);
    (0..num_blocks).map(|block| bits(block * 64 / num_blocks, (block + 1) * 64 / num_blocks)).collect()
}

/// The union of every choice of this many blocks.
fn masks(blocks: &[u64], num_fixed: usize) -> Vec<u64> {
    let Some(fewer) = num_fixed.checked_sub(1) else { return vec![0] };
    let mut chosen = Vec::new();
    let mut rest = blocks;
    while let Some((&first, after)) = rest.split_first() {
        chosen.extend(masks(after, fewer).into_iter().map(|mask| mask | first));
        rest = after;
    }
    chosen
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Hashes a few bits away from a few centres, so that many are near one another and some form chains.
    fn any_hashes() -> impl Strategy<Value = Vec<(usize, u64)>> {
        let hash = (0u64..4, prop::collection::vec(0u32..64, 0..6)).prop_map(|(centre, flips)| {
            flips.into_iter().fold(centre.wrapping_mul(0x0123_4567_89ab_cdef), |hash, bit| hash ^ 1 << bit)
        });
        prop::collection::vec(hash, 0..80).prop_map(|hashes| hashes.into_iter().enumerate().collect())
    }

    fn by_trying_all(hashes: &[(usize, u64)], max_distance: u32) -> Vec<Duplicate> {
        let mut kept: Vec<(usize, u64)> = Vec::new();
        let mut duplicates = Vec::new();
        for &(row, hash) in hashes {
            match kept.iter().find(|(_, other)| (hash ^ other).count_ones() <= max_distance) {
                Some(&(kept, _)) => duplicates.push(Duplicate { row, kept }),
                None => kept.push((row, hash)),
            }
        }
        duplicates
    }

    proptest! {
        #[test]
        fn it_finds_what_trying_all_pairs_finds(hashes in any_hashes(), max_distance in 0u32..12) {
            prop_assert_eq!(near_duplicates(&hashes, max_distance), by_trying_all(&hashes, max_distance));
        }

        #[test]
        fn contaminated_rows_are_those_of_trying_all(hashes in any_hashes(), against in any_hashes(), max_distance in 0u32..12) {
            let against: Vec<u64> = against.into_iter().map(|(_, hash)| hash).collect();
            let within = |hash: u64| against.iter().position(|other| (hash ^ other).count_ones() <= max_distance);
            let expected: Vec<ContaminatedRow> = hashes.iter().filter_map(|&(row, hash)| Some(ContaminatedRow { row, against: within(hash)? })).collect();
            prop_assert_eq!(contaminated_rows(&hashes, &against, max_distance), expected);
        }

        #[test]
        fn some_mask_is_untouched_by_any_few_flips(num in 1usize..5_000_000, flips in prop::collection::vec(0u32..64, 0..12)) {
            let flipped = flips.iter().fold(0u64, |mask, bit| mask | 1 << bit);
            let masks = cheapest_masks(num, flips.len() as u32);
            prop_assert!(masks.iter().any(|mask| mask & flipped == 0));
        }
    }

    #[test]
    fn a_removed_row_names_a_kept_one_even_in_a_chain() {
        // Each is one bit from the next; the third is two from the first, and is kept.
        let chain = [(10, 0b000), (11, 0b001), (12, 0b011), (13, 0b010)];
        let duplicates = near_duplicates(&chain, 1);
        assert_eq!(duplicates, [Duplicate { row: 11, kept: 10 }, Duplicate { row: 13, kept: 10 }]);
    }

    #[test]
    fn everything_is_within_64_bits() {
        assert_eq!(near_duplicates(&[(0, 0), (1, u64::MAX)], 64), [Duplicate { row: 1, kept: 0 }]);
        assert_eq!(near_duplicates(&[(0, 0), (1, u64::MAX)], 63), []);
        assert_eq!(near_duplicates(&[(0, 0), (1, u64::MAX)], u32::MAX).len(), 1);
    }
}
