//! Samples as a trainer sees them: the prompt with the parts that are trained on, and their images, made small.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use manyframe_core::{Sample, SampleImage, VisualKind};
use manyframe_dataset::{DatasetError, DatasetReader, LedgerRow};
use manyframe_media::{JpegOptions, MediaLimits, decode_rgb, encode_jpeg, fit_longest_edge, resize};
use serde::Serialize;

/// The longest side of a picture on the page.
const MAX_EDGE_PX: u32 = 256;
/// How many images of a visual are shown.
const MAX_IMAGES: usize = 25;
/// How many characters of a prompt are shown.
const MAX_CHARS: usize = 6_000;

/// A sample on the page.
#[derive(Debug, Serialize)]
pub(crate) struct ShownSample {
    id: String,
    source: String,
    subset: String,
    upstream_id: String,
    layout: &'static str,
    num_tokens: u64,
    visual_tokens: u64,
    num_images: u64,
    visuals: Vec<ShownVisual>,
    text: Vec<Piece>,
    /// Characters that are not shown.
    num_more_chars: usize,
}

#[derive(Debug, Serialize)]
struct ShownVisual {
    what: String,
    path: String,
    /// Columns of its tiles, if it is tiled; the overview comes first.
    columns: Option<u32>,
    images: Vec<ShownImage>,
    num_more: usize,
}

#[derive(Debug, Serialize)]
struct ShownImage {
    /// `None` if it cannot be decoded.
    url: Option<String>,
    width_px: u32,
    height_px: u32,
    time_s: Option<f64>,
}

/// A part of the prompt.
#[derive(Debug, Serialize)]
struct Piece {
    text: String,
    is_trained: bool,
}

/// The sample of a row that was delivered.
pub(crate) fn shown(dataset: &DatasetReader, row: &LedgerRow) -> Result<Option<ShownSample>, DatasetError> {
    let Some(sample) = dataset.read_sample(row)? else { return Ok(None) };
    let num_chars = sample.prompt.chars().count();
    Ok(Some(ShownSample {
        id: sample.id.to_string(),
        source: sample.source.to_string(),
        subset: sample.subset.to_string(),
        upstream_id: sample.upstream_id.clone(),
        layout: row.measured.map_or("", |(_, layout)| layout.as_str()),
        num_tokens: sample.cost.num_tokens(),
        visual_tokens: sample.cost.visual_tokens,
        num_images: sample.cost.num_images,
        visuals: visuals(&sample),
        text: pieces(&sample),
        num_more_chars: num_chars.saturating_sub(MAX_CHARS),
    }))
}

fn visuals(sample: &Sample) -> Vec<ShownVisual> {
    let visual = |visual: &manyframe_core::SampleVisual| {
        let size = format!("{}×{} px", visual.width_px, visual.height_px);
        let what = match (visual.kind, visual.grid, &visual.clip) {
            (VisualKind::Video, _, Some(clip)) => format!("video, {size}, {}", clip.description()),
            (VisualKind::Video, ..) => format!("video of {} frames, {size}", visual.num_images),
            (VisualKind::Tiled, Some(grid), _) => format!("overview and {}×{} tiles, {size}", grid.rows, grid.columns),
            _ => format!("image, {size}"),
        };
        let num_images = if visual.clip.is_some() { 0 } else { visual.num_images };
        let images = sample.images.iter().skip(visual.first_image).take(num_images).enumerate().take(MAX_IMAGES);
        ShownVisual {
            what,
            path: visual.path.clone(),
            columns: visual.grid.map(|grid| grid.columns),
            images: images.map(|(index, image)| shown_image(image, visual.times_s.get(index).copied())).collect(),
            num_more: num_images.saturating_sub(MAX_IMAGES),
        }
    };
    sample.visuals.iter().map(visual).collect()
}

fn shown_image(image: &SampleImage, time_s: Option<f64>) -> ShownImage {
    let url = small_jpeg(image).map(|bytes| format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(bytes)));
    ShownImage { url, width_px: image.width_px, height_px: image.height_px, time_s }
}

fn small_jpeg(image: &SampleImage) -> Option<Vec<u8>> {
    let pixels = decode_rgb(&image.bytes, &MediaLimits::default()).ok()?;
    let view = pixels.view();
    let (width, height) = fit_longest_edge(view.width_px(), view.height_px(), MAX_EDGE_PX);
    encode_jpeg(resize(view, width, height).ok()?.view(), JpegOptions::default()).ok()
}

/// The start of the prompt, divided where training begins and ends.
fn pieces(sample: &Sample) -> Vec<Piece> {
    let is_trained = |at: usize| sample.label_spans.iter().any(|&(start, end)| (start..end).contains(&at));
    let mut pieces: Vec<Piece> = Vec::new();
    for (at, character) in sample.prompt.chars().take(MAX_CHARS).enumerate() {
        let is_trained = is_trained(at);
        match pieces.last_mut() {
            Some(piece) if piece.is_trained == is_trained => piece.text.push(character),
            _ => pieces.push(Piece { text: character.to_string(), is_trained }),
        }
    }
    pieces
}
