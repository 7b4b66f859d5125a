//! `manyframe tokens`: what a model's processor makes of images and videos.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use manyframe_media::{MediaError, MediaLimits, probe_image_bytes, spread, video};
use manyframe_pipeline::Override;
use manyframe_vision::{Clip, Family, Geometry, Layout, Markup, SettingsProblem, Size, VisualPlan};
use serde_json::{Value, json};

use crate::args::TokensArguments;
use crate::exit::UsageError;
use crate::output;
use crate::table::{Table, count};

/// Frames per second of a size that states none.
const UNSTATED_RATE: f64 = 24.0;
/// Characters of a medium's text in the table.
const MAX_TEXT_CHARS: usize = 72;

pub(super) fn run(arguments: &TokensArguments) -> Result<ExitCode> {
    let family = with_settings(&arguments.family, &arguments.set)?;
    let geometries = arguments.media.iter().map(|medium| geometry(medium)).collect::<Result<Vec<_>>>()?;
    let chosen: Vec<Option<Vec<u32>>> =
        geometries.iter().map(|geometry| frames_chosen_before(&family, geometry)).collect();
    let with_frames = geometries.iter().zip(&chosen).map(|(geometry, chosen)| match (geometry, chosen) {
        (Geometry::Video(clip), Some(frames)) => Geometry::Video(clip.with_frames(frames)),
        (as_it_is, _) => *as_it_is,
    });
    let lines = lines(&family, &with_frames.collect::<Vec<_>>(), arguments);
    let text = if arguments.json { render_json(&family, &lines)? } else { render(&lines) };
    output::print(&text)?;
    let is_refused = lines.iter().any(|line| line.planned.is_err());
    Ok(if is_refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A medium and what becomes of it.
struct Line<'a> {
    name: &'a str,
    geometry: Geometry<'a>,
    planned: Result<VisualPlan, String>,
}

fn lines<'a>(family: &Family, geometries: &[Geometry<'a>], arguments: &'a TokensArguments) -> Vec<Line<'a>> {
    let processor = family.processor();
    let planned: Vec<Result<VisualPlan, String>> = if arguments.together {
        match processor.plan(geometries) {
            Ok(plans) => plans.into_iter().map(Ok).collect(),
            Err(refused) => {
                let refused = |index| {
                    let is_refused = index == refused.medium_index;
                    let other = || "another medium of the sample is refused".to_owned();
                    Err(if is_refused { refused.reason.to_string() } else { other() })
                };
                (0..geometries.len()).map(refused).collect()
            }
        }
    } else {
        let alone = |geometry: &Geometry<'_>| match processor.plan(std::slice::from_ref(geometry)) {
            Ok(plans) => plans.into_iter().next().ok_or_else(|| "no plan".to_owned()),
            Err(refused) => Err(refused.reason.to_string()),
        };
        geometries.iter().map(alone).collect()
    };
    let named = arguments.media.iter().zip(geometries).zip(planned);
    named.map(|((name, &geometry), planned)| Line { name, geometry, planned }).collect()
}

/// Where every image costs the same, the processor chooses no frames: `[video]` does, by default one a second, at most 128.
fn frames_chosen_before(family: &Family, geometry: &Geometry<'_>) -> Option<Vec<u32>> {
    const MAX_FRAMES: u32 = 128;
    let (Geometry::Video(clip), Some(_)) = (geometry, family.constant()) else { return None };
    let step = (clip.rate.floor() as usize).max(1);
    Some(spread(&(0..clip.num_frames).step_by(step).collect::<Vec<_>>(), MAX_FRAMES))
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
    match probe_image_bytes(&bytes, &limits) {
        Ok(header) => return Ok(Geometry::Image(Size::new(header.height_px, header.width_px))),
        Err(MediaError::Rejected(rejection)) if rejection.code == manyframe_core::RejectCode::MediaType => {}
        Err(error) => return Err(error.into()),
    }
    let index = video::index_video(&video::open_range(path, 0, bytes.len() as u64)?, &limits, None)?;
    let size = Size::new(index.height_px, index.width_px);
    Ok(Geometry::Video(Clip::new(size, u32::try_from(index.num_frames())?, index.fps())))
}

