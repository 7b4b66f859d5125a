//! Annotations in two lists or files that belong together: captions of COCO, questions and answers of VQA.

use std::path::{Path, PathBuf};

use manyframe_sources::{JoinOptions, SourceKind, SourceOptions};

use super::entries::Entries;
use super::groups::FileGroup;
use super::sampled::read_some;

/// How much of a file is searched for the name of its images' part.
const HEAD_BYTES: u64 = 1 << 16;

/// The options that could read a file that cannot be read by itself, the most usual first.
pub(super) fn joined_options(group: &FileGroup, entries: &Entries) -> Vec<SourceOptions> {
    let [path] = group.paths.as_slice() else { return Vec::new() };
    if !path.to_string_lossy().contains(".json") {
        return Vec::new();
    }
    let of_questions = questions_with_answers(path, entries);
    if of_questions.is_empty() { vec![captions_of_images(path)] } else { of_questions }
}

/// Captions in `annotations`, which name an entry of `images` in the same file.
fn captions_of_images(path: &Path) -> SourceOptions {
    let join = JoinOptions {
        table: path.to_string_lossy().into_owned(),
        list: Some("images".to_owned()),
        on: "image_id".to_owned(),
        id: Some("id".to_owned()),
    };
    SourceOptions { list: "annotations".to_owned(), join: vec![join], ..SourceOptions::default() }
}

/// Questions, whose answers are in another file of the same directory.
fn questions_with_answers(path: &Path, entries: &Entries) -> Vec<SourceOptions> {
    let has = |path: &Path, fields: &[&str]| {
        let first = read_some(&[&path.to_owned()], (SourceKind::Auto, &SourceOptions::default()), 1);
        first.is_ok_and(|first| fields.iter().all(|field| first.first_fields.contains_key(*field)))
    };
    if !has(path, &["question", "question_id", "image_id"]) {
        return Vec::new();
    }
    let beside = entries.annotations.iter().flat_map(|group| &group.paths);
    let mut beside = beside.filter(|other| other.parent() == path.parent() && *other != path);
    let is_answers =
        |other: &&PathBuf| has(other, &["question_id", "multiple_choice_answer"]) && same_part(path, other);
    let Some(answers) = beside.find(is_answers) else { return Vec::new() };
    let parts = part_of(path).into_iter().chain(parts_of_pictures(entries)).chain(["train2014".to_owned()]);
    let images = parts.map(|part| format!("COCO_{part}_{{image_id:012}}.jpg"));
    let images = images.chain(["{image_id:012}.jpg".into(), "{image_id}.jpg".into()]);
    let options = |image: String| SourceOptions {
        join: vec![JoinOptions {
            table: answers.to_string_lossy().into_owned(),
            on: "question_id".to_owned(),
            ..JoinOptions::default()
        }],
        fields: [("image".to_owned(), image), ("answer".to_owned(), "multiple_choice_answer".to_owned())].into(),
        ..SourceOptions::default()
    };
    images.map(options).collect()
}

/// The parts of COCO that pictures are called after, such as `val2014` of `COCO_val2014_000000000042.jpg`.
fn parts_of_pictures(entries: &Entries) -> Vec<String> {
    let part = |directory: &PathBuf| {
        let names = std::fs::read_dir(directory).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut parts = names.filter_map(|name| Some(name.strip_prefix("COCO_")?.split_once('_')?.0.to_owned()));
        parts.next()
    };
    entries.pictures.iter().filter_map(|(directory, _)| part(directory)).collect()
}

/// Whether two files are of one part of the images, as far as they say so.
fn same_part(questions: &Path, answers: &Path) -> bool {
    match (part_of(questions), part_of(answers)) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    }
}

/// The part of the images that a file of VQA is about, such as `train2014`.
fn part_of(path: &Path) -> Option<String> {
    use std::io::Read as _;

    let mut head = Vec::new();
    std::fs::File::open(path).ok()?.take(HEAD_BYTES).read_to_end(&mut head).ok()?;
    let head = String::from_utf8_lossy(&head).into_owned();
    let (_, after) = head.split_once("\"data_subtype\"")?;
    let part = after.trim_start_matches([':', ' ', '"']).split('"').next()?;
    let is_name = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_name.then(|| part.to_owned())
}
