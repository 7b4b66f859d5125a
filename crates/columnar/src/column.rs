//! The description of a column: its name, type and storage, and the Arrow and JSON schemas that follow from them.
//!
//! It holds no values.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields};
use parquet::schema::types::ColumnPath;
use serde_json::{Map, Value, json};

/// Key of a field's metadata that holds its description; DuckDB, pyarrow and others show it.
const DESCRIPTION: &str = "description";
/// Width of [`ColumnType::Bytes16`].
pub(crate) const NUM_ID_BYTES: i32 = 16;

/// A column of a table, or a field of a struct in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// The type of its values.
    pub column_type: ColumnType,
    /// Whether a row may lack a value. Files declare every column nullable; this says what readers accept.
    pub is_optional: bool,
    /// What it holds, for people; may be empty.
    pub doc: &'static str,
    /// How its values are stored.
    pub storage: ColumnStorage,
}

/// The type of a column's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnType {
    /// UTF-8 text.
    Text,
    /// Unsigned integers of 64 bits.
    U64,
    /// Signed integers of 64 bits.
    I64,
    /// Signed integers of 32 bits.
    I32,
    /// Floating-point numbers of 64 bits.
    F64,
    /// Bytes of any length.
    Bytes,
    /// Exactly 16 bytes.
    Bytes16,
    /// Lists.
    List {
        /// The Arrow name of the elements, which is part of the path of the Parquet leaf: `item` or `element`.
        element_name: &'static str,
        /// The type of the elements.
        element: Box<ColumnType>,
    },
    /// Named fields, as elements of lists.
    Struct(Vec<Column>),
}

/// How the values of a column are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ColumnStorage {
    /// With a dictionary, for values that occur more than once, and compressed.
    #[default]
    Repeating,
    /// Without a dictionary, which takes time and space if hardly any two values are equal; compressed.
    Distinct,
    /// As they are: without dictionary, compression, and statistics of pages. For images.
    Raw,
}

impl Column {
    pub(crate) fn arrow_field(&self) -> Field {
        Field::new(self.name, self.column_type.arrow_type(), true)
    }

    /// The field with the column's description in its metadata.
    pub(crate) fn described_field(&self) -> Field {
        if self.doc.is_empty() {
            return self.arrow_field();
        }
        self.arrow_field().with_metadata([(DESCRIPTION.to_owned(), self.doc.to_owned())])
    }

    /// Calls a function with the Parquet path and the storage of every leaf.
    pub(crate) fn for_each_leaf(&self, above: &[String], visit: &mut impl FnMut(ColumnPath, ColumnStorage)) {
        let mut path = above.to_vec();
        path.push(self.name.to_owned());
        let mut column_type = &self.column_type;
        while let ColumnType::List { element_name, element } = column_type {
            path.extend(["list".to_owned(), (*element_name).to_owned()]);
            column_type = element;
        }
        match column_type {
            ColumnType::Struct(fields) => fields.iter().for_each(|field| field.for_each_leaf(&path, visit)),
            _ => visit(ColumnPath::new(path), self.storage),
        }
    }
}

impl ColumnType {
    pub(crate) fn arrow_type(&self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::U64 => DataType::UInt64,
            Self::I64 => DataType::Int64,
            Self::I32 => DataType::Int32,
            Self::F64 => DataType::Float64,
            Self::Bytes => DataType::Binary,
            Self::Bytes16 => DataType::FixedSizeBinary(NUM_ID_BYTES),
            Self::List { element_name, element } => DataType::List(element_field(element_name, element)),
            Self::Struct(columns) => DataType::Struct(struct_fields(columns)),
        }
    }

    fn json_schema(&self) -> Value {
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::U64 => json!({ "type": "integer", "minimum": 0 }),
            Self::I64 | Self::I32 => json!({ "type": "integer" }),
            Self::F64 => json!({ "type": "number" }),
            Self::Bytes => json!({ "type": "string", "contentEncoding": "bytes" }),
            Self::Bytes16 => json!({ "type": "string", "contentEncoding": "16 bytes" }),
            Self::List { element, .. } => json!({ "type": "array", "items": element.json_schema() }),
            Self::Struct(columns) => json!({
                "type": "object",
                "properties": properties(columns),
                "required": names(columns),
            }),
        }
    }
}

impl std::fmt::Display for ColumnType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::U64 => f.write_str("unsigned 64-bit integers"),
            Self::I64 => f.write_str("64-bit integers"),
            Self::I32 => f.write_str("32-bit integers"),
            Self::F64 => f.write_str("64-bit floating-point numbers"),
            Self::Bytes => f.write_str("binary"),
            Self::Bytes16 => f.write_str("binary of 16 bytes"),
            Self::List { element, .. } => write!(f, "list<{element}>"),
            Self::Struct(fields) => {
                let fields: Vec<_> =
                    fields.iter().map(|field| format!("{}: {}", field.name, field.column_type)).collect();
                write!(f, "struct<{}>", fields.join(", "))
            }
        }
    }
}

pub(crate) fn element_field(name: &str, element: &ColumnType) -> Arc<Field> {
    Arc::new(Field::new(name, element.arrow_type(), true))
}

pub(crate) fn struct_fields(columns: &[Column]) -> Fields {
    columns.iter().map(Column::arrow_field).collect()
}

/// The JSON Schema of a row with these columns, for people and tests: Parquet itself knows names and types.
pub fn schema_of_row(title: &str, description: &str, columns: &[Column]) -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "description": description,
        "type": "object",
        "properties": properties(columns),
        "required": names(columns),
    })
}

fn properties(columns: &[Column]) -> Map<String, Value> {
    let property = |column: &Column| {
        let mut schema = column.column_type.json_schema();
        if let Value::Object(fields) = &mut schema {
            if let (true, Some(json_type)) = (column.is_optional, fields.get_mut("type")) {
                *json_type = json!([json_type.take(), "null"]);
            }
            if !column.doc.is_empty() {
                fields.insert("description".to_owned(), column.doc.into());
            }
        }
        (column.name.to_owned(), schema)
    };
    columns.iter().map(property).collect()
}

fn names(columns: &[Column]) -> Vec<&str> {
    columns.iter().map(|column| column.name).collect()
}
