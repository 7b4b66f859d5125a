//! What was found, in words, and names made of it.

use std::fmt::Write as _;
use std::path::PathBuf;

use manyframe_plan::FoundSource;

use crate::table::plural;

/// Places of media that are named.
const MOST_ROOTS: usize = 3;

/// What some records of a source are, and how many of their media are there.
pub(super) fn description(source: &FoundSource) -> String {
    let mut text = if source.num_files > 1 { format!("{} files; ", source.num_files) } else { String::new() };
    let records = plural(source.num_records as u64, "sampled record");
    _ = write!(text, "{} of {records} read as {}", source.num_read, source.form);
    let (turns, images, videos) = source.example;
    let shown = [(turns, "turn"), (images, "image"), (videos, "video")];
    let shown: Vec<_> =
        shown.iter().filter(|(count, _)| *count > 0).map(|(count, thing)| plural(*count as u64, thing)).collect();
    _ = write!(text, ", the first with {}", shown.join(", "));
    if let Some(missing) = &source.missing_files {
        _ = write!(text, "; {missing}");
    }
    if source.num_media > 0 {
        _ = write!(text, "; {} of {} media found", source.num_found, source.num_media);
    }
    if let Some(missing) = &source.missing {
        _ = write!(text, ", not {missing}");
    }
    if !source.media.is_empty() {
        let (first, more) = source.media.split_at(source.media.len().min(MOST_ROOTS));
        let others = match source.missing {
            Some(_) if source.num_found == 0 => "; they are",
            Some(_) => "; the others are",
            None => "",
        };
        _ = write!(text, "{others} in {}", shown_paths(first));
        if !more.is_empty() {
            _ = write!(text, " and {} more", more.len());
        }
    }
    if !source.unclear_media.is_empty() {
        let places = shown_paths(&source.unclear_media);
        _ = write!(
            text,
            "; files of the same names are in {places}, and nothing tells the right ones: media is for you to set"
        );
    }
    if !source.other_media.is_empty() {
        _ = write!(text, "; the same names are also in {}: see that media is right", shown_paths(&source.other_media));
    }
    if !source.ignored.is_empty() {
        let endings = source.ignored.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
        _ = write!(text, "; nothing is read of files that end with {endings}");
    }
    if let Some(split) = source.held_out {
        _ = write!(text, "; the {split} split, which is not trained on: its table is commented out");
    }
    let prefix = &source.options.media_prefix;
    if !prefix.is_empty() {
        _ = write!(text, "; media_prefix leaves {prefix:?} out of their paths");
    }
    if let Some(rejection) = &source.without_fields {
        _ = write!(text, "; without fields: {rejection}");
    }
    if let Some(rejection) = &source.rejection {
        _ = write!(text, "; the first that is rejected: {rejection}");
    }
    text
}

/// Paths in a row.
pub(super) fn shown_paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// A text as names of datasets and sources are written.
pub(super) fn identifier(text: &str, default: &str) -> String {
    let allowed = |character: char| character.is_ascii_alphanumeric() || character == '_' || character == '-';
    let name: String = text.chars().map(|character| if allowed(character) { character } else { '-' }).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { default.to_owned() } else { name.to_owned() }
}
