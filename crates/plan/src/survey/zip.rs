//! What is in a zip of which nothing is used: records are not read from zips, which hold media alone.

use std::collections::HashSet;
use std::path::Path;

use manyframe_base::in_shell;
use manyframe_media::{MediaRoot, MediaStore};
use manyframe_sources::kind_of_path;

use super::entries::is_annotation;

/// What is in a zip, and what to do about it.
pub(super) fn contents(path: &Path) -> String {
    let name = path.to_string_lossy().into_owned();
    let store = match MediaStore::open(&[MediaRoot { subset: None, path: path.to_owned(), name, links: Vec::new() }]) {
        Ok(store) => store,
        Err(error) => return error.to_string(),
    };
    let names: Vec<&str> = store.member_names().collect();
    let stem = |name: &'_ str| name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned();
    let media: HashSet<String> =
        names.iter().filter(|name| kind_of_path(name).is_some()).map(|name| stem(name)).collect();
    let is_text = |name: &&&str| {
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
        ["txt", "text", "caption", "json"].contains(&ending.as_str()) && media.contains(&stem(name))
    };
    let num_texts = names.iter().filter(is_text).count();
    let tables: Vec<&str> = names.iter().filter(|name| !is_text(name) && is_annotation(name)).copied().collect();
    let num_media = names.iter().filter(|name| kind_of_path(name).is_some()).count();
    let media = match num_media {
        0 => "no image and no video".to_owned(),
        1 => "1 image or video".to_owned(),
        number => format!("{number} images and videos"),
    };
    let texts = match (num_texts, tables.as_slice()) {
        (0, []) => return format!("{media} in it, which no record names"),
        (0, [table]) => format!("{table:?}"),
        (0, [table, others @ ..]) => format!("{table:?} and {} more files of records", others.len()),
        (1, _) => "a text beside one of them".to_owned(),
        (number, _) => format!("{number} texts beside them"),
    };
    let (zip, directory) = (in_shell(path), in_shell(&path.with_extension("")));
    format!("{media} and {texts} in it; records are not read from a zip: unpack it, unzip {zip} -d {directory}")
}
