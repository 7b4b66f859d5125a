//! `index.sqlite` of Megatron-Energon: where each sample, and each member of it, is in the tars of a directory, by its key.
//! Energon reads samples of several datasets together with it, and media that are beside their samples.
//!
//! Tables and rows are those of `energon prepare` in version 7.4.1. No tar is read for it: whoever writes one notes its members.

use std::path::Path;
use std::sync::Arc;

use manyframe_core::RecordId;
use rusqlite::{Connection, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::error::ShardError;
use crate::tar::{HEADER_BYTES, padded};

const TABLES: &str = "
CREATE TABLE samples (
    tar_file_id INTEGER NOT NULL,
    sample_key TEXT NOT NULL UNIQUE,
    sample_index INTEGER NOT NULL,
    byte_offset INTEGER,
    byte_size INTEGER
);
CREATE TABLE sample_parts (
    tar_file_id INTEGER,
    sample_index INTEGER,
    part_name TEXT,
    content_byte_offset INTEGER,
    content_byte_size INTEGER
);";
const INDEXES: &str = "
CREATE INDEX idx_samples_by_tar_and_idx ON samples(tar_file_id, sample_index);
CREATE INDEX idx_sample_parts_seq ON sample_parts(tar_file_id, sample_index, content_byte_offset);
CREATE INDEX idx_sample_parts_full ON sample_parts(tar_file_id, sample_index, part_name, content_byte_offset, content_byte_size);";

/// The members of a tar, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TarMembers {
    /// The samples.
    pub keys: Vec<RecordId>,
    /// What the names of members have after the key of their sample, each once.
    pub fields: Vec<String>,
    /// Of each member, the position of its field, and the number of its bytes.
    pub members: Vec<(u32, u64)>,
}

impl TarMembers {
    /// Appends a member.
    pub(crate) fn push(&mut self, field: &str, num_bytes: u64) {
        let known = self.fields.iter().position(|known| known == field);
        let field_index = known.unwrap_or_else(|| {
            self.fields.push(field.to_owned());
            self.fields.len() - 1
        });
        self.members.push((field_index as u32, num_bytes));
    }
}

/// The index of the tars of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnergonIndex {
    tars: Vec<IndexedTar>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct IndexedTar {
    /// The first byte of each sample, and one past the last of all.
    sample_offsets: Vec<u64>,
    members: Arc<TarMembers>,
}

impl EnergonIndex {
    /// The index of the tars of a directory, each with the first byte of each sample and its members; `None` if nobody noted these.
    pub(crate) fn of<'t>(tars: impl Iterator<Item = (&'t [u64], Option<&'t Arc<TarMembers>>)>) -> Option<Self> {
        let tar = |(sample_offsets, members): (&[u64], Option<&Arc<TarMembers>>)| {
            Some(IndexedTar { sample_offsets: sample_offsets.to_owned(), members: Arc::clone(members?) })
        };
        let tars: Vec<IndexedTar> = tars.map(tar).collect::<Option<_>>()?;
        (!tars.is_empty()).then_some(Self { tars })
    }

    /// Writes the database, which must not exist. The same tars are the same bytes.
    ///
    /// # Errors
    /// If it cannot be written, or two samples have one key.
    pub fn write(&self, path: &Path) -> Result<(), ShardError> {
        self.write_database(path).map_err(|source| ShardError::Index { path: path.to_owned(), source })
    }

    fn write_database(&self, path: &Path) -> rusqlite::Result<()> {
        let mut database = Connection::open(path)?;
        // What is interrupted is made again, so nothing has to be undone.
        database.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;")?;
        let transaction = database.transaction()?;
        transaction.execute_batch(TABLES)?;
        for (number, tar) in (0_i64..).zip(&self.tars) {
            tar.insert(number, &transaction)?;
        }
        transaction.execute_batch(INDEXES)?;
        transaction.commit()?;
        database.close().map_err(|(_, error)| error)
    }
}

impl IndexedTar {
    fn insert(&self, number: i64, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let mut sample = transaction.prepare_cached("INSERT INTO samples VALUES (?, ?, ?, ?, ?)")?;
        let mut part = transaction.prepare_cached("INSERT INTO sample_parts VALUES (?, ?, ?, ?, ?)")?;
        let mut members = self.members.members.iter().peekable();
        let bounds = self.sample_offsets.iter().zip(self.sample_offsets.iter().skip(1));
        for ((row, key), (&start, &end)) in (0_i64..).zip(&self.members.keys).zip(bounds) {
            sample.execute(params![number, key.to_string(), row, integer(start), integer(end - start)])?;
            let mut next = start;
            while let Some((field, num_bytes)) = members.next_if(|_| next < end) {
                let content = next + HEADER_BYTES;
                let field = self.members.fields.get(*field as usize);
                part.execute(params![number, row, field, integer(content), integer(*num_bytes)])?;
                next = content + padded(*num_bytes);
            }
        }
        Ok(())
    }
}

/// A number of bytes as SQLite has it.
fn integer(num_bytes: u64) -> i64 {
    i64::try_from(num_bytes).unwrap_or(i64::MAX)
}
