//! What the media of each record look like: decoded once per index file, and kept beside it. Media that cannot be decoded are
//! found here, before anything is drawn.

use std::path::Path;

use manyframe_columnar::{TableReader, TableWriter, table};
use manyframe_core::{
    Clip, Digest, MediaKind, MediaLocation, MediaRef, Origin, Record, RecordIndex, RejectCode, Rejection, SourceIndex,
    contained,
};
use manyframe_media::{Check, ImageFingerprint as Look, MediaError, decode_rgb, video};
use rustc_hash::FxHashMap;

use crate::fit::Fit;
use crate::index::{IndexFile, in_visual};
use crate::rows::Rows;
use crate::{Context, OpenSource, PlanError};
use manyframe_base::{AtomicFile, Executor, Step};

/// What a record says and shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RecordLook {
    /// Equal for records that say the same.
    pub(super) text: u64,
    /// Its visuals, in order.
    pub(super) visuals: Vec<VisualLook>,
}

/// The looks of a visual's images: one of an image, those of all frames of a video that are shown.
///
/// A video that is not decoded has two looks without a hash: its clip and bytes, and its bytes.
pub(super) type VisualLook = Vec<Look>;

/// What was found in a record, by its position among the records of its index file.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    entry: u64,
    /// What it shows, or why that cannot be decoded.
    look: Result<RecordLook, Rejection>,
}

/// The looks of all rows that show something.
pub(crate) struct Looks {
    of_row: FxHashMap<usize, RecordLook>,
    /// Rows whose media cannot be decoded, and why.
    pub(super) damaged: Vec<(usize, Rejection)>,
}

impl Looks {
    /// Reads the looks of every index file, or makes them.
    pub(super) fn read(
        context: &Context,
        all: &Rows,
        files: &[IndexFile],
        executor: Executor<'_>,
    ) -> Result<Self, PlanError> {
        let mut looks = Self { of_row: FxHashMap::default(), damaged: Vec::new() };
        for (number, file) in files.iter().enumerate() {
            let path =
                file.path.with_extension(if decodes_videos(context) { "frames.parquet" } else { "looks.parquet" });
            let rows = rows_of_file(all, number);
            let is_kept = path.exists() && !file.was_read;
            if !is_kept {
                write(context, all, file.source, &rows, &path, executor)?;
            }
            let index_error = |error| PlanError::Index { path: path.clone(), error };
            let row_of_entry: FxHashMap<u64, usize> = rows.iter().map(|&(entry, row)| (entry, row)).collect();
            for found in
                TableReader::<LookTable>::open(&path).and_then(|table| table.all_rows()).map_err(index_error)?
            {
                let mut found = found.map_err(index_error)?;
                let Some(&row) = row_of_entry.get(&found.entry) else { continue };
                // Media that were damaged may have been mended since.
                if let (Err(_), true, Some(place)) = (&found.look, is_kept, all.places.get(row)) {
                    let fit = place.fit.as_deref().copied().unwrap_or_default();
                    found.look = look(context, file.source, &place.origin, fit)?;
                }
                match found.look {
                    Ok(look) => _ = looks.of_row.insert(row, look),
                    Err(rejection) => looks.damaged.push((row, rejection)),
                }
            }
        }
        Ok(looks)
    }

    pub(super) fn of(&self, row: usize) -> Option<&RecordLook> {
        self.of_row.get(&row)
    }

    /// Rows in order, with their looks.
    pub(super) fn rows(&self) -> Vec<(usize, &RecordLook)> {
        let mut rows: Vec<_> = self.of_row.iter().map(|(&row, look)| (row, look)).collect();
        rows.sort_unstable_by_key(|(row, _)| *row);
        rows
    }
}

/// Whether frames of videos are looked at.
pub(super) fn decodes_videos(context: &Context) -> bool {
    video::IS_ENABLED && context.pipeline.file.mix.check == Check::Decode
}

