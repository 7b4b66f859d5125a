//! What is probably a mistake in the sources of a pipeline file, though everything can be read.

use std::ops::ControlFlow;

use manyframe_pipeline::{missing_files, suggestion};
use manyframe_sources::{AskedFields, Raw, Source, SourceError};

use crate::context::{Context, OpenSource};

/// How many records of a source are searched for the fields of its `where`.
const MAX_RECORDS: u64 = 1_000_000;

/// A source, and what is doubtful about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// Its name.
    pub source: String,
    /// For people.
    pub message: String,
}

/// Annotation files that are missing, as the names of the others say; fields that `where` asks for and no record has.
///
/// Of most sources one record is read, because it has all fields. What cannot be read is no doubt: making an index says it.
pub fn doubts(context: &Context) -> Vec<Doubt> {
    let access = context.pipeline.stores.access();
    let mut doubts = Vec::new();
    for source in &context.sources {
        let files: Vec<_> = source.annotations().iter().map(|file| file.path.clone()).collect();
        let messages = missing_files(&access, &files).into_iter().chain(unknown_fields(source));
        doubts.extend(messages.map(|message| Doubt { source: source.table.name.clone(), message }));
    }
    doubts
}

/// The records of a source that were looked at, and what none of them has.
#[derive(Default)]
struct Looked {
    num_records: u64,
    asked: Option<AskedFields>,
}

fn unknown_fields(source: &OpenSource) -> Vec<String> {
    let mut looked = Looked::default();
    if source.table.options.condition.is_empty() || looked.look(source.reader()).is_err() {
        return Vec::new();
    }
    let Looked { num_records, asked } = looked;
    let Some(AskedFields { absent, present }) = asked else { return Vec::new() };
    let message = |name: &String| {
        let near = suggestion(name, present.iter());
        format!("where: none of {num_records} records has {name:?}, which counts as null in each{near}")
    };
    absent.iter().map(message).collect()
}

impl Looked {
    /// Reads records until some have all fields.
    fn look(&mut self, source: &dyn Source) -> Result<(), SourceError> {
        for split in source.splits()? {
            for raw in source.read(&split)? {
                if self.add(source, &raw?).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, source: &dyn Source, raw: &Raw) -> ControlFlow<()> {
        let Some(asked) = source.asked_fields(raw) else { return ControlFlow::Continue(()) };
        self.num_records += 1;
        let asked = match self.asked.take() {
            Some(earlier) => earlier.and(asked),
            None => asked,
        };
        let is_settled = asked.absent.is_empty() || self.num_records == MAX_RECORDS;
        self.asked = Some(asked);
        if is_settled { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
