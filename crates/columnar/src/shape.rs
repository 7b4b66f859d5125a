//! The tree of a file's columns, and a reading of its schema in which no value can be refused.
//!
//! Strings are read as plain bytes: the library would refuse a whole page for one string that is not UTF-8.
//! Which leaves are text is remembered here instead. The Arrow schema that writers embed is ignored, so that large,
//! dictionary and view types do not occur: Parquet's own types are few and cannot contradict the data.

use std::sync::Arc;

use arrow_array::ListArray;
use arrow_schema::{DataType, Fields};
use parquet::basic::{ConvertedType, LogicalType, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor, Type, TypePtr};

/// A column, or a part of one.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// Values, with their position among all leaves of the file.
    Leaf { leaf: usize, kind: LeafKind },
    /// Named parts in the order of the file.
    Struct(Vec<(String, Shape)>),
    /// Lists, and maps as lists of their entries.
    List(Box<Shape>),
}

impl Shape {
    /// Whether there are bytes in it that are no text.
    pub(crate) fn has_bytes(&self) -> bool {
        match self {
            Self::Leaf { kind, .. } => *kind == LeafKind::Binary,
            Self::Struct(parts) => parts.iter().any(|(_, part)| part.has_bytes()),
            Self::List(element) => element.has_bytes(),
        }
    }
}

/// How the values of a leaf are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeafKind {
    /// Bytes that should be UTF-8.
    Text,
    /// Bytes of any kind.
    Binary,
    /// Nothing: the type of the column is `null`.
    Absent,
    /// Everything else: numbers, booleans, times.
    Plain,
}

/// The file's schema without the claim that byte arrays are text.
pub(crate) fn schema_without_text(schema: &SchemaDescriptor) -> Result<SchemaDescriptor, ParquetError> {
    let root = schema.root_schema();
    let fields = root.get_fields().iter().map(type_without_text).collect::<Result<Vec<_>, _>>()?;
    Ok(SchemaDescriptor::new(Arc::new(Type::group_type_builder(root.name()).with_fields(fields).build()?)))
}

fn type_without_text(field: &TypePtr) -> Result<TypePtr, ParquetError> {
    let basic = field.get_basic_info();
    let id = basic.has_id().then(|| basic.id());
    if field.is_group() {
        let fields = field.get_fields().iter().map(type_without_text).collect::<Result<Vec<_>, _>>()?;
        let group = Type::group_type_builder(field.name())
            .with_repetition(basic.repetition())
            .with_converted_type(basic.converted_type())
            .with_logical_type(basic.logical_type_ref().cloned())
            .with_id(id)
            .with_fields(fields);
        return Ok(Arc::new(group.build()?));
    }
    let keeps_its_meaning = matches!(basic.logical_type_ref(), Some(LogicalType::Decimal(_) | LogicalType::Unknown))
        || basic.converted_type() == ConvertedType::DECIMAL;
    if field.get_physical_type() != PhysicalType::BYTE_ARRAY || keeps_its_meaning {
        return Ok(Arc::clone(field));
    }
    let leaf = Type::primitive_type_builder(field.name(), PhysicalType::BYTE_ARRAY)
        .with_repetition(basic.repetition())
        .with_id(id);
    Ok(Arc::new(leaf.build()?))
}

/// The shapes of the top-level columns. `typed` is the schema as the file has it, `fields` what is read with
/// [`schema_without_text`].
pub(crate) fn shapes(typed: &SchemaDescriptor, fields: &Fields) -> Result<Vec<(String, Shape)>, ParquetError> {
    let mut num_leaves = 0;
    let shapes = struct_shape(typed, fields, &mut num_leaves)?;
    if num_leaves != typed.num_columns() {
        return Err(ParquetError::General(format!(
            "the schema has {} leaves, of which {num_leaves} can be read",
            typed.num_columns()
        )));
    }
    Ok(shapes)
}

/// The types of all leaves.
pub(crate) fn leaf_types(fields: &Fields) -> Vec<DataType> {
    fn collect(data_type: &DataType, leaves: &mut Vec<DataType>) {
        match data_type {
            DataType::Struct(fields) => fields.iter().for_each(|field| collect(field.data_type(), leaves)),
            DataType::List(field) | DataType::Map(field, _) => collect(field.data_type(), leaves),
            leaf => leaves.push(leaf.clone()),
        }
    }
    let mut leaves = Vec::new();
    fields.iter().for_each(|field| collect(field.data_type(), &mut leaves));
    leaves
}

fn struct_shape(
    typed: &SchemaDescriptor,
    fields: &Fields,
    next_leaf: &mut usize,
) -> Result<Vec<(String, Shape)>, ParquetError> {
    fields.iter().map(|field| Ok((field.name().clone(), shape(typed, field.data_type(), next_leaf)?))).collect()
}

fn shape(typed: &SchemaDescriptor, data_type: &DataType, next_leaf: &mut usize) -> Result<Shape, ParquetError> {
    Ok(match data_type {
        DataType::Struct(fields) => Shape::Struct(struct_shape(typed, fields, next_leaf)?),
        DataType::List(field) | DataType::Map(field, _) => {
            Shape::List(Box::new(shape(typed, field.data_type(), next_leaf)?))
        }
        _ => {
            let leaf = *next_leaf;
            *next_leaf += 1;
            let Some(column) = typed.columns().get(leaf) else {
                return Err(ParquetError::General("the schema has more leaves than columns".to_owned()));
            };
            Shape::Leaf { leaf, kind: leaf_kind(column, data_type) }
        }
    })
}

fn leaf_kind(column: &ColumnDescriptor, data_type: &DataType) -> LeafKind {
    let text = match column.logical_type_ref() {
        Some(logical) => matches!(logical, LogicalType::String | LogicalType::Json | LogicalType::Enum),
        None => matches!(column.converted_type(), ConvertedType::UTF8 | ConvertedType::JSON | ConvertedType::ENUM),
    };
    match data_type {
        DataType::Binary if text => LeafKind::Text,
        DataType::Binary => LeafKind::Binary,
        DataType::Null => LeafKind::Absent,
        // A UUID is shown by its digits.
        DataType::FixedSizeBinary(_) if column.logical_type_ref() != Some(&LogicalType::Uuid) => LeafKind::Binary,
        _ => LeafKind::Plain,
    }
}

/// Where the elements of a list begin and end among those of all lists.
#[expect(clippy::indexing_slicing, reason = "an array of lists has one offset more than it has rows")]
pub(crate) fn list_bounds(lists: &ListArray, row: usize) -> (i32, i32) {
    (lists.offsets()[row], lists.offsets()[row + 1])
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Leaf { kind: LeafKind::Text, .. } => f.write_str("text"),
            Self::Leaf { kind: LeafKind::Binary, .. } => f.write_str("binary"),
            Self::Leaf { kind: LeafKind::Absent, .. } => f.write_str("null"),
            Self::Leaf { kind: LeafKind::Plain, .. } => f.write_str("plain values"),
            Self::List(element) => write!(f, "list<{element}>"),
            Self::Struct(fields) => {
                let fields: Vec<_> = fields.iter().map(|(name, field)| format!("{name}: {field}")).collect();
                write!(f, "struct<{}>", fields.join(", "))
            }
        }
    }
}
