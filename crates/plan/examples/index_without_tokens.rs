//! The part of a plan that depends on annotations alone: every record found, parsed, checked, digested and written to an
//! index, and no token counted. `index_without_tokens ANNOTATIONS INDEX [THREADS]`
//!
//! For `tests/bench/run.py`, which shows what token counts add to it.

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::sync::Arc;

use manyframe_base::OrderedMap;
use manyframe_columnar::{TableWriter, table};
use manyframe_core::{Part, Record, RejectedRecord, Signature};
use manyframe_dataset::columns::OriginColumns;
use manyframe_sources::{AnnotationFile, Raw, SourceKind, SourceOptions, SourceSpec, open};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDS_PER_BATCH: usize = 32;

/// A row: what an index keeps of a record, tokens aside.
struct Row {
    outcome: Result<Record, RejectedRecord>,
    num_chars: u64,
    signature: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(annotations), Some(index)) = (arguments.next(), arguments.next()) else {
        return Err("index_without_tokens ANNOTATIONS INDEX [THREADS]".into());
    };
    let num_threads = arguments.next().map_or(Ok(1), |number| number.parse())?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(num_threads).build()?;
    let path = std::path::PathBuf::from(&annotations);
    let file = AnnotationFile { place: path.clone(), path, name: annotations.into(), subset: "".into() };
    let options = SourceOptions::default();
    let source = open(SourceSpec { name: Arc::from("s"), kind: SourceKind::Text, annotations: vec![file], options })?;
    let mut writer = TableWriter::<RowTable, _>::new(BufWriter::new(File::create(index)?))?;
    for split in source.splits()? {
        let mut raws = source.read(&split)?;
        let batches = std::iter::from_fn(|| {
            let batch: Result<Vec<Raw>, _> = raws.by_ref().take(RECORDS_PER_BATCH).collect();
            batch.map(|batch| (!batch.is_empty()).then_some(batch)).map_err(Box::<dyn Error>::from).transpose()
        });
        let measure = |batch: Vec<Raw>| batch.iter().map(|raw| row_of(source.parse(raw))).collect::<Vec<Row>>();
        OrderedMap { pool: &pool, window: 8 * num_threads }
            .run(batches, measure, |rows| rows.into_iter().try_for_each(|row| writer.write(&row)).map_err(Box::from))?;
    }
    writer.finish()?.into_inner()?.sync_all()?;
    Ok(())
}

fn row_of(outcome: Result<Record, RejectedRecord>) -> Row {
    let num_chars = outcome.as_ref().map_or(0, |record| record.num_text_chars() as u64);
    let signature = outcome.as_ref().map_or(0, |record| signature_of(record).bits());
    // The text is not kept any longer than it is in a plan.
    let outcome = outcome.map(|record| Record { turns: Vec::new(), ..record });
    Row { outcome, num_chars, signature }
}

fn signature_of(record: &Record) -> Signature {
    let mut signature = Signature::default();
    for part in record.turns.iter().flat_map(|turn| &turn.parts) {
        if let Part::Text(text) = part {
            signature.push(text.as_bytes());
        }
    }
    signature
}

table! {
    /// The columns of the index. It is not read.
    struct RowTable<'r>(row: &'r Row) -> () {
        id: [u8; 16] as Distinct = row.outcome.as_ref().map_or([0; 16], |record| record.id.0),
        upstream_id: String as Distinct = match &row.outcome {
            Ok(record) => &record.upstream_id,
            Err(reject) => &reject.upstream_id,
        },
        detail: Option<String> = row.outcome.as_ref().err().map(|reject| &*reject.rejection.detail),
        num_chars: u64 = row.num_chars,
        signature: u64 as Distinct = row.signature,
        origin: OriginColumns = match &row.outcome {
            Ok(record) => &record.origin,
            Err(reject) => &reject.origin,
        },
    }
    read {
        _ = (id, upstream_id, detail, num_chars, signature, origin);
        Ok(())
    }
}
