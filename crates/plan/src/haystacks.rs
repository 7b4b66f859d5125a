//! The haystacks of `[source.needles]`: the files that its patterns name below the media of their source, and the media of other sources.

use std::collections::{BTreeMap, BTreeSet};

use manyframe_core::{BlobRef, Digest, MediaKind, MediaLocation, MediaRef, Origin, Record, RecordId, rank};
use manyframe_pipeline::{LocatedSource, PatternError, expand_pattern, media_roots};
use manyframe_sources::{NeedleOptions, SourceError, SourceOptions};

use crate::error::PlanError;
use crate::source_reader::SourceReader;

/// The options of a source with its haystacks listed, and where those are that belong to other sources.
pub(crate) struct Listed<'p> {
    pub(crate) options: SourceOptions,
    /// By the names that the options have in place of paths.
    pub(crate) foreign: BTreeMap<String, ForeignMedium<'p>>,
}

/// A medium of another source.
pub(crate) struct ForeignMedium<'p> {
    pub(crate) source: LocatedSource<'p>,
    pub(crate) subset: String,
    pub(crate) medium: MediaRef,
}

impl SourceReader {
    /// Opens the annotations of a source; of an evaluation set with haystacks from other sources, theirs are read.
    ///
    /// # Errors
    ///
    /// If they are missing or cannot be opened.
    pub fn open(source: LocatedSource<'_>) -> Result<Self, PlanError> {
        Self::open_with(source, &listed_options(source)?.options)
    }
}

/// The options of a source, its haystacks and images listed: those of a pattern in sorted order, below one directory after the other,
/// then those of other sources by rank. Reads the annotations of these.
///
/// # Errors
///
/// If a pattern matches nothing, if another source has no such medium, or if media roots or annotations cannot be read.
pub(crate) fn listed_options(source: LocatedSource<'_>) -> Result<Listed<'_>, PlanError> {
    let mut listed = Listed { options: source.table.options.clone(), foreign: BTreeMap::new() };
    let Some(needles) = &mut listed.options.needles else { return Ok(listed) };
    let roots: Vec<String> = media_roots(source)?.into_iter().map(|root| root.path.display().to_string()).collect();
    for list in [&mut needles.haystacks, &mut needles.images] {
        let of_patterns = list.iter().map(|pattern| of_pattern(source, &roots, pattern)).collect::<Result<Vec<_>, _>>();
        *list = of_patterns?.into_iter().flatten().collect();
    }
    let lenders: BTreeSet<String> = needles.haystack_sources.iter().chain(&needles.image_sources).cloned().collect();
    // The rules of pipeline files make sure that there are such sources.
    for other in lenders.iter().filter_map(|name| source.other(name)) {
        for (key, medium) in of_source(other, needles)? {
            match medium.medium.kind {
                MediaKind::Video => needles.haystacks.push(key.clone()),
                MediaKind::Image => needles.images.push(key.clone()),
            }
            listed.foreign.insert(key, medium);
        }
    }
    Ok(listed)
}

/// The paths of a pattern, below the roots.
fn of_pattern(source: LocatedSource<'_>, roots: &[String], pattern: &str) -> Result<Vec<String>, PlanError> {
    if !pattern.contains(['*', '?', '[']) {
        return Ok(vec![pattern.to_owned()]);
    }
    let mut found = Vec::new();
    for root in roots {
        let within = format!("{}/{pattern}", root.trim_end_matches('/'));
        // A root may lack what another has.
        let paths: Result<_, PatternError> = expand_pattern(&source.stores.access(), &within);
        let below = paths.unwrap_or_default().into_iter().filter(|path| path.exists());
        found.extend(below.filter_map(|path| Some(path.strip_prefix(root).ok()?.to_str()?.to_owned())));
    }
    if found.is_empty() {
        let error = SourceError::NoHaystack { pattern: pattern.to_owned() };
        return Err(PlanError::Source { source_name: source.table.name.clone(), error });
    }
    Ok(found)
}

/// Media by rank and name.
type Ranked<'p> = BTreeMap<(u64, String), ForeignMedium<'p>>;

/// The media of another source that are haystacks, those of lowest rank, with their names. Keeps no more in memory than are taken.
fn of_source<'p>(
    other: LocatedSource<'p>,
    needles: &NeedleOptions,
) -> Result<Vec<(String, ForeignMedium<'p>)>, PlanError> {
    let name = &other.table.name;
    let failed = |error| PlanError::Source { source_name: name.clone(), error };
    let kinds = [
        (MediaKind::Video, "video", needles.haystack_sources.contains(name)),
        (MediaKind::Image, "image", needles.image_sources.contains(name)),
    ];
    let mut ranked: BTreeMap<&str, Ranked<'p>> = BTreeMap::new();
    let reader = SourceReader::open_with(other, &other.table.options)?;
    for split in reader.source().splits().map_err(failed)? {
        for raw in reader.source().read(&split).map_err(failed)? {
            // A record that cannot be read has no media.
            let Ok(record) = reader.source().parse(&raw.map_err(failed)?) else { continue };
            for (key, medium) in media_of(&record, other) {
                let Some((_, what, _)) =
                    kinds.iter().find(|(kind, _, is_taken)| *kind == medium.medium.kind && *is_taken)
                else {
                    continue;
                };
                let id = RecordId::from_digest(Digest::of(key.as_bytes()));
                let of_kind = ranked.entry(what).or_default();
                of_kind.insert((rank(needles.seed, "haystack", id), key), medium);
                if of_kind.len() > needles.num_from_source as usize {
                    of_kind.pop_last();
                }
            }
        }
    }
    let missing = kinds.iter().find(|(_, what, is_taken)| *is_taken && !ranked.contains_key(what));
    if let Some((_, what, _)) = missing {
        return Err(failed(SourceError::NoHaystackOfSource { name: name.clone(), what }));
    }
    Ok(ranked.into_values().flatten().map(|((_, key), medium)| (key, medium)).collect())
}

/// The media of a record that can be opened by themselves, and a name for each that is the same on every machine: what it shows
/// belongs to the name, since records may be about other parts of the same video.
fn media_of<'p>(record: &Record, source: LocatedSource<'p>) -> Vec<(String, ForeignMedium<'p>)> {
    let named = |(number, medium): (usize, &MediaRef)| {
        let place = match (&medium.location, medium.kind) {
            (MediaLocation::Path(path), _) if record.subset.is_empty() => path.clone(),
            (MediaLocation::Path(path), _) => format!("{}:{path}", record.subset),
            (MediaLocation::Blob(BlobRef::Range { .. }) | MediaLocation::PreparedClip(_), _)
            | (MediaLocation::Blob(_) | MediaLocation::Prepared { grid: None, .. }, MediaKind::Image) => {
                place_of(&record.origin, number)
            }
            _ => return None,
        };
        let clip = medium.clip.map(|clip| format!(" from {} s to {:?}", clip.start_s, clip.end_s));
        let fps = medium.fps.map(|fps| format!(" at {fps} fps"));
        let key = format!("{}:{place}{}{}", source.table.name, clip.unwrap_or_default(), fps.unwrap_or_default());
        Some((key, ForeignMedium { source, subset: record.subset.to_string(), medium: medium.clone() }))
    };
    record.media.iter().enumerate().filter_map(named).collect()
}

fn place_of(origin: &Origin, number: usize) -> String {
    format!("{origin}[{number}]")
}
