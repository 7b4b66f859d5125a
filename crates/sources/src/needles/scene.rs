//! What a question shows: frames of videos or images, with needles among them.

use manyframe_core::{ComposedVideo, Digest, Edit, FrameEdit, NeedleFrame, PastedImage, PlacedNeedle};
use serde::Serialize;

use super::chance::Chance;
use super::definition::{Needle, Shown};
use super::grid::Cell;
use super::options::{NeedleOptions, NeedlePlace};

/// A needle at places among the frames or images that are shown.
pub(crate) struct Placed<'a> {
    pub(crate) needle: &'a Needle,
    /// Where each showing begins.
    pub(crate) starts: Vec<u32>,
    /// The quarters of the frame that have it in each showing; none if it is shown as it is.
    pub(crate) quarters: Vec<Vec<u8>>,
}

/// What is shown.
pub(crate) struct Scene {
    pub(crate) video: Option<ComposedVideo>,
    pub(crate) images: Option<Vec<String>>,
    pub(crate) num_shown: u32,
    pub(crate) haystack: String,
    pub(crate) visuals: String,
}

impl Scene {
    /// The frames or images of a question, with its needles. The error says what they lack.
    pub(crate) fn of(options: &NeedleOptions, cell: &Cell, placed: &[Placed<'_>]) -> Result<Self, String> {
        if cell.task.is_of_images() {
            Self::of_images(options, cell, placed)
        } else {
            Self::of_video(options, cell, placed)
        }
    }

    fn of_video(options: &NeedleOptions, cell: &Cell, placed: &[Placed<'_>]) -> Result<Self, String> {
        let mut videos = haystack(options, cell, &options.haystacks);
        if !options.haystack_sources.is_empty() {
            // Each has a frame at least. A source may have more videos than a record should name.
            videos.truncate(cell.length as usize);
        }
        let haystack = short_digest(&(&videos, cell.length, options.interval_s))?;
        let edits = in_order(placed).into_iter().flat_map(|place| edits(options, place));
        let video = ComposedVideo {
            videos,
            num_frames: cell.length,
            interval_s: options.interval_s,
            edits: edits.collect(),
            max_distance: options.max_distance,
        };
        let (num_shown, visuals) = (video.num_shown() as u32, short_digest(&video)?);
        Ok(Self { video: Some(video), images: None, num_shown, haystack, visuals })
    }

    fn of_images(options: &NeedleOptions, cell: &Cell, placed: &[Placed<'_>]) -> Result<Self, String> {
        let mut images = haystack(options, cell, &options.images);
        if images.len() < cell.length as usize {
            let found = images.len();
            return Err(format!("{} needs {} images, there are {found}", cell.task.as_str(), cell.length));
        }
        images.truncate(cell.length as usize);
        let haystack = short_digest(&images)?;
        for (index, needle, _) in in_order(placed) {
            let Shown::Image(shown) = &needle.shown else { continue };
            let (index, shown) = (index as usize, shown.clone());
            match (options.place, images.get_mut(index)) {
                (NeedlePlace::Replace, Some(image)) => *image = shown,
                _ => images.insert(index.min(images.len()), shown),
            }
        }
        let (num_shown, visuals) = (images.len() as u32, short_digest(&images)?);
        Ok(Self { video: None, images: Some(images), num_shown, haystack, visuals })
    }
}

impl<'a> Placed<'a> {
    /// A needle that is shown once, as it is.
    pub(crate) fn once(needle: &'a Needle, start: u32) -> Self {
        Self { needle, starts: vec![start], quarters: Vec::new() }
    }

    pub(crate) fn described(&self) -> PlacedNeedle {
        let Self { needle, starts, quarters } = self;
        let of_showing = |&start: &u32| start..start + needle.num_frames();
        let times = quarters.iter().map(|quarters| quarters.len() as u32).collect();
        PlacedNeedle {
            name: needle.name.clone(),
            kind: needle.kind(),
            indices: starts.iter().flat_map(of_showing).collect(),
            num_frames: matches!(needle.shown, Shown::Clip(_)).then(|| needle.num_frames()),
            times: Some(times).filter(|_| !quarters.is_empty()),
        }
    }
}

/// What begins at each place, in order, and the quarters that have it if it is small.
fn in_order<'p>(placed: &'p [Placed<'_>]) -> Vec<(u32, &'p Needle, Option<&'p Vec<u8>>)> {
    let mut at = Vec::new();
    for Placed { needle, starts, quarters } in placed {
        at.extend(starts.iter().enumerate().map(|(number, &start)| (start, *needle, quarters.get(number))));
    }
    at.sort_by_key(|(start, ..)| *start);
    at
}

/// What a needle that begins at a place does to frames.
fn edits(options: &NeedleOptions, (start, needle, quarters): (u32, &Needle, Option<&Vec<u8>>)) -> Vec<FrameEdit> {
    let edit = |number: u32| match (&needle.shown, options.place) {
        (Shown::Text(text), _) => Edit::Write(text.clone()),
        (Shown::Image(path), place) => match (quarters, place) {
            (Some(quarters), _) => Edit::Paste(PastedImage { path: path.clone(), quarters: quarters.clone() }),
            (None, NeedlePlace::Insert) => Edit::Insert(path.clone()),
            (None, NeedlePlace::Replace) => Edit::Replace(path.clone()),
        },
        (Shown::Clip(clip), NeedlePlace::Insert) => Edit::InsertFrame(NeedleFrame { clip: clip.clone(), number }),
        (Shown::Clip(clip), NeedlePlace::Replace) => Edit::ReplaceFrame(NeedleFrame { clip: clip.clone(), number }),
    };
    (0..needle.num_frames()).map(|number| FrameEdit { index: start + number, edit: edit(number) }).collect()
}

/// A haystack and those after it, from the first again after the last. Questions of the same number have the same in all cells.
fn haystack(options: &NeedleOptions, cell: &Cell, all: &[String]) -> Vec<String> {
    let order = task_chance(options, cell).order("haystack", all.len());
    let mut all = all.to_vec();
    if let Some(&first) = order.get((cell.number as usize).checked_rem(order.len()).unwrap_or(0)) {
        all.rotate_left(first);
    }
    all
}

/// The choices that all questions of a task have in common.
pub(crate) fn task_chance(options: &NeedleOptions, cell: &Cell) -> Chance {
    Chance::new(options.seed, cell.task.as_str())
}

/// 16 hexadecimal digits that are equal for equal values.
pub(crate) fn short_digest(value: &impl Serialize) -> Result<String, String> {
    let text = serde_json::to_vec(value).map_err(|error| error.to_string())?;
    Ok(format!("{:016x}", Digest::of(&text).first_bits()))
}
