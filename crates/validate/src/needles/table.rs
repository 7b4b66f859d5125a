//! `needle-scores-DIGEST.parquet`: one row per question.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use manyframe_base::FileError;
use manyframe_columnar::{TableWriter, columns_of, schema_of_row, table};

use super::measure::{OptionScores, QuestionMeasure};
use crate::error::ValidateError;
use crate::sequence::Unusable;

/// Writes the measures of questions, in order, to a file that the caller publishes.
///
/// # Errors
///
/// The file cannot be written.
pub fn write_needle_table(path: &Path, measures: &[QuestionMeasure]) -> Result<(), ValidateError> {
    let file = BufWriter::new(File::create(path).map_err(FileError::write(path))?);
    let table = |error| ValidateError::Table { path: path.to_owned(), error };
    let mut writer = TableWriter::<NeedleTable, _>::new(file).map_err(table)?;
    for measure in measures {
        writer.write(measure).map_err(table)?;
    }
    writer.finish().map_err(table).map(|_file| ())
}

/// The JSON Schema of a row of `needle-scores-DIGEST.parquet`.
pub fn needle_table_schema() -> serde_json::Value {
    let description =
        "A row of needle-scores-DIGEST.parquet: a question about a haystack, and how likely a model finds its options.";
    schema_of_row("NeedleScoreRow", description, &columns_of::<NeedleTable>())
}

table! {
    /// The columns of `needle-scores-DIGEST.parquet`, which nothing here reads.
    struct NeedleTable<'r>(measure: &'r QuestionMeasure) -> () {
        /// id of the record, the sample's key in shards
        id: String = &measure.facts.id.to_string(),
        /// name of its source
        source: String = &measure.facts.source,
        /// task, such as v_niah
        task: String = &measure.facts.task,
        /// frames or images of the haystack
        length: u64 = measure.facts.cell.length,
        /// depth of the needle, per mille; null where needles are at several places
        depth: Option<u32> = measure.facts.cell.depth,
        /// questions of a group are one question with its options in another order
        group: String = &measure.facts.group,
        /// how far the options are rotated
        permutation: u64 = measure.facts.permutation,
        /// number of options; 0 of a free answer
        num_options: u64 = measure.facts.num_options,
        /// position of the right option
        right: u64 = measure.facts.right,
        /// images of the prompt
        num_images: u64 = measure.num_images,
        /// tokens of the prompt
        num_tokens: u64 = measure.num_tokens,
        /// position of the likeliest option; null of a free answer, or if a likelihood is not finite
        likeliest: Option<u64> = likeliest(measure, measure.seen.as_ref()),
        /// 1 if it is answered right, else 0
        is_right: u64 = u64::from(measure.is_right()),
        /// 1 if greedy decoding would write the right answer, else 0
        is_greedy: u64 = u64::from(measure.is_greedy()),
        /// ln p of each option, in nats, as a JSON list
        log_likelihoods: String = &log_likelihoods(measure.seen.as_ref()),
        /// position of the likeliest option without visuals
        blind_likeliest: Option<u64> = likeliest(measure, measure.blind.as_ref()),
        /// 1 if it is answered right without visuals, else 0
        blind_is_right: u64 = u64::from(measure.is_right_blind()),
        /// ln p of each option without visuals, in nats, as a JSON list
        blind_log_likelihoods: String = &log_likelihoods(measure.blind.as_ref()),
        /// digest of the question as text alone: equal for questions that read the same
        text: String = &measure.text.to_string(),
        /// why it could not be run
        unusable: Option<String> = measure.unusable.map(Unusable::as_str),
    }
    read {
        _ = (id, source, task, length, depth, group, permutation, num_options, right, num_images, num_tokens);
        _ = (likeliest, is_right, is_greedy, log_likelihoods, text, unusable);
        _ = (blind_likeliest, blind_is_right, blind_log_likelihoods);
        Ok(())
    }
}

fn likeliest(measure: &QuestionMeasure, scores: Option<&OptionScores>) -> Option<u64> {
    scores.filter(|_| measure.facts.has_options())?.likeliest().map(|option| option as u64)
}

/// Numbers are JSON, so that lists of them always are, too.
fn log_likelihoods(scores: Option<&OptionScores>) -> String {
    serde_json::json!(scores.map(|scores| scores.log_likelihoods.as_slice()).unwrap_or_default()).to_string()
}
