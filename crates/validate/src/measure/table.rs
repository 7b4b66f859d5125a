//! `validation.parquet`: one row per chosen sample.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use manyframe_base::FileError;
use manyframe_columnar::{RowColumn, RowWriter, schema_of_rows};

use super::sample::{POSITION_BOUNDS, SampleMeasure};
use crate::error::ValidateError;

/// Writes the measures of samples, in order, to a file that the caller publishes.
///
/// # Errors
///
/// The file cannot be written.
pub fn write_table(path: &Path, measures: &[SampleMeasure]) -> Result<(), ValidateError> {
    let file = BufWriter::new(File::create(path).map_err(FileError::write(path))?);
    let table = |error| ValidateError::Table { path: path.to_owned(), error };
    let mut writer = RowWriter::new(file, columns()).map_err(table)?;
    for measure in measures {
        writer.write(measure.clone()).map_err(table)?;
    }
    writer.finish().map_err(table).map(|_file| ())
}

/// The JSON Schema of a row of `validation.parquet`.
pub fn table_schema() -> serde_json::Value {
    schema_of_rows(
        "ValidationRow",
        "A row of validation.parquet: a sample that was chosen to be run through a model.",
        &columns(),
    )
}

type Column = RowColumn<SampleMeasure>;

/// The columns, each with its description and where its values come from.
fn columns() -> Vec<Column> {
    let mut columns = sample_columns();
    columns.extend(token_columns());
    columns.extend(loss_columns());
    columns
}

fn sample_columns() -> Vec<Column> {
    vec![
        Column::text("id", "id of the record, the sample's key in shards", |row| Some(row.id.to_string())),
        Column::text("source", "name of its source", |row| Some(row.source.clone())),
        Column::text("layout", "temporal, spatial, image or text", |row| Some(row.layout.as_str().to_owned())),
        Column::number("num_images", "number of images", |row| Some(row.num_images)),
    ]
}

fn token_columns() -> Vec<Column> {
    vec![
        Column::number("stated_text_tokens", "text tokens that the dataset states", |row| Some(row.stated.text)),
        Column::number("stated_delimiter_tokens", "of these, tokens of delimiters", |row| Some(row.stated.delimiters)),
        Column::number("stated_visual_tokens", "image tokens that the dataset states", |row| Some(row.stated.visual)),
        Column::number("text_tokens", "text tokens that the model saw", |row| Some(row.seen.text)),
        Column::number("delimiter_tokens", "of these, tokens of delimiters", |row| Some(row.seen.delimiters)),
        Column::number("visual_tokens", "image tokens that the model saw", |row| Some(row.seen.visual)),
        Column::text("unusable", "why it could not be run", |row| {
            row.unusable.map(|reason| reason.as_str().to_owned())
        }),
    ]
}

fn loss_columns() -> Vec<Column> {
    let mut columns = vec![
        Column::number("num_labels", "labels that were predicted", |row| Some(row.num_labels)),
        Column::number("num_not_finite", "labels whose loss is NaN or infinite", |row| Some(row.num_not_finite)),
        Column::real("loss_mean", "mean loss of a label, in nats", SampleMeasure::loss_mean),
        Column::real("loss_sum", "sum of the finite losses, in nats", |row| Some(row.loss_sum)),
        Column::numbers("answer_labels", "labels of each answer", |row| {
            row.answers.iter().map(|answer| answer.num_labels).collect()
        }),
        Column::text("answer_losses", "sum of the losses of each answer, in nats, as a JSON list", |row| {
            let sums: Vec<f64> = row.answers.iter().map(|answer| answer.loss_sum).collect();
            Some(serde_json::json!(sums).to_string())
        }),
        Column::real("loss_blank", "mean loss with blank images, in nats", |row| row.controls.blank),
        Column::real("loss_other", "mean loss with another sample's images, in nats", |row| row.controls.other),
        Column::numbers("position_labels", "labels from position 0, 1024, 4096, 16384 and 65536 on", |row| {
            row.positions.iter().map(|range| range.num_labels).collect()
        }),
    ];
    let names: [_; POSITION_BOUNDS.len()] =
        ["loss_from_0", "loss_from_1024", "loss_from_4096", "loss_from_16384", "loss_from_65536"];
    columns.extend(names.into_iter().enumerate().map(|(index, name)| {
        let doc = "mean loss of the labels from this position to the next bound, in nats";
        #[expect(clippy::indexing_slicing, reason = "there are as many names as ranges of positions")]
        Column::real(name, doc, move |row| row.positions[index].mean())
    }));
    columns
}
