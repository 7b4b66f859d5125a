//! The grid of evaluation sets before a build: how many questions each cell has, and how many tokens they take, from headers alone.

use std::collections::BTreeMap;

use manyframe_base::{Progress, Step};
use manyframe_core::{NeedleTask, RejectCode, Rejection, VisualShape};
use manyframe_media::MediaError;
use manyframe_plan::{Context, LengthReduction, OpenSource, PlanError, measure_shapes};
use manyframe_sources::Raw;
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::EngineError;
use crate::needles::{question_of, sets};

/// `manyframe needles`: a cell of a grid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NeedleCell {
    /// The source in the pipeline file.
    pub source: String,
    /// What is asked.
    pub task: NeedleTask,
    /// Frames or images of a haystack.
    pub length: u32,
    /// Where the needle is, in thousandths of the length; null if needles are at several places.
    pub depth: Option<u32>,
    /// Position of the needle among the frames or images that are shown, from 0; null if needles are at several places.
    pub index: Option<u32>,
    /// Samples: questions, with their options in each order.
    pub num_samples: u64,
    /// Least and most frames or images that a sample shows.
    pub num_shown: [u32; 2],
    /// Least and most tokens of a sample, delimiters included; null if none can be made.
    pub num_tokens: Option<[u64; 2]>,
    /// Samples that are longer than `format.max_tokens`, and will be rejected.
    pub num_too_long: u64,
    /// Samples that cannot be made according to headers.
    pub num_rejected: u64,
    /// Why, of the first of them.
    pub rejection: Option<String>,
}

/// What a question shows, as far as its tokens depend on it.
type Shapes = BTreeMap<(String, u32), Result<Vec<VisualShape>, Rejection>>;

/// The cells of all sources of kind `needles`, in the order of their records.
///
/// # Errors
///
/// [`EngineError::NoNeedles`] if there is no such source, and if a source cannot be read.
pub fn needle_grid(context: &Context, progress: &dyn Progress) -> Result<Vec<NeedleCell>, EngineError> {
    let sources: Vec<&OpenSource> = sets(context).collect();
    if sources.is_empty() {
        return Err(EngineError::NoNeedles);
    }
    let mut cells: Vec<NeedleCell> = Vec::new();
    for source in sources {
        let unreadable = |error| PlanError::Source { source_name: source.table.name.clone(), error };
        let splits = source.reader().splits().map_err(unreadable)?;
        progress.start(Step::Index, splits.iter().map(|split| split.num_bytes).sum());
        let mut shapes = Shapes::new();
        for split in &splits {
            for raw in source.reader().read(split).map_err(unreadable)? {
                add(&mut cells, context, source, (&raw.map_err(unreadable)?, &mut shapes))?;
            }
            progress.advance(0, split.num_bytes);
        }
        progress.finish(Step::Index);
    }
    Ok(cells)
}

/// Counts a question in its cell.
fn add(
    cells: &mut Vec<NeedleCell>,
    context: &Context,
    source: &OpenSource,
    (raw, shapes): (&Raw, &mut Shapes),
) -> Result<(), EngineError> {
    let changed = || EngineError::SourceChanged { id: String::new(), origin: raw.origin.to_string() };
    let question = question_of(raw).ok_or_else(changed)?;
    let name = &source.table.name;
    let is_same = |cell: &NeedleCell| {
        (&cell.source, cell.task, cell.length, cell.depth) == (name, question.task, question.length, question.depth)
    };
    let position = cells.iter().rposition(is_same).unwrap_or_else(|| {
        cells.push(NeedleCell {
            source: name.clone(),
            task: question.task,
            length: question.length,
            depth: question.depth,
            index: question.index,
            num_samples: 0,
            num_shown: [question.num_shown; 2],
            num_tokens: None,
            num_too_long: 0,
            num_rejected: 0,
            rejection: None,
        });
        cells.len() - 1
    });
    let key = (question.haystack, question.num_shown);
    let tokens = num_tokens(context, source, (raw, key, shapes))?;
    let Some(cell) = cells.get_mut(position) else { return Ok(()) };
    cell.num_samples += 1;
    cell.num_shown = [cell.num_shown[0].min(question.num_shown), cell.num_shown[1].max(question.num_shown)];
    match tokens {
        Ok(tokens) => {
            let [least, most] = cell.num_tokens.unwrap_or([tokens; 2]);
            cell.num_tokens = Some([least.min(tokens), most.max(tokens)]);
            cell.num_too_long += u64::from(tokens > context.pipeline.file.format.max_tokens);
        }
        Err(rejection) => {
            cell.num_rejected += 1;
            cell.rejection.get_or_insert_with(|| rejection.to_string());
        }
    }
    Ok(())
}

/// The tokens of a question. What a haystack with as many frames has the shape of is found out once.
fn num_tokens(
    context: &Context,
    source: &OpenSource,
    (raw, key, shapes): (&Raw, (String, u32), &mut Shapes),
) -> Result<Result<u64, Rejection>, EngineError> {
    let record = match source.parse(raw) {
        Ok(record) => record,
        Err(rejected) => return Ok(Err(rejected.rejection)),
    };
    if !shapes.contains_key(&key) {
        let measured = match measure_shapes(context, source, &record, &LengthReduction::default()) {
            Ok(measured) => Ok(measured),
            Err(MediaError::Rejected(rejection)) => Err(rejection),
            Err(storage) => return Err(PlanError::Storage(storage).into()),
        };
        shapes.insert(key.clone(), measured);
    }
    let Some(Ok(measured)) = shapes.get(&key) else {
        let rejection = shapes.get(&key).and_then(|measured| measured.as_ref().err().cloned());
        return Ok(Err(rejection.unwrap_or_else(|| Rejection::new(RejectCode::MediaMissing, "nothing is shown"))));
    };
    let resolved = context.formatter.resolve_within(measured, None);
    Ok(resolved.and_then(|resolved| context.formatter.format(&record.turns, &resolved)).map(|it| it.cost.num_tokens()))
}
