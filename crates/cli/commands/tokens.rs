//! `manyframe tokens`: what a model's processor makes of images and videos.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use manyframe_base::InputFile;
use manyframe_core::RejectCode;
use manyframe_engine::{MediumAnswer, PlannedMedium, TokensAnswer};
use manyframe_media::{MediaError, MediaLimits, probe_image_bytes, spread_positions, video};
use manyframe_pipeline::Override;
use manyframe_vision::{Clip, Family, Geometry, Layout, Markup, SettingsProblem, Size, VisualPlan};

use crate::args::TokensArguments;
use crate::exit::UsageError;
use crate::output;
use crate::table::{Table, count, plural, shortened};

/// Frames per second of a size that states none.
const UNSTATED_RATE: f64 = 24.0;
/// What the reason of a medium that the processor refuses begins with.
const REFUSED: &str = "refused: ";
/// Columns of a medium's text in the table.
const MAX_TEXT: usize = 72;

pub(super) fn run(arguments: &TokensArguments) -> Result<ExitCode> {
    let family = with_settings(&arguments.family, &arguments.set)?;
    let geometries: Vec<Result<Geometry<'static>, String>> =
        arguments.media.iter().map(|medium| geometry(medium).map_err(|error| format!("{error:#}"))).collect();
    let readable: Vec<Geometry<'static>> = geometries.iter().flatten().copied().collect();
    let chosen: Vec<Option<Vec<u32>>> =
        readable.iter().map(|geometry| frames_chosen_before(&family, geometry)).collect();
    let with_frames = readable.iter().zip(&chosen).map(|(geometry, chosen)| match (geometry, chosen) {
        (Geometry::Video(clip), Some(frames)) => Geometry::Video(clip.with_frames(frames)),
        (as_it_is, _) => *as_it_is,
    });
    let with_frames: Vec<Geometry<'_>> = with_frames.collect();
    let mut planned = with_frames.iter().copied().zip(planned(&family, &with_frames, arguments.together));
    let line = |(name, geometry): (&'_ String, &Result<Geometry<'static>, String>)| match geometry {
        Ok(_) => {
            planned.next().map(|(geometry, planned)| Line { name: name.clone(), geometry: Some(geometry), planned })
        }
        Err(error) => Some(Line { name: name.clone(), geometry: None, planned: Err(error.clone()) }),
    };
    let lines: Vec<Line<'_>> = arguments.media.iter().zip(&geometries).filter_map(line).collect();
    if arguments.json {
        output::print_json(&answer(family.clone(), &lines))?;
    } else {
        output::print(&render(&lines))?;
    }
    let is_refused = lines.iter().any(|line| line.planned.is_err());
    Ok(if is_refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A medium and what becomes of it.
struct Line<'a> {
    name: String,
    /// `None` if it cannot be read.
    geometry: Option<Geometry<'a>>,
    planned: Result<VisualPlan, String>,
}

/// What becomes of media, or why nothing does.
fn planned(family: &Family, geometries: &[Geometry<'_>], are_together: bool) -> Vec<Result<VisualPlan, String>> {
    let processor = family.processor();
    if !are_together {
        let alone = |geometry: &Geometry<'_>| match processor.plan(std::slice::from_ref(geometry)) {
            Ok(plans) => plans.into_iter().next().ok_or_else(|| "no plan".to_owned()),
            Err(refused) => Err(format!("{REFUSED}{}", refused.reason)),
        };
        return geometries.iter().map(alone).collect();
    }
    match processor.plan(geometries) {
        Ok(plans) => plans.into_iter().map(Ok).collect(),
        Err(refused) => {
            let refused = |index| {
                let is_refused = index == refused.medium_index;
                let other = || format!("{REFUSED}another medium of the sample is refused");
                Err(if is_refused { format!("{REFUSED}{}", refused.reason) } else { other() })
            };
            (0..geometries.len()).map(refused).collect()
        }
    }
}

/// Where every image costs the same, the processor chooses no frames: `[video]` does, by default one a second, at most 128.
fn frames_chosen_before(family: &Family, geometry: &Geometry<'_>) -> Option<Vec<u32>> {
    const MAX_FRAMES: u32 = 128;
    let (Geometry::Video(clip), Some(_)) = (geometry, family.constant()) else { return None };
    let step = (clip.rate.floor() as u32).max(1);
    let num_seconds = clip.num_frames.div_ceil(step) as usize;
    Some(spread_positions(num_seconds, MAX_FRAMES).map(|second| second as u32 * step).collect())
}

/// The family with the settings of the command line.
fn with_settings(family: &Family, settings: &[Override]) -> Result<Family> {
    let mut text = format!("family = {:?}\n", family.name());
    for Override { key, value } in settings {
        let is_toml = toml::from_str::<toml::Table>(&format!("value = {value}")).is_ok();
        let value = if is_toml { value.clone() } else { toml::Value::String(value.clone()).to_string() };
        text.push_str(&format!("{key} = {value}\n"));
    }
    let read: Family = toml::from_str(&text)
        .map_err(|error| UsageError(format!("settings of {}: {}", family.name(), error.message())))?;
    match read.problem() {
        None => Ok(read),
        Some(SettingsProblem { key, message, allowed }) => {
            Err(UsageError(format!("{key} of {}: {message}; allowed: {allowed}", family.name())).into())
        }
    }
}

/// A size, or what the header of a file says.
fn geometry(medium: &str) -> Result<Geometry<'static>> {
    if let Some(geometry) = stated_geometry(medium) {
        return Ok(geometry);
    }
    read_geometry(Path::new(medium)).with_context(|| format!("cannot read {medium:?}"))
}

