//! Fingerprints of what records show: every image decoded once per index file, and kept beside it as long as it does not change.
//! Media that cannot be decoded are found here, before anything is drawn.
//!
//! Perceptual hashing is opt-in because it decodes every image.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use manyframe_base::files::remove_any;
use manyframe_base::{Executor, Step};
use manyframe_columnar::table;
use manyframe_core::{
    Clip, Digest, MediaKind, MediaLocation, MediaRef, Origin, Record, RecordId, RejectCode, Rejection, SourceIndex,
};
use manyframe_dataset::{DatasetError, TableFileWriter, read_table_file};
use manyframe_media::video::{self, FrameKeeper};
use manyframe_media::{Check, ImageFingerprint, MediaError, decode_rgb};
use rustc_hash::FxHashMap;

use crate::attempt::{Attempt, guarded};
use crate::context::{Context, OpenSource};
use crate::decisions::candidates::{Candidates, FileRows};
use crate::error::PlanError;
use crate::index::file::DerivedFile;
use crate::index::media::{MediaOfEntries, RecordMedia};
use crate::index::visuals::in_visual;
use crate::journal::Journal;
use crate::reduction::LengthReduction;

/// What a record says and shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordFingerprint {
    /// Equal for records that say the same.
    pub(crate) text: u64,
    /// Its visuals, in order.
    pub(crate) visuals: Vec<VisualFingerprint>,
}

/// The fingerprints of a visual's images: one of an image, those of all frames of a video that are shown.
///
/// A video that is not decoded has two without a hash: one of its clip and bytes, one of its bytes.
pub(crate) type VisualFingerprint = Vec<ImageFingerprint>;

/// The fingerprints of all candidates that show something.
pub(crate) struct Fingerprints {
    of_row: FxHashMap<usize, RecordFingerprint>,
    /// Rows whose media cannot be decoded, and why.
    pub(crate) damaged: Vec<(usize, Rejection)>,
}

/// Whether the pipeline file requests anything that needs every image decoded.
pub(crate) fn needs_fingerprints(context: &Context) -> bool {
    let file = &context.pipeline.file;
    file.decontamination.is_active() || file.duplicates.remove.compares_pixels() || file.mix.check == Check::Decode
}

/// Whether frames of videos have fingerprints.
pub(crate) fn decodes_videos(context: &Context) -> bool {
    video::IS_ENABLED && context.pipeline.file.mix.check == Check::Decode
}

/// The files of fingerprints that the pipeline file asks for.
pub(crate) fn wanted_fingerprints(context: &Context) -> Option<DerivedFile> {
    needs_fingerprints(context).then(|| kind_of_fingerprints(context))
}

fn kind_of_fingerprints(context: &Context) -> DerivedFile {
    if decodes_videos(context) { DerivedFile::FrameFingerprints } else { DerivedFile::ImageFingerprints }
}

impl Fingerprints {
    /// Reads the fingerprints of every index file, or makes them.
    pub(crate) fn read_or_make(
        context: &Context,
        candidates: &Candidates,
        executor: Executor<'_>,
    ) -> Result<Self, PlanError> {
        let kind = kind_of_fingerprints(context);
        let mut fingerprints = Self { of_row: FxHashMap::default(), damaged: Vec::new() };
        for file in candidates.files() {
            let path = kind.beside(&file.file.path);
            let shown = ShownRecords::of_file((context, candidates), file, journals_beside(&path))?;
            let mut kept = if file.file.was_read { KeptFingerprints::default() } else { read_kept(&path) };
            if shown.records.iter().all(|record| kept.contains_key(&record.key)) {
                fingerprints.add_kept(&shown, kept);
            } else {
                fingerprints.make(&shown, &mut kept, &path, executor)?;
            }
            remove_any(&shown.journals)?;
        }
        Ok(fingerprints)
    }

    /// Takes over fingerprints that were kept; there is one for each record.
    fn add_kept(&mut self, shown: &ShownRecords<'_>, mut kept: KeptFingerprints) {
        for record in &shown.records {
            if let Some(fingerprint) = kept.remove(&record.key) {
                self.of_row.insert(record.row, fingerprint);
            }
        }
    }

