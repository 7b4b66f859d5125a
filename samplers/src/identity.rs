//! Identities derived from a record id: for records that upstream lists twice, and for records that are delivered
//! more than once.
//!
//! | identity | what it is for |
//! |---|---|
//! | record id, after [`make_ids_unique`] | the rank of a record in a draw |
//! | [`sample_id`] | the key of one delivery of a record, in shards, ledger and packs |
//! | [`order_id`] | the rank of one delivery of a record in a shuffle |
//!
//! The last two are the record id itself for the first delivery. For later ones they hash different labels. Both are
//! part of the bytes of a dataset, so neither can be replaced by the other.

use manyframe_core::{IndexRow, RecordId};
use rustc_hash::FxHashMap;

/// Assigns a new id to the second and any later row with the same id. Rows keep their order, and the first keeps its
/// id.
///
/// Record ids are digests of contents, so a record that upstream lists twice has the same id twice. Keys must be unique.
pub fn make_ids_unique(rows: &mut [IndexRow]) {
    let mut seen: FxHashMap<RecordId, u64> = FxHashMap::default();
    for row in rows {
        let occurrences = seen.entry(row.id).or_insert(0);
        if *occurrences > 0 {
            row.id = row.id.occurrence(*occurrences);
        }
        *occurrences += 1;
    }
}

/// The id of the sample that delivers a record for the n-th time. `repetition` counts from 0.
pub fn sample_id(record_id: RecordId, repetition: u32) -> RecordId {
    if repetition == 0 { record_id } else { record_id.repetition(u64::from(repetition)) }
}

/// The id by which the n-th delivery of a record is ranked in a shuffle, so that repetitions do not follow one another.
pub(crate) fn order_id(record_id: RecordId, repetition: u32) -> RecordId {
    if repetition == 0 { record_id } else { record_id.occurrence(u64::from(repetition)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::row;

    #[test]
    fn every_row_gets_an_id_of_its_own() {
        let mut rows = ["a", "b", "a", "a"].map(row);
        make_ids_unique(&mut rows);
        let mut ids = rows.map(|row| row.id).to_vec();
        assert_eq!(ids[..2], [row("a").id, row("b").id], "the first row with an id keeps it");
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 4);
    }

    #[test]
    fn the_first_delivery_of_a_record_has_its_id() {
        let id = row("a").id;
        assert_eq!((sample_id(id, 0), order_id(id, 0)), (id, id));
        let ids = [sample_id(id, 1), sample_id(id, 2), order_id(id, 1), order_id(id, 2), id];
        let distinct: std::collections::BTreeSet<RecordId> = ids.into_iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }
}