fn render(lines: &[Line<'_>]) -> String {
    let has_videos = lines.iter().any(|line| matches!(line.geometry, Geometry::Video(_)));
    let mut names = vec!["medium", "size"];
    if has_videos {
        names.extend(["frames", "taken"]);
    }
    names.extend(["becomes", "grid", "tokens", "text"]);
    let mut table = Table::new(&names);
    for line in lines {
        let mut cells =
            vec![line.name.to_owned(), line.geometry.size().map_or_else(String::new, |size| size.to_string())];
        if has_videos {
            let (frames, taken) = match (line.geometry, &line.planned) {
                (Geometry::Image(_) | Geometry::Tiles { .. }, _) => (String::new(), String::new()),
                (Geometry::Video(clip), Err(_)) => (count(clip.num_frames.into()), String::new()),
                (Geometry::Video(clip), Ok(plan)) => (count(clip.num_frames.into()), count(plan.frames.len() as u64)),
            };
            cells.extend([frames, taken]);
        }
        match &line.planned {
            Ok(plan) => cells.extend([
                layout_text(plan.layout),
                plan.grid.map_or_else(String::new, |grid| format!("{}×{}×{}", grid.t, grid.h, grid.w)),
                count(plan.num_tokens()),
                shortened(&markup_text(plan)),
            ]),
            Err(reason) => cells.extend([String::new(), String::new(), String::new(), format!("refused: {reason}")]),
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
    let total = if lines.len() > 1 { format!("\n{} tokens in all\n", count(tokens.sum())) } else { String::new() };
    format!("{}{total}{notes}", table.render())
}

fn layout_text(layout: Layout) -> String {
    match layout {
        Layout::Stretch(size) => size.to_string(),
        Layout::CenterCrop(size) => format!("{size}, cropped"),
        Layout::PadSquare(size) => format!("{size}, padded"),
        Layout::Tiles { canvas, overview, .. } => {
            let tiles = layout.num_tiles() - u64::from(overview);
            let tiles = if tiles == 1 { "1 tile".to_owned() } else { format!("{tiles} tiles") };
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

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}

fn render_json(family: &Family, lines: &[Line<'_>]) -> Result<String> {
    let media: Vec<Value> = lines.iter().map(json_of_line).collect();
    let value = json!({ "settings": serde_json::to_value(family)?, "media": media });
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

fn json_of_line(line: &Line<'_>) -> Value {
    let mut fields = vec![("medium", json!(line.name))];
    if let Some(size) = line.geometry.size() {
        fields.extend([("height_px", json!(size.height_px)), ("width_px", json!(size.width_px))]);
    }
    if let Geometry::Video(clip) = line.geometry {
        fields.extend([("num_frames", json!(clip.num_frames)), ("frames_per_second", json!(clip.rate))]);
    }
    match &line.planned {
        Err(reason) => fields.push(("refused", json!(reason))),
        Ok(plan) => {
            let becomes = plan.layout.size();
            let (height_px, width_px, num_tiles) = (becomes.height_px, becomes.width_px, plan.layout.num_tiles());
            let markup = plan.markup.iter().map(|part| json_of_markup(part, &plan.placeholder));
            fields.extend(plan.processor_error.as_ref().map(|error| ("processor_error", json!(error.to_string()))));
            fields.extend([
                ("becomes", json!({ "height_px": height_px, "width_px": width_px, "num_tiles": num_tiles })),
                ("grid_thw", json!(plan.grid.map(|grid| [grid.t, grid.h, grid.w]))),
                ("seconds_per_step", json!(plan.seconds_per_step)),
                ("num_tokens", json!(plan.num_tokens())),
                ("markup", markup.collect()),
            ]);
            if matches!(line.geometry, Geometry::Video(_)) {
                fields.push(("frames", json!(plan.frames)));
            }
        }
    }
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Text as a string, a run of placeholders as a pair of the token and its number.
fn json_of_markup(part: &Markup, placeholder: &str) -> Value {
    match part {
        Markup::Text(text) => json!(text),
        Markup::Placeholders(count) => json!([placeholder, count]),
    }
}
