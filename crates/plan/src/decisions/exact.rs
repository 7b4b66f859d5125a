//! Finds exact duplicates: only records that share text and media sizes with another have their media read whole.

use manyframe_base::{Executor, Step};
use manyframe_core::{Digest, MediaRef, Part, Record, VisualKind};
use manyframe_media::MediaError;
use manyframe_samplers::{Duplicate, candidate_groups, duplicates_in_group};

use crate::context::{Context, OpenSource};
use crate::decisions::candidates::Candidates;
use crate::error::PlanError;

/// The exact duplicates among the candidates that are left.
pub(crate) fn find_exact_duplicates(
    context: &Context,
    (candidates, signatures): (&Candidates, &[u64]),
    executor: Executor<'_>,
) -> Result<Vec<Duplicate>, PlanError> {
    let groups = candidate_groups(signatures, &candidates.undecided());
    executor.progress.start(Step::Compare, groups.iter().map(|group| group.len() as u64).sum());
    let mut duplicates = Vec::new();
    let digests = |group: Vec<usize>| -> Result<Vec<Duplicate>, PlanError> {
        let digest = |&row: &usize| Ok((row, content_digest(context, candidates, row)?));
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

/// A digest of everything that the record says and shows. `None` if the record or its media cannot be read any more: the worker
/// then rejects it.
fn content_digest(context: &Context, candidates: &Candidates, row: usize) -> Result<Option<Digest>, PlanError> {
    let location = candidates.location(row);
    let open = context.source(candidates.row(row).source);
    let record = open.shown_record(&location.origin, &location.reduction);
    let record = record.map_err(|error| PlanError::Source { source_name: open.table.name.clone(), error })?;
    let Ok(record) = record else { return Ok(None) };
    let Ok(text) = context.formatter.text_digest(&record.turns) else { return Ok(None) };
    let mut digest = ContentDigest { open, record: &record, hasher: blake3::Hasher::new() };
    digest.hasher.update(&text.0);
    digest.hasher.update(&(num_tiled(&record) as u64).to_le_bytes());
    for medium in &record.media {
        match digest.add_medium(medium) {
            Ok(()) => {}
            Err(MediaError::Rejected(_)) => return Ok(None),
            Err(storage) => return Err(PlanError::Storage(storage)),
        }
    }
    Ok(Some(Digest(*digest.hasher.finalize().as_bytes())))
}

fn num_tiled(record: &Record) -> usize {
    let is_tiled = |part: &&Part| matches!(part, Part::Visual(visual) if visual.kind == VisualKind::Tiled);
    record.turns.iter().flat_map(|turn| &turn.parts).filter(is_tiled).count()
}

/// A digest that is being computed.
struct ContentDigest<'a> {
    open: &'a OpenSource,
    record: &'a Record,
    hasher: blake3::Hasher,
}

impl ContentDigest<'_> {
    fn add_medium(&mut self, medium: &MediaRef) -> Result<(), MediaError> {
        let clip = medium.clip.map(|clip| (clip.start_s.to_bits(), clip.end_s.map(f64::to_bits)));
        self.hasher.update(format!("{clip:?}").as_bytes());
        let mut num_bytes = 0;
        self.open.media.for_each_bytes(&self.record.subset, medium, |bytes| {
            num_bytes += bytes.len() as u64;
            self.hasher.update(bytes);
        })?;
        self.hasher.update(&num_bytes.to_le_bytes());
        Ok(())
    }
}
