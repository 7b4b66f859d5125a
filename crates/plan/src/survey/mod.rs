//! What is in directories: annotation files and what they hold, where their media are, tokenizers, datasets. For a pipeline file
//! that a program writes.
//!
//! Some records of each annotation file are read, from all of it, and their media looked for. Nothing is decoded.

mod choosing;
mod entries;
mod form;
mod found;
mod groups;
mod joined;
mod place_names;
mod roots;
mod sampled;
mod splits;
mod unused;
mod zip;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use manyframe_base::FileAccess;
use manyframe_core::{MediaKind, Record};
use manyframe_pipeline::missing_files;
use manyframe_sources::{SourceError, SourceKind, SourceOptions};

use self::choosing::choosing_options;
use self::entries::Entries;
use self::form::form_of;
pub use self::found::{FoundSource, Survey};
use self::groups::{FileGroup, single};
use self::joined::joined_options;
use self::roots::{Roots, find_roots, prefix_in_the_way};
use self::sampled::{Sampled, read_some};

/// How many records of a source are read.
const NUM_RECORDS: usize = 200;
/// How many files of a source they are taken from.
const MAX_FILES: usize = 4;
/// How many files of a source are looked at one by one, where each could have media of its own.
const MAX_FILES_APART: usize = 64;

/// Looks at directories and files.
///
/// # Errors
/// If one of the paths cannot be read. What is below them costs itself only.
pub fn survey(paths: &[PathBuf]) -> std::io::Result<Survey> {
    let mut entries = Entries::below(paths)?;
    let unread = std::mem::take(&mut entries.unread);
    let mut survey = Survey { unread, is_partial: entries.is_partial, ..Survey::default() };
    // Why archives have no record that could be delivered.
    let mut archives = BTreeMap::new();
    for group in &entries.annotations {
        let Some(first) = group.paths.first() else { continue };
        if group.pattern.contains("${") {
            let reason = "a pipeline file cannot name a path with \"${\" in it".to_owned();
            survey.unread.extend(group.paths.iter().map(|path| (path.clone(), reason.clone())));
            continue;
        }
        // An archive without texts is one of media.
        let is_archive = entries.archives.contains(first);
        match read_group(group, &entries) {
            Ok(source) if source.num_read > 0 => {
                let apart = if source.has_rivals { read_apart(group, &entries) } else { None };
                survey.sources.extend(apart.unwrap_or_else(|| vec![source]));
            }
            Ok(source) if !is_archive => {
                let reason = source.rejection.map_or_else(|| "it has no record".to_owned(), |it| it.to_string());
                survey.unread.push((first.clone(), reason));
            }
            Err(error) if !is_archive => survey.unread.push((first.clone(), reason_of(error))),
            Ok(source) => _ = source.rejection.map(|it| archives.insert(first.clone(), it.to_string())),
            Err(_) => {}
        }
    }
    splits::hold_out(&mut survey.sources, paths);
    unused::add_unused(&mut survey, &entries, &archives);
    survey.datasets = entries.datasets;
    survey.tokenizers = entries.tokenizers;
    Ok(survey)
}

