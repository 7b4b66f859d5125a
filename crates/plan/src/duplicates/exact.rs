//! Finds exact duplicates: reads, whole, the media of those records only that share text and media sizes with another.

use manyframe_core::{Digest, Part, VisualKind};
use manyframe_media::MediaError;
use manyframe_samplers::{Duplicate, candidate_groups, duplicates_in_group};

use crate::rows::Rows;
use crate::{Context, PlanError};
use manyframe_base::{Executor, Step};

/// The duplicates among the eligible rows.
pub(super) fn find(
    context: &Context,
    all: &Rows,
    eligible: &[usize],
    executor: Executor<'_>,
) -> Result<Vec<Duplicate>, PlanError> {
    let groups = candidate_groups(&all.index, eligible);
    executor.progress.start(Step::Compare, groups.iter().map(|group| group.len() as u64).sum());
    let mut duplicates = Vec::new();
    let digests = |group: Vec<usize>| -> Result<Vec<Duplicate>, PlanError> {
        let digest = |&row: &usize| Ok((row, content_digest(context, all, row)?));
        let digested = group.iter().map(digest).collect::<Result<Vec<_>, PlanError>>()?;
        executor.progress.advance(group.len() as u64, group.len() as u64);
        Ok(duplicates_in_group(&digested))
    };
    executor.ordered_map(4).run(groups.into_iter().map(Ok::<_, PlanError>), digests, |found| {
        duplicates.extend(found?);
        Ok(())
    })?;
    executor.progress.finish(Step::Compare);
    Ok(duplicates)
}

/// A digest of all that the record says and shows; `None` if its media cannot be read, which the run will tell.
fn content_digest(context: &Context, all: &Rows, row: usize) -> Result<Option<Digest>, PlanError> {
    let (Some(row), Some(place)) = (all.index.get(row), all.places.get(row)) else { return Ok(None) };
    let open = &context.sources[row.source];
    let raw = open.read_at(&place.origin);
    let raw = raw.map_err(|error| PlanError::Source { source_name: open.table.name.clone(), error })?;
    let Ok(record) = open.parse(&raw) else { return Ok(None) };
    let record = place.fit.as_deref().copied().unwrap_or_default().cut(record);
    let mut hasher = blake3::Hasher::new();
    let Ok(text) = context.formatter.text_digest(&record.turns) else { return Ok(None) };
    hasher.update(&text.0);
    let tiled = |part: &Part| matches!(part, Part::Visual(visual) if visual.kind == VisualKind::Tiled);
    let num_tiled = record.turns.iter().flat_map(|turn| &turn.parts).filter(|part| tiled(part)).count();
    hasher.update(&(num_tiled as u64).to_le_bytes());
    for medium in &record.media {
        let clip = medium.clip.map(|clip| (clip.start_s.to_bits(), clip.end_s.map(f64::to_bits)));
        hasher.update(format!("{clip:?}").as_bytes());
        let mut num_bytes = 0;
        let read = open.media.for_each_bytes(&record.subset, medium, |bytes| {
            num_bytes += bytes.len() as u64;
            hasher.update(bytes);
        });
        match read {
            Ok(()) => _ = hasher.update(&num_bytes.to_le_bytes()),
            Err(MediaError::Rejected(_)) => return Ok(None),
            Err(storage) => return Err(PlanError::Storage(storage)),
        }
    }
    Ok(Some(Digest(*hasher.finalize().as_bytes())))
}
