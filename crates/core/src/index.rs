//! The index of a build: one row per record that could be read, and the numbers that identify sources and records.
//!
//! Samplers see rows only: metadata of a fixed size, no text and no pixels.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cost::Cost;
use crate::digest::RecordId;
use crate::sample::Layout;

/// A record as samplers and the planner see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexRow {
    /// Identity; unique within a plan.
    pub id: RecordId,
    /// Its source.
    pub source: SourceIndex,
    /// Exact tokens and images under the pipeline's dialect and tokenizer.
    pub cost: Cost,
    /// Which layout its sample will have.
    pub layout: Layout,
    /// Number of turns.
    pub num_turns: u32,
    /// Number of characters of text in all turns.
    pub num_chars: u64,
    /// Bytes its sample will take in a shard, roughly.
    pub estimated_bytes: u64,
    /// Equal for records that show the same images and videos, by their sizes; 0 for those without any.
    pub media: u64,
}

/// A number that counts one kind of thing from 0, so that it cannot be mistaken for the number of another kind.
pub trait TypedIndex: Copy {
    /// The index of the thing at this position.
    ///
    /// # Panics
    /// If there cannot be that many of them.
    fn from_position(position: usize) -> Self;

    /// The position that it counts.
    ///
    /// # Panics
    /// If memory could not hold that many of them.
    fn position(self) -> usize;
}

macro_rules! typed_index {
    ($(#[$doc:meta])* $name:ident($number:ty)) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(transparent)]
        pub struct $name(pub $number);

        // Both panics are documented: no build has that many sources or records.
        impl TypedIndex for $name {
            fn from_position(position: usize) -> Self {
                Self(<$number>::try_from(position).expect("the position is in the range of the index"))
            }

            fn position(self) -> usize {
                usize::try_from(self.0).expect("the index is in the range of the address space")
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

typed_index! {
    /// The position of a source in the pipeline file, from 0.
    SourceIndex(u32)
}

typed_index! {
    /// The position of a record among all records that were seen, in the order of the sources, from 0.
    RecordIndex(u64)
}

/// A vector that is indexed by its own type of index.
///
/// Indexing panics outside the vector, as that of a slice does. It is meant for vectors that are made whole, with one
/// item for each index that exists; an index from elsewhere is looked up with [`Self::get`].
#[derive(Clone, PartialEq, Eq)]
pub struct IndexVec<I, T> {
    items: Vec<T>,
    index: PhantomData<fn(I) -> I>,
}

impl<I: TypedIndex, T> IndexVec<I, T> {
    /// An empty vector.
    pub const fn new() -> Self {
        Self::from_vec(Vec::new())
    }

    /// A vector of these items, in their order.
    pub const fn from_vec(items: Vec<T>) -> Self {
        Self { items, index: PhantomData }
    }

    /// As many copies of an item.
    pub fn filled(item: T, len: usize) -> Self
    where
        T: Clone,
    {
        Self::from_vec(vec![item; len])
    }

    /// Appends an item, and returns its index.
    ///
    /// # Panics
    /// If there are more items than the index can count.
    pub fn push(&mut self, item: T) -> I {
        let index = I::from_position(self.items.len());
        self.items.push(item);
        index
    }

    /// The number of items.
    pub const fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no item.
    pub const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The item of an index that may be from elsewhere, such as from a file.
    pub fn get(&self, index: I) -> Option<&T> {
        self.items.get(index.position())
    }

    /// The item of an index that may be from elsewhere, to be changed.
    pub fn get_mut(&mut self, index: I) -> Option<&mut T> {
        self.items.get_mut(index.position())
    }

    /// The items in order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.items.iter()
    }

    /// The items in order, each with its index.
    pub fn iter_enumerated(&self) -> impl ExactSizeIterator<Item = (I, &T)> {
        self.items.iter().enumerate().map(|(position, item)| (I::from_position(position), item))
    }

    /// The indices in order.
    pub fn indices(&self) -> impl ExactSizeIterator<Item = I> + use<I, T> {
        (0..self.items.len()).map(I::from_position)
    }

    /// The items as a plain slice.
    pub fn as_slice(&self) -> &[T] {
        &self.items
    }

    /// The items as a plain vector.
    pub fn into_vec(self) -> Vec<T> {
        self.items
    }
}

impl<I: TypedIndex, T> Index<I> for IndexVec<I, T> {
    type Output = T;

    /// # Panics
    /// If the vector has no such item.
    #[expect(clippy::indexing_slicing, reason = "documented: as slices do")]
    fn index(&self, index: I) -> &T {
        &self.items[index.position()]
    }
}

impl<I: TypedIndex, T> IndexMut<I> for IndexVec<I, T> {
    /// # Panics
    /// If the vector has no such item.
    #[expect(clippy::indexing_slicing, reason = "documented: as slices do")]
    fn index_mut(&mut self, index: I) -> &mut T {
        &mut self.items[index.position()]
    }
}

impl<I, T: fmt::Debug> fmt::Debug for IndexVec<I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.items.fmt(f)
    }
}

impl<I: TypedIndex, T> Default for IndexVec<I, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<I: TypedIndex, T> FromIterator<T> for IndexVec<I, T> {
    fn from_iter<Items: IntoIterator<Item = T>>(items: Items) -> Self {
        Self::from_vec(items.into_iter().collect())
    }
}

impl<I, T> IntoIterator for IndexVec<I, T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

impl<'a, I, T> IntoIterator for &'a IndexVec<I, T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_found_by_the_index_that_push_returned() {
        let mut names: IndexVec<SourceIndex, &str> = IndexVec::new();
        let (a, b) = (names.push("a"), names.push("b"));
        names[b] = "c";
        assert_eq!((names[a], names[b], names.get(SourceIndex(2))), ("a", "c", None));
        assert_eq!(names.iter_enumerated().collect::<Vec<_>>(), [(a, &"a"), (b, &"c")]);
    }

    #[test]
    #[should_panic(expected = "index out of bounds")]
    fn an_index_from_elsewhere_panics() {
        let names: IndexVec<SourceIndex, &str> = IndexVec::from_vec(vec!["a"]);
        _ = names[SourceIndex(1)];
    }
}