/// `1920x1080`, `1280x720x300`, `1280x720x300@29.97`: width, height, frames, frames per second.
fn stated_geometry(medium: &str) -> Option<Geometry<'static>> {
    let (sides, rate) = match medium.split_once('@') {
        Some((sides, rate)) => (sides, rate.parse().ok()?),
        None => (medium, UNSTATED_RATE),
    };
    let numbers = sides.split('x').map(|number| number.parse().ok()).collect::<Option<Vec<u32>>>()?;
    match numbers[..] {
        [width_px, height_px] if sides == medium => Some(Geometry::Image(Size::new(height_px, width_px))),
        [width_px, height_px, num_frames] => {
            Some(Geometry::Video(Clip::new(Size::new(height_px, width_px), num_frames, rate)))
        }
        _ => None,
    }
}

fn read_geometry(path: &Path) -> Result<Geometry<'static>> {
    let limits = MediaLimits::default();
    let bytes = std::fs::read(path)?;
    let no_image = match probe_image_bytes(&bytes, &limits) {
        Ok(header) => return Ok(Geometry::Image(Size::new(header.height_px, header.width_px))),
        Err(MediaError::Rejected(rejection)) => rejection,
        Err(storage) => return Err(storage.into()),
    };
    // What begins like a file of sound may be a video, too.
    let index =
        match video::index_video(&video::open_range(&InputFile::open(path)?, 0, bytes.len() as u64)?, &limits, None) {
            Err(_) if no_image.code != RejectCode::MediaType => return Err(MediaError::Rejected(no_image).into()),
            Err(MediaError::Rejected(no_video)) if no_video.code == RejectCode::MediaType => {
                bail!("it is no image, and no video: {}", no_video.detail)
            }
            index => index?,
        };
    let size = Size::new(index.height_px, index.width_px);
    Ok(Geometry::Video(Clip::new(size, u32::try_from(index.num_frames())?, index.fps())))
}

