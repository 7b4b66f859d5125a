//! Values of one kind by position: in memory, or in files without a name where there are more than memory has room for.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::path::Path;

use memmap2::MmapMut;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::files::FileError;

/// Where the values of columns are.
#[derive(Debug, Clone, Copy)]
pub enum ColumnPlace<'a> {
    /// In memory.
    Memory,
    /// In files without a name, which take room in this directory as long as the column is there. What is not looked at need not be in
    /// memory: passing over values in order is as fast as the disk, and any other order costs a page of it for each.
    Files(&'a Path),
}

/// Values of one kind by position, as a slice of them.
pub struct Column<T>(Values<T>);

enum Values<T> {
    InMemory(Vec<T>),
    InFile(MappedValues<T>),
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self(Values::InMemory(Vec::new()))
    }
}

impl<T> fmt::Debug for Column<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, num) = match &self.0 {
            Values::InMemory(values) => ("memory", values.len()),
            Values::InFile(values) => ("a file", values.len),
        };
        write!(f, "Column({num} values in {place})")
    }
}

impl<T: Copy> Column<T> {
    /// A column without values, with room for so many.
    ///
    /// # Errors
    /// If there is no such room in the directory.
    pub fn with_capacity(place: ColumnPlace<'_>, capacity: usize) -> Result<Self, FileError> {
        Ok(Self(match place {
            ColumnPlace::Memory => {
                let mut values = Vec::new();
                // Only a hint, which may come from a file that claims anything.
                _ = values.try_reserve_exact(capacity);
                Values::InMemory(values)
            }
            ColumnPlace::Files(directory) => {
                Values::InFile(MappedValues::create(directory, capacity).map_err(FileError::write(directory))?)
            }
        }))
    }

    /// The same value at so many positions.
    ///
    /// # Errors
    /// As of [`Self::with_capacity`].
    pub fn filled(place: ColumnPlace<'_>, value: T, len: usize) -> Result<Self, FileError> {
        let mut column = Self::with_capacity(place, len)?;
        match &mut column.0 {
            Values::InMemory(values) => values.resize(len, value),
            Values::InFile(values) => (0..len).for_each(|_| values.push(value)),
        }
        Ok(column)
    }

    /// Appends a value.
    ///
    /// # Panics
    /// If the column is in a file, and has no room for it.
    pub fn push(&mut self, value: T) {
        match &mut self.0 {
            Values::InMemory(values) => values.push(value),
            Values::InFile(values) => values.push(value),
        }
    }

    /// Removes all values from a position on.
    pub fn truncate(&mut self, len: usize) {
        match &mut self.0 {
            Values::InMemory(values) => values.truncate(len),
            Values::InFile(values) => values.len = values.len.min(len),
        }
    }

    /// The values in another order, in files of a directory: each is looked at once, in the order in which it is here, and is put
    /// with those that come near it there.
    ///
    /// # Errors
    /// If there is no room for them twice in the directory.
    ///
    /// # Panics
    /// If the order names a position that is not here.
    pub fn arranged(&self, order: &Arrangement, directory: &Path) -> Result<Self, FileError> {
        let place = ColumnPlace::Files(directory);
        let num_parts = order.moves.len().div_ceil(order.part_len);
        let part = |_| Column::<(u32, T)>::with_capacity(place, order.part_len);
        let mut parts = (0..num_parts).map(part).collect::<Result<Vec<_>, _>>()?;
        #[expect(clippy::indexing_slicing, reason = "documented; moves lead to all positions of all parts, once each")]
        for &Move { from, to } in &order.moves {
            parts[to as usize / order.part_len].push((to, self[from as usize]));
        }
        let mut arranged = Self::with_capacity(place, order.moves.len())?;
        for mut part in parts {
            part.sort_unstable_by_key(|(to, _)| *to);
            part.iter().for_each(|(_, value)| arranged.push(*value));
        }
        Ok(arranged)
    }
}

/// Another order of some or all positions of columns; a position may come several times.
#[derive(Debug)]
pub struct Arrangement {
    /// Ascending by where they are from. They lead to the positions from 0 on.
    moves: Vec<Move>,
    /// How many values are put in order at a time, in memory.
    part_len: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Move {
    from: u32,
    to: u32,
}

impl Arrangement {
    /// The order in which positions are given. It takes 8 bytes for each.
    pub fn new(positions: impl ExactSizeIterator<Item = u32>) -> Self {
        Self::in_parts(positions, 1 << 24)
    }

    /// Each position that a value moves from, ascending, with the one that it moves to.
    pub fn moves(&self) -> impl Iterator<Item = (u32, u32)> {
        self.moves.iter().map(|&Move { from, to }| (from, to))
    }

    fn in_parts(positions: impl ExactSizeIterator<Item = u32>, part_len: usize) -> Self {
        let mut moves = Vec::with_capacity(positions.len());
        moves.extend(positions.zip(0..).map(|(from, to)| Move { from, to }));
        moves.sort_unstable();
        Self { moves, part_len }
    }
}

impl<T> Deref for Column<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match &self.0 {
            Values::InMemory(values) => values,
            Values::InFile(values) => values.as_slice(),
        }
    }
}

