//! Writes the questions of evaluation sets beside a dataset, and makes them again to verify it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use manyframe_base::files::write_staged;
use manyframe_core::{Digest, NeedleQuestion, Origin, PlacedNeedle, RejectCode, SampleImage, VisualKind};
use manyframe_dataset::{DatasetError, LedgerRow, NEEDLES_FILE, NeedleEntry, NeedlesEntry, Status};
use manyframe_media::{ImageFingerprint, MediaError, MediaLimits, decode_rgb};
use manyframe_pipeline::Kind;
use manyframe_plan::{Context, OpenSource, PlanError};
use manyframe_sources::{Raw, SourceKind};
use serde::Deserialize;

use crate::compose::{are_alike, check_needles_alike};
use crate::encoded::EncodedVisual;
use crate::error::EngineError;

/// The text of the file, and what the manifest says of it.
pub(crate) struct NeedleLines {
    pub(crate) text: Vec<u8>,
    pub(crate) entry: NeedlesEntry,
}

impl NeedleLines {
    /// Reads the question of each delivered sample again from its source. `None` if no source makes questions.
    ///
    /// # Errors
    ///
    /// If the ledger or a source cannot be read, or has changed.
    pub(crate) fn of(
        context: &Context,
        ledger: impl Iterator<Item = Result<LedgerRow, DatasetError>>,
    ) -> Result<Option<Self>, EngineError> {
        let sets: BTreeMap<&str, &OpenSource> =
            sets(context).map(|source| (source.table.name.as_str(), source)).collect();
        if sets.is_empty() {
            return Ok(None);
        }
        let (mut text, mut num_samples) = (Vec::new(), 0);
        for row in ledger {
            let row = row?;
            let Some(source) = sets.get(row.source.as_str()).filter(|_| row.status == Status::Delivered) else {
                continue;
            };
            let entry = NeedleEntry { sample: row.id, source: row.source.clone(), question: question(source, &row)? };
            let line = serde_json::to_vec(&entry).map_err(|_never| changed(&row))?;
            text.extend(line);
            text.push(b'\n');
            num_samples += 1;
        }
        let entry = NeedlesEntry { path: NEEDLES_FILE.to_owned(), digest: Digest::of(&text), num_samples };
        Ok(Some(Self { text, entry }))
    }

    /// Writes the file into a dataset that is published later.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub(crate) fn write(self, dataset: &Path) -> Result<NeedlesEntry, EngineError> {
        write_staged(&dataset.join(&self.entry.path), &self.text)?;
        Ok(self.entry)
    }
}

/// The sources that are evaluation sets.
pub(crate) fn sets(context: &Context) -> impl Iterator<Item = &OpenSource> {
    context.sources.iter().filter(|source| is_set(source))
}

/// Whether a source is an evaluation set.
pub(crate) fn is_set(source: &OpenSource) -> bool {
    source.table.kind == Kind::Upstream(SourceKind::Needles)
}

/// What a record of an evaluation set asks; `None` if it is none.
pub(crate) fn question_of(raw: &Raw) -> Option<NeedleQuestion> {
    #[derive(Deserialize)]
    struct Asks {
        needle: NeedleQuestion,
    }
    serde_json::from_slice(&raw.body.text()).ok().map(|Asks { needle }| needle)
}

fn question(source: &OpenSource, row: &LedgerRow) -> Result<NeedleQuestion, EngineError> {
    let unreadable = |error| PlanError::Source { source_name: source.table.name.clone(), error };
    let raw = source.read_at(&row.origin).map_err(unreadable)?;
    question_of(&raw).ok_or_else(|| changed(row))
}

fn changed(row: &LedgerRow) -> EngineError {
    EngineError::SourceChanged { id: row.id.to_string(), origin: row.origin.to_string() }
}

/// Rejects a needle among images if it looks like one of them, or like another needle. Videos are checked while they are composed.
///
/// # Errors
///
/// That rejection, and those of images that cannot be decoded.
pub(crate) fn check_images(
    source: &OpenSource,
    origin: &Origin,
    (encoded, limits): (&[EncodedVisual], &MediaLimits),
) -> Result<(), MediaError> {
    let is_image = |visual: &EncodedVisual| visual.kind == VisualKind::Image;
    let (true, Some(options)) = (is_set(source) && encoded.iter().all(is_image), &source.table.options.needles) else {
        return Ok(());
    };
    let question = source.read_at(origin).ok().and_then(|raw| question_of(&raw));
    let no_question = || MediaError::rejected(RejectCode::UnexpectedSchema, "the record asks nothing");
    let of_question = question.ok_or_else(no_question)?.needles;
    let images = encoded.iter().filter_map(|visual| visual.images.first());
    let fingerprint = |image: &SampleImage| Ok(ImageFingerprint::of(&decode_rgb(&image.bytes, limits)?.view()));
    let fingerprints: Vec<ImageFingerprint> = images.map(fingerprint).collect::<Result<_, MediaError>>()?;
    let places: BTreeSet<u32> = of_question.iter().flat_map(|needle| needle.indices.clone()).collect();
    let (needles, haystack): (BTreeMap<u32, _>, BTreeMap<u32, _>) =
        (0..).zip(fingerprints).partition(|(index, _)| places.contains(index));
    for (needle, of_needle) in &needles {
        let alike = haystack.iter().find(|(_, other)| are_alike(*of_needle, **other, options.max_distance));
        if let Some((image, _)) = alike {
            let detail = format!("the needle, image {needle}, looks like image {image} of its haystack");
            return Err(MediaError::rejected(RejectCode::NeedleInHaystack, detail));
        }
    }
    let of_needle = |needle: PlacedNeedle| {
        let first = needle.indices.iter().find_map(|index| needles.get(index));
        (format!("the needle {:?}", needle.name), first.into_iter().copied().collect())
    };
    check_needles_alike(&of_question.into_iter().map(of_needle).collect(), options.max_distance)
}
