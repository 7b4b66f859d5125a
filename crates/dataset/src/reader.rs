//! Reads a dataset: what is in it, what happened to each record, and the samples of its shards.
//!
//! ```text
//! DatasetReader::open ─▶ manifest ─▶ ledger(), packs(), shards ─▶ samples(), find_rows() ─▶ read_sample()
//! ```
//!
//! All files are read through [`Storage`]: of a dataset that is elsewhere, those parts that are asked for. Nothing is written
//! here.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyframe_base::{FileAccess, InputFile};
use manyframe_core::{Digest, Origin, RecordId, Sample};
use manyframe_pipeline::Pipeline;
use manyframe_shards::{SampleEntry, ShardFormat};
use manyframe_storage::{LocalDirectory, Storage, Stores};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::build_facts::BuildFacts;
use crate::by_digest::{ByDigest, Names};
use crate::error::DatasetError;
use crate::ledger::{LedgerRow, SamplePlace, Status, read_damaged, read_ledger_of, read_origins};
use crate::manifest::{MANIFEST_FILE, Manifest, ShardEntry};
use crate::needles::{NeedleEntry, read_needles};
use crate::packs::{PackIndexTable, PackRow, read_packs_of};
use crate::shard_name::ShardName;
use crate::table_file::OpenTable;

/// A committed dataset, open for reading.
#[derive(Debug, Clone)]
pub struct DatasetReader {
    storage: Arc<dyn Storage>,
    manifest: Manifest,
    manifest_digest: Digest,
    /// Position in the manifest of each shard's file in the first format that it has.
    first_files: BTreeMap<ShardName, usize>,
    /// The format of the shards in which ledger and packs say where a sample is.
    tar_format: Option<ShardFormat>,
    /// Shards that are not among its other files, by their paths in the dataset.
    elsewhere: Arc<BTreeMap<String, PathBuf>>,
    /// How shards are opened by their locations.
    access: FileAccess,
}

/// Where a sample is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleLocation {
    /// The file of the shard, or its URL.
    pub shard: Arc<Path>,
    /// Its format.
    pub format: ShardFormat,
    /// Its position, as [`manyframe_shards::list`] returns it, if the format [finds](ShardFormat::finds_by_position) samples by
    /// it; `None` if the sample is searched by its id.
    pub position: Option<u64>,
}

/// Prefixes of ids shorter than this many digits match too many records.
const LEAST_ID_DIGITS: usize = 6;

impl DatasetReader {
    /// Opens the dataset in a local directory. Its manifest is read.
    ///
    /// # Errors
    ///
    /// If there is no dataset, or its manifest is not what this version writes.
    pub fn open(dataset: &Path) -> Result<Self, DatasetError> {
        Self::open_in(Arc::new(LocalDirectory::new(dataset)))
    }

    /// Opens the dataset in a local directory or at a URL. Its manifest is read.
    ///
    /// # Errors
    ///
    /// As [`DatasetReader::open`], or if the URL cannot be opened.
    pub fn open_at(location: &Path, stores: &Stores) -> Result<Self, DatasetError> {
        Self::open_in(stores.storage(location)?)
    }

    /// Opens a dataset that is not published yet: in a directory, but for shards that are at URLs.
    ///
    /// # Errors
    ///
    /// As [`DatasetReader::open`].
    pub fn open_staged(
        directory: &Path,
        shards: BTreeMap<String, PathBuf>,
        access: FileAccess,
    ) -> Result<Self, DatasetError> {
        Ok(Self { elsewhere: Arc::new(shards), access, ..Self::open(directory)? })
    }

    /// Opens the dataset in a storage. Its manifest is read.
    ///
    /// # Errors
    ///
    /// As [`DatasetReader::open`].
    pub fn open_in(storage: Arc<dyn Storage>) -> Result<Self, DatasetError> {
        let (manifest, manifest_digest) = Manifest::read_from(&*storage)?;
        let storage = match Names::of(&*storage, &manifest)? {
            Names::Plain => storage,
            Names::Content => Arc::new(ByDigest::new(storage, &manifest)),
        };
        let mut first_files = BTreeMap::new();
        for (position, shard) in manifest.shards.iter().enumerate() {
            first_files.entry(shard.path.name).or_insert(position);
        }
        let tar_format = ShardFormat::first_tar(manifest.shards.iter().map(|shard| shard.format));
        let (elsewhere, access) = (Arc::default(), FileAccess::default());
        Ok(Self { storage, manifest, manifest_digest, first_files, tar_format, elsewhere, access })
    }