impl<T> DerefMut for Column<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.0 {
            Values::InMemory(values) => values,
            Values::InFile(values) => values.as_mut_slice(),
        }
    }
}

/// Values in a file that is mapped into memory.
///
/// # Invariants
///
/// Nothing else can open the file, which has no name and is as large as the map: `len` values of this process, and room for more.
struct MappedValues<T> {
    map: MmapMut,
    len: usize,
    values: PhantomData<T>,
}

impl<T> MappedValues<T> {
    fn create(directory: &Path, capacity: usize) -> io::Result<Self> {
        const { assert!(align_of::<T>() <= 4096, "maps begin at pages") };
        // A map cannot be empty.
        let num_bytes = capacity.max(1).checked_mul(size_of::<T>().max(1)).ok_or(io::ErrorKind::OutOfMemory)?;
        let file = tempfile::tempfile_in(directory)?;
        allocate(&file, num_bytes as u64)?;
        // SAFETY: by the invariant, nobody else changes or shortens the file. It has all of its blocks, so that no write lacks room.
        #[expect(unsafe_code, reason = "a file is memory only through a map")]
        let map = unsafe { MmapMut::map_mut(&file)? };
        Ok(Self { map, len: 0, values: PhantomData })
    }

    fn capacity(&self) -> usize {
        self.map.len() / size_of::<T>().max(1)
    }

    fn push(&mut self, value: T) {
        assert!(self.len < self.capacity(), "documented: a column in a file has the room that it was made with");
        // SAFETY: there is room for a value at `len`, and maps begin at a page, which is as much as any value has to be aligned to.
        #[expect(unsafe_code, reason = "as above")]
        unsafe {
            self.map.as_mut_ptr().cast::<T>().add(self.len).write(value);
        }
        self.len += 1;
    }

    #[inline]
    fn as_slice(&self) -> &[T] {
        // SAFETY: `push` wrote these values, into memory that is aligned and lives as long as `self`.
        #[expect(unsafe_code, reason = "as above")]
        unsafe {
            std::slice::from_raw_parts(self.map.as_ptr().cast(), self.len)
        }
    }

    #[inline]
    fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as in `as_slice`; `self` is borrowed alone.
        #[expect(unsafe_code, reason = "as above")]
        unsafe {
            std::slice::from_raw_parts_mut(self.map.as_mut_ptr().cast(), self.len)
        }
    }
}

/// Gives a file all of its blocks: a write to a map without them ends the process if the disk is full.
fn allocate(file: &File, num_bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, num_bytes) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            io::copy(&mut io::repeat(0).take(num_bytes), &mut &*file).map(|_num_bytes| ())
        }
        done => Ok(done?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> (tempfile::TempDir, [Column<u64>; 2]) {
        let directory = tempfile::tempdir().unwrap();
        let in_file = Column::with_capacity(ColumnPlace::Files(directory.path()), 1000).unwrap();
        (directory, [Column::default(), in_file])
    }

    #[test]
    fn a_column_in_a_file_is_as_one_in_memory() {
        let (directory, mut columns) = columns();
        for column in &mut columns {
            (0..1000).for_each(|value| column.push(value * 7));
            column[5] = 1;
            column[900..].sort_unstable_by(|a, b| b.cmp(a));
            column.truncate(950);
        }
        let [in_memory, in_file] = &columns;
        assert_eq!(**in_memory, **in_file);
        assert_eq!((in_file.len(), in_file[5], in_file[949]), (950, 1, 950 * 7));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "no file is left if the process is killed");
        let filled = Column::filled(ColumnPlace::Files(directory.path()), 3u8, 10).unwrap();
        assert_eq!(*filled, [3; 10]);
    }

    #[test]
    fn values_are_arranged_in_parts() {
        let (directory, columns) = columns();
        let order: Vec<u32> = (0..500).map(|n| n * 367 % 211).collect();
        for mut column in columns {
            (0..300).for_each(|value| column.push(value * value));
            for part_len in [1, 7, 499, 500, 1 << 20] {
                let arrangement = Arrangement::in_parts(order.iter().copied(), part_len);
                let arranged = column.arranged(&arrangement, directory.path()).unwrap();
                let expected: Vec<u64> = order.iter().map(|&from| column[from as usize]).collect();
                assert_eq!(*arranged, *expected, "in parts of {part_len}");
            }
            let none = Arrangement::new([].into_iter());
            assert!(column.arranged(&none, directory.path()).unwrap().is_empty());
        }
    }

    #[test]
    fn a_directory_without_room_is_an_error() {
        let missing = Path::new("/no such directory");
        let error = Column::<u8>::with_capacity(ColumnPlace::Files(missing), 1).unwrap_err();
        assert!(error.to_string().contains("/no such directory"), "{error}");
        let directory = tempfile::tempdir().unwrap();
        assert!(Column::<u64>::with_capacity(ColumnPlace::Files(directory.path()), usize::MAX / 16).is_err());
        assert!(Column::<u64>::with_capacity(ColumnPlace::Files(directory.path()), usize::MAX).is_err());
    }
}
