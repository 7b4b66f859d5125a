//! What is there and no record names: archives, and images without texts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::entries::Entries;
use super::found::Survey;
use super::zip;

/// Adds what no source uses to what is not read. `rejected` says of archives why none of their samples can be delivered.
pub(super) fn add_unused(survey: &mut Survey, entries: &Entries, rejected: &BTreeMap<PathBuf, String>) {
    let used: Vec<&Path> = survey
        .sources
        .iter()
        .flat_map(|source| source.media.iter().map(PathBuf::as_path).chain([Path::new(&source.annotations)]))
        .collect();
    let read: Vec<&PathBuf> = entries
        .annotations
        .iter()
        .filter(|group| used.contains(&Path::new(&group.pattern)))
        .flat_map(|group| &group.paths)
        .collect();
    let is_used = |path: &Path| used.iter().any(|used| path.starts_with(used)) || read.iter().any(|read| *read == path);
    for archive in entries.archives.iter().filter(|archive| !is_used(archive)) {
        let reason = match rejected.get(archive) {
            Some(reason) => format!("no sample in it can be delivered: {reason}"),
            None if archive.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("zip")) => {
                zip::contents(archive)
            }
            None => "no record names what is in it, and it has no text beside an image".to_owned(),
        };
        survey.unread.push((archive.clone(), reason));
    }
    let unused: Vec<_> = entries.pictures.iter().filter(|(directory, _)| !is_used(directory)).collect();
    let number: usize = unused.iter().map(|(_, number)| number).sum();
    let Some((first, _)) = unused.first() else { return };
    let others = match unused.len() - 1 {
        0 => String::new(),
        1 => " here and in another directory".to_owned(),
        more => format!(" here and in {more} other directories"),
    };
    let noun = if number == 1 { "image or video" } else { "images and videos" };
    survey
        .unread
        .push((first.clone(), format!("{number} {noun}{others} that no record names, and without texts beside them")));
}