    /// Makes the fingerprints that were not kept, and keeps all of them.
    fn make(
        &mut self,
        shown: &ShownRecords<'_>,
        kept: &mut KeptFingerprints,
        path: &Path,
        executor: Executor<'_>,
    ) -> Result<(), PlanError> {
        let mut writer = TableFileWriter::<FingerprintTable>::create_for_work(path)?;
        let parts = Mutex::new(Parts::open(path, kept));
        executor.progress.start(Step::Compare, shown.records.len() as u64);
        let records = shown.records.iter().map(|record| Ok((record, kept.remove(&record.key))));
        let take_or_make = |(record, kept): (&ShownRecord, Option<RecordFingerprint>)| {
            let is_new = kept.is_none();
            let outcome = kept.map_or_else(|| shown.fingerprint(record), |kept| Ok(Ok(kept)))?;
            let fingerprint_row = FingerprintRow { key: record.key, outcome };
            if is_new {
                // Here, and not in order: what waits for an earlier record would be lost with it.
                parts.lock().unwrap_or_else(PoisonError::into_inner).write(&fingerprint_row)?;
            }
            Ok((record.row, fingerprint_row))
        };
        executor.ordered_map(8).run(records, take_or_make, |done: Result<(usize, FingerprintRow), PlanError>| {
            executor.progress.advance(1, 1);
            let (row, fingerprint_row) = done?;
            writer.write(&fingerprint_row)?;
            match fingerprint_row.outcome {
                Ok(fingerprint) => _ = self.of_row.insert(row, fingerprint),
                Err(rejection) => self.damaged.push((row, rejection)),
            }
            Ok::<_, PlanError>(())
        })?;
        executor.progress.finish(Step::Compare);
        writer.finish()?;
        parts.into_inner().unwrap_or_else(PoisonError::into_inner).remove();
        Ok(())
    }

    /// The fingerprint of a row, if the record shows something that can be decoded.
    pub(crate) fn of(&self, row: usize) -> Option<&RecordFingerprint> {
        self.of_row.get(&row)
    }

    /// Rows in order, with their fingerprints.
    pub(crate) fn rows(&self) -> Vec<(usize, &RecordFingerprint)> {
        let mut rows: Vec<_> = self.of_row.iter().map(|(&row, fingerprint)| (row, fingerprint)).collect();
        rows.sort_unstable_by_key(|(row, _)| *row);
        rows
    }
}

/// The records of an index file that show something.
struct ShownRecords<'a> {
    context: &'a Context,
    candidates: &'a Candidates,
    source: SourceIndex,
    records: Vec<ShownRecord>,
    /// Where what was decoded of a record is kept, until all of it is.
    journals: PathBuf,
}

struct ShownRecord {
    key: FingerprintKey,
    row: usize,
}

impl<'a> ShownRecords<'a> {
    fn of_file(
        (context, candidates): (&'a Context, &'a Candidates),
        file: &FileRows,
        journals: PathBuf,
    ) -> Result<Self, PlanError> {
        let mut media = MediaOfEntries::open(&file.file.path)?;
        let record = |row: usize| {
            let media = media.of(candidates.record(row).0 - file.first_record.0)?.map(RecordMedia::version);
            let key = FingerprintKey { id: candidates.id(row), media: media.unwrap_or_default() };
            Ok(ShownRecord { key, row })
        };
        let shown = file.rows.clone().filter(|&row| candidates.row(row).cost.num_images > 0);
        let records = shown.map(record).collect::<Result<_, PlanError>>()?;
        Ok(Self { context, candidates, source: file.file.source, records, journals })
    }

    /// What a record shows, or why that cannot be decoded.
    ///
    /// # Errors
    ///
    /// Failing storage only.
    fn fingerprint(&self, record: &ShownRecord) -> Result<Result<RecordFingerprint, Rejection>, PlanError> {
        let (origin, reduction) = (self.candidates.origin(record.row), self.candidates.reduction(record.row));
        let name = Digest::of_fields([&record.key.id.0[..], &record.key.media.to_le_bytes()]).to_string();
        // A file only exists where a record takes seconds.
        let journal = Journal::open(&self.journals, name.get(..32).unwrap_or(&name));
        let found = fingerprint(self.context, (self.source, &origin, &reduction), Some(&journal))?;
        journal.remove();
        Ok(found)
    }
}

/// Where journals are, beside a file of fingerprints that is being made.
fn journals_beside(fingerprints: &Path) -> PathBuf {
    fingerprints.with_extension("journals")
}

