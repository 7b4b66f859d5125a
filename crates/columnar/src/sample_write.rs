//! Writing tables of samples, in row groups of bounded size.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, Int32Builder, Int64Builder, ListArray, ListBuilder, StringBuilder, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Fields, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::EnabledStatistics;
use parquet::schema::types::ColumnPath;

use crate::sample_table::{element, image_fields, integer_element, message_fields, schema, span_fields};
use crate::table_write::{cannot_encode, cannot_write, fixed_properties, flushed, schema_with_metadata};
use crate::{ColumnarError, SampleRow};

/// A row group is closed when its images have this many bytes, or its texts do.
const ROW_GROUP_BYTES: usize = 32 << 20;
/// A row group is closed when it has this many rows.
const ROW_GROUP_ROWS: usize = 100;
/// Most bytes of one row; offsets within a row group are 32-bit numbers.
const MAX_ROW_BYTES: usize = 1 << 30;

/// Writes a table of samples. The same rows give the same bytes.
///
/// Images are stored as they are; everything else is compressed with zstd. At most one row group is held in memory:
/// 100 rows, or as many as have 32 MiB.
pub struct SampleTableWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
    schema: SchemaRef,
    group: Group,
}

/// The columns of the row group at hand.
#[derive(Default)]
struct Group {
    num_rows: usize,
    num_bytes: usize,
    id: StringBuilder,
    source: StringBuilder,
    subset: StringBuilder,
    layout: StringBuilder,
    message_lengths: Vec<usize>,
    role: StringBuilder,
    content: StringBuilder,
    image_lengths: Vec<usize>,
    bytes: BinaryBuilder,
    path: StringBuilder,
    prompt: StringBuilder,
    span_lengths: Vec<usize>,
    start: Int64Builder,
    end: Int64Builder,
    input_ids: Integers,
    labels: Integers,
    image_positions: Integers,
    num_tokens: Int64Builder,
    num_images: Int64Builder,
    metadata: StringBuilder,
}

/// A column of lists of integers, each of which may be absent.
struct Integers(ListBuilder<Int32Builder>);

impl<W: Write + Send> SampleTableWriter<W> {
    /// Starts a table, with key-value pairs that are kept in its footer.
    pub fn new(sink: W, metadata: &[(String, String)]) -> Result<Self, ColumnarError> {
        let schema = Arc::new(schema_with_metadata(schema(), metadata));
        let image_bytes = ColumnPath::new(["images", "list", "element", "bytes"].map(str::to_owned).to_vec());
        let properties = fixed_properties(metadata)?
            // Page limits are checked after so many values: small pages make single images cheap to read.
            .set_write_batch_size(16)
            .set_column_dictionary_enabled(ColumnPath::from("id"), false)
            .set_column_compression(image_bytes.clone(), Compression::UNCOMPRESSED)
            .set_column_dictionary_enabled(image_bytes.clone(), false)
            .set_column_statistics_enabled(image_bytes, EnabledStatistics::Chunk)
            .build();
        let writer = ArrowWriter::try_new(sink, Arc::clone(&schema), Some(properties)).map_err(cannot_write)?;
        Ok(Self { writer, schema, group: Group::default() })
    }

    /// Appends a row.
    pub fn write(&mut self, row: &SampleRow<'_>) -> Result<(), ColumnarError> {
        let num_bytes = num_bytes(row);
        if num_bytes > MAX_ROW_BYTES {
            return Err(ColumnarError::RowTooLarge { id: row.id.clone(), num_bytes, max_bytes: MAX_ROW_BYTES });
        }
        self.group.push(row);
        self.group.num_rows += 1;
        self.group.num_bytes += num_bytes;
        if self.group.num_rows >= ROW_GROUP_ROWS || self.group.num_bytes >= ROW_GROUP_BYTES {
            self.write_group()?;
        }
        Ok(())
    }

    /// Writes what is left and the footer, flushes, and gives the sink back.
    pub fn finish(mut self) -> Result<W, ColumnarError> {
        if self.group.num_rows > 0 {
            self.write_group()?;
        }
        flushed(self.writer)
    }