/// Rows of an index file that show something: position in the file, and row.
fn rows_of_file(all: &Rows, number: usize) -> Vec<(u64, usize)> {
    let first = all.first_records.get(number).copied().unwrap_or_default();
    let end = all.first_records.get(number + 1).copied().unwrap_or(RecordIndex(u64::MAX));
    let start = all.places.partition_point(|place| place.record < first);
    let places = all.places.iter().enumerate().skip(start).take_while(|(_, place)| place.record < end);
    let shows = |row: usize| all.index.get(row).is_some_and(|row| row.cost.num_images > 0);
    places.filter(|(row, _)| shows(*row)).map(|(row, place)| (place.record.0 - first.0, row)).collect()
}

table! {
    /// The columns of a file of looks. Those of the images of all visuals of a record are in one list.
    struct LookTable<'r>(found: &'r Found) -> Found {
        entry: u64 = found.entry,
        text: Option<u64> = found.look.as_ref().ok().map(|look| look.text),
        num_images: Vec<u64> = &found.visuals().map(|visual| visual.len() as u64).collect::<Vec<_>>(),
        pixels: Vec<u64> = &found.images().map(|look| look.pixels).collect::<Vec<_>>(),
        hashes: Vec<u64> = &found.images().map(|look| look.hash.unwrap_or(0)).collect::<Vec<_>>(),
        has_hash: Vec<u64> = &found.images().map(|look| u64::from(look.hash.is_some())).collect::<Vec<_>>(),
        damage: Option<String> = found.look.as_ref().err().map(|rejection| rejection.code.as_str()),
        detail: Option<String> = found.look.as_ref().err().map(|rejection| &*rejection.detail),
    }
    read {
        let look = match (text, damage, detail) {
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
                let look = |((pixels, hash), has): ((u64, u64), u64)| Look { pixels, hash: (has == 1).then_some(hash) };
                let mut images = pixels.into_iter().zip(hashes).zip(has_hash).map(look);
                let visuals = num_images.into_iter().map(|number| images.by_ref().take(number as usize).collect());
                Ok(RecordLook { text, visuals: visuals.collect() })
            }
            _ => return Err("it has neither looks nor damage".to_owned()),
        };
        Ok(Found { entry, look })
    }
}

impl Found {
    fn visuals(&self) -> impl Iterator<Item = &VisualLook> {
        self.look.iter().flat_map(|look| &look.visuals)
    }

    fn images(&self) -> impl Iterator<Item = &Look> {
        self.visuals().flatten()
    }
}

fn write(
    context: &Context,
    all: &Rows,
    source: SourceIndex,
    rows: &[(u64, usize)],
    path: &Path,
    executor: Executor<'_>,
) -> Result<(), PlanError> {
    let index_error = |error| PlanError::Index { path: path.to_owned(), error };
    let mut writer = TableWriter::<LookTable, _>::new(AtomicFile::create(path)?).map_err(index_error)?;
    executor.progress.start(Step::Compare, rows.len() as u64);
    let items = rows.iter().filter_map(|&(entry, row)| {
        let place = all.places.get(row)?;
        Some(Ok((entry, &place.origin, place.fit.as_deref().copied().unwrap_or_default())))
    });
    let make = |(entry, origin, fit): (u64, &Origin, Fit)| {
        look(context, source, origin, fit).map(|look| Found { entry, look })
    };
    executor.ordered_map(8).run(items, make, |found| {
        executor.progress.advance(1, 1);
        writer.write(&found?).map_err(index_error)
    })?;
    executor.progress.finish(Step::Compare);
    Ok(writer.finish().map_err(index_error)?.publish()?)
}