fn render(lines: &[Line<'_>]) -> String {
    let has_videos = lines.iter().any(|line| matches!(line.geometry, Some(Geometry::Video(_))));
    let mut names = vec!["medium", "size"];
    if has_videos {
        names.extend(["frames", "taken"]);
    }
    names.extend(["becomes", "grid", "tokens", "text"]);
    let mut table = Table::new(&names);
    for line in lines {
        let mut cells = vec![
            line.name.clone(),
            line.geometry.and_then(Geometry::size).map_or_else(String::new, |size| size.to_string()),
        ];
        if has_videos {
            let (frames, taken) = match (line.geometry, &line.planned) {
                (Some(Geometry::Image(_) | Geometry::Tiles { .. }) | None, _) => (String::new(), String::new()),
                (Some(Geometry::Video(clip)), Err(_)) => (count(clip.num_frames.into()), String::new()),
                (Some(Geometry::Video(clip)), Ok(plan)) => {
                    (count(clip.num_frames.into()), count(plan.frames.len() as u64))
                }
            };
            cells.extend([frames, taken]);
        }
        match &line.planned {
            Ok(plan) => cells.extend([
                layout_text(plan.layout),
                plan.grid.map_or_else(String::new, |grid| format!("{}×{}×{}", grid.t, grid.h, grid.w)),
                count(plan.num_tokens()),
                shortened(&markup_text(plan), MAX_TEXT),
            ]),
            Err(reason) => cells.extend([String::new(), String::new(), String::new(), reason.clone()]),
        }
        table.push(cells);
    }
    let mut notes = String::new();
    for line in lines {
        if let Some(error) = line.planned.as_ref().ok().and_then(|plan| plan.processor_error.as_ref()) {
            notes.push_str(&format!("\n{}: transformers itself ends with an error: {error}\n", line.name));
        }
    }
    let tokens = lines.iter().filter_map(|line| line.planned.as_ref().ok()).map(VisualPlan::num_tokens);
    let total = if lines.len() > 1 { format!("\n{} in all\n", plural(tokens.sum(), "token")) } else { String::new() };
    format!("{}{total}{notes}", table.render())
}

fn layout_text(layout: Layout) -> String {
    match layout {
        Layout::Stretch(size) => size.to_string(),
        Layout::CenterCrop(size) => format!("{size}, cropped"),
        Layout::PadSquare(size) => format!("{size}, padded"),
        Layout::Tiles { canvas, overview, .. } => {
            let tiles = layout.num_tiles() - u64::from(overview);
            let tiles = plural(tiles, "tile");
            format!("{canvas}: {tiles}{}", if overview { " + overview" } else { "" })
        }
    }
}

/// The text in place of a medium, with the number of each run of placeholders.
fn markup_text(plan: &VisualPlan) -> String {
    let part = |part: &Markup| match part {
        Markup::Text(text) => text.replace('\n', "↵"),
        Markup::Placeholders(count) => format!("{}×{count}", plan.placeholder),
    };
    plan.markup.iter().map(part).collect()
}

fn answer(family: Family, lines: &[Line<'_>]) -> TokensAnswer {
    TokensAnswer { settings: family, media: lines.iter().map(answer_of_line).collect() }
}

fn answer_of_line(line: &Line<'_>) -> MediumAnswer {
    let size = line.geometry.and_then(Geometry::size);
    let clip = match line.geometry {
        Some(Geometry::Video(clip)) => Some(clip),
        _ => None,
    };
    let why = |is_refused: bool| {
        let reason = line.planned.as_ref().err()?;
        let refused = reason.strip_prefix(REFUSED);
        (refused.is_some() == is_refused).then(|| refused.unwrap_or(reason).to_owned())
    };
    MediumAnswer {
        medium: line.name.clone(),
        height_px: size.map(|size| size.height_px),
        width_px: size.map(|size| size.width_px),
        num_frames: clip.map(|clip| clip.num_frames),
        frames_per_second: clip.map(|clip| clip.rate),
        refused: why(true),
        unreadable: why(false),
        planned: line.planned.as_ref().ok().map(|plan| PlannedMedium::of(plan, clip.is_some())),
    }
}
