//! Conversations of any text in any chat template: what is measured is what is formatted, and every image has its placeholder.
//!
//! Up to the first line break: the settings, as JSON. Then a line per part of a turn: a letter for who speaks (the same one goes
//! on), `i`, `v` or `t` for a visual, or `x` and its text, in which `␤` is a line break. In place of the path of a template in Jinja
//! is its text.
#![no_main]

use std::io::Write;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use manyframe_core::{FrameChoice, Grid, Part, Role, Turn, Visual, VisualKind, VisualShape};
use manyframe_format::{FormatSpec, Formatter, Template, Tokenizer};
use manyframe_vision::Family;

static TOKENIZERS: LazyLock<[Arc<Tokenizer>; 3]> = LazyLock::new(|| {
    ["jamba.model", "llama.model", "bytes.json"].map(|name| {
        let path = format!("{}/../../crates/format/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
        Arc::new(Tokenizer::open(path.as_ref()).expect("a tokenizer of the tests"))
    })
});

fuzz_target!(|text: &str| {
    let Some((settings, lines)) = text.split_once('\n') else { return };
    let Ok(mut spec) = serde_json::from_str::<FormatSpec>(settings) else { return };
    let mut file = tempfile::Builder::new().suffix(".jinja").tempfile().expect("room for a template");
    if let Some(Template::Jinja(jinja)) = &mut spec.template {
        file.write_all(jinja.path().replace('␤', "\n").as_bytes()).expect("room for a template");
        *jinja.path_mut() = file.path().display().to_string();
    }
    let (mut turns, mut visuals) = (Vec::<Turn>::new(), Vec::new());
    for line in lines.lines() {
        let mut letters = line.chars();
        let (Some(role), Some(part)) = (letters.next(), letters.next()) else { continue };
        let role = match role {
            's' => Role::System,
            'a' => Role::Assistant,
            _ => Role::User,
        };
        let mut shown = |kind, visual| {
            visuals.push(visual);
            Part::Visual(Visual { kind, media: visuals.len() - 1 })
        };
        let part = match part {
            'i' => shown(VisualKind::Image, VisualShape::Image { size_px: (8, 8) }),
            'v' => shown(VisualKind::Video, VisualShape::Video { size_px: (8, 8), frames: FrameChoice::unknown(3) }),
            't' => shown(VisualKind::Tiled, VisualShape::Tiled { grid: Grid { rows: 2, columns: 1 } }),
            _ => Part::Text(letters.as_str().replace('␤', "\n")),
        };
        match turns.last_mut() {
            Some(turn) if turn.role == role => turn.parts.push(part),
            _ => turns.push(Turn { role, parts: vec![part] }),
        }
    }
    let num_images: u64 = visuals.iter().map(|visual| u64::from(visual.num_images())).sum();
    for tokenizer in TOKENIZERS.iter() {
        let Ok(formatter) = Formatter::new(&spec, &Family::default(), Arc::clone(tokenizer)) else { return };
        let Ok(visuals) = formatter.resolve(&visuals) else { return };
        let formatted = match (formatter.measure(&turns, &visuals), formatter.format(&turns, &visuals)) {
            (Ok(measured), Ok(formatted)) => {
                assert_eq!(measured.cost, formatted.cost);
                formatted
            }
            (Err(rejection), Err(again)) => {
                assert_eq!(rejection, again);
                continue;
            }
            (measured, formatted) => panic!("measured: {measured:?}, formatted: {formatted:?}"),
        };
        let placeholders = formatted.messages.iter().map(|message| message.content.matches("<image>").count());
        assert_eq!(placeholders.sum::<usize>() as u64, num_images);
        assert_eq!(u64::from(formatted.cost.num_images), num_images);
        let mut end = 0;
        for &(start, next) in &formatted.label_spans {
            assert!(end <= start && start <= next, "{:?}", formatted.label_spans);
            end = next;
        }
        assert!(end <= formatted.prompt.chars().count());
        let tokens =
            formatter.encode(&formatted.prompt, &formatted.label_spans, &formatted.runs).expect("what was counted");
        assert_eq!(tokens.input_ids.len(), tokens.labels.len());
    }
});