/// What a record shows, or why that cannot be decoded. `Err` is failing storage only.
fn look(
    context: &Context,
    source: SourceIndex,
    origin: &Origin,
    fit: Fit,
) -> Result<Result<RecordLook, Rejection>, PlanError> {
    let open = &context.sources[source];
    let raw = open.read_at(origin);
    let raw = raw.map_err(|error| PlanError::Source { source_name: open.table.name.clone(), error })?;
    let record = match open.parse(&raw) {
        Ok(record) => fit.cut(record),
        Err(reject) => return Ok(Err(reject.rejection)),
    };
    let look = |(index, medium)| {
        look_of_medium(context, open, &record, medium, &fit).map_err(|error| in_visual(error, &record, index))
    };
    let visuals = contained(|| record.media.iter().enumerate().map(look).collect())
        .unwrap_or_else(|panic| Err(MediaError::rejected(RejectCode::MediaCorrupt, panic)));
    let text = match context.formatter.text_digest(&record.turns) {
        Ok(text) => text.first_bits(),
        Err(rejection) => return Ok(Err(rejection)),
    };
    match visuals {
        Ok(visuals) => Ok(Ok(RecordLook { text, visuals })),
        Err(MediaError::Rejected(rejection)) => Ok(Err(rejection.map_detail(|detail| context.portable_text(detail)))),
        Err(storage) => Err(PlanError::Storage(storage)),
    }
}

fn look_of_medium(
    context: &Context,
    open: &OpenSource,
    record: &Record,
    medium: &MediaRef,
    fit: &Fit,
) -> Result<VisualLook, MediaError> {
    match &medium.location {
        MediaLocation::Prepared { images, .. } => {
            let looks = images.iter().map(|image| look_of_bytes(context, &open.media.blob_bytes(image)?));
            let looks = looks.collect::<Result<Vec<Look>, _>>()?;
            Ok(if medium.kind == MediaKind::Video { looks } else { vec![look_of_tiles(&looks)] })
        }
        _ if medium.kind == MediaKind::Video => look_of_video(context, open, record, medium, fit),
        _ => Ok(vec![look_of_bytes(context, &open.media.image_bytes(&record.subset, medium)?)?]),
    }
}

pub(super) fn look_of_bytes(context: &Context, bytes: &[u8]) -> Result<Look, MediaError> {
    Ok(Look::of(&decode_rgb(bytes, &context.images.limits)?.view()))
}

/// Sub-images that an earlier build made look like all of them together, and resemble what their overview does.
fn look_of_tiles(looks: &[Look]) -> Look {
    let pixels: Vec<u8> = looks.iter().flat_map(|look| look.pixels.to_le_bytes()).collect();
    Look { pixels: Digest::of(&pixels).first_bits(), hash: looks.first().and_then(|overview| overview.hash) }
}

fn look_of_video(
    context: &Context,
    open: &OpenSource,
    record: &Record,
    medium: &MediaRef,
    fit: &Fit,
) -> Result<VisualLook, MediaError> {
    if decodes_videos(context) {
        let (_, frames) = context.frames(&open.media, &record.subset, medium, fit)?;
        return frames.iter().map(|frame| look_of_bytes(context, &frame.image.bytes)).collect();
    }
    let mut hasher = blake3::Hasher::new();
    open.media.for_each_bytes(&record.subset, medium, |bytes| _ = hasher.update(bytes))?;
    Ok(looks_of_video_bytes(medium.clip, &hasher))
}

/// The looks of a video that is not decoded.
pub(super) fn looks_of_video_bytes(clip: Option<Clip>, bytes: &blake3::Hasher) -> VisualLook {
    let bytes = Digest(*bytes.finalize().as_bytes());
    let clip = clip.map(|clip| (clip.start_s.to_bits(), clip.end_s.map(f64::to_bits)));
    let shown = Digest::of_fields([bytes.0.as_slice(), format!("{clip:?}").as_bytes()]);
    [shown, bytes].map(|digest| Look { pixels: digest.first_bits(), hash: None }).into()
}

#[cfg(test)]
mod tests {
    use manyframe_columnar::check_round_trip;

    use super::*;

    #[test]
    fn every_column_holds_its_own_field() {
        let look = |pixels, hash| Look { pixels, hash };
        let visuals = vec![vec![look(1, Some(2)), look(3, None)], vec![look(4, Some(5))]];
        let found = [
            Found { entry: 6, look: Ok(RecordLook { text: 7, visuals }) },
            Found { entry: 8, look: Err(Rejection::new(RejectCode::MediaCorrupt, "cut short")) },
        ];
        let folder = tempfile::tempdir().unwrap();
        check_round_trip::<LookTable, _>(folder.path(), &found).unwrap();
    }
}
