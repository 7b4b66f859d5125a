//! Duplicates by what records show: the same pixels, or near-duplicate images.

use std::collections::hash_map::Entry;
use std::hash::Hash;

use manyframe_media::ImageFingerprint;
use manyframe_pipeline::{DuplicateRule, DuplicateText, DuplicatesTable};
use manyframe_samplers::{Duplicate, near_duplicates};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::decisions::fingerprints::{Fingerprints, RecordFingerprint, VisualFingerprint};

/// A row with visuals, and its fingerprint.
#[derive(Clone, Copy)]
struct ShownRow<'a> {
    row: usize,
    fingerprint: &'a RecordFingerprint,
}

/// The duplicates among the eligible rows; the first of each group is kept.
pub(crate) fn find_near_duplicates(
    table: &DuplicatesTable,
    fingerprints: &Fingerprints,
    eligible: &[usize],
) -> Vec<Duplicate> {
    let shown = eligible.iter().filter_map(|&row| Some(ShownRow { row, fingerprint: fingerprints.of(row)? }));
    let mut found = Vec::new();
    for group in groups(table, shown) {
        match table.remove {
            DuplicateRule::Near => found.extend(near_duplicates_in_group(group, table.max_distance)),
            _ => found.extend(first_of_each(&group, |shown| pixels(shown.fingerprint))),
        }
    }
    found.sort_unstable_by_key(|duplicate| duplicate.row);
    found
}

/// Rows that may be duplicates of one another: with the same number of visuals, and the same text if that matters.
fn groups<'a>(table: &DuplicatesTable, shown: impl Iterator<Item = ShownRow<'a>>) -> Vec<Vec<ShownRow<'a>>> {
    let mut groups: FxHashMap<(u64, usize), Vec<ShownRow<'a>>> = FxHashMap::default();
    for shown in shown {
        let text = if table.text == DuplicateText::Same { shown.fingerprint.text } else { 0 };
        groups.entry((text, shown.fingerprint.visuals.len())).or_default().push(shown);
    }
    let mut groups: Vec<Vec<ShownRow<'a>>> = groups.into_values().filter(|group| group.len() > 1).collect();
    groups.sort_unstable_by_key(|group| group.first().map(|shown| shown.row));
    groups
}

/// The pixels of each image of each visual.
fn pixels(fingerprint: &RecordFingerprint) -> Vec<Vec<u64>> {
    let of_visual = |visual: &VisualFingerprint| visual.iter().map(|image| image.pixels).collect();
    fingerprint.visuals.iter().map(of_visual).collect()
}

fn first_of_each<'a, Key: Hash + Eq>(rows: &[ShownRow<'a>], key: impl Fn(&ShownRow<'a>) -> Key) -> Vec<Duplicate> {
    let mut kept: FxHashMap<Key, usize> = FxHashMap::default();
    let mut found = Vec::new();
    for shown in rows {
        match kept.entry(key(shown)) {
            Entry::Occupied(first) => found.push(Duplicate { row: shown.row, kept: *first.get() }),
            Entry::Vacant(first) => _ = first.insert(shown.row),
        }
    }
    found
}

/// Rows whose visuals are all near-duplicates of those of a row that is kept.
///
/// Rows are matched by their first visual, and compared in full. Those whose match differs elsewhere are matched again among
/// themselves, until no match fails.
fn near_duplicates_in_group(rows: Vec<ShownRow<'_>>, max_distance: u32) -> Vec<Duplicate> {
    // Equal pixels are duplicates even where there is too little contrast for a hash.
    let mut found = first_of_each(&rows, |shown| pixels(shown.fingerprint));
    let removed: FxHashSet<usize> = found.iter().map(|duplicate| duplicate.row).collect();
    let mut waiting = rows;
    waiting.retain(|shown| !removed.contains(&shown.row));
    loop {
        let hashes: Vec<(usize, u64)> =
            waiting.iter().enumerate().filter_map(|(number, shown)| Some((number, first_hash(shown)?))).collect();
        let mut unlike = Vec::new();
        for duplicate in near_duplicates(&hashes, max_distance) {
            let (shown, kept) = pair(&waiting, duplicate);
            if all_near(shown.fingerprint, kept.fingerprint, max_distance) {
                found.push(Duplicate { row: shown.row, kept: kept.row });
            } else {
                unlike.push(shown);
            }
        }
        if unlike.is_empty() {
            return named_by_kept(found);
        }
        waiting = unlike;
    }
}

/// The first hash of the first visual. A video often begins with a black frame, which has none.
fn first_hash(shown: &ShownRow<'_>) -> Option<u64> {
    shown.fingerprint.visuals.first()?.iter().find_map(|image| image.hash)
}

#[expect(clippy::indexing_slicing, reason = "the numbers of a duplicate are those that were passed with the hashes")]
fn pair<'a>(waiting: &[ShownRow<'a>], duplicate: Duplicate) -> (ShownRow<'a>, ShownRow<'a>) {
    (waiting[duplicate.row], waiting[duplicate.kept])
}

/// A row with the pixels of one that turned out to be a duplicate is a duplicate of the row that is kept instead of it.
fn named_by_kept(mut found: Vec<Duplicate>) -> Vec<Duplicate> {
    let kept: FxHashMap<usize, usize> = found.iter().map(|duplicate| (duplicate.row, duplicate.kept)).collect();
    for duplicate in &mut found {
        if let Some(&kept) = kept.get(&duplicate.kept) {
            duplicate.kept = kept;
        }
    }
    found
}

fn all_near(a: &RecordFingerprint, b: &RecordFingerprint, max_distance: u32) -> bool {
    a.visuals.iter().zip(&b.visuals).all(|(a, b)| are_near(a, b, max_distance))
}

/// Whether two visuals are near-duplicates, image by image. Frames without contrast on both sides are no evidence.
fn are_near(a: &[ImageFingerprint], b: &[ImageFingerprint], max_distance: u32) -> bool {
    let is_near = |a: u64, b: u64| (a ^ b).count_ones() <= max_distance;
    a.len() == b.len()
        && a.iter().zip(b).all(|(a_image, b_image)| match (a_image.hash, b_image.hash) {
            _ if a_image.pixels == b_image.pixels => true,
            (Some(a_hash), Some(b_hash)) => is_near(a_hash, b_hash),
            (None, None) => a.iter().any(|image| image.hash.is_some()),
            _ => false,
        })
}