/// What the record of a source at some place shows, shortened like this, or why that cannot be decoded.
///
/// # Errors
///
/// Failing storage only.
pub(crate) fn fingerprint(
    context: &Context,
    (source, origin, reduction): (SourceIndex, &Origin, &LengthReduction),
    journal: Option<&Journal>,
) -> Result<Result<RecordFingerprint, Rejection>, PlanError> {
    let open = context.source(source);
    let record = open.shown_record(origin, reduction);
    let record = match record.map_err(|error| PlanError::Source { source_name: open.table.name.clone(), error })? {
        Ok(record) => record,
        Err(rejected) => return Ok(Err(rejected.rejection)),
    };
    let text = match context.formatter.text_digest(&record.turns) {
        Ok(text) => text.first_bits(),
        Err(rejection) => return Ok(Err(rejection)),
    };
    let shown = ShownMedia { context, open, record: &record, reduction, journal };
    let attempt = || Attempt::Fingerprint { source, origin: origin.clone(), reduction: *reduction };
    match guarded(context, attempt, || open.media_version(&record), || shown.fingerprints()) {
        Ok(visuals) => Ok(Ok(RecordFingerprint { text, visuals })),
        Err(MediaError::Rejected(rejection)) => Ok(Err(rejection)),
        Err(storage) => Err(PlanError::Storage(storage)),
    }
}

/// The media of a record, as they are shown.
struct ShownMedia<'a> {
    context: &'a Context,
    open: &'a OpenSource,
    record: &'a Record,
    reduction: &'a LengthReduction,
    journal: Option<&'a Journal>,
}

/// Fingerprints that took this long are kept until those of their record's other media are made.
const LEAST_TIME_KEPT: Duration = Duration::from_millis(1);

impl ShownMedia<'_> {
    fn fingerprints(&self) -> Result<Vec<VisualFingerprint>, MediaError> {
        let fingerprint =
            |(index, medium)| self.keep(index, medium).map_err(|error| in_visual(error, self.record, index));
        self.record.media.iter().enumerate().map(fingerprint).collect()
    }

    /// The fingerprints of a medium as an earlier process made them, or as they are made now.
    fn keep(&self, index: usize, medium: &MediaRef) -> Result<VisualFingerprint, MediaError> {
        let Some(journal) = self.journal else { return self.fingerprint_of(medium, &mut ()) };
        let key = Digest::of(&(index as u64).to_le_bytes());
        if let Some((kept, _)) = journal.read(key) {
            return Ok(kept);
        }
        // What is made does not depend on the clock, only whether it is kept.
        let started = Instant::now();
        let made = self.fingerprint_of(medium, &mut journal.frames(key, None))?;
        let elapsed = started.elapsed();
        if self.record.media.len() > 1 && elapsed >= LEAST_TIME_KEPT {
            journal.keep(key, &made, [], (&[], elapsed));
        }
        Ok(made)
    }

    fn fingerprint_of(&self, medium: &MediaRef, keeper: &mut dyn FrameKeeper) -> Result<VisualFingerprint, MediaError> {
        let Self { context, open, record, .. } = self;
        match &medium.location {
            MediaLocation::Prepared { images, .. } => {
                let of_image = |image| fingerprint_of_bytes(context, &open.media.blob_bytes(image)?);
                let images = images.iter().map(of_image).collect::<Result<Vec<_>, _>>()?;
                Ok(if medium.kind == MediaKind::Video { images } else { vec![fingerprint_of_tiles(&images)] })
            }
            _ if medium.kind == MediaKind::Video => self.fingerprints_of_video(medium, keeper),
            _ => Ok(vec![fingerprint_of_bytes(context, &open.media.image_bytes(&record.subset, medium)?)?]),
        }
    }

    fn fingerprints_of_video(
        &self,
        medium: &MediaRef,
        keeper: &mut dyn FrameKeeper,
    ) -> Result<VisualFingerprint, MediaError> {
        // What is composed has been decoded nowhere yet.
        if decodes_videos(self.context) && !matches!(medium.location, MediaLocation::Composed(_)) {
            let media = &self.open.media;
            let chosen = self.context.choose_frames(media, &self.record.subset, medium, self.reduction)?;
            let decoded = chosen.decode(&self.context.frames, self.context.damage, keeper)?;
            return decoded.frames.iter().map(|frame| fingerprint_of_bytes(self.context, &frame.image.bytes)).collect();
        }
        let mut hasher = blake3::Hasher::new();
        self.open.media.for_each_bytes(&self.record.subset, medium, |bytes| _ = hasher.update(bytes))?;
        Ok(fingerprints_of_video_bytes(medium.clip, &hasher))
    }
}

