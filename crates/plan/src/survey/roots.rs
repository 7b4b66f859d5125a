//! The directories and archives below which the media of some records are.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use manyframe_core::{MediaLocation, Record};
use manyframe_media::{Located, MediaRoot, MediaStore};

use super::entries::Entries;
use super::place_names::{is_aside, is_usual, num_shared_words};

/// Where the media of records are.
#[derive(Debug, Default)]
pub(super) struct Roots {
    pub(super) media: Vec<PathBuf>,
    pub(super) links: Vec<PathBuf>,
    pub(super) num_media: usize,
    pub(super) num_found: usize,
    /// The first that is not found, and why if that is known.
    pub(super) missing: Option<String>,
    /// The paths of all that are nowhere.
    pub(super) absent: Vec<String>,
    /// Places that have as many of the same names as one of `media`, and were not chosen.
    pub(super) others: Vec<PathBuf>,
    /// Places with the same names, of which none was chosen, because nothing tells the right one.
    pub(super) unclear: Vec<PathBuf>,
    /// Whether another place has files under many of the names that were found: other files than those that are in `media`.
    pub(super) has_rivals: bool,
}

/// A place that has some of the media.
struct Place {
    root: PathBuf,
    links: Vec<PathBuf>,
    num_media: usize,
    /// How many directories lead from the annotations to it.
    distance: usize,
    /// How many words of its path are in the name of the annotations, such as `train`.
    num_words: usize,
    /// Whether its path is called after what is made of images, such as `depth` or `thumbs`.
    is_aside: bool,
    /// Whether its path is called after images.
    is_usual: bool,
}

impl Place {
    /// How much it has; what is made of images is in doubt.
    fn weight(&self) -> usize {
        self.num_media * if self.is_aside { 1 } else { 2 }
    }

    /// What it is chosen by: the place with the least of it.
    fn order(&self) -> impl Ord + use<> {
        (Reverse(self.weight()), Reverse(self.num_words), self.distance, !self.is_usual)
    }
}

/// A medium that a record names by a path.
struct Named<'r> {
    subset: &'r str,
    path: &'r str,
}

/// A place that has less of the media than one in so many has them by chance.
const MIN_SHARE: usize = 10;

/// Chooses the places that have the most of what is not found yet, until none has more than by chance; in that order, in which they
/// are searched.
pub(super) fn find_roots(annotations: &Path, records: &[Record], entries: &Entries) -> Roots {
    let mut roots = Roots { num_media: records.iter().map(|record| record.media.len()).sum(), ..Roots::default() };
    let mut pending: Vec<Named<'_>> = records.iter().flat_map(named_media).collect();
    // The first of the records is looked at first.
    pending.reverse();
    roots.num_found = roots.num_media - pending.len();
    let mut unfound = Vec::new();
    let mut known: Vec<&str> = Vec::new();
    while let Some(first) = pending.pop() {
        let mut places = places_of(annotations, &first, &pending, entries);
        places.retain(|place| place.num_media * MIN_SHARE > pending.len());
        // What is made of the images that were found is no place of those that are missing.
        places.retain(|place| !place.is_aside || !known.iter().any(|path| on_disk(&place.root, path).exists()));
        let Some(best) = places.first() else {
            unfound.push(first);
            continue;
        };
        known.push(first.path);
        let mut found = vec![first];
        let store = open(&best.root, &best.links);
        if let Some(store) = &store {
            found.extend(pending.extract_if(.., |medium| is_in(store, medium)));
        }
        let rivals = places.iter().skip(1).filter(|place| place.num_media == best.num_media);
        let is_other = |place: &&Place| !have_same_files(&best.root, &place.root, &found);
        let equals = rivals.clone().filter(|place| place.order() == best.order()).filter(is_other);
        let equals: Vec<PathBuf> = equals.map(|place| place.root.clone()).collect();
        roots.has_rivals |=
            places.iter().skip(1).filter(|place| place.num_media * 2 >= best.num_media).any(|it| is_other(&it));
        if !equals.is_empty() {
            roots.unclear.push(best.root.clone());
            roots.unclear.extend(equals);
            roots.missing = roots.missing.or_else(|| found.first().map(|medium| format!("{:?}", medium.path)));
            continue;
        }
        roots.others.extend(rivals.map(|place| place.root.clone()));
        let unusable =
            store.map(|store| found.iter().filter_map(|medium| unusable(&store, medium)).collect::<Vec<_>>());
        let unusable = unusable.unwrap_or_default();
        roots.num_found += found.len() - unusable.len();
        roots.missing = roots.missing.or(unusable.into_iter().next());
        roots.media.push(best.root.clone());
        roots.links.extend(best.links.iter().cloned());
    }
    roots.missing = roots.missing.or_else(|| unfound.first().map(|medium| absence(medium.path, entries)));
    roots.absent = unfound.iter().map(|medium| medium.path.to_owned()).collect();
    roots.unclear.sort();
    roots.unclear.dedup();
    roots.links.sort();
    roots.links.dedup();
    roots
}

