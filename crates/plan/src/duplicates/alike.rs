//! Duplicates by what records show: the same pixels, or images that look alike.

use std::hash::Hash;

use manyframe_samplers::{Duplicate, near_duplicates};
use rustc_hash::{FxHashMap, FxHashSet};

use super::looks::{Looks, RecordLook, VisualLook};
use manyframe_pipeline::{DuplicateRule, DuplicateText, DuplicatesTable};

/// The duplicates among the eligible rows; the first of each kind is kept.
pub(super) fn find(table: &DuplicatesTable, looks: &Looks, eligible: &[usize]) -> Vec<Duplicate> {
    let shown = eligible.iter().filter_map(|&row| Some((row, looks.of(row)?)));
    let mut found = Vec::new();
    for group in groups(table, shown) {
        match table.remove {
            DuplicateRule::Near => found.extend(look_alikes(group, looks, table.max_distance)),
            _ => found.extend(first_of_each(&group, |&row| pixels(looks, row))),
        }
    }
    found.sort_unstable_by_key(|duplicate| duplicate.row);
    found
}

/// Rows that may be duplicates of one another: with as many visuals, and the same text if that matters.
fn groups<'a>(table: &DuplicatesTable, shown: impl Iterator<Item = (usize, &'a RecordLook)>) -> Vec<Vec<usize>> {
    let mut groups: FxHashMap<(u64, usize), Vec<usize>> = FxHashMap::default();
    for (row, look) in shown {
        let text = if table.text == DuplicateText::Same { look.text } else { 0 };
        groups.entry((text, look.visuals.len())).or_default().push(row);
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().filter(|group| group.len() > 1).collect();
    groups.sort_unstable();
    groups
}

/// The pixels of each image of each visual.
fn pixels(looks: &Looks, row: usize) -> Vec<Vec<u64>> {
    let of_visual = |visual: &VisualLook| visual.iter().map(|image| image.pixels).collect();
    looks.of(row).map(|look| look.visuals.iter().map(of_visual).collect()).unwrap_or_default()
}

fn first_of_each<Key: Hash + Eq>(rows: &[usize], key: impl Fn(&usize) -> Key) -> Vec<Duplicate> {
    let mut kept: FxHashMap<Key, usize> = FxHashMap::default();
    let mut found = Vec::new();
    for &row in rows {
        match kept.entry(key(&row)) {
            std::collections::hash_map::Entry::Occupied(first) => found.push(Duplicate { row, kept: *first.get() }),
            std::collections::hash_map::Entry::Vacant(place) => _ = place.insert(row),
        }
    }
    found
}

/// Rows whose visuals all look like those of a row that is kept.
///
/// Rows are matched by their first visual, and compared in full. Those whose match differs elsewhere are matched again among
/// themselves, until no match fails.
fn look_alikes(rows: Vec<usize>, looks: &Looks, max_distance: u32) -> Vec<Duplicate> {
    // Equal pixels look alike even where there is too little contrast for a hash.
    let mut found = first_of_each(&rows, |&row| pixels(looks, row));
    let removed: FxHashSet<usize> = found.iter().map(|duplicate| duplicate.row).collect();
    let mut waiting: Vec<usize> = rows;
    waiting.retain(|row| !removed.contains(row));
    loop {
        // A video often begins with a frame that is black.
        let first_hash =
            |&row: &usize| Some((row, looks.of(row)?.visuals.first()?.iter().find_map(|image| image.hash)?));
        let hashes: Vec<(usize, u64)> = waiting.iter().filter_map(first_hash).collect();
        let (alike, unlike): (Vec<Duplicate>, Vec<Duplicate>) = near_duplicates(&hashes, max_distance)
            .into_iter()
            .partition(|duplicate| all_alike(looks, duplicate, max_distance));
        found.extend(alike);
        if unlike.is_empty() {
            return named_by_kept(found);
        }
        waiting = unlike.into_iter().map(|duplicate| duplicate.row).collect();
    }
}

/// A row with the pixels of one that turned out to be a duplicate is a duplicate of what is kept in that one's place.
fn named_by_kept(mut found: Vec<Duplicate>) -> Vec<Duplicate> {
    let kept: FxHashMap<usize, usize> = found.iter().map(|duplicate| (duplicate.row, duplicate.kept)).collect();
    for duplicate in &mut found {
        duplicate.kept = kept.get(&duplicate.kept).copied().unwrap_or(duplicate.kept);
    }
    found
}

fn all_alike(looks: &Looks, duplicate: &Duplicate, max_distance: u32) -> bool {
    let (Some(row), Some(kept)) = (looks.of(duplicate.row), looks.of(duplicate.kept)) else { return false };
    row.visuals.iter().zip(&kept.visuals).all(|(a, b)| are_alike(a, b, max_distance))
}

/// Whether two visuals look alike, image by image. Frames without contrast on both sides say nothing.
fn are_alike(a: &VisualLook, b: &VisualLook, max_distance: u32) -> bool {
    let is_near = |a: u64, b: u64| (a ^ b).count_ones() <= max_distance;
    a.len() == b.len()
        && a.iter().zip(b).all(|(a_image, b_image)| match (a_image.hash, b_image.hash) {
            _ if a_image.pixels == b_image.pixels => true,
            (Some(a_hash), Some(b_hash)) => is_near(a_hash, b_hash),
            (None, None) => a.iter().any(|image| image.hash.is_some()),
            _ => false,
        })
}
