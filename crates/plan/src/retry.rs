//! What a process did not survive, in another process: tried again there, or rejected.

use std::sync::Arc;

use manyframe_base::in_flight::InFlight;

use crate::attempt::{Attempt, Verdict};
use crate::context::{Context, work_directory_of};
use crate::decisions::fingerprints::fingerprint;
use crate::decisions::unwanted_media::try_unwanted;
use crate::error::PlanError;
use crate::index::measure::measure;

/// Has a context note what threads work on, and reject what earlier processes did not survive, also in later builds.
///
/// # Errors
///
/// If what is rejected cannot be read or kept.
pub fn watch(context: &mut Context, in_flight: Arc<InFlight>, verdicts: &[Verdict]) -> Result<(), PlanError> {
    context.guard.note_work(in_flight);
    // Samples of a dataset are checked without a context.
    for Verdict { attempt, rejection } in verdicts.iter().filter(|verdict| verdict.attempt.is_of_sources()) {
        let key = attempt.key(&attempt.source_name(context));
        let media = media_version(context, attempt)?;
        context.guard.condemn(key, media, rejection.clone());
    }
    match work_directory_of(&context.pipeline.file) {
        Some(work) if !verdicts.is_empty() => Ok(context.guard.save(&work)?),
        _ => Ok(()),
    }
}

/// Does it again, except for making a sample, which the engine does. Only whether the process survives matters.
///
/// # Errors
///
/// If its record cannot be read.
pub fn repeat(context: &Context, attempt: &Attempt) -> Result<(), PlanError> {
    match attempt {
        Attempt::Measure { source, origin } => {
            let raw = context.source(*source).read_at(origin);
            let raw = raw.map_err(|error| PlanError::Source { source_name: attempt.source_name(context), error })?;
            measure(context, *source, &raw).map_err(PlanError::Storage)?;
        }
        Attempt::Fingerprint { source, origin, reduction } => {
            _ = fingerprint(context, (*source, origin, reduction), None)?;
        }
        Attempt::Exclude(place) => try_unwanted(context, place),
        Attempt::Make(_) | Attempt::Check { .. } => {}
    }
    Ok(())
}

fn media_version(context: &Context, attempt: &Attempt) -> Result<u64, PlanError> {
    let (source, origin) = match (attempt, attempt.record()) {
        (Attempt::Exclude(place), _) => return Ok(place.version()),
        (_, Some(record)) => record,
        (_, None) => return Ok(0),
    };
    let open = context.source(source);
    let raw = open.read_at(origin);
    let raw = raw.map_err(|error| PlanError::Source { source_name: open.table.name.clone(), error })?;
    Ok(open.parse(&raw).map_or(0, |record| open.media_version(&record)))
}
