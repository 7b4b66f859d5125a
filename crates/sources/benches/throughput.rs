//! How fast records are found and parsed, in MB per second of CPU time (which Linux counts per thread).
//!
//! `cargo bench -p manyframe-sources [-- FILE KIND]`: without a file, 256 MiB in LLaVA's format are generated.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};

use manyframe_sources::{AnnotationFile, SourceKind, SourceOptions, SourceSpec, open};

const NUM_BYTES: usize = 256 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let folder = tempfile::tempdir()?;
    let (path, kind) = match arguments.as_slice() {
        [] => (write_records(folder.path())?, SourceKind::Llava),
        [path, kind] => {
            let kind = SourceKind::ALL.iter().find(|it| it.as_str() == kind);
            (PathBuf::from(path), *kind.ok_or("no such kind of source")?)
        }
        _ => return Err("expected FILE and KIND, or nothing".into()),
    };
    let num_bytes = path.metadata()?.len();
    let annotation = AnnotationFile { place: path.clone(), path, name: "file".into(), subset: "".into() };
    let spec =
        SourceSpec { name: "bench".into(), kind, annotations: vec![annotation], options: SourceOptions::default() };
    let source = open(spec)?;
    for (step, is_parsed) in [("find", false), ("find and parse", true)] {
        let start = worked_s()?;
        let (mut num_records, mut num_rejects) = (0_u64, 0_u64);
        for split in source.splits()? {
            for raw in source.read(&split)? {
                let raw = raw?;
                num_records += 1;
                num_rejects += u64::from(is_parsed && source.parse(&raw).is_err());
            }
        }
        let mb_per_s = num_bytes as f64 / 1e6 / (worked_s()? - start);
        let mut out = std::io::stdout();
        writeln!(out, "{step}: {mb_per_s:.0} MB/s ({num_records} records, {num_rejects} rejects)")?;
    }
    Ok(())
}

/// How long this thread has run, in seconds: the machine may be busy with other things.
fn worked_s() -> Result<f64, Box<dyn Error>> {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: u64 = statistics.split(' ').next().and_then(|text| text.parse().ok()).ok_or("no time in it")?;
    Ok(nanoseconds as f64 / 1e9)
}

/// An array as `json.dump(records, indent=2)` writes it, with the lengths of turns that LLaVA-1.5's mix has.
fn write_records(folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let path = folder.join("llava.json");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path)?);
    let mut num_bytes = 0;
    write!(file, "[")?;
    for index in 0_usize.. {
        let turns: Vec<_> = (0..2 + 2 * (index % 6))
            .map(|turn| {
                let (from, text) =
                    if turn % 2 == 0 { ("human", "What is the color of it?") } else { ("gpt", "It is \"red\".") };
                let prefix = if turn == 0 { "<image>\n" } else { "" };
                serde_json::json!({"from": from, "value": format!("{prefix}{}", text.repeat(1 + (index + turn) % 9))})
            })
            .collect();
        let image = format!("coco/train2017/{index:012}.jpg");
        let record = serde_json::json!({"id": format!("{index:012}"), "image": image, "conversations": turns});
        let text = serde_json::to_string_pretty(&record)?.replace('\n', "\n  ");
        write!(file, "{}\n  {text}", if index == 0 { "" } else { "," })?;
        num_bytes += text.len();
        if num_bytes > NUM_BYTES {
            break;
        }
    }
    write!(file, "\n]\n")?;
    file.flush()?;
    Ok(path)
}
