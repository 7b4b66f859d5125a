//! What the images of each record look like: decoded once per index file, and kept beside it.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use manyframe_columnar::{Cursor, RowColumn, RowWriter, read_rows};
use manyframe_core::{BlobRef, Digest, MediaKind, MediaLocation, MediaRef, Origin, Record, contained};
use manyframe_media::{Look, MediaError, decode_rgb};
use rustc_hash::FxHashMap;

use crate::fit::Fit;
use crate::index::IndexFile;
use crate::parallel::ordered_map;
use crate::rows::Rows;
use crate::{Context, Observer, PlanError, SourceMedia, Step};

/// What a record says and shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RecordLook {
    /// Position among the records of its index file.
    entry: u64,
    /// Equal for records that say the same.
    pub(super) text: u64,
    /// Its visuals, in order. A video has no hash; its pixels are its bytes.
    pub(super) visuals: Vec<Look>,
}

/// The looks of all rows that show something.
pub(super) struct Looks {
    of_row: FxHashMap<usize, RecordLook>,
}

impl Looks {
    /// Reads the looks of every index file, or makes them.
    pub(super) fn read(
        context: &Context,
        all: &Rows,
        files: &[IndexFile],
        pool: &rayon::ThreadPool,
        observer: &dyn Observer,
    ) -> Result<Self, PlanError> {
        let mut of_row = FxHashMap::default();
        for (number, file) in files.iter().enumerate() {
            let path = file.path.with_extension("looks.parquet");
            let rows = rows_of_file(all, number);
            if !path.exists() || file.was_read {
                write(context, all, file.source, &rows, &path, pool, observer)?;
            }
            let index_error = |error| PlanError::Index { path: path.clone(), error };
            let row_of_entry: FxHashMap<u64, usize> = rows.iter().map(|&(entry, row)| (entry, row)).collect();
            for look in read_rows(&path, &columns(), look_at).map_err(index_error)? {
                let look = look.map_err(index_error)?;
                if let Some(&row) = row_of_entry.get(&look.entry) {
                    of_row.insert(row, look);
                }
            }
        }
        Ok(Self { of_row })
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

/// Rows of an index file that show something: position in the file, and row.
fn rows_of_file(all: &Rows, number: usize) -> Vec<(u64, usize)> {
    let first = all.first_records.get(number).copied().unwrap_or(0);
    let end = all.first_records.get(number + 1).copied().unwrap_or(u64::MAX);
    let start = all.places.partition_point(|place| place.record < first);
    let places = all.places.iter().enumerate().skip(start).take_while(|(_, place)| place.record < end);
    let shows = |row: usize| all.index.get(row).is_some_and(|row| row.cost.num_images > 0);
    places.filter(|(row, _)| shows(*row)).map(|(row, place)| (place.record - first, row)).collect()
}

fn columns() -> Vec<RowColumn<RecordLook>> {
    vec![
        RowColumn::number("entry", "", |look: &RecordLook| Some(look.entry)),
        RowColumn::number("text", "", |look: &RecordLook| Some(look.text)),
        RowColumn::numbers("pixels", "", |look: &RecordLook| look.visuals.iter().map(|look| look.pixels).collect()),
        RowColumn::numbers("hashes", "", |look: &RecordLook| {
            look.visuals.iter().map(|look| look.hash.unwrap_or(0)).collect()
        }),
        RowColumn::numbers("has_hash", "", |look: &RecordLook| {
            look.visuals.iter().map(|look| u64::from(look.hash.is_some())).collect()
        }),
    ]
}

fn look_at(cursor: &mut Cursor) -> Option<RecordLook> {
    let (entry, text) = (cursor.number()?, cursor.number()?);
    let (pixels, hashes, has_hash) = (cursor.numbers()?, cursor.numbers()?, cursor.numbers()?);
    let look = |((pixels, hash), has): ((u64, u64), u64)| Look { pixels, hash: (has == 1).then_some(hash) };
    let visuals = pixels.into_iter().zip(hashes).zip(has_hash).map(look).collect();
    Some(RecordLook { entry, text, visuals })
}

fn write(
    context: &Context,
    all: &Rows,
    source: u32,
    rows: &[(u64, usize)],
    path: &Path,
    pool: &rayon::ThreadPool,
    observer: &dyn Observer,
) -> Result<(), PlanError> {
    let index_error = |error| PlanError::Index { path: path.to_owned(), error };
    let write_error = |source| PlanError::Write { path: path.to_owned(), source };
    let temporary: PathBuf = path.with_extension("tmp");
    let file = File::create(&temporary).map_err(write_error)?;
    let mut writer = RowWriter::new(BufWriter::new(file), columns()).map_err(index_error)?;
    observer.start(Step::Compare, rows.len() as u64);
    let items = rows.iter().filter_map(|&(entry, row)| {
        let place = all.places.get(row)?;
        Some(Ok((entry, &place.origin, place.fit.as_deref().copied().unwrap_or_default())))
    });
    let make = |(entry, origin, fit): (u64, &Origin, Fit)| look(context, source, entry, origin, fit);
    ordered_map(pool, pool.current_num_threads() * 8, items, make, |look| {
        observer.advance(1, 1);
        look?.map_or(Ok(()), |look| writer.write(look).map_err(index_error))
    })?;
    observer.finish(Step::Compare);
    let sink = writer.finish().map_err(index_error)?;
    let file = sink.into_inner().map_err(|error| write_error(error.into_error()))?;
    file.sync_all().map_err(write_error)?;
    std::fs::rename(&temporary, path).map_err(write_error)
}

/// `None` if its media cannot be decoded, which the run will tell.
fn look(
    context: &Context,
    source: u32,
    entry: u64,
    origin: &Origin,
    fit: Fit,
) -> Result<Option<RecordLook>, PlanError> {
    let Some(open) = context.sources.get(source as usize) else { return Ok(None) };
    let raw = open.read_at(origin);
    let raw = raw.map_err(|error| PlanError::Source { source_name: open.table.name.clone(), error })?;
    let Ok(record) = open.parse(&raw) else { return Ok(None) };
    let record = fit.cut(record);
    let looks = record.media.iter().map(|medium| look_of_medium(context, &open.media, &record, medium));
    let Ok(looks) = contained(|| looks.collect::<Result<Vec<Look>, MediaError>>()) else { return Ok(None) };
    match looks {
        Ok(visuals) => Ok(Some(RecordLook { entry, text: record.text_digest().first_bits(), visuals })),
        Err(MediaError::Bad { .. }) => Ok(None),
        Err(storage) => Err(PlanError::Storage(storage)),
    }
}

fn look_of_medium(
    context: &Context,
    media: &SourceMedia,
    record: &Record,
    medium: &MediaRef,
) -> Result<Look, MediaError> {
    let look_of_bytes = |bytes: &[u8]| Ok(Look::of(&decode_rgb(bytes, &context.images.limits)?.view()));
    match &medium.location {
        MediaLocation::Prepared { images, .. } => look_of_prepared(images, media, look_of_bytes),
        _ if medium.kind == MediaKind::Video => {
            let mut hasher = blake3::Hasher::new();
            let clip = medium.clip.map(|clip| (clip.start_s.to_bits(), clip.end_s.map(f64::to_bits)));
            hasher.update(format!("{clip:?}").as_bytes());
            media.for_each_bytes(&record.subset, medium, |bytes| _ = hasher.update(bytes))?;
            Ok(Look { pixels: Digest(*hasher.finalize().as_bytes()).first_bits(), hash: None })
        }
        _ => look_of_bytes(&media.image_bytes(&record.subset, medium)?),
    }
}

/// Frames and sub-images that an earlier build made look like all of them together; sub-images like their overview.
fn look_of_prepared(
    images: &[BlobRef],
    media: &SourceMedia,
    look_of_bytes: impl Fn(&[u8]) -> Result<Look, MediaError>,
) -> Result<Look, MediaError> {
    let mut pixels = Vec::new();
    let mut hash = None;
    for (number, image) in images.iter().enumerate() {
        let look = look_of_bytes(&media.blob_bytes(image)?)?;
        pixels.extend(look.pixels.to_le_bytes());
        hash = if number == 0 { look.hash } else { hash };
    }
    Ok(Look { pixels: Digest::of(&pixels).first_bits(), hash })
}
