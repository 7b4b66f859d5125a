//! Downloads a dataset, or the shards of it that a node trains on.
//!
//! ```text
//! FILE.part ─ range by range ─▶ its digest is that of the manifest ─▶ FILE      manifest.json last, if all files are wanted
//! ```
//!
//! A file that is there already is compared, and one that was begun is gone on with.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::num::NonZeroU64;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use manyframe_base::files::{parent_directory, publish_file};
use manyframe_base::{FileError, Progress, Step, on_threads, write_atomic};
use manyframe_core::{Digest, Layout};
use manyframe_dataset::{
    BUILD_FACTS_FILE, CARD_FILE, DatasetReader, FilesBeside, MANIFEST_FILE, Manifest, NotesByShard, named_files,
};
use manyframe_shards::ShardFormat;
use manyframe_storage::{LocalDirectory, Storage, digest_of_file};

use crate::claim::CLAIM_FILE;
use crate::error::TransferError;
use crate::files::is_shard;
use crate::gate::{Gate, Pace};

/// Bytes of a request.
const PIECE_BYTES: u64 = 8 << 20;

/// Which shards are downloaded; all, with what is beside them, by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// Only shards of these layouts; all if empty.
    pub only_layouts: Vec<Layout>,
    /// Only shards at these positions among those chosen so far, in the order of the manifest.
    pub positions: Option<Range<u64>>,
    /// Only those of a rank.
    pub rank: Option<RankOf>,
}

/// A rank among others: `3/8`. It has the shards whose position leaves its number when divided by theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RankOf {
    /// From 0.
    pub rank: u64,
    /// How many there are.
    pub world_size: NonZeroU64,
}

impl FromStr for RankOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text
            .split_once('/')
            .and_then(|(rank, of)| Some(Self { rank: rank.parse().ok()?, world_size: of.parse().ok()? }));
        let parsed = parsed.filter(|rank| rank.rank < rank.world_size.get());
        parsed.ok_or_else(|| "expected RANK/RANKS, such as 3/8, with ranks from 0".to_owned())
    }
}

impl Choice {
    fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// The paths of the chosen shards: every file of a shard, whatever its format.
    fn shards(&self, manifest: &Manifest) -> Vec<String> {
        let is_wanted = |layout: Option<Layout>| {
            self.only_layouts.is_empty() || layout.is_some_and(|layout| self.only_layouts.contains(&layout))
        };
        let names: BTreeSet<_> =
            manifest.shards.iter().map(|shard| shard.path.name).filter(|name| is_wanted(name.layout)).collect();
        let positioned = (0u64..).zip(names);
        let is_at = |position: u64| {
            self.positions.as_ref().is_none_or(|positions| positions.contains(&position))
                && self.rank.is_none_or(|rank| position % rank.world_size == rank.rank)
        };
        let chosen: BTreeSet<_> = positioned.filter(|(position, _)| is_at(*position)).map(|(_, name)| name).collect();
        let shards = manifest.shards.iter().filter(|shard| chosen.contains(&shard.path.name));
        shards.map(|shard| shard.path.to_string()).collect()
    }
}

/// A download of a dataset.
pub struct Download<'a> {
    /// The dataset.
    pub dataset: &'a DatasetReader,
    /// Where it goes.
    pub directory: &'a Path,
    /// What of it.
    pub choice: Choice,
    /// How much is fetched at a time.
    pub pace: Pace,
    /// Receives how far it has come.
    pub progress: &'a dyn Progress,
}

/// What a download did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Downloaded {
    /// Files that were fetched.
    pub num_fetched: u64,
    /// Files that were there already.
    pub num_same: u64,
    /// Bytes of all of them.
    pub num_bytes: u64,
    /// Bytes that were fetched.
    pub num_fetched_bytes: u64,
    /// Whether it is the whole dataset.
    pub is_whole: bool,
}

/// A file to be fetched.
struct Wanted {
    path: String,
    num_bytes: u64,
    /// `None` if no manifest states it: such a file is fetched whole each time.
    digest: Option<Digest>,
}

