//! Where records are, in 16 bytes each: the file of an origin is that of the records before it, most of the time.

use std::path::Path;
use std::sync::Arc;

use manyframe_base::{Arrangement, Column, ColumnPlace, FileError};
use manyframe_core::{Origin, Position};
use rustc_hash::{FxHashMap, FxHashSet};

/// Packed origins, in the order of rows.
#[derive(Debug, Default)]
pub(crate) struct PackedOrigins {
    positions: Column<PackedPosition>,
    /// The first row of each run of rows from one file, and the number of that file.
    runs: Vec<(u32, u32)>,
    files: Vec<Arc<str>>,
    numbers: FxHashMap<Arc<str>, u32>,
    /// Positions with numbers that are too large to be packed.
    large: Vec<Position>,
}

/// Positions of origins in another order than that of rows.
#[derive(Debug)]
pub(crate) struct ArrangedOrigins(Column<PackedPosition>);

#[derive(Debug, Clone, Copy)]
struct PackedPosition {
    /// The offset of bytes, a row, or a number among the large positions.
    number: u64,
    line: u32,
    /// How many bytes, or what else `number` is.
    num_bytes: u32,
}

const ROW: u32 = u32::MAX;
const FILE: u32 = u32::MAX - 1;
const LARGE: u32 = u32::MAX - 2;

impl PackedOrigins {
    /// Without origins, with room for so many.
    pub(crate) fn with_capacity(place: ColumnPlace<'_>, num_rows: usize) -> Result<Self, FileError> {
        Ok(Self { positions: Column::with_capacity(place, num_rows)?, ..Self::default() })
    }

    /// Appends the origin of the next row.
    pub(crate) fn push(&mut self, origin: &Origin) {
        let file = self.number_of(&origin.file);
        let row = self.positions.len() as u32;
        if self.runs.last().is_none_or(|(_, of_run)| *of_run != file) {
            // A run that would begin here, too, has no row.
            self.runs.pop_if(|(first, _)| *first == row);
            self.runs.push((row, file));
        }
        let packed = self.packed(origin.position);
        self.positions.push(packed);
    }

    fn number_of(&mut self, file: &Arc<str>) -> u32 {
        let of_last = self.runs.last().map(|(_, number)| *number);
        if let Some(number) = of_last.filter(|number| self.files.get(*number as usize) == Some(file)) {
            return number;
        }
        let next = self.files.len() as u32;
        *self.numbers.entry(Arc::clone(file)).or_insert_with(|| {
            self.files.push(Arc::clone(file));
            next
        })
    }

    fn packed(&mut self, position: Position) -> PackedPosition {
        match position {
            Position::Row(number) => PackedPosition { number, line: 0, num_bytes: ROW },
            Position::File => PackedPosition { number: 0, line: 0, num_bytes: FILE },
            Position::Bytes { offset, num_bytes, line } => match (u32::try_from(num_bytes), u32::try_from(line)) {
                (Ok(num_bytes), Ok(line)) if num_bytes < LARGE => PackedPosition { number: offset, line, num_bytes },
                _ => {
                    self.large.push(position);
                    PackedPosition { number: self.large.len() as u64 - 1, line: 0, num_bytes: LARGE }
                }
            },
        }
    }

    /// The positions of the rows in another order, in files of a directory.
    pub(crate) fn arranged(&self, order: &Arrangement, directory: &Path) -> Result<ArrangedOrigins, FileError> {
        Ok(ArrangedOrigins(self.positions.arranged(order, directory)?))
    }

    /// The origin of a row.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    #[expect(clippy::indexing_slicing, reason = "documented")]
    pub(crate) fn of(&self, row: usize) -> Origin {
        self.unpacked(row, self.positions[row])
    }

    /// The origin of a row, which is at a position in another order.
    ///
    /// # Panics
    ///
    /// If there is no such row or position.
    #[expect(clippy::indexing_slicing, reason = "documented")]
    pub(crate) fn of_arranged(&self, row: usize, arranged: &ArrangedOrigins, position: usize) -> Origin {
        self.unpacked(row, arranged.0[position])
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "runs name files, the first run begins at row 0, and packed positions name large ones"
    )]
    fn unpacked(&self, row: usize, packed: PackedPosition) -> Origin {
        let PackedPosition { number, line, num_bytes } = packed;
        let position = match num_bytes {
            ROW => Position::Row(number),
            FILE => Position::File,
            LARGE => self.large[number as usize],
            _ => Position::Bytes { offset: number, num_bytes: num_bytes.into(), line: line.into() },
        };
        let run = self.runs.partition_point(|(first, _)| *first as usize <= row) - 1;
        let (_, file) = self.runs[run];
        Origin { file: Arc::clone(&self.files[file as usize]), position }
    }

    /// The files of the rows of which one begins a run that `is_wanted`.
    pub(crate) fn files_of(&self, is_wanted: impl Fn(usize) -> bool) -> FxHashSet<&str> {
        let wanted = self.runs.iter().filter(|(first, _)| is_wanted(*first as usize));
        wanted.filter_map(|(_, file)| self.files.get(*file as usize)).map(|file| &**file).collect()
    }

    /// Ends the run of the last row: what follows is of another source.
    pub(crate) fn end_run(&mut self) {
        if let Some(&(first, file)) = self.runs.last()
            && (first as usize) < self.positions.len()
        {
            self.runs.push((self.positions.len() as u32, file));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_come_back_as_they_were() {
        let origin = |file: &str, position| Origin { file: file.into(), position };
        let bytes = |offset, num_bytes, line| Position::Bytes { offset, num_bytes, line };
        let origins = [
            origin("a", bytes(1, 2, 3)),
            origin("a", bytes(1 << 40, u64::from(LARGE), 4)),
            origin("b", Position::Row(5)),
            origin("a", Position::File),
            origin("a", bytes(6, 7, 1 << 33)),
            origin("c", bytes(8, u64::from(LARGE) - 1, u64::from(u32::MAX))),
        ];
        let mut packed = PackedOrigins::default();
        for origin in &origins {
            packed.push(origin);
            packed.end_run();
        }
        assert_eq!((0..origins.len()).map(|row| packed.of(row)).collect::<Vec<_>>(), origins);
        let (order, directory) = ([5, 1, 0, 1, 4], tempfile::tempdir().unwrap());
        let arranged = packed.arranged(&Arrangement::new(order.into_iter()), directory.path()).unwrap();
        for (position, row) in order.into_iter().enumerate() {
            assert_eq!(packed.of_arranged(row as usize, &arranged, position), origins[row as usize]);
        }
        assert_eq!(packed.files_of(|first| first == 4), ["a"].into_iter().collect());
        assert_eq!(packed.files_of(|first| first == 5), ["c"].into_iter().collect());
        assert_eq!(size_of::<PackedPosition>(), 16);
    }
}
