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

use manyframe_core::RecordId;

use crate::alike::{parts, sorted_part};

/// Assigns a new id to the second and any later row with the same id. The first keeps its id.
///
/// Record ids are digests of contents, so a record that upstream lists twice has the same id twice. Keys must be unique.
#[expect(clippy::indexing_slicing, reason = "rows are positions of ids")]
pub fn make_ids_unique(ids: &mut [RecordId]) {
    // A new id is no other row's, so that it makes no difference in which part it is.
    for part in parts() {
        let rows = sorted_part((0u32..).zip(&*ids).map(|(row, id)| (first_bits(*id), row)), part);
        for alike in rows.chunk_by(|a, b| a.0 == b.0).filter(|alike| alike.len() > 1) {
            let mut rows: Vec<(RecordId, u32)> = alike.iter().map(|&(_, row)| (ids[row as usize], row)).collect();
            rows.sort_unstable();
            for same in rows.chunk_by(|a, b| a.0 == b.0) {
                for (occurrence, &(id, row)) in (1..).zip(same.iter().skip(1)) {
                    ids[row as usize] = id.occurrence(occurrence);
                }
            }
        }
    }
}

fn first_bits(id: RecordId) -> u64 {
    id.0.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
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
        let mut ids = ["a", "b", "a", "a"].map(|name| row(name).id);
        make_ids_unique(&mut ids);
        assert_eq!(ids[2..], [1, 2].map(|occurrence| row("a").id.occurrence(occurrence)));
        let mut ids = ids.to_vec();
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