pub(crate) fn fingerprint_of_bytes(context: &Context, bytes: &[u8]) -> Result<ImageFingerprint, MediaError> {
    Ok(ImageFingerprint::of(&decode_rgb(bytes, &context.images.limits)?.view()))
}

/// Tiles that an earlier build made have the pixels of all of them together, and the hash of their overview.
fn fingerprint_of_tiles(tiles: &[ImageFingerprint]) -> ImageFingerprint {
    let pixels: Vec<u8> = tiles.iter().flat_map(|tile| tile.pixels.to_le_bytes()).collect();
    ImageFingerprint {
        pixels: Digest::of(&pixels).first_bits(),
        hash: tiles.first().and_then(|overview| overview.hash),
    }
}

/// The fingerprints of a video that is not decoded.
pub(crate) fn fingerprints_of_video_bytes(clip: Option<Clip>, bytes: &blake3::Hasher) -> VisualFingerprint {
    let bytes = Digest(*bytes.finalize().as_bytes());
    let clip = clip.map(|clip| (clip.start_s.to_bits(), clip.end_s.map(f64::to_bits)));
    let shown = Digest::of_fields([bytes.0.as_slice(), format!("{clip:?}").as_bytes()]);
    [shown, bytes].map(|digest| ImageFingerprint { pixels: digest.first_bits(), hash: None }).into()
}

/// Equal for the same record with the same versions of its media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FingerprintKey {
    id: RecordId,
    media: u64,
}

/// The fingerprints in a file.
type KeptFingerprints = FxHashMap<FingerprintKey, RecordFingerprint>;

/// The fingerprints in a file, without media that were damaged: they may have been repaired in a way that no identity shows.
/// A file that cannot be read has none.
fn read_kept(path: &Path) -> KeptFingerprints {
    let rows = path.exists().then(|| read_table_file::<FingerprintTable>(path)).transpose();
    let rows = rows.map(|rows| rows.into_iter().flatten());
    let kept = rows.and_then(|mut rows| {
        rows.try_fold(KeptFingerprints::default(), |mut kept, row| {
            let FingerprintRow { key, outcome } = row?;
            kept.extend(outcome.ok().map(|fingerprint| (key, fingerprint)));
            Ok(kept)
        })
    });
    kept.unwrap_or_else(|error: DatasetError| {
        tracing::warn!(fingerprints = %path.display(), %error, "damaged fingerprints are made again");
        KeptFingerprints::default()
    })
}

/// Fingerprints that are kept while the file is made: a process that is killed loses those of the last few seconds.
struct Parts<'a> {
    path: &'a Path,
    /// Parts that are complete.
    number: u32,
    writer: Option<TableFileWriter<FingerprintTable>>,
    started: Instant,
}

/// A part holds what was made in this time.
const PART_INTERVAL: Duration = Duration::from_secs(4);

impl<'a> Parts<'a> {
    /// Adds the parts of an earlier process to what was kept.
    fn open(path: &'a Path, kept: &mut KeptFingerprints) -> Self {
        let mut parts = Self { path, number: 0, writer: None, started: Instant::now() };
        while parts.part_path(parts.number).is_file() {
            kept.extend(read_kept(&parts.part_path(parts.number)));
            parts.number += 1;
        }
        parts
    }

    fn part_path(&self, number: u32) -> PathBuf {
        self.path.with_extension(format!("part{number}.parquet"))
    }

    fn write(&mut self, row: &FingerprintRow) -> Result<(), PlanError> {
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => TableFileWriter::create_for_work(&self.part_path(self.number))?,
        };
        writer.write(row)?;
        if self.started.elapsed() < PART_INTERVAL {
            self.writer = Some(writer);
            return Ok(());
        }
        writer.finish()?;
        self.number += 1;
        self.started = Instant::now();
        Ok(())
    }

    /// Removes the parts, once there is the whole.
    fn remove(self) {
        for number in 0..self.number {
            // It would be read in vain.
            _ = std::fs::remove_file(self.part_path(number));
        }
    }
}

/// A row of a file of fingerprints.
#[derive(Debug, PartialEq, Eq)]
struct FingerprintRow {
    key: FingerprintKey,
    /// What the record shows, or why that cannot be decoded.
    outcome: Result<RecordFingerprint, Rejection>,
}

