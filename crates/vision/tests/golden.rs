//! What the processors of `transformers` returned for sizes and videos: `tests/golden/vision`, made by
//! `tests/parity/make_vision.py`; with `MANYFRAME_PARITY`, what they returned for others.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use manyframe_vision::{Clip, Family, Geometry, Refused, Size, VisualPlan};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A table `[model]` and its rows.
struct Reference {
    family: Family,
    rows: Vec<Value>,
}

fn references(file: &str) -> Vec<Reference> {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/vision");
    let folder = std::env::var_os("MANYFRAME_PARITY").map_or(committed, |fresh| PathBuf::from(fresh).join("vision"));
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    let reference = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let family = serde_json::from_value(line["model"].clone()).unwrap();
        Reference { family, rows: line["rows"].as_array().unwrap().clone() }
    };
    text.lines().map(reference).collect()
}

fn number(value: &Value) -> u32 {
    value.as_u64().unwrap() as u32
}

fn size(height: &Value, width: &Value) -> Size {
    Size::new(number(height), number(width))
}

fn plan(family: &Family, medium: Geometry<'_>) -> Result<VisualPlan, Refused> {
    family.processor().plan(&[medium]).map(|mut plans| plans.remove(0))
}

fn digest(text: &str) -> Value {
    let digits = Sha256::digest(text).into_iter().take(8).flat_map(|byte| [byte >> 4, byte & 15]);
    json!(digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect::<String>())
}

fn sides(plan: &VisualPlan) -> [u32; 2] {
    let size = plan.layout.size();
    [size.height_px, size.width_px]
}

/// The plan, if the processor returned one, too.
fn agreed(planned: Result<VisualPlan, Refused>, row: &[Value], num_inputs: usize) -> Option<VisualPlan> {
    match (planned, row.len() == num_inputs + 1) {
        (Err(_), true) => None,
        // Where the processor ends with an error, there may be a plan that says so.
        (Ok(plan), true) if plan.processor_error.is_some() => None,
        (Ok(plan), false) if plan.processor_error.is_none() => Some(plan),
        (Err(refused), false) => panic!("refused: {refused}\nrow: {row:?}"),
        (Ok(plan), _) => panic!("planned {plan:?}\nrow: {row:?}"),
    }
}

/// Whether the processor leaves what is delivered as it is, where it has a size of its own.
fn assert_kept(family: &Family, medium: Geometry<'_>, plan: &VisualPlan, kept: Option<&Value>) {
    let resizes_again = family.resizes_again(&[medium], std::slice::from_ref(plan));
    assert_eq!(json!(!resizes_again[0]), *kept.unwrap_or(&json!(true)), "{family:?}, {medium:?}: {:?}", plan.layout);
}

#[test]
fn images_are_those_of_the_processors() {
    for Reference { family, rows } in references("images.jsonl") {
        for row in rows.iter().map(|row| row.as_array().unwrap()) {
            let medium = Geometry::Image(size(&row[0], &row[1]));
            let Some(plan) = agreed(plan(&family, medium), row, 2) else { continue };
            let ours = json!([plan.num_tokens(), sides(&plan), plan.layout.num_tiles()]);
            assert_eq!(ours, json!(row[2..5]), "{family:?}\nrow: {row:?}");
            assert_kept(&family, medium, &plan, row.get(5));
        }
    }
}

#[test]
fn videos_are_those_of_the_processors() {
    for Reference { family, rows } in references("videos.jsonl") {
        for row in rows.iter().map(|row| row.as_array().unwrap()) {
            let medium = Geometry::Video(Clip::new(size(&row[2], &row[3]), number(&row[0]), row[1].as_f64().unwrap()));
            let Some(plan) = agreed(plan(&family, medium), row, 4) else { continue };
            let listed = || plan.frames.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            let frames = if plan.frames.len() <= 8 { json!(plan.frames) } else { digest(&listed()) };
            let ours = json!([plan.num_tokens(), sides(&plan), frames]);
            assert_eq!(ours, json!(row[4..7]), "{family:?}\nrow: {row:?}");
            if row[7].is_string() {
                assert_eq!(digest(&plan.text()), row[7], "{family:?}\nrow: {row:?}\n{}", plan.text());
            }
            assert_kept(&family, medium, &plan, row.get(8));
        }
    }
}
