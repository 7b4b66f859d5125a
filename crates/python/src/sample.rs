//! A sample, its images and its videos, as Python sees them.

use std::sync::Arc;

use manyframe_core::{Role, SampleTokens};
use manyframe_engine::decode_images;
use manyframe_media::{MediaLimits, decode_rgb};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::array::{array, pixels_to_array};
use crate::error::exception;

/// A sample of a dataset.
#[pyclass(frozen, module = "manyframe")]
pub(crate) struct Sample(pub(crate) Arc<manyframe_core::Sample>);

/// An encoded image of a sample.
#[pyclass(frozen, module = "manyframe")]
pub(crate) struct Image {
    sample: Arc<manyframe_core::Sample>,
    index: usize,
}

/// A video file of a sample.
#[pyclass(frozen, module = "manyframe")]
pub(crate) struct Video {
    sample: Arc<manyframe_core::Sample>,
    index: usize,
}

#[pymethods]
impl Sample {
    #[getter]
    fn id(&self) -> String {
        self.0.id.to_string()
    }

    #[getter]
    fn source(&self) -> &str {
        &self.0.source
    }

    #[getter]
    fn subset(&self) -> &str {
        &self.0.subset
    }

    #[getter]
    fn upstream_id(&self) -> &str {
        &self.0.upstream_id
    }

    #[getter]
    fn layout(&self) -> &'static str {
        self.0.layout.as_str()
    }

    /// Role and content of each message.
    #[getter]
    fn messages(&self) -> Vec<(&'static str, &str)> {
        let role = |role| match role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        self.0.messages.iter().map(|message| (role(message.role), message.content.as_str())).collect()
    }

    #[getter]
    fn prompt(&self) -> &str {
        &self.0.prompt
    }

    #[getter]
    fn label_spans(&self) -> Vec<(usize, usize)> {
        self.0.label_spans.clone()
    }

    #[getter]
    fn num_tokens(&self) -> u64 {
        self.0.cost.num_tokens()
    }

    #[getter]
    fn text_tokens(&self) -> u64 {
        self.0.cost.text_tokens
    }

    #[getter]
    fn visual_tokens(&self) -> u64 {
        self.0.cost.visual_tokens
    }

    #[getter]
    fn input_ids<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.tokens().map(|tokens| widened(py, &tokens.input_ids)).transpose()
    }

    #[getter]
    fn labels<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.tokens().map(|tokens| widened(py, &tokens.labels)).transpose()
    }

    #[getter]
    fn images(&self) -> Vec<Image> {
        (0..self.0.images.len()).map(|index| Image { sample: Arc::clone(&self.0), index }).collect()
    }

    #[getter]
    fn videos(&self) -> Vec<Video> {
        (0..self.0.clips.len()).map(|index| Video { sample: Arc::clone(&self.0), index }).collect()
    }

    /// The images and the frames of videos in placeholder order, decoded.
    fn pixels<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let images = py.detach(|| decode_images(&self.0)).map_err(|error| exception(&error))?;
        images.into_iter().map(|image| pixels_to_array(py, image)).collect()
    }

    /// The JSON of the sample, as `KEY.json` of a tar has it.
    fn to_json(&self) -> PyResult<String> {
        serde_json::to_string(&manyframe_shards::SampleJson::from_sample(&self.0)).map_err(|error| exception(&error))
    }

    fn __repr__(&self) -> String {
        let (sample, num_tokens) = (&self.0, self.0.cost.num_tokens());
        format!(
            "Sample(id='{}', source={:?}, num_tokens={num_tokens}, num_images={})",
            sample.id, sample.source, sample.cost.num_images
        )
    }
}

impl Sample {
    fn tokens(&self) -> Option<&SampleTokens> {
        self.0.tokens.as_ref()
    }
}

fn widened<'py>(py: Python<'py>, ids: &[i32]) -> PyResult<Bound<'py, PyAny>> {
    array(py, ids.iter().map(|id| i64::from(*id)).collect())
}

impl Image {
    fn image(&self) -> PyResult<&manyframe_core::SampleImage> {
        self.sample.images.get(self.index).ok_or_else(|| exception(&std::fmt::Error))
    }
}

#[pymethods]
impl Image {
    #[getter]
    fn bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.image()?.bytes))
    }

    /// `jpg`, `png` or `webp`.
    #[getter]
    fn format(&self) -> PyResult<&'static str> {
        Ok(self.image()?.format.extension())
    }

    #[getter]
    fn width(&self) -> PyResult<u32> {
        Ok(self.image()?.width_px)
    }

    #[getter]
    fn height(&self) -> PyResult<u32> {
        Ok(self.image()?.height_px)
    }

    /// The image, decoded.
    fn pixels<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let image = self.image()?;
        let decoded = py.detach(|| decode_rgb(&image.bytes, &MediaLimits::default()));
        pixels_to_array(py, decoded.map_err(|error| exception(&error))?)
    }
}

impl Video {
    fn clip(&self) -> PyResult<&manyframe_core::SampleClip> {
        self.sample.clips.get(self.index).ok_or_else(|| exception(&std::fmt::Error))
    }
}

#[pymethods]
impl Video {
    #[getter]
    fn bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.clip()?.bytes))
    }

    /// The extension of such files.
    #[getter]
    fn format(&self) -> PyResult<&'static str> {
        Ok(self.clip()?.format.extension())
    }

    /// Which frames of the file are shown, counted in order of presentation, from 0.
    #[getter]
    fn frame_indices(&self) -> Vec<u32> {
        let mut clips = self.sample.visuals.iter().filter_map(|visual| visual.clip.as_ref());
        clips.nth(self.index).map(|clip| clip.frame_indices.clone()).unwrap_or_default()
    }
}
