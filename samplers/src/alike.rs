//! Finds rows with equal keys, without a table of all keys.

/// Bits of a key by which rows are looked at in parts.
const PART_BITS: u32 = 3;

/// The parts of all keys.
pub(crate) fn parts() -> impl Iterator<Item = u64> {
    0..1 << PART_BITS
}

/// The rows whose keys are in a part, sorted by key and row: those with equal keys follow each other.
///
/// Keys are spread evenly, and most rows have one of their own. Sorting a part of them at a time takes 2 bytes a row for a moment, where
/// a hash table of all would take more than everything else that is kept of them.
pub(crate) fn sorted_part(keyed: impl Iterator<Item = (u64, u32)>, part: u64) -> Vec<(u64, u32)> {
    // A vector that grows is in memory twice for a moment, and parts are nearly of one size.
    let most = keyed.size_hint().1.unwrap_or_default();
    let mut rows = Vec::with_capacity((most >> PART_BITS) + (most >> (2 * PART_BITS)));
    rows.extend(keyed.filter(|(key, _)| key >> (u64::BITS - PART_BITS) == part));
    rows.sort_unstable();
    rows
}
