//! The packs of a dataset as Python sees them: one at a time, or a stream of them that threads load ahead.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use manyframe_engine::PackReader;
use manyframe_pipeline::SequenceParallel;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::array::{array, array_of_shape, pixels_to_array};
use crate::dataset::open_dataset;
use crate::error::{DatasetError, exception};
use crate::pack::{GroupRank, ImageForm, LoadedPack, PackImages, PackWork};
use crate::pixels::PixelLaw;
use crate::prefetch::{Next, Prefetch};
use crate::values::{PatchGrids, PixelValues, TileParts};

/// Time after which a waiting interpreter looks whether somebody pressed Ctrl-C.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The packs of a dataset.
#[pyclass(frozen, module = "manyframe._native")]
pub(crate) struct Packs {
    work: Arc<PackWork>,
    ranks: u32,
    scheme: Option<SequenceParallel>,
    capacity_tokens: u32,
}

/// Packs that threads load ahead, in order.
#[pyclass(frozen, module = "manyframe._native")]
pub(crate) struct PackIterator(Prefetch<LoadedPack>);

/// The packs of an epoch, in order.
#[pyfunction]
pub(crate) fn epoch_order(
    py: Python<'_>,
    num_packs: u32,
    ranks: NonZeroU32,
    seed: u64,
    epoch: u64,
) -> PyResult<Bound<'_, PyAny>> {
    array(py, py.detach(|| manyframe_samplers::epoch_order(num_packs, ranks, seed, epoch)))
}

#[pymethods]
impl Packs {
    #[new]
    #[pyo3(signature = (location, environment, endpoint, images, group))]
    fn new(
        py: Python<'_>,
        location: &str,
        environment: BTreeMap<String, String>,
        endpoint: Option<String>,
        images: &str,
        group: Option<(usize, usize)>,
    ) -> PyResult<Self> {
        let dataset = py.detach(|| open_dataset(Path::new(location), environment, endpoint))?;
        let reader = py.detach(|| PackReader::open(&dataset)).map_err(|error| exception(&error))?;
        let images = image_form(images, &reader)?;
        let summary = reader.dataset().manifest().pack.as_ref().map(|pack| &pack.summary);
        let settings = summary.map(|summary| &summary.settings);
        let (ranks, scheme) = settings.map_or((1, None), |settings| (settings.ranks.get(), settings.sequence_parallel));
        let capacity_tokens = summary.map_or(0, |summary| summary.capacity_tokens);
        // A group of one has whole packs, which the index does not divide.
        let group = group.filter(|group| scheme.is_some() || *group != (0, 1));
        let group = group.map(|(rank, degree)| GroupRank { rank, degree });
        if let Some(GroupRank { rank, degree }) = group {
            let packed_for = scheme.map_or(1, |scheme| scheme.layout().degree());
            if packed_for != degree as u64 {
                let message = format!(
                    "sequence_parallel=({rank}, {degree}): the packs are divided over {packed_for} ranks; \
                     `manyframe pack DATASET --set sequence_parallel=zigzag:{degree}` packs the samples again for {degree}"
                );
                return Err(PyValueError::new_err(message));
            }
        }
        Ok(Self { work: Arc::new(PackWork { reader, images, group }), ranks, scheme, capacity_tokens })
    }

    fn __len__(&self) -> usize {
        self.work.reader.num_packs() as usize
    }

    /// The data-parallel ranks over which steps were balanced.
    #[getter]
    fn ranks(&self) -> u32 {
        self.ranks
    }

    /// How sequences are divided, as `[pack]` says.
    #[getter]
    fn sequence_parallel(&self) -> Option<String> {
        self.scheme.map(|scheme| scheme.to_string())
    }

    /// Maximum length of a pack in tokens.
    #[getter]
    fn capacity_tokens(&self) -> u32 {
        self.capacity_tokens
    }

    /// Loads a pack.
    fn load<'py>(&self, py: Python<'py>, pack: u64) -> PyResult<Bound<'py, PyDict>> {
        let loaded = py.detach(|| self.work.load(pack)).map_err(DatasetError::new_err)?;
        dictionary(py, loaded)
    }

    /// Loads packs on threads, ahead of whoever takes them.
    fn stream(&self, packs: Vec<u64>, num_threads: usize, prefetch_bytes: u64) -> PackIterator {
        PackIterator(Prefetch::start(&self.work, packs, num_threads.max(1), prefetch_bytes))
    }
}

fn image_form(name: &str, reader: &PackReader) -> PyResult<ImageForm> {
    Ok(match name {
        "none" => ImageForm::None,
        "encoded" => ImageForm::Encoded,
        "pixels" => ImageForm::Pixels,
        "values" => {
            let pipeline = reader.dataset().manifest().pipeline_with(&BTreeMap::new());
            let family = pipeline.map_err(|error| exception(&error))?.file.family();
            ImageForm::Values(Box::new(PixelLaw::of(family).map_err(PyValueError::new_err)?))
        }
        other => {
            let message = format!("images={other:?}, expected \"pixels\", \"values\", \"encoded\" or \"none\"");
            return Err(PyValueError::new_err(message));
        }
    })
}

