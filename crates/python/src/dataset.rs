//! A dataset as Python sees it: samples by number and by id, rows of the ledger, files as they are.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use manyframe_columnar::{Row, RowReader};
use manyframe_core::RecordId;
use manyframe_dataset::{DatasetReader, SampleReader, ShardEntry, ShardName, Status};
use manyframe_storage::StoreOptions;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustc_hash::FxHashMap;

use crate::error::{DatasetError, exception};
use crate::sample::Sample;

/// Opens the dataset in a directory or at a URL.
pub(crate) fn open_dataset(
    location: &Path,
    environment: BTreeMap<String, String>,
    endpoint: Option<String>,
) -> PyResult<DatasetReader> {
    let options = StoreOptions::from_environment(environment, endpoint);
    let storage = manyframe_storage::open(location, &options).map_err(|error| exception(&error))?;
    DatasetReader::open_in(storage).map_err(|error| exception(&error))
}

/// A dataset, open for reading.
#[pyclass(frozen, module = "manyframe._native")]
pub(crate) struct Dataset {
    samples: SampleReader,
    /// The shards of one format, and the number of samples before each.
    shards: Vec<(u64, ShardEntry)>,
    /// The shard and row of each delivered sample, found when the first one is asked for by its id.
    places: OnceLock<FxHashMap<RecordId, (ShardName, u64)>>,
    /// The ledger, opened when its first row is asked for.
    ledger: OnceLock<RowReader>,
}

/// The samples of a dataset in order.
#[pyclass(frozen, module = "manyframe._native")]
pub(crate) struct SampleIterator {
    dataset: DatasetReader,
    state: Mutex<IteratorState>,
}

type Samples = Box<dyn Iterator<Item = Result<manyframe_core::Sample, manyframe_dataset::DatasetError>> + Send>;

struct IteratorState {
    shards: std::vec::IntoIter<ShardEntry>,
    current: Option<Samples>,
}

#[pymethods]
impl Dataset {
    #[new]
    fn new(
        py: Python<'_>,
        location: &str,
        environment: BTreeMap<String, String>,
        endpoint: Option<String>,
    ) -> PyResult<Self> {
        let reader = py.detach(|| open_dataset(Path::new(location), environment, endpoint))?;
        let mut num_before = 0;
        let mut shards = Vec::new();
        for shard in reader.shards_of_one_format() {
            shards.push((num_before, shard.clone()));
            num_before += shard.total.num_samples;
        }
        let samples = SampleReader::new(reader);
        Ok(Self { samples, shards, places: OnceLock::new(), ledger: OnceLock::new() })
    }

    fn __len__(&self) -> usize {
        self.reader().manifest().total.num_samples as usize
    }

    /// The manifest, as JSON.
    fn manifest(&self) -> PyResult<String> {
        serde_json::to_string(self.reader().manifest()).map_err(|error| exception(&error))
    }

    /// The sample with a number.
    fn sample(&self, py: Python<'_>, number: u64) -> PyResult<Sample> {
        let shard = self.shards.partition_point(|(num_before, _)| *num_before <= number).checked_sub(1);
        let found = shard.and_then(|shard| self.shards.get(shard));
        let found = found.filter(|(num_before, shard)| number - num_before < shard.total.num_samples);
        let Some((num_before, shard)) = found else {
            return Err(PyIndexError::new_err(format!("the dataset has no sample {number}")));
        };
        let name = shard.path.name;
        self.read(py, name, number - num_before)
    }

    /// The sample that an id names; `None` if there is none. An error if it names several.
    fn find(&self, py: Python<'_>, id: &str) -> PyResult<Option<Sample>> {
        let place = py.detach(|| self.place(id))?;
        place.map(|(name, row)| self.read(py, name, row)).transpose()
    }

    /// The rows of the ledger that an id names, at most `limit`, as JSON.
    fn ledger_rows_of(&self, py: Python<'_>, id: &str, limit: usize) -> PyResult<Vec<String>> {
        py.detach(|| {
            let rows = self.ledger()?;
            let named = self.reader().find_numbered_rows(id, limit).map_err(|error| exception(&error))?;
            named.into_iter().map(|(row, _)| json_of_row(rows, row)).collect()
        })
    }