/// Without the path, which is said beside it.
fn reason_of(error: SourceError) -> String {
    match error {
        SourceError::NotRecords { found, advice, .. } => format!("{found}; {advice}"),
        SourceError::Read { source, .. } => source.to_string(),
        SourceError::Rows { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

/// What is read of files; if nothing is, or less than half of it, what is read of them with other options or another file.
fn read_group(group: &FileGroup, entries: &Entries) -> Result<FoundSource, SourceError> {
    let alone = try_group(group, entries, SourceOptions::default());
    if alone.as_ref().is_ok_and(|source| source.num_read * 2 >= source.num_records.max(1)) {
        return alone;
    }
    let choosing = group.paths.first().filter(|_| alone.is_ok()).and_then(choosing_options);
    let others = joined_options(group, entries).into_iter().chain(choosing);
    let others = others.filter_map(|options| try_group(group, entries, options).ok());
    let number = |source: &FoundSource| (source.num_read, source.num_found);
    // Of those with as many records and media the first one, which is the most usual.
    let Some(mut best) = others.reduce(|best, other| if number(&other) > number(&best) { other } else { best }) else {
        return alone;
    };
    match alone {
        Ok(alone) if alone.num_read >= best.num_read => Ok(alone),
        Err(error) if best.num_read == 0 => Err(error),
        alone => {
            let rejection = alone.ok().and_then(|alone| alone.rejection);
            best.without_fields = rejection.filter(|_| !best.options.fields.is_empty() && best.options.join.is_empty());
            Ok(best)
        }
    }
}

/// What is read of each file of a group, if each has media in a directory that tells itself, and these are not the same.
fn read_apart(group: &FileGroup, entries: &Entries) -> Option<Vec<FoundSource>> {
    if !(2..=MAX_FILES_APART).contains(&group.paths.len()) {
        return None;
    }
    let alone = |path: &PathBuf| read_group(&single(path.clone()), entries).ok();
    let sources = group.paths.iter().map(alone).collect::<Option<Vec<_>>>()?;
    let tells = |source: &FoundSource| !source.media.is_empty() && source.unclear_media.is_empty();
    let differ = sources.windows(2).any(|pair| matches!(pair, [one, other] if one.media != other.media));
    (sources.iter().all(tells) && differ).then_some(sources)
}

/// What is read of files with some options, and with a prefix of paths that is in the way, if there is one.
fn try_group(group: &FileGroup, entries: &Entries, options: SourceOptions) -> Result<FoundSource, SourceError> {
    let (found, prefix) = try_options(group, entries, &options)?;
    let Some(media_prefix) = prefix else { return Ok(found) };
    let (without, _) = try_options(group, entries, &SourceOptions { media_prefix, ..options })?;
    Ok(if without.num_found > found.num_found { without } else { found })
}

/// What is read of files, and the prefix of its paths that seems to be in the way.
fn try_options(
    group: &FileGroup,
    entries: &Entries,
    options: &SourceOptions,
) -> Result<(FoundSource, Option<String>), SourceError> {
    let step = group.paths.len().div_ceil(MAX_FILES).max(1);
    let files: Vec<&PathBuf> = group.paths.iter().step_by(step).collect();
    let share = NUM_RECORDS / files.len().max(1);
    let sampled = read_some(&files, (SourceKind::Auto, options), share)?;
    let Sampled { records, num_records, rejection, first_fields, ignored } = sampled;
    let is_text = !records.is_empty()
        && records.iter().all(|record| record.media.is_empty())
        && read_some(&files, (SourceKind::Text, options), share).is_ok_and(|text| text.records.len() == records.len());
    let Roots { media, links, num_media, num_found, missing, absent, others, unclear, has_rivals } =
        find_roots(Path::new(&group.pattern), &records, entries);
    let prefix = prefix_in_the_way(&absent, entries).filter(|_| options.media_prefix.is_empty());
    let is_score = |name: &&String| ["score", "rating"].iter().any(|word| name.contains(word));
    let found = FoundSource {
        annotations: group.pattern.clone(),
        num_files: group.paths.len(),
        missing_files: missing_files(&FileAccess::default(), &group.paths),
        form: form_of(group, options, (&first_fields, records.first())),
        held_out: None,
        is_text,
        options: options.clone(),
        without_fields: None,
        scores: first_fields.keys().filter(is_score).cloned().collect(),
        num_records,
        num_read: records.len(),
        rejection,
        example: records.first().map_or((0, 0, 0), example_of),
        num_media,
        num_found,
        missing,
        media,
        other_media: others,
        unclear_media: unclear,
        has_rivals,
        links,
        ignored,
    };
    Ok((found, prefix))
}

fn example_of(record: &Record) -> (usize, usize, usize) {
    let num_videos = record.media.iter().filter(|it| it.kind == MediaKind::Video).count();
    (record.turns.len(), record.media.len() - num_videos, num_videos)
}
