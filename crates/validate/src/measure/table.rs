//! `validation-DIGEST.parquet`: one row per chosen sample.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use manyframe_base::FileError;
use manyframe_columnar::{TableWriter, columns_of, schema_of_row, table};

use super::sample::{POSITION_BOUNDS, SampleMeasure};
use crate::error::ValidateError;
use crate::sequence::Unusable;

/// Writes the measures of samples, in order, to a file that the caller publishes.
///
/// # Errors
///
/// The file cannot be written.
pub fn write_table(path: &Path, measures: &[SampleMeasure]) -> Result<(), ValidateError> {
    let file = BufWriter::new(File::create(path).map_err(FileError::write(path))?);
    let table = |error| ValidateError::Table { path: path.to_owned(), error };
    let mut writer = TableWriter::<MeasureTable, _>::new(file).map_err(table)?;
    for measure in measures {
        writer.write(measure).map_err(table)?;
    }
    writer.finish().map_err(table).map(|_file| ())
}

/// The JSON Schema of a row of `validation-DIGEST.parquet`.
pub fn table_schema() -> serde_json::Value {
    let description = "A row of validation-DIGEST.parquet: a sample that was chosen to be run through a model.";
    schema_of_row("ValidationRow", description, &columns_of::<MeasureTable>())
}

table! {
    /// The columns of `validation-DIGEST.parquet`, which nothing here reads.
    struct MeasureTable<'r>(measure: &'r SampleMeasure) -> () {
        /// id of the record, the sample's key in shards
        id: String = &measure.id.to_string(),
        /// name of its source
        source: String = &measure.source,
        /// temporal, spatial, image or text
        layout: String = measure.layout.as_str(),
        /// number of images
        num_images: u64 = measure.num_images,
        /// text tokens that the dataset states
        stated_text_tokens: u64 = measure.stated.text,
        /// of these, tokens of delimiters
        stated_delimiter_tokens: u64 = measure.stated.delimiters,
        /// image tokens that the dataset states
        stated_visual_tokens: u64 = measure.stated.visual,
        /// text tokens that the model saw
        text_tokens: u64 = measure.seen.text,
        /// of these, tokens of delimiters
        delimiter_tokens: u64 = measure.seen.delimiters,
        /// image tokens that the model saw
        visual_tokens: u64 = measure.seen.visual,
        /// why it could not be run
        unusable: Option<String> = measure.unusable.map(Unusable::as_str),
        /// labels that were predicted
        num_labels: u64 = measure.num_labels,
        /// labels whose loss is NaN or infinite
        num_not_finite: u64 = measure.num_not_finite,
        /// mean loss of a label, in nats
        loss_mean: Option<f64> = measure.loss_mean(),
        /// sum of the finite losses, in nats
        loss_sum: f64 = measure.loss_sum,
        /// labels of each answer
        answer_labels: Vec<u64> = &measure.answers.iter().map(|answer| answer.num_labels).collect::<Vec<_>>(),
        /// sum of the losses of each answer, in nats, as a JSON list
        answer_losses: String = &answer_losses(measure),
        /// mean loss with blank images, in nats
        loss_blank: Option<f64> = measure.controls.blank,
        /// mean loss with another sample's images, in nats
        loss_other: Option<f64> = measure.controls.other,
        /// labels from position 0, 1024, 4096, 16384 and 65536 on
        position_labels: Vec<u64> = &measure.positions.map(|range| range.num_labels),
        positions: PositionColumns = measure.positions.map(|range| range.mean()),
    }
    read {
        _ = (id, source, layout, num_images, stated_text_tokens, stated_delimiter_tokens, stated_visual_tokens);
        _ = (text_tokens, delimiter_tokens, visual_tokens, unusable, num_labels, num_not_finite, loss_mean, loss_sum);
        _ = (answer_labels, answer_losses, loss_blank, loss_other, position_labels, positions);
        Ok(())
    }
}

table! {
    /// Losses by position: a column for each of `POSITION_BOUNDS`.
    struct PositionColumns<'r>(means: [Option<f64>; POSITION_BOUNDS.len()]) -> [Option<f64>; POSITION_BOUNDS.len()] {
        /// mean loss of the labels from this position to the next bound, in nats
        loss_from_0: Option<f64> = means[0],
        /// mean loss of the labels from this position to the next bound, in nats
        loss_from_1024: Option<f64> = means[1],
        /// mean loss of the labels from this position to the next bound, in nats
        loss_from_4096: Option<f64> = means[2],
        /// mean loss of the labels from this position to the next bound, in nats
        loss_from_16384: Option<f64> = means[3],
        /// mean loss of the labels from this position to the next bound, in nats
        loss_from_65536: Option<f64> = means[4],
    }
    read { Ok([loss_from_0, loss_from_1024, loss_from_4096, loss_from_16384, loss_from_65536]) }
}

/// Numbers are JSON, so that lists of them always are, too.
fn answer_losses(measure: &SampleMeasure) -> String {
    let losses: Vec<f64> = measure.answers.iter().map(|answer| answer.loss_sum).collect();
    serde_json::json!(losses).to_string()
}