table! {
    /// The columns of a file of fingerprints. Those of the images of all visuals of a record are in one list.
    struct FingerprintTable<'r>(row: &'r FingerprintRow) -> FingerprintRow {
        id: [u8; 16] as Distinct = row.key.id.0,
        media: u64 as Distinct = row.key.media,
        text: Option<u64> = row.outcome.as_ref().ok().map(|shown| shown.text),
        num_images: Vec<u64> = &row.visuals().map(|visual| visual.len() as u64).collect::<Vec<_>>(),
        pixels: Vec<u64> = &row.images().map(|image| image.pixels).collect::<Vec<_>>(),
        hashes: Vec<u64> = &row.images().map(|image| image.hash.unwrap_or(0)).collect::<Vec<_>>(),
        has_hash: Vec<u64> = &row.images().map(|image| u64::from(image.hash.is_some())).collect::<Vec<_>>(),
        damage: Option<String> = row.outcome.as_ref().err().map(|rejection| rejection.code.as_str()),
        detail: Option<String> = row.outcome.as_ref().err().map(|rejection| &*rejection.detail),
    }
    read {
        let outcome = match (text, damage, detail) {
            (None, Some(damage), Some(detail)) => {
                let code = RejectCode::from_text(&damage).ok_or_else(|| format!("unknown reject code {damage:?}"))?;
                Err(Rejection { code, detail })
            }
            (Some(text), None, None) => {
                let number = num_images.iter().fold(0_u64, |sum, number| sum.saturating_add(*number));
                let lengths = [pixels.len(), hashes.len(), has_hash.len()];
                if lengths.iter().any(|length| *length as u64 != number) {
                    return Err("its lists differ in length".to_owned());
                }
                let image = |((pixels, hash), has): ((u64, u64), u64)| ImageFingerprint { pixels, hash: (has == 1).then_some(hash) };
                let mut images = pixels.into_iter().zip(hashes).zip(has_hash).map(image);
                let visuals = num_images.into_iter().map(|number| images.by_ref().take(number as usize).collect());
                Ok(RecordFingerprint { text, visuals: visuals.collect() })
            }
            _ => return Err("it has neither fingerprints nor damage".to_owned()),
        };
        Ok(FingerprintRow { key: FingerprintKey { id: RecordId(id), media }, outcome })
    }
}

impl FingerprintRow {
    fn visuals(&self) -> impl Iterator<Item = &VisualFingerprint> {
        self.outcome.iter().flat_map(|shown| &shown.visuals)
    }

    fn images(&self) -> impl Iterator<Item = &ImageFingerprint> {
        self.visuals().flatten()
    }
}

#[cfg(test)]
mod tests {
    use manyframe_columnar::check_round_trip;

    use super::*;

    #[test]
    fn every_column_holds_its_own_field() {
        let image = |pixels, hash| ImageFingerprint { pixels, hash };
        let visuals = vec![vec![image(1, Some(2)), image(3, None)], vec![image(4, Some(5))]];
        let key = |number| FingerprintKey { id: RecordId([number; 16]), media: u64::from(number) + 10 };
        let row = [
            FingerprintRow { key: key(6), outcome: Ok(RecordFingerprint { text: 7, visuals }) },
            FingerprintRow { key: key(8), outcome: Err(Rejection::new(RejectCode::MediaCorrupt, "cut short")) },
        ];
        let folder = tempfile::tempdir().unwrap();
        check_round_trip::<FingerprintTable, _>(folder.path(), &row).unwrap();
    }

    #[test]
    fn parts_of_a_process_that_was_killed_are_read_and_removed_with_the_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.fingerprints.parquet");
        let row = |number: u8| FingerprintRow {
            key: FingerprintKey { id: RecordId([number; 16]), media: 1 },
            outcome: Ok(RecordFingerprint { text: u64::from(number), visuals: Vec::new() }),
        };
        let mut parts = Parts::open(&path, &mut KeptFingerprints::default());
        for number in 0..3 {
            parts.started = Instant::now().checked_sub(PART_INTERVAL).unwrap();
            parts.write(&row(number)).unwrap();
        }
        parts.write(&row(3)).unwrap();
        drop(parts);
        let mut kept = KeptFingerprints::default();
        let parts = Parts::open(&path, &mut kept);
        assert_eq!((parts.number, kept.len()), (3, 3));
        assert_eq!(kept.get(&row(2).key).map(|fingerprint| fingerprint.text), Some(2));
        parts.remove();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
