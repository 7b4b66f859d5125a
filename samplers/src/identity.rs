//! Record ids are derived from contents, so a record that upstream lists twice has one id twice; keys must be unique.

use manyframe_core::{IndexRow, RecordId};
use rustc_hash::FxHashMap;

/// Gives the second and further rows with one id an id of their own. Rows keep their order; the first keeps its id.
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

#[cfg(test)]
pub(crate) mod tests {
    use manyframe_core::{Cost, Digest, Layout};

    use super::*;

    pub(crate) fn row(name: &str) -> IndexRow {
        let digest = Digest::of(name.as_bytes());
        IndexRow {
            id: RecordId::from_digest(digest),
            source: 0,
            cost: Cost::default(),
            layout: Layout::Text,
            num_turns: 2,
            num_chars: 10,
            estimated_bytes: 100,
            signature: digest.0.iter().fold(0, |sum, &byte| sum * 31 % 1_000_003 + u64::from(byte)),
        }
    }

    #[test]
    fn every_row_gets_an_id_of_its_own() {
        let mut rows = ["a", "b", "a", "a"].map(row);
        make_ids_unique(&mut rows);
        let mut ids = rows.map(|row| row.id).to_vec();
        assert_eq!(ids.first(), Some(&row("a").id));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 4);
    }
}