/// What paths that are nowhere begin with, if it is in the way: without it, nearly all of them lead from one directory to a file.
pub(super) fn prefix_in_the_way(absent: &[String], entries: &Entries) -> Option<String> {
    let first = absent.first()?;
    let ends = first.match_indices(['/', '\\']).map(|(at, separator)| at + separator.len());
    let has_most = |prefix: &&str| {
        let rest = |path: &'_ str| path.strip_prefix(prefix).filter(|rest| !rest.is_empty()).map(str::to_owned);
        let rests: Vec<String> = absent.iter().filter_map(|path| rest(path)).collect();
        let Some(first) = rests.first() else { return false };
        let is_enough = |number: usize| (absent.len() - number) * MIN_SHARE <= absent.len();
        let is_in = |root: &Path, path: &str| on_disk(root, path).is_file();
        let mut roots = entries.directories.iter().filter(|root| is_in(root, first));
        is_enough(rests.len()) && roots.any(|root| is_enough(rests.iter().filter(|rest| is_in(root, rest)).count()))
    };
    ends.map(|end| first.split_at(end).0).find(has_most).map(str::to_owned)
}

/// A path that is nowhere, and why that may be.
fn absence(path: &str, entries: &Entries) -> String {
    const MAX_CHARS: usize = 120;
    let shown: String = path.chars().take(MAX_CHARS).collect();
    let (scheme, _) = path.split_once(':').unwrap_or_default();
    let reason = if !scheme.is_empty() && path.contains("://") {
        "a URL; images are read from files, or from a store that `media` names: download them first"
    } else if path.starts_with('/') {
        "an absolute path, of another machine perhaps; expected one below a directory that `media` names"
    } else {
        ""
    };
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
    let has_it = |directory: &&PathBuf| !name.is_empty() && directory.join(name).is_file();
    let found = entries.directories.iter().find(has_it).map(|directory| {
        let directory = directory.display();
        format!("a file of this name is in {directory}: `media` names the directory from which the path leads to it, without what `media_prefix` names")
    });
    let reasons: Vec<String> =
        [reason.to_owned()].into_iter().chain(found).filter(|reason| !reason.is_empty()).collect();
    if reasons.is_empty() { format!("{shown:?}") } else { format!("{shown:?} ({})", reasons.join("; ")) }
}

/// First bytes of a pointer of git-lfs, which is in place of a file that was not downloaded.
const LFS_POINTER: &[u8] = b"version https://git-lfs";

/// The path of a medium that is there and cannot be used, and why.
fn unusable(store: &MediaStore, medium: &Named<'_>) -> Option<String> {
    let reason = match store.locate(medium.subset, medium.path) {
        Ok(Located::Directory { .. }) => return None,
        Ok(located) => match (located.num_bytes(), located.read_head(LFS_POINTER.len() as u64)) {
            (Ok(0), _) => "the file is empty".to_owned(),
            (_, Ok(head)) if head == LFS_POINTER => "a git-lfs pointer; run `git lfs pull`".to_owned(),
            (_, Err(error)) | (Err(error), _) => error.to_string(),
            (Ok(_), Ok(_)) => return None,
        },
        Err(error) => error.to_string(),
    };
    Some(format!("{:?} ({reason})", medium.path))
}

