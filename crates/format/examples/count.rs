//! The speed of counting tokens: `cargo run --release -p manyframe-format --example count -- TOKENIZER TEXT_FILE`.
//!
//! Each line of the file is counted by encoding it, by words, and as the question of a record with one image, whose ids
//! and labels are then made. The second of two rounds is reported, so caches are warm. The counts of both rounds must
//! agree, and so must those of the first two ways and of the last two.
#![expect(clippy::print_stdout, reason = "the result of the program")]

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use manyframe_core::{Part, Role, Turn, Visual, VisualKind, VisualShape};
use manyframe_format::{FormatSpec, Formatter, Tokenizer};
use manyframe_vision::Family;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, tokenizer, texts] = arguments.as_slice() else { return Err("expected TOKENIZER TEXT_FILE".into()) };
    let tokenizer = Arc::new(Tokenizer::open(tokenizer.as_ref())?);
    let texts = std::fs::read_to_string(texts)?;
    let records: Vec<_> = texts.lines().map(record).collect();
    let formatter = Formatter::new(&FormatSpec::default(), &Family::default(), Arc::clone(&tokenizer))?;
    let image = formatter.resolve(&[VisualShape::Image { size_px: (336, 336) }]);
    let image = image.map_err(|rejection| rejection.detail)?;

    let encoded = rate(&texts, || texts.lines().map(|line| Ok(tokenizer.encode(line)?.len() as u64)).sum())?;
    let counted = rate(&texts, || texts.lines().map(|line| Ok(tokenizer.count(line)?)).sum())?;
    let costed = rate(&texts, || {
        let measures = records.iter().map(|turns| formatter.measure(turns, &image));
        measures.map(|measure| Ok(measure.map_err(|rejection| rejection.detail)?.cost.text_tokens)).sum()
    })?;
    let labelled = rate(&texts, || {
        let samples = records.iter().map(|turns| formatter.format(turns, &image));
        let tokens = samples.map(|sample| {
            let sample = sample.map_err(|rejection| rejection.detail)?;
            let tokens = formatter.encode(&sample.prompt, &sample.label_spans, &sample.runs)?;
            Ok((tokens.labels.len() - tokens.image_positions.len()) as u64)
        });
        tokens.sum()
    })?;
    println!("encode   {:7.1} MB/s  {} tokens", encoded.0, encoded.1);
    println!("count    {:7.1} MB/s  {} tokens", counted.0, counted.1);
    println!("cost     {:7.1} MB/s  {} tokens", costed.0, costed.1);
    println!("labels   {:7.1} MB/s  {} tokens", labelled.0, labelled.1);
    if encoded.1 == counted.1 && costed.1 == labelled.1 { Ok(()) } else { Err("the counts differ".into()) }
}

fn record(line: &str) -> Vec<Turn> {
    let image = Part::Visual(Visual { kind: VisualKind::Image, media: 0 });
    let user = Turn { role: Role::User, parts: vec![image, Part::Text(line.to_owned())] };
    vec![user, Turn { role: Role::Assistant, parts: vec![Part::Text("yes".to_owned())] }]
}

/// MB/s of the second round, and the number of tokens.
fn rate(texts: &str, count: impl Fn() -> Result<u64, Box<dyn Error>>) -> Result<(f64, u64), Box<dyn Error>> {
    let first = count()?;
    let start = Instant::now();
    let second = count()?;
    let seconds = start.elapsed().as_secs_f64();
    if first == second { Ok((texts.len() as f64 / 1e6 / seconds, second)) } else { Err("the rounds differ".into()) }
}
