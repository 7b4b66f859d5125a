//! Samples as a trainer sees them: the prompt with the parts that are trained on, and their images, made small.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use manyframe_core::{Sample, SampleImage, VisualKind, contained};
use manyframe_dataset::{DatasetError, DatasetReader, LedgerRow};
use manyframe_media::video::decode_clip;
use manyframe_media::{JpegOptions, MediaLimits, RgbView, decode_rgb, encode_jpeg, fit_longest_edge, resize};
use serde::Serialize;

/// The longest side of a picture on the page.
const MAX_EDGE_PX: u32 = 256;
/// How many images of a visual are shown.
const MAX_IMAGES: usize = 25;
/// How many frames of a clip are shown: the first ones.
const MAX_FRAMES: usize = 8;
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
pub(crate) struct ShownImage {
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
    let mut clips = sample.clips.iter();
    let mut visual = |visual: &manyframe_core::SampleVisual| {
        let size = format!("{}×{} px", visual.width_px, visual.height_px);
        let what = match (visual.kind, visual.grid, &visual.clip) {
            (VisualKind::Video, _, Some(clip)) => format!("video, {size}, {}", clip.description()),
            (VisualKind::Video, ..) => format!("video of {} frames, {size}", visual.num_images),
            (VisualKind::Tiled, Some(grid), _) => format!("overview and {}×{} tiles, {size}", grid.rows, grid.columns),
            _ => format!("image, {size}"),
        };
        let time_s = |index: usize| visual.times_s.get(index).copied();
        let clip = visual.clip.as_ref().and_then(|frames| Some((frames, clips.next()?)));
        let (images, num_images) = if let Some((frames, clip)) = clip {
            let pictures = decoded(|| decode_clip(clip, frames, &MediaLimits::default()).ok()).unwrap_or_default();
            let shown = pictures.iter().enumerate().take(MAX_FRAMES);
            let shown = shown.map(|(index, picture)| shown_picture(picture.view(), time_s(index)));
            (shown.collect::<Vec<_>>(), pictures.len())
        } else {
            let images = sample.images.iter().skip(visual.first_image).take(visual.num_images).enumerate();
            let shown = images.take(MAX_IMAGES).map(|(index, image)| shown_image(image, time_s(index)));
            (shown.collect(), visual.num_images)
        };
        ShownVisual {
            what,
            path: visual.path.clone(),
            columns: visual.grid.map(|grid| grid.columns),
            num_more: num_images.saturating_sub(images.len()),
            images,
        }
    };
    sample.visuals.iter().map(&mut visual).collect()
}

fn shown_image(image: &SampleImage, time_s: Option<f64>) -> ShownImage {
    let pixels = decoded(|| decode_rgb(&image.bytes, &MediaLimits::default()).ok());
    let url = pixels.and_then(|pixels| small_jpeg(pixels.view()));
    ShownImage { url, width_px: image.width_px, height_px: image.height_px, time_s }
}

/// An encoded image; `None` if it cannot be decoded.
pub(crate) fn shown_bytes(bytes: &[u8]) -> Option<ShownImage> {
    Some(shown_picture(decoded(|| decode_rgb(bytes, &MediaLimits::default()).ok())?.view(), None))
}

/// What a decoder returns; nothing if it panics, as with bytes that cost a record when the dataset was built.
fn decoded<T>(decode: impl FnOnce() -> Option<T>) -> Option<T> {
    contained(decode).ok().flatten()
}

fn shown_picture(picture: RgbView<'_>, time_s: Option<f64>) -> ShownImage {
    let (width_px, height_px) = (picture.width_px(), picture.height_px());
    ShownImage { url: small_jpeg(picture), width_px, height_px, time_s }
}

/// A picture, made small, as a URL that contains it.
fn small_jpeg(picture: RgbView<'_>) -> Option<String> {
    let (width, height) = fit_longest_edge(picture.width_px(), picture.height_px(), MAX_EDGE_PX);
    let bytes = encode_jpeg(resize(picture, width, height).ok()?.view(), JpegOptions::default()).ok()?;
    Some(format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(bytes)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_that_panics_costs_its_picture() {
        assert_eq!(decoded(|| Some(7)), Some(7));
        assert_eq!(decoded(|| -> Option<u8> { panic!("index out of bounds") }), None);
    }
}