fn named_media(record: &Record) -> impl Iterator<Item = Named<'_>> {
    record.media.iter().filter_map(|medium| match &medium.location {
        MediaLocation::Path(path) => Some(Named { subset: &record.subset, path }),
        _ => None,
    })
}

/// The places that have a medium, those with the most of the others first; then those whose paths have words of the name of the
/// annotations, then the nearest, then those that are called after images.
fn places_of(annotations: &Path, medium: &Named<'_>, others: &[Named<'_>], entries: &Entries) -> Vec<Place> {
    let has_it = |directory: &&PathBuf| on_disk(directory, medium.path).exists();
    let elsewhere = directory_of_absolute(medium, others).filter(|it| !entries.directories.contains(it));
    let directories = entries.directories.iter().chain(&elsewhere);
    let directories = directories.filter(has_it).map(|root| (root, linked(root, medium.path)));
    let archives = entries.archives.iter().map(|root| (root, Vec::new()));
    let place = |(root, links): (&PathBuf, Vec<PathBuf>)| {
        let store = open(root, &links).filter(|store| is_in(store, medium))?;
        let num_media = 1 + others.iter().filter(|other| is_in(&store, other)).count();
        Some(Place {
            root: root.clone(),
            links,
            num_media,
            distance: distance(annotations, root),
            num_words: num_shared_words(root, annotations),
            is_aside: is_aside(root, annotations),
            is_usual: is_usual(root, annotations),
        })
    };
    let mut places: Vec<Place> = directories.chain(archives).filter_map(place).collect();
    places.sort_by(|a, b| (a.order(), &a.root).cmp(&(b.order(), &b.root)));
    places
}

/// The directory that holds a medium with an absolute path, and all others that have one.
fn directory_of_absolute(medium: &Named<'_>, others: &[Named<'_>]) -> Option<PathBuf> {
    let is_there = |path: &&Path| path.is_absolute() && path.exists();
    let own = Path::new(medium.path).parent().filter(|_| is_there(&Path::new(medium.path)))?;
    let others = others.iter().map(|other| Path::new(other.path)).filter(is_there);
    let holds_all = others.fold(own, |directory, other| {
        directory.ancestors().find(|above| other.starts_with(above)).unwrap_or(directory)
    });
    Some(if holds_all.parent().is_some() { holds_all } else { own }.to_owned())
}

/// Whether two places have files of the same sizes under some names: copies, of which either will do.
fn have_same_files(one: &Path, other: &Path, media: &[Named<'_>]) -> bool {
    const NUM_COMPARED: usize = 16;
    let size = |root: &Path, path: &str| on_disk(root, path).metadata().ok().map(|metadata| metadata.len());
    media.iter().take(NUM_COMPARED).all(|medium| {
        let sizes = (size(one, medium.path), size(other, medium.path));
        sizes.0.is_some() && sizes.0 == sizes.1
    })
}

/// How many names the paths of two places do not share.
fn distance(one: &Path, other: &Path) -> usize {
    let num_shared = one.components().zip(other.components()).take_while(|(a, b)| a == b).count();
    one.components().count() + other.components().count() - 2 * num_shared
}

/// Where a medium is below a root. A path of Windows is looked up with slashes, too.
fn on_disk(root: &Path, path: &str) -> PathBuf {
    let written = root.join(path);
    if path.contains('\\') && !written.exists() { root.join(path.replace('\\', "/")) } else { written }
}

/// The directory that holds the medium itself, if a link leads out of the root.
fn linked(root: &Path, path: &str) -> Vec<PathBuf> {
    let (Ok(root), Ok(medium)) = (root.canonicalize(), on_disk(root, path).canonicalize()) else { return Vec::new() };
    if medium.starts_with(root) { Vec::new() } else { medium.parent().map(Path::to_owned).into_iter().collect() }
}

fn open(root: &Path, links: &[PathBuf]) -> Option<MediaStore> {
    let name = root.to_string_lossy().into_owned();
    MediaStore::open(&[MediaRoot { subset: None, path: root.to_owned(), name, links: links.to_owned() }]).ok()
}

fn is_in(store: &MediaStore, medium: &Named<'_>) -> bool {
    store.identify(medium.subset, medium.path).is_ok()
}
