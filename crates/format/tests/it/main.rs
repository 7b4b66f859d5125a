//! Tests of the format crate through its public API, against numbers from other implementations.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod ids;
mod jamba;
mod labels;
mod placement;
mod prompts;
mod properties;
mod references;
mod tokenizers;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyframe_core::{FrameChoice, Grid, Part, Rejection, Role, Turn, Visual, VisualKind, VisualShape};
use manyframe_format::{FormatSpec, Formatted, Formatter, PromptMeasure, Tokenizer};
use manyframe_vision::Family;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn tokenizer(name: &str) -> Arc<Tokenizer> {
    Arc::new(Tokenizer::open(&golden(name)).unwrap())
}

fn formatter(spec: &FormatSpec) -> Formatter {
    Formatter::new(spec, &Family::default(), tokenizer("jamba.model")).unwrap()
}

const IMAGE: VisualShape = VisualShape::Image { size_px: (8, 8) };

fn video(num_frames: u32) -> VisualShape {
    VisualShape::Video { size_px: (8, 8), frames: FrameChoice::unknown(num_frames as usize) }
}

fn tiled(rows: u32, columns: u32) -> VisualShape {
    VisualShape::Tiled { grid: Grid { rows, columns } }
}

/// Formats visuals whose processor was not asked yet.
trait FormatShapes {
    fn format_shapes(&self, turns: &[Turn], shapes: &[VisualShape]) -> Result<Formatted, Rejection>;
    fn measure_shapes(&self, turns: &[Turn], shapes: &[VisualShape]) -> Result<PromptMeasure, Rejection>;
}

impl FormatShapes for Formatter {
    fn format_shapes(&self, turns: &[Turn], shapes: &[VisualShape]) -> Result<Formatted, Rejection> {
        self.format(turns, &self.resolve(shapes)?)
    }

    fn measure_shapes(&self, turns: &[Turn], shapes: &[VisualShape]) -> Result<PromptMeasure, Rejection> {
        self.measure(turns, &self.resolve(shapes)?)
    }
}

/// A turn from a text in which `@` stands for an image.
fn turn(role: Role, text: &str) -> Turn {
    let visual = || Part::Visual(Visual { kind: VisualKind::Image, media: 0 });
    let mut parts = Vec::new();
    for (index, text) in text.split('@').enumerate() {
        parts.extend((index > 0).then(visual));
        parts.extend((!text.is_empty()).then(|| Part::Text(text.to_owned())));
    }
    Turn { role, parts }
}

/// A question with `@` for each visual, answered with `a`.
fn round(question: &str) -> Vec<Turn> {
    vec![turn(Role::User, question), turn(Role::Assistant, "a")]
}

fn formatted(spec: &FormatSpec, question: &str, visuals: &[VisualShape]) -> Formatted {
    formatter(spec).format_shapes(&round(question), visuals).unwrap()
}
