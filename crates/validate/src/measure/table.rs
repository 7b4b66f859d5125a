//! `validation.parquet`: a row for each sample that was run.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use manyframe_columnar::{RowColumn, RowWriter, schema_of_rows};

use super::sample::{POSITION_BOUNDS, SampleMeasure};
use crate::ValidateError;

/// Writes the measures of samples, in order. The file is the caller's to name and to make visible.
pub fn write_table(path: &Path, measures: &[SampleMeasure]) -> Result<(), ValidateError> {
    let file = BufWriter::new(File::create(path).map_err(ValidateError::write(path))?);
    let table = |error| ValidateError::Table { path: path.to_owned(), error };
    let mut writer = RowWriter::new(file, columns()).map_err(table)?;
    for measure in measures {
        writer.write(measure.clone()).map_err(table)?;
    }
    writer.finish().map_err(table).map(|_file| ())
}

/// The JSON Schema of a row of `validation.parquet`.
pub fn table_schema() -> serde_json::Value {
    schema_of_rows("ValidationRow", "A row of validation.parquet: a sample that was run through a model.", &columns())
}

/// The columns, by name and description.
fn columns() -> Vec<RowColumn<SampleMeasure>> {
    type Row = SampleMeasure;
    let mut columns: Vec<RowColumn<Row>> = vec![
        RowColumn::text("id", "identity, the key of the sample in shards", |row: &Row| Some(row.id.to_string())),
        RowColumn::text("source", "name of its source", |row: &Row| Some(row.source.clone())),
        RowColumn::text("layout", "temporal, spatial, image or text", |row: &Row| Some(row.layout.as_str().to_owned())),
        RowColumn::number("num_images", "images", |row: &Row| Some(row.num_images)),
        RowColumn::number("stated_text_tokens", "tokens of text that the dataset states", |row: &Row| {
            Some(row.stated.text)
        }),
        RowColumn::number("stated_delimiter_tokens", "those of text that it says are delimiters", |row: &Row| {
            Some(row.stated.delimiters)
        }),
        RowColumn::number("stated_visual_tokens", "tokens of images that it states", |row: &Row| {
            Some(row.stated.visual)
        }),
        RowColumn::number("text_tokens", "tokens of text that the model saw", |row: &Row| Some(row.seen.text)),
        RowColumn::number("delimiter_tokens", "those of text that are delimiters", |row: &Row| {
            Some(row.seen.delimiters)
        }),
        RowColumn::number("visual_tokens", "tokens of images that the model saw", |row: &Row| Some(row.seen.visual)),
        RowColumn::text("unusable", "why it could not be run", |row: &Row| {
            row.unusable.map(|reason| reason.as_str().to_owned())
        }),
        RowColumn::number("num_labels", "labels that were predicted", |row: &Row| Some(row.num_labels)),
        RowColumn::number("num_not_finite", "labels whose loss is not finite", |row: &Row| Some(row.num_not_finite)),
        RowColumn::real("loss_mean", "mean loss of a label, in nats", SampleMeasure::loss_mean),
        RowColumn::real("loss_sum", "sum of the finite losses", |row: &Row| Some(row.loss_sum)),
        RowColumn::numbers("answer_labels", "labels of each answer", |row: &Row| {
            row.answers.iter().map(|answer| answer.num_labels).collect()
        }),
        RowColumn::text("answer_losses", "sum of the losses of each answer, as a JSON list", |row: &Row| {
            serde_json::to_string(&row.answers.iter().map(|answer| answer.loss_sum).collect::<Vec<_>>()).ok()
        }),
        RowColumn::real("loss_blank", "mean loss with images of one colour", |row: &Row| row.controls.blank),
        RowColumn::real("loss_other", "mean loss with another sample's images", |row: &Row| row.controls.other),
        RowColumn::numbers("position_labels", "labels from place 0, 1024, 4096, 16384 and 65536 on", |row: &Row| {
            row.positions.iter().map(|stretch| stretch.num_labels).collect()
        }),
    ];
    let names = ["loss_from_0", "loss_from_1024", "loss_from_4096", "loss_from_16384", "loss_from_65536"];
    let stretches: [_; POSITION_BOUNDS.len()] = names;
    columns.extend(stretches.into_iter().enumerate().map(|(index, name)| {
        RowColumn::real(name, "mean loss of the labels from this place to the next bound", move |row: &Row| {
            let stretch = row.positions.get(index).filter(|stretch| stretch.num_labels > 0)?;
            Some(stretch.loss_sum / stretch.num_labels as f64)
        })
    }));
    columns
}
