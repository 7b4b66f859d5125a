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
    /// Identity: 32 hexadecimal digits.
    #[getter]
    fn id(&self) -> String {
        self.0.id.to_string()
    }

    /// Name of its source in the pipeline file.
    #[getter]
    fn source(&self) -> &str {
        &self.0.source
    }

    /// Part of the source; may be empty.
    #[getter]
    fn subset(&self) -> &str {
        &self.0.subset
    }

    /// Its id in the upstream dataset; may be empty.
    #[getter]
    fn upstream_id(&self) -> &str {
        &self.0.upstream_id
    }

    /// ``temporal``, ``spatial``, ``image`` or ``text``.
    #[getter]
    fn layout(&self) -> &'static str {
        self.0.layout.as_str()
    }

    /// Role (``system``, ``user``, ``assistant``) and content of each message, with placeholders.
    #[getter]
    fn messages(&self) -> Vec<(&'static str, &str)> {
        let role = |role| match role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        self.0.messages.iter().map(|message| (role(message.role), message.content.as_str())).collect()
    }

    /// The whole text as the trainer sees it, chat template included.
    #[getter]
    fn prompt(&self) -> &str {
        &self.0.prompt
    }

    /// Where in ``prompt`` the loss is computed: first character, and one past the last.
    #[getter]
    fn label_spans(&self) -> Vec<(usize, usize)> {
        self.0.label_spans.clone()
    }

    /// Length of the sequence in tokens.
    #[getter]
    fn num_tokens(&self) -> u64 {
        self.0.cost.num_tokens()
    }

    /// Tokens of text.
    #[getter]
    fn text_tokens(&self) -> u64 {
        self.0.cost.text_tokens
    }

    /// Tokens of images.
    #[getter]
    fn visual_tokens(&self) -> u64 {
        self.0.cost.visual_tokens
    }

    /// Ids of tokens; None if the shards hold none.
    #[getter]
    fn input_ids<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.tokens().map(|tokens| widened(py, &tokens.input_ids)).transpose()
    }

    /// The id to be predicted at each position, not shifted; −100 where there is no loss.
    #[getter]
    fn labels<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.tokens().map(|tokens| widened(py, &tokens.labels)).transpose()
    }

    /// Its images, in the order of the placeholders.
    #[getter]
    fn images(&self) -> Vec<Image> {
        (0..self.0.images.len()).map(|index| Image { sample: Arc::clone(&self.0), index }).collect()
    }

    /// Its video files, in the order of the placeholders.
    #[getter]
    fn videos(&self) -> Vec<Video> {
        (0..self.0.clips.len()).map(|index| Video { sample: Arc::clone(&self.0), index }).collect()
    }

    /// Its images and the frames of its videos, in the order of the placeholders, decoded: height, width, 3 channels.
    fn pixels<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let images = py.detach(|| decode_images(&self.0)).map_err(|error| exception(&error))?;
        images.into_iter().map(|image| pixels_to_array(py, image)).collect()
    }

    /// Everything but bytes, as ``KEY.json`` of a tar has it.
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
    /// The file.
    #[getter]
    fn bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.image()?.bytes))
    }

    /// ``jpg``, ``png`` or ``webp``.
    #[getter]
    fn format(&self) -> PyResult<&'static str> {
        Ok(self.image()?.format.extension())
    }

    /// Width in pixels, as shown.
    #[getter]
    fn width(&self) -> PyResult<u32> {
        Ok(self.image()?.width_px)
    }

    /// Height in pixels, as shown.
    #[getter]
    fn height(&self) -> PyResult<u32> {
        Ok(self.image()?.height_px)
    }

    /// The image, decoded: height, width, 3 channels.
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
    /// The file.
    #[getter]
    fn bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.clip()?.bytes))
    }

    /// The extension of such files: ``mp4``, ``mkv`` …
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
