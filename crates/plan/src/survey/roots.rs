//! The directories and archives below which the media of some records are.

use std::path::{Path, PathBuf};

use manyframe_core::{MediaLocation, Record};
use manyframe_media::{MediaRoot, MediaStore};

use super::entries::Entries;

/// Where the media of records are.
#[derive(Debug, Default)]
pub(super) struct Roots {
    pub(super) media: Vec<PathBuf>,
    pub(super) links: Vec<PathBuf>,
    pub(super) num_media: usize,
    pub(super) num_found: usize,
    pub(super) missing: Option<String>,
}

/// A medium that a record names by a path.
struct Named<'r> {
    subset: &'r str,
    path: &'r str,
}

/// Chooses the places that have the most of what is not found yet, until no place has any.
pub(super) fn find_roots(records: &[Record], entries: &Entries) -> Roots {
    let mut roots = Roots { num_media: records.iter().map(|record| record.media.len()).sum(), ..Roots::default() };
    let mut pending: Vec<Named<'_>> = records.iter().flat_map(named_media).collect();
    roots.num_found = roots.num_media - pending.len();
    let mut unfound = Vec::new();
    while let Some(first) = pending.pop() {
        let Some((root, links)) = best_root(&first, &pending, entries) else {
            unfound.push(first);
            continue;
        };
        let num_pending = pending.len();
        match open(&root, &links) {
            Some(store) => pending.retain(|medium| !is_in(&store, medium)),
            None => continue,
        }
        roots.num_found += num_pending - pending.len() + 1;
        roots.media.push(root);
        roots.links.extend(links);
    }
    // The last that was looked at is the first of the records.
    roots.missing = unfound.last().map(|medium| medium.path.to_owned());
    roots.media.sort();
    roots.links.sort();
    roots.links.dedup();
    roots
}

fn named_media(record: &Record) -> impl Iterator<Item = Named<'_>> {
    record.media.iter().filter_map(|medium| match &medium.location {
        MediaLocation::Path(path) => Some(Named { subset: &record.subset, path }),
        _ => None,
    })
}

/// The place that has a medium and the most of the others, with the directories to which its links lead.
fn best_root(medium: &Named<'_>, others: &[Named<'_>], entries: &Entries) -> Option<(PathBuf, Vec<PathBuf>)> {
    let has_it = |directory: &&PathBuf| directory.join(medium.path).exists();
    let directories = entries.directories.iter().filter(has_it).map(|root| (root, linked(root, medium.path)));
    let archives = entries.archives.iter().map(|root| (root, Vec::new()));
    let mut best: Option<(usize, PathBuf, Vec<PathBuf>)> = None;
    for (root, links) in directories.chain(archives) {
        let Some(store) = open(root, &links) else { continue };
        if !is_in(&store, medium) {
            continue;
        }
        let num_others = others.iter().filter(|other| is_in(&store, other)).count();
        if best.as_ref().is_none_or(|(most, ..)| num_others > *most) {
            best = Some((num_others, root.clone(), links));
        }
    }
    best.map(|(_, root, links)| (root, links))
}

/// The directory that holds the medium itself, if a link leads out of the root.
fn linked(root: &Path, path: &str) -> Vec<PathBuf> {
    let (Ok(root), Ok(medium)) = (root.canonicalize(), root.join(path).canonicalize()) else { return Vec::new() };
    if medium.starts_with(root) { Vec::new() } else { medium.parent().map(Path::to_owned).into_iter().collect() }
}

fn open(root: &Path, links: &[PathBuf]) -> Option<MediaStore> {
    let name = root.to_string_lossy().into_owned();
    MediaStore::open(&[MediaRoot { subset: None, path: root.to_owned(), name, links: links.to_owned() }]).ok()
}

fn is_in(store: &MediaStore, medium: &Named<'_>) -> bool {
    store.identify(medium.subset, medium.path).is_ok()
}