    fn write_group(&mut self) -> Result<(), ColumnarError> {
        let columns = std::mem::take(&mut self.group).into_columns();
        let batch = columns.and_then(|columns| RecordBatch::try_new(Arc::clone(&self.schema), columns));
        let batch = batch.map_err(cannot_encode)?;
        self.writer.write(&batch).map_err(cannot_write)?;
        self.writer.flush().map_err(cannot_write)
    }
}

fn num_bytes(row: &SampleRow<'_>) -> usize {
    let texts = [&row.id, &row.source, &row.subset, &row.layout, &row.prompt, &row.metadata];
    let texts: usize = texts.iter().map(|text| text.len()).sum();
    let messages: usize = row.messages.iter().map(|(role, content)| role.len() + content.len()).sum();
    let images: usize = row.images.iter().map(|image| image.bytes.len() + image.path.len()).sum();
    let tokens = row.tokens.as_ref().map_or(0, |tokens| {
        let num_integers = tokens.input_ids.len() + tokens.labels.len() + tokens.image_positions.len();
        num_integers * size_of::<i32>()
    });
    texts + messages + images + tokens
}

impl Default for Integers {
    fn default() -> Self {
        Self(ListBuilder::new(Int32Builder::new()).with_field(integer_element()))
    }
}

impl Integers {
    fn push(&mut self, integers: Option<impl IntoIterator<Item = i32>>) {
        self.0.append_option(integers.map(|integers| integers.into_iter().map(Some)));
    }
}

impl Group {
    fn push(&mut self, row: &SampleRow<'_>) {
        self.id.append_value(&row.id);
        self.source.append_value(&row.source);
        self.subset.append_value(&row.subset);
        self.layout.append_value(&row.layout);
        self.message_lengths.push(row.messages.len());
        for (role, content) in &row.messages {
            self.role.append_value(role);
            self.content.append_value(content);
        }
        self.image_lengths.push(row.images.len());
        for image in &row.images {
            self.bytes.append_value(&image.bytes);
            self.path.append_value(&image.path);
        }
        self.prompt.append_value(&row.prompt);
        self.span_lengths.push(row.label_spans.len());
        for (start, end) in &row.label_spans {
            self.start.append_value(*start);
            self.end.append_value(*end);
        }
        let tokens = row.tokens.as_deref();
        self.input_ids.push(tokens.map(|tokens| tokens.input_ids.iter().copied()));
        self.labels.push(tokens.map(|tokens| tokens.labels.iter().copied()));
        // A row has less than 2³¹ of them.
        self.image_positions.push(tokens.map(|tokens| tokens.image_positions.iter().map(|n| n.cast_signed())));
        self.num_tokens.append_value(row.num_tokens);
        self.num_images.append_value(row.num_images);
        self.metadata.append_value(&row.metadata);
    }

    /// The columns in the order of the schema.
    fn into_columns(mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        let messages: Vec<ArrayRef> = vec![Arc::new(self.role.finish()), Arc::new(self.content.finish())];
        let images: Vec<ArrayRef> = vec![Arc::new(self.bytes.finish()), Arc::new(self.path.finish())];
        let spans: Vec<ArrayRef> = vec![Arc::new(self.start.finish()), Arc::new(self.end.finish())];
        Ok(vec![
            Arc::new(self.id.finish()),
            Arc::new(self.source.finish()),
            Arc::new(self.subset.finish()),
            Arc::new(self.layout.finish()),
            list(message_fields(), self.message_lengths, messages)?,
            list(image_fields(), self.image_lengths, images)?,
            Arc::new(self.prompt.finish()),
            list(span_fields(), self.span_lengths, spans)?,
            Arc::new(self.input_ids.0.finish()),
            Arc::new(self.labels.0.finish()),
            Arc::new(self.image_positions.0.finish()),
            Arc::new(self.num_tokens.finish()),
            Arc::new(self.num_images.finish()),
            Arc::new(self.metadata.finish()),
        ])
    }
}

fn list(fields: Fields, lengths: Vec<usize>, values: Vec<ArrayRef>) -> Result<ArrayRef, ArrowError> {
    let structs = StructArray::try_new(fields.clone(), values, None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(element(fields), offsets, Arc::new(structs), None)?))
}