    /// What the dataset is made of.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The digest of its manifest, which names the dataset.
    pub fn manifest_digest(&self) -> Digest {
        self.manifest_digest
    }

    /// Whether its manifest is another one than when it was opened, or gone: its files may be of another dataset now.
    ///
    /// # Errors
    ///
    /// If the manifest cannot be read.
    pub fn is_replaced(&self) -> Result<bool, DatasetError> {
        match self.storage.read(MANIFEST_FILE) {
            Ok(text) => Ok(Digest::of(&text) != self.manifest_digest),
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Where its files are.
    pub fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    /// Its directory or URL, for messages.
    pub fn location(&self) -> &Path {
        self.storage.location()
    }

    /// Shards that [`DatasetReader::open_staged`] was told are elsewhere, by their paths in the dataset.
    pub fn elsewhere(&self) -> &BTreeMap<String, PathBuf> {
        &self.elsewhere
    }

    /// Facts about its build on the machine that made it; `None` if they were not kept.
    ///
    /// # Errors
    ///
    /// If they cannot be read, or are not what this version writes.
    pub fn build_facts(&self) -> Result<Option<BuildFacts>, DatasetError> {
        BuildFacts::read_from(&*self.storage)
    }

    /// The pipeline that it was built from, with the variables of its build; those in `variables` replace them, for a dataset
    /// that was built on another machine.
    ///
    /// # Errors
    ///
    /// If its build facts cannot be read, or its manifest holds no pipeline file of this version.
    pub fn pipeline(&self, variables: &BTreeMap<String, String>) -> Result<Pipeline, DatasetError> {
        let mut known = self.build_facts()?.map(|facts| facts.variables).unwrap_or_default();
        known.extend(variables.clone());
        self.manifest.pipeline_with(&known)
    }

    /// The account of all records, in the order of the sources.
    ///
    /// # Errors
    ///
    /// As [`read_ledger`](crate::read_ledger).
    pub fn ledger(&self) -> Result<impl Iterator<Item = Result<LedgerRow, DatasetError>> + use<>, DatasetError> {
        read_ledger_of(self.storage.open(&self.manifest.ledger.path)?)
    }

    /// What happened to each record, and where it was read: faster than whole rows.
    ///
    /// # Errors
    ///
    /// As [`DatasetReader::ledger`].
    pub fn origins(
        &self,
    ) -> Result<impl Iterator<Item = Result<(Status, Origin), DatasetError>> + use<>, DatasetError> {
        read_origins(self.storage.open(&self.manifest.ledger.path)?)
    }

    /// The samples that show videos with frames missing or damaged, and how many.
    ///
    /// # Errors
    ///
    /// As [`DatasetReader::ledger`].
    pub fn damaged(&self) -> Result<Vec<(RecordId, String)>, DatasetError> {
        read_damaged(self.storage.open(&self.manifest.ledger.path)?)
    }

    /// The questions of its evaluation sets, in the order of the ledger; none if it has no such set.
    ///
    /// # Errors
    ///
    /// If they cannot be read, or are not what this version writes.
    pub fn needles(&self) -> Result<Vec<NeedleEntry>, DatasetError> {
        match &self.manifest.needles {
            None => Ok(Vec::new()),
            Some(entry) => read_needles(&self.location().join(&entry.path), &self.storage.read(&entry.path)?),
        }
    }

    /// Its training sequences, in order; none if the samples are not packed.
    ///
    /// # Errors
    ///
    /// If the index cannot be read, or a row is no pack; there are no rows after an error.
    pub fn packs(&self) -> Result<impl Iterator<Item = Result<PackRow, DatasetError>> + use<>, DatasetError> {
        let pack = self.manifest.pack.as_ref();
        let packs = pack.map(|pack| read_packs_of(self.storage.open(&pack.path)?)).transpose()?;
        Ok(packs.into_iter().flatten())
    }

    /// Its training sequences, by their numbers; `None` if the samples are not packed.
    ///
    /// # Errors
    ///
    /// If the index cannot be read.
    pub fn open_packs(&self) -> Result<Option<OpenTable<PackIndexTable>>, DatasetError> {
        let pack = self.manifest.pack.as_ref();
        pack.map(|pack| OpenTable::of(self.storage.open(&pack.path)?)).transpose()
    }

    /// The files that hold every sample once: those of the first format, because every format holds all samples.
    pub fn shards_of_one_format(&self) -> impl Iterator<Item = &ShardEntry> {
        let format = self.manifest.shards.iter().map(|shard| shard.format).min();
        self.manifest.shards.iter().filter(move |shard| Some(shard.format) == format)
    }

    /// The file of a shard, in the first format that it has.
    ///
    /// # Errors
    ///
    /// If the dataset has no such shard.
    pub fn shard(&self, name: ShardName) -> Result<&ShardEntry, DatasetError> {
        let position = self.first_files.get(&name);
        let shard = position.and_then(|&position| self.manifest.shards.get(position));
        shard.ok_or_else(|| DatasetError::damaged(self.location(), format!("the manifest has no shard {name}")))
    }

    /// Whether ledger and packs may say at which bytes of this file its samples are.
    pub fn is_told(&self, shard: &ShardEntry) -> bool {
        Some(shard.format) == self.tar_format
    }

    /// The format of the tars in which ledger and packs say where a sample is; `None` if the dataset has no tars.
    pub fn tar_format(&self) -> Option<ShardFormat> {
        self.tar_format
    }

    /// Where the file of a shard is: a path of this machine, or a URL.
    pub fn shard_location(&self, shard: &ShardEntry) -> PathBuf {
        let path = shard.path.to_string();
        self.elsewhere.get(&path).cloned().unwrap_or_else(|| self.storage.full_path(&path))
    }

    /// Opens its shards by their locations, if they are on this machine or where [`DatasetReader::open_staged`] was told.
    pub fn access(&self) -> &FileAccess {
        &self.access
    }

    fn open_shard(&self, shard: &ShardEntry) -> Result<InputFile, DatasetError> {
        let path = shard.path.to_string();
        let Some(place) = self.elsewhere.get(&path) else { return Ok(self.storage.open(&path)?) };
        manyframe_shards::open_with(place, &self.access).map_err(DatasetError::shard(place))
    }

    /// The samples of a shard, one at a time.
    ///
    /// # Errors
    ///
    /// If the shard cannot be read; there are no samples after an error.
    pub fn samples(
        &self,
        shard: &ShardEntry,
    ) -> Result<impl Iterator<Item = Result<Sample, DatasetError>> + use<>, DatasetError> {
        let file = self.open_shard(shard)?;
        let path = file.path().to_owned();
        let samples = manyframe_shards::read(shard.format, file).map_err(DatasetError::shard(&path))?;
        Ok(samples.map(move |sample| sample.map_err(DatasetError::shard(&path))))
    }

    /// The samples of a shard without the bytes of their images.
    ///
    /// # Errors
    ///
    /// As [`DatasetReader::samples`].
    pub fn sample_entries(
        &self,
        shard: &ShardEntry,
    ) -> Result<impl Iterator<Item = Result<SampleEntry, DatasetError>> + use<>, DatasetError> {
        let file = self.open_shard(shard)?;
        let path = file.path().to_owned();
        let entries = manyframe_shards::list(shard.format, file).map_err(DatasetError::shard(&path))?;
        Ok(entries.map(move |entry| entry.map_err(DatasetError::shard(&path))))
    }

    /// The ledger rows that a text names: a record id, a prefix of one (at least 6 hex digits), or an upstream id.
    /// At most `limit` rows.
    ///
    /// # Errors
    ///
    /// As [`DatasetReader::ledger`].
    pub fn find_rows(&self, text: &str, limit: usize) -> Result<Vec<LedgerRow>, DatasetError> {
        Ok(self.find_numbered_rows(text, limit)?.into_iter().map(|(_, row)| row).collect())
    }

    /// As [`DatasetReader::find_rows`], each with its number in the ledger, from 0.
    ///
    /// # Errors
    ///
    /// As [`DatasetReader::ledger`].
    pub fn find_numbered_rows(&self, text: &str, limit: usize) -> Result<Vec<(u64, LedgerRow)>, DatasetError> {
        let prefix = text.to_ascii_lowercase();
        let is_prefix = prefix.len() >= LEAST_ID_DIGITS && prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_named =
            |row: &LedgerRow| row.upstream_id == text || (is_prefix && row.id.to_string().starts_with(&prefix));
        let rows = (0..).zip(self.ledger()?).map(|(number, row)| Ok((number, row?)));
        let named = rows.filter(|row| row.as_ref().map_or(true, |(_, row)| is_named(row)));
        named.take(limit).collect()
    }

    /// The sample of a record; `None` if it was not delivered.
    ///
    /// # Errors
    ///
    /// If the manifest has no such shard, or the shard cannot be read, or does not hold the sample.
    pub fn read_sample(&self, row: &LedgerRow) -> Result<Option<Sample>, DatasetError> {
        let Some(name) = row.shard else { return Ok(None) };
        let shard = self.shard(name)?;
        let file = self.open_shard(shard)?;
        let path = file.path().to_owned();
        let here = row.shard_bytes.as_ref().filter(|_| self.is_told(shard));
        if let Some(bytes) = here
            && let Ok(sample) = manyframe_shards::read_at(shard.format, file.clone(), bytes.start)
            && sample.id == row.id
        {
            return Ok(Some(sample));
        }
        let sample = manyframe_shards::read_one(shard.format, file, row.id).map_err(DatasetError::shard(&path))?;
        let missing = || DatasetError::damaged(&path, format!("it has no sample {}", row.id));
        sample.map(Some).ok_or_else(missing)
    }

    /// Finds samples in their shards. Where it is not known at which bytes of a shard they are, heads of samples are read, and no
    /// image.
    ///
    /// # Errors
    ///
    /// If the manifest has no such shard, or a shard cannot be read.
    pub fn locate(&self, samples: &[SamplePlace]) -> Result<Vec<SampleLocation>, DatasetError> {
        let mut positions: FxHashMap<RecordId, u64> = FxHashMap::default();
        let mut files = BTreeMap::new();
        let mut by_shard: BTreeMap<ShardName, Vec<&SamplePlace>> = BTreeMap::new();
        for place in samples {
            by_shard.entry(place.shard).or_default().push(place);
        }
        for (name, places) in by_shard {
            let shard = self.shard(name)?;
            if self.is_told(shard) && places.iter().all(|place| place.shard_offset.is_some()) {
                positions.extend(places.iter().filter_map(|place| Some((place.id, place.shard_offset?))));
            } else if shard.format.finds_by_position() {
                for entry in self.sample_entries(shard)? {
                    let entry = entry?;
                    positions.entry(entry.sample.id).or_insert(entry.position);
                }
            }
            files.insert(name, (Arc::from(self.shard_location(shard)), shard.format));
        }
        let missing = |name| DatasetError::damaged(self.location(), format!("the manifest has no shard {name}"));
        let location = |&SamplePlace { id, shard: name, .. }: &SamplePlace| {
            let (shard, format) = files.get(&name).ok_or_else(|| missing(name))?;
            Ok(SampleLocation { shard: Arc::clone(shard), format: *format, position: positions.get(&id).copied() })
        };
        samples.iter().map(location).collect()
    }
}

impl SampleLocation {
    /// Reads the sample with this id; `None` if another one, or none, is there. If its position is known, nothing
    /// else is read.
    ///
    /// # Errors
    ///
    /// If the shard cannot be read.
    pub fn read(&self, id: RecordId, access: &FileAccess) -> Result<Option<Sample>, DatasetError> {
        let file = manyframe_shards::open_with(&self.shard, access);
        let Some(position) = self.position.filter(|_| self.format.finds_by_position()) else {
            let sample = file.and_then(|file| manyframe_shards::read_one(self.format, file, id));
            return sample.map_err(DatasetError::shard(&*self.shard));
        };
        let sample = file.and_then(|file| manyframe_shards::read_at(self.format, file, position));
        let sample = sample.map_err(DatasetError::shard(&*self.shard))?;
        Ok((sample.id == id).then_some(sample))
    }
}
