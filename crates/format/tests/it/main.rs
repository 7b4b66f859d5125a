//! Tests of the format crate through its public API, against numbers from other implementations.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod jamba;
mod labels;
mod placement;
mod properties;
mod tokenizers;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyframe_core::{Part, Role, Turn, Visual, VisualKind};
use manyframe_format::{FormatSpec, Formatted, Formatter, ResolvedVisual, Tokenizer};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn tokenizer(name: &str) -> Arc<Tokenizer> {
    Arc::new(Tokenizer::open(&golden(name)).unwrap())
}

fn formatter(spec: &FormatSpec) -> Formatter {
    Formatter::new(spec, tokenizer("jamba.model")).unwrap()
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

fn formatted(spec: &FormatSpec, question: &str, visuals: &[ResolvedVisual]) -> Formatted {
    formatter(spec).format(&round(question), visuals).unwrap()
}