impl Download<'_> {
    /// Downloads the dataset, or the chosen shards. Interrupted, it goes on where it stopped when it is called again.
    ///
    /// # Errors
    ///
    /// [`TransferError::NoShards`] if nothing is chosen, [`TransferError::Occupied`] if the directory holds another dataset,
    /// [`TransferError::OtherShard`] if it holds shards of one,
    /// [`TransferError::Damaged`] if a file is not the one that the manifest names.
    pub fn run(&self) -> Result<Downloaded, TransferError> {
        let storage = self.dataset.storage();
        self.ensure_free()?;
        let wanted = self.wanted(storage)?;
        self.progress.start(Step::Download, wanted.iter().map(|file| file.num_bytes).sum());
        let gate = Gate::new(self.pace);
        let fetched = on_threads(self.pace.concurrency, &wanted, |file| self.fetch(storage, file, &gate))?;
        let mut done = Downloaded { is_whole: self.choice.is_everything(), ..Downloaded::default() };
        for (file, num_fetched_bytes) in wanted.iter().zip(fetched) {
            done.num_bytes += file.num_bytes;
            match num_fetched_bytes {
                None => done.num_same += 1,
                Some(num_bytes) => {
                    done.num_fetched += 1;
                    done.num_fetched_bytes += num_bytes;
                }
            }
        }
        if done.is_whole {
            let text = storage.read(MANIFEST_FILE)?;
            let (found, expected) = (Digest::of(&text), self.dataset.manifest_digest());
            if found != expected {
                return Err(damaged(&storage.location().join(MANIFEST_FILE), found, expected));
            }
            write_atomic(&self.directory.join(MANIFEST_FILE), &text)?;
        }
        self.progress.finish(Step::Download);
        Ok(done)
    }

    /// Makes sure that the directory holds no other dataset, or one that was built there.
    fn ensure_free(&self) -> Result<(), TransferError> {
        let path = self.directory.join(MANIFEST_FILE);
        match fs::read(&path) {
            Ok(text) if Digest::of(&text) != self.dataset.manifest_digest() => {
                Err(TransferError::Occupied { path: self.directory.to_owned() })
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::read(path)(error).into()),
            _ => self.ensure_no_other_shards(),
        }
    }

    /// Makes sure that whoever lists the directories of shards finds none of another dataset, such as those of ranks, which are there
    /// without a manifest. Those of other ranks of this one are said: two ranks may share a directory.
    fn ensure_no_other_shards(&self) -> Result<(), TransferError> {
        let manifest = self.dataset.manifest();
        let named = named_files(manifest);
        let chosen: BTreeSet<String> = self.choice.shards(manifest).into_iter().collect();
        let directory = LocalDirectory::new(self.directory);
        let mut found = Vec::new();
        for format in ShardFormat::ALL {
            found.extend(directory.list(format.as_str())?);
        }
        let mut unchosen = Vec::new();
        for path in found.into_iter().map(|file| file.path).filter(|path| is_shard(path)) {
            if !named.contains_key(&path) {
                return Err(TransferError::OtherShard { path: self.directory.join(path) });
            }
            unchosen.extend((!chosen.contains(&path)).then_some(path));
        }
        if let Some(example) = unchosen.first() {
            let num_files = unchosen.len();
            tracing::warn!(
                num_files, %example,
                "shards that were not chosen are there, too, such as those of another rank: whoever reads all files of a directory reads them"
            );
        }
        Ok(())
    }

    fn wanted(&self, storage: &dyn Storage) -> Result<Vec<Wanted>, TransferError> {
        let manifest = self.dataset.manifest();
        let named = named_files(manifest);
        let mut wanted = Vec::new();
        let mut add = |path: String, num_bytes: Option<u64>, digest: Option<Digest>| {
            let num_bytes = num_bytes.map_or_else(|| size(storage, &path), Ok)?;
            wanted.push(Wanted { path, num_bytes, digest });
            Ok::<_, TransferError>(())
        };
        let shards = self.choice.shards(manifest);
        if shards.is_empty() && !self.choice.is_everything() {
            let known: BTreeSet<_> = manifest.shards.iter().map(|shard| shard.path.name.to_string()).collect();
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            return Err(TransferError::NoShards { detail: format!("the dataset has {known}") });
        }
        if !self.choice.is_everything() {
            for path in shards {
                let stated = named.get(&path);
                add(path, stated.and_then(|stated| stated.num_bytes), stated.map(|stated| stated.digest))?;
            }
            return Ok(wanted);
        }
        for (path, stated) in &named {
            add(path.clone(), stated.num_bytes, Some(stated.digest))?;
        }
        for path in self.beside(storage)?.into_iter().filter(|path| !named.contains_key(path)) {
            add(path, None, None)?;
        }
        Ok(wanted)
    }

    /// The files that no manifest names, such as the data card and what readers of a format expect beside its shards.
    fn beside(&self, storage: &dyn Storage) -> Result<Vec<String>, TransferError> {
        match storage.list("") {
            Ok(files) => {
                let paths = files.into_iter().map(|file| file.path);
                // Shards that this dataset does not name are of another one.
                let is_beside =
                    |path: &String| ![MANIFEST_FILE, CLAIM_FILE].contains(&path.as_str()) && !is_shard(path);
                Ok(paths.filter(is_beside).collect())
            }
            // A web server has no listing. Which files there may be follows from the manifest.
            Err(error) if error.source.kind() == io::ErrorKind::Unsupported => {
                let beside = FilesBeside::of(self.dataset.manifest(), &NotesByShard::new())?;
                let known = beside.files.into_iter().map(|(path, _)| path);
                let known: Vec<String> = known.chain([CARD_FILE, BUILD_FACTS_FILE].map(str::to_owned)).collect();
                let found = on_threads(self.pace.concurrency, &known, |path| storage.num_bytes(path))?;
                Ok(known.into_iter().zip(found).filter_map(|(path, found)| found.map(|_| path)).collect())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Fetches a file; returns how many bytes that took, or `None` if it was there.
    fn fetch(&self, storage: &dyn Storage, file: &Wanted, gate: &Gate) -> Result<Option<u64>, TransferError> {
        let path = self.directory.join(&file.path);
        if self.is_there(file)? {
            self.progress.advance(1, file.num_bytes);
            return Ok(None);
        }
        let part = part_path(&path);
        fs::create_dir_all(parent_directory(&path)).map_err(FileError::write(&path))?;
        let mut num_fetched = self.fetch_into(&part, storage, file, gate)?;
        if let Some(expected) = file.digest
            && digest_of_file(&part)? != expected
        {
            // What an earlier download left was of another file, or something was altered on its way.
            remove(&part)?;
            tracing::warn!(path = %file.path, "what arrived is not the file that the manifest names; it is fetched again");
            num_fetched += self.fetch_into(&part, storage, file, gate)?;
            let digest = digest_of_file(&part)?;
            if digest != expected {
                remove(&part)?;
                return Err(damaged(&storage.location().join(&file.path), digest, expected));
            }
        }
        publish_file(&part, &path)?;
        self.progress.advance(1, 0);
        Ok(Some(num_fetched))
    }

    fn is_there(&self, file: &Wanted) -> Result<bool, TransferError> {
        let Some(digest) = file.digest else { return Ok(false) };
        let directory = LocalDirectory::new(self.directory);
        Ok(directory.num_bytes(&file.path)? == Some(file.num_bytes) && directory.digest(&file.path)? == digest)
    }

    /// Fetches what is missing of a file at the end of its part; returns how many bytes that were.
    fn fetch_into(&self, part: &Path, storage: &dyn Storage, file: &Wanted, gate: &Gate) -> Result<u64, TransferError> {
        let mut opened = OpenOptions::new().append(true).create(true).open(part).map_err(FileError::write(part))?;
        let mut start = opened.metadata().map_err(FileError::read(part))?.len();
        if start > file.num_bytes || file.digest.is_none() {
            opened.set_len(0).map_err(FileError::write(part))?;
            start = 0;
        }
        self.progress.advance(0, start);
        let missing = file.num_bytes - start;
        while start < file.num_bytes {
            let end = file.num_bytes.min(start + PIECE_BYTES);
            let mut permit = gate.enter();
            permit.count(end - start);
            gate.flow(&|_| {}).hold(end - start);
            let bytes = storage.read_range(&file.path, start..end)?;
            drop(permit);
            opened.write_all(&bytes).map_err(FileError::write(part))?;
            self.progress.advance(0, end - start);
            start = end;
        }
        Ok(missing)
    }
}

/// Where a file is until it is whole.
fn part_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

fn remove(path: &Path) -> Result<(), FileError> {
    fs::remove_file(path).map_err(FileError::write(path))
}

fn size(storage: &dyn Storage, path: &str) -> Result<u64, TransferError> {
    let missing = || FileError::read(storage.location().join(path))(io::ErrorKind::NotFound.into());
    Ok(storage.num_bytes(path)?.ok_or_else(missing)?)
}

fn damaged(path: &Path, found: Digest, expected: Digest) -> TransferError {
    let (found, expected) = (format!("its digest is {found}"), expected.to_string());
    TransferError::Damaged { path: path.to_owned(), found, expected }
}