    /// Number of rows of the ledger.
    fn num_ledger_rows(&self) -> u64 {
        self.reader().manifest().ledger.num_records
    }

    /// Rows of the ledger as JSON.
    fn ledger_rows(&self, py: Python<'_>, first: u64, end: u64) -> PyResult<Vec<String>> {
        py.detach(|| {
            let rows = self.ledger()?.rows(first..end).map_err(|error| exception(&error))?;
            rows.map(|row| json_of(row.map_err(|error| exception(&error))?.1)).collect()
        })
    }

    /// A file of the dataset.
    fn read_file<'py>(&self, py: Python<'py>, path: &str) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = py.detach(|| self.reader().storage().read(path)).map_err(|error| exception(&error))?;
        Ok(PyBytes::new(py, &bytes))
    }

    fn __iter__(&self) -> SampleIterator {
        let shards: Vec<ShardEntry> = self.shards.iter().map(|(_, shard)| shard.clone()).collect();
        let state = Mutex::new(IteratorState { shards: shards.into_iter(), current: None });
        SampleIterator { dataset: self.reader().clone(), state }
    }
}

impl Dataset {
    fn reader(&self) -> &DatasetReader {
        self.samples.dataset()
    }

    fn read(&self, py: Python<'_>, name: ShardName, row: u64) -> PyResult<Sample> {
        let sample = py.detach(|| self.samples.sample(name, row)).map_err(|error| exception(&error))?;
        Ok(Sample(Arc::new(sample)))
    }

    fn place(&self, id: &str) -> PyResult<Option<(ShardName, u64)>> {
        if let Ok(id) = id.parse::<RecordId>() {
            let places = match self.places.get() {
                Some(places) => places,
                None => self.places.get_or_init({
                    let places = self.read_places()?;
                    || places
                }),
            };
            return Ok(places.get(&id).copied());
        }
        let mut rows = self.reader().find_rows(id, usize::MAX).map_err(|error| exception(&error))?;
        rows.retain(|row| row.status == Status::Delivered && row.repetition == 0);
        if rows.len() > 1 {
            let ids: Vec<String> = rows.iter().take(3).map(|row| row.id.to_string()).collect();
            return Err(DatasetError::new_err(format!("{id:?} names several samples: {} …", ids.join(", "))));
        }
        Ok(rows.pop().and_then(|row| row.shard.zip(row.shard_row)))
    }

    fn read_places(&self) -> PyResult<FxHashMap<RecordId, (ShardName, u64)>> {
        let mut places = FxHashMap::default();
        for row in self.reader().ledger().map_err(|error| exception(&error))? {
            let row = row.map_err(|error| exception(&error))?;
            if let Some(place) = row.shard.zip(row.shard_row) {
                places.entry(row.id).or_insert(place);
            }
        }
        Ok(places)
    }

    fn ledger(&self) -> PyResult<&RowReader> {
        if let Some(ledger) = self.ledger.get() {
            return Ok(ledger);
        }
        let file = self.reader().storage().open(&self.reader().manifest().ledger.path);
        let ledger = RowReader::of(file.map_err(|error| exception(&error))?).map_err(|error| exception(&error))?;
        Ok(self.ledger.get_or_init(|| ledger))
    }
}

fn json_of_row(rows: &RowReader, row: u64) -> PyResult<String> {
    json_of(rows.row(row).map_err(|error| exception(&error))?)
}

fn json_of(row: Row) -> PyResult<String> {
    match row {
        Row::Json(text) => Ok(text),
        Row::Broken { detail } => Err(DatasetError::new_err(detail)),
    }
}

#[pymethods]
impl SampleIterator {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Sample>> {
        let next = py.detach(|| self.next()).map_err(|error| exception(&error))?;
        Ok(next.map(|sample| Sample(Arc::new(sample))))
    }
}

impl SampleIterator {
    fn next(&self) -> Result<Option<manyframe_core::Sample>, manyframe_dataset::DatasetError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(sample) = state.current.as_mut().and_then(Iterator::next) {
                return sample.map(Some);
            }
            let Some(shard) = state.shards.next() else { return Ok(None) };
            state.current = Some(Box::new(self.dataset.samples(&shard)?));
        }
    }
}
