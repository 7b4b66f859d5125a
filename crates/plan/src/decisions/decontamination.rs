//! Decontamination: finds records that show an image or video which no sample may show, such as those of a benchmark.

use std::path::Path;
use std::sync::Arc;

use manyframe_base::Executor;
use manyframe_core::{RejectCode, Rejection};
use manyframe_dataset::{DecontaminationSummary, RejectedMedium};
use manyframe_media::{ImageFingerprint, MediaError};
use manyframe_samplers::contaminated_rows;
use rustc_hash::FxHashMap;

use crate::context::Context;
use crate::decisions::fingerprints::Fingerprints;
use crate::decisions::unwanted::{UnwantedMedium, UnwantedOfPattern, list_unwanted, unusable};
use crate::decisions::unwanted_media::{KeptUnwanted, UnwantedOutcome, UnwantedShown};
use crate::error::PlanError;

/// An image that no sample may show, or one of a video that no sample may show.
struct UnwantedImage {
    name: Arc<str>,
    fingerprint: ImageFingerprint,
}

/// An image of a candidate.
struct CandidateImage<'a> {
    row: usize,
    /// Number of its visual in the record, from 0.
    visual: usize,
    fingerprint: &'a ImageFingerprint,
}

/// What decontamination came to.
pub(crate) struct Contaminated {
    /// The rows that show an unwanted image, and why they are rejected: one rejection for each row, rows ascending.
    pub(crate) rows: Vec<(usize, Rejection)>,
    /// What they were compared with.
    pub(crate) summary: DecontaminationSummary,
}

/// Finds the rows that show an unwanted image; `None` if the pipeline file names none.
pub(crate) fn find_contaminated(
    (context, work): (&Context, &Path),
    fingerprints: &Fingerprints,
    executor: Executor<'_>,
) -> Result<Option<Contaminated>, PlanError> {
    let table = &context.pipeline.file.decontamination;
    if !table.is_active() {
        return Ok(None);
    }
    let unwanted = UnwantedImages::read(context, work, executor)?;
    let rows = fingerprints.rows();
    let visuals = rows.iter().flat_map(|(row, record)| record.visuals.iter().enumerate().map(|visual| (*row, visual)));
    let images: Vec<CandidateImage<'_>> = visuals
        .flat_map(|(row, (visual, images))| {
            images.iter().map(move |fingerprint| CandidateImage { row, visual, fingerprint })
        })
        .collect();
    let mut found: Vec<(usize, Rejection)> = Vec::new();
    for (image, name) in images.iter().zip(unwanted.names_of_matches(&images, table.max_distance)) {
        let Some(name) = name.filter(|_| found.last().is_none_or(|(row, _)| *row != image.row)) else { continue };
        let detail = format!("medium {} is a near-duplicate of {name:?}, which no sample may show", image.visual + 1);
        found.push((image.row, Rejection::new(RejectCode::Excluded, detail)));
    }
    Ok(Some(Contaminated { rows: found, summary: unwanted.summary }))
}

/// All images that no sample may show, in the order of the pipeline file.
struct UnwantedImages {
    images: Vec<UnwantedImage>,
    summary: DecontaminationSummary,
}

impl UnwantedImages {
    fn read(context: &Context, work: &Path, executor: Executor<'_>) -> Result<Self, PlanError> {
        let kept = KeptUnwanted::open(context, work);
        let mut all = Self { images: Vec::new(), summary: DecontaminationSummary::default() };
        for of_pattern in list_unwanted(context)? {
            all.add(&kept, of_pattern, executor)?;
        }
        let DecontaminationSummary { num_media, num_images, num_other_files, .. } = all.summary;
        tracing::info!(num_media, num_images, num_other_files, "images and videos that no sample may show");
        Ok(all)
    }

    fn add(
        &mut self,
        kept: &KeptUnwanted<'_>,
        UnwantedOfPattern { pattern, has_samples, media }: UnwantedOfPattern<'_>,
        executor: Executor<'_>,
    ) -> Result<(), PlanError> {
        let (mut of_pattern, mut num_compared) = (DecontaminationSummary::default(), 0);
        let outcome = |medium: UnwantedMedium| {
            let outcome = kept.outcome(&medium);
            (medium.name, outcome)
        };
        executor.ordered_map(8).run(media.into_iter().map(Ok), outcome, |(name, outcome)| {
            let outcome = outcome.map_err(|error| match error {
                MediaError::Rejected(Rejection { detail, .. }) => unusable(&name, detail),
                storage @ MediaError::Storage { .. } => PlanError::Storage(storage),
            })?;
            num_compared += self.count(&mut of_pattern, &name, outcome);
            Ok::<_, PlanError>(())
        })?;
        if num_compared == 0
            && let Some(RejectedMedium { name, reason, detail }) = of_pattern.examples.first()
        {
            let number = of_pattern.num_media;
            let detail = format!(
                "none of its images and videos ({number}) can be decoded, such as {name:?} ({reason}: {detail})"
            );
            return Err(unusable(pattern, detail));
        }
        // A disk that is not mounted: nothing would be compared, and nobody would know. Samples may be texts.
        if num_compared == 0 && !has_samples {
            return Err(unusable(pattern, "no image or video is in it".to_owned()));
        }
        self.summary.add(of_pattern);
        Ok(())
    }

    /// Counts what came of a file; returns the media in it of which anything is compared.
    fn count(&mut self, summary: &mut DecontaminationSummary, name: &str, outcome: UnwantedOutcome) -> u64 {
        let (shown, is_compared) = match outcome {
            UnwantedOutcome::Whole(shown) => (shown, true),
            UnwantedOutcome::Rejected(shown, rejection) => {
                summary.reject(name, &rejection);
                let is_compared = shown.num_images > 0;
                (shown, is_compared)
            }
            UnwantedOutcome::Other => {
                summary.num_other_files += 1;
                return 0;
            }
        };
        let UnwantedShown { fingerprints, num_images, .. } = shown;
        summary.num_media += 1;
        summary.num_images += num_images;
        let name: Arc<str> = name.into();
        let image = |fingerprint| UnwantedImage { name: Arc::clone(&name), fingerprint };
        self.images.extend(fingerprints.into_iter().map(image));
        u64::from(is_compared)
    }

    /// For each image, the name of the first unwanted one with the same pixels, or of the first near-duplicate.
    fn names_of_matches(&self, images: &[CandidateImage<'_>], max_distance: u32) -> Vec<Option<&str>> {
        let by_pixels: FxHashMap<u64, &str> =
            self.images.iter().rev().map(|unwanted| (unwanted.fingerprint.pixels, &*unwanted.name)).collect();
        let (names, hashes): (Vec<&str>, Vec<u64>) =
            self.images.iter().filter_map(|unwanted| Some((&*unwanted.name, unwanted.fingerprint.hash?))).unzip();
        let candidates: Vec<(usize, u64)> =
            images.iter().enumerate().filter_map(|(number, image)| Some((number, image.fingerprint.hash?))).collect();
        let near = contaminated_rows(&candidates, &hashes, max_distance).into_iter();
        #[expect(clippy::indexing_slicing, reason = "hashes and names have one order")]
        let near: FxHashMap<usize, &str> = near.map(|found| (found.row, names[found.against])).collect();
        let name = |(number, image): (usize, &CandidateImage<'_>)| {
            let same = by_pixels.get(&image.fingerprint.pixels);
            same.or_else(|| near.get(&number)).copied()
        };
        images.iter().enumerate().map(name).collect()
    }
}