#[pymethods]
impl PackIterator {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        loop {
            match py.detach(|| self.0.next(LOOK_INTERVAL)) {
                Next::Made(made) => return dictionary(py, made.map_err(DatasetError::new_err)?).map(Some),
                Next::Later => py.check_signals()?,
                Next::End => return Ok(None),
            }
        }
    }
}

/// A pack as a dictionary of arrays, which own what they show.
fn dictionary(py: Python<'_>, pack: LoadedPack) -> PyResult<Bound<'_, PyDict>> {
    let dictionary = PyDict::new(py);
    let tokens = pack.tokens;
    let longest = pack.cu_seqlens.array_windows().map(|[start, end]| end - start).max().unwrap_or(0);
    dictionary.set_item("pack", pack.pack)?;
    dictionary.set_item("input_ids", array(py, tokens.input_ids)?)?;
    dictionary.set_item("labels", array(py, tokens.labels)?)?;
    dictionary.set_item("shift_labels", array(py, tokens.shift_labels)?)?;
    dictionary.set_item("position_ids", array(py, tokens.position_ids)?)?;
    dictionary.set_item("mm_token_type_ids", array(py, tokens.type_ids)?)?;
    dictionary.set_item("cu_seqlens", array(py, pack.cu_seqlens)?)?;
    dictionary.set_item("max_seqlen", longest)?;
    let chunks = tokens.chunks.iter().flat_map(|&(start, end)| [start, end].map(|at| at.cast_signed() as i64));
    dictionary.set_item("chunks", rows(py, chunks, 2)?)?;
    let cu_images = pack.cu_images.into_iter().map(u64::cast_signed).collect();
    dictionary.set_item("cu_images", array(py, cu_images)?)?;
    dictionary.set_item("image_range", (pack.image_range.start, pack.image_range.end))?;
    dictionary.set_item("image_grid_thw", rows(py, pack.image_grids.into_iter().map(i64::from), 3)?)?;
    dictionary.set_item("video_grid_thw", rows(py, pack.video_grids.into_iter().map(i64::from), 3)?)?;
    dictionary.set_item("frame_times_s", array(py, pack.frame_times_s)?)?;
    dictionary.set_item("sample_ids", pack.sample_ids)?;
    let sources: Vec<&str> = pack.sources.iter().map(|source| &**source).collect();
    dictionary.set_item("sources", sources)?;
    set_images(py, &dictionary, pack.images)?;
    Ok(dictionary)
}

fn set_images(py: Python<'_>, dictionary: &Bound<'_, PyDict>, images: PackImages) -> PyResult<()> {
    match images {
        PackImages::None => Ok(()),
        PackImages::Encoded(images) => {
            let images = images.iter().map(|bytes| PyBytes::new(py, bytes));
            dictionary.set_item("images", PyList::new(py, images.collect::<Vec<_>>())?)
        }
        PackImages::Pixels(images) => {
            let arrays = images.into_iter().map(|image| pixels_to_array(py, image));
            dictionary.set_item("images", PyList::new(py, arrays.collect::<PyResult<Vec<_>>>()?)?)
        }
        PackImages::Values(PixelValues { images, videos, shape, parts, grids }) => {
            for (name, values) in [("pixel_values", images), ("pixel_values_videos", videos)] {
                let each = shape.iter().product::<usize>().max(1);
                let whole: Vec<usize> = std::iter::once(values.len() / each).chain(shape.iter().copied()).collect();
                dictionary.set_item(name, array_of_shape(py, values, &whole)?)?;
            }
            if let Some(PatchGrids { images, videos }) = grids {
                dictionary.set_item("rank_image_grid_thw", rows(py, images.into_iter(), 3)?)?;
                dictionary.set_item("rank_video_grid_thw", rows(py, videos.into_iter(), 3)?)?;
            }
            if let Some(TileParts { image_tiles, image_sizes, video_frames }) = parts {
                dictionary.set_item("image_tiles", array(py, image_tiles)?)?;
                dictionary.set_item("image_sizes", rows(py, image_sizes.into_iter(), 2)?)?;
                dictionary.set_item("video_frames", array(py, video_frames)?)?;
            }
            Ok(())
        }
    }
}

/// Numbers as rows of an array.
fn rows(py: Python<'_>, numbers: impl Iterator<Item = i64>, width: usize) -> PyResult<Bound<'_, PyAny>> {
    let numbers: Vec<i64> = numbers.collect();
    let shape = [numbers.len() / width, width];
    array_of_shape(py, numbers, &shape)
}
