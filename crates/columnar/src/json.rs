//! Arrays as JSON texts, one row at a time, so that a value without a JSON form breaks its own row only.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, Float32Array, Float64Array, Int64Array, UInt64Array};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::ArrowError;
use arrow_schema::DataType;

use crate::plan::GroupPlan;
use crate::shape::{LeafKind, Shape};
use crate::text_form::text_of;

/// A row of a foreign file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// One JSON object in one line: every column in the order of the file, nulls included.
    ///
    /// A binary value, however deep, is `true` if it is there and `null` if not. A map is a list of its entries, and
    /// a time is its ISO 8601 text.
    Json(String),
    /// The row cannot be expressed as JSON, such as a string that is not UTF-8. Its neighbours can.
    Broken {
        /// What was found, as text for people.
        detail: String,
    },
}

/// Longest text of a row; longer records are no records of JSON files either.
const MAX_ROW_BYTES: usize = 16 << 20;

/// Writes the rows of one batch.
pub(crate) struct RowEncoder {
    columns: Vec<(String, Encoder)>,
}

enum Encoder {
    /// The same for every row: `true` or `null`.
    Constant(&'static str),
    /// `true` where there is a value.
    Presence(ArrayRef),
    Text(BinaryArray),
    Bool(BooleanArray),
    Int(Int64Array),
    Uint(UInt64Array),
    Float32(Float32Array),
    Float64(Float64Array),
    /// Decimals, whose text form is a JSON number.
    Decimal(ArrayRef),
    /// Times and such, by their text form.
    Display(ArrayRef),
    List {
        nulls: Option<NullBuffer>,
        offsets: OffsetBuffer<i32>,
        values: Box<Encoder>,
    },
    Struct {
        nulls: Option<NullBuffer>,
        fields: Vec<(String, Encoder)>,
    },
}

impl RowEncoder {
    /// An encoder of a batch that was read by a plan.
    pub(crate) fn new(
        columns: &[(String, Shape)],
        plan: &GroupPlan,
        arrays: Vec<ArrayRef>,
    ) -> Result<Self, ArrowError> {
        Ok(Self { columns: fields(columns, plan, arrays)? })
    }

    /// A row of the batch.
    pub(crate) fn row(&self, row: usize) -> Row {
        let mut out = Vec::new();
        match write_fields(&self.columns, row, &mut out).map(|()| String::from_utf8(out)) {
            Ok(Ok(text)) => Row::Json(text),
            Ok(Err(utf8)) => Row::Broken { detail: format!("text is not UTF-8: {utf8}") },
            Err(detail) => Row::Broken { detail },
        }
    }
}

fn fields(
    shapes: &[(String, Shape)],
    plan: &GroupPlan,
    arrays: Vec<ArrayRef>,
) -> Result<Vec<(String, Encoder)>, ArrowError> {
    let mut arrays = arrays.into_iter();
    shapes
        .iter()
        .map(|(name, shape)| {
            let constant = plan
                .constants
                .iter()
                .find(|(left_out, _)| matches!(shape, Shape::Leaf { leaf, .. } if leaf == left_out));
            if let Some((_, text)) = constant {
                return Ok((name.clone(), Encoder::Constant(text)));
            }
            let missing = || ArrowError::SchemaError(format!("no values were read for {name:?}"));
            let array = arrays.next().ok_or_else(missing)?;
            Ok((name.clone(), encoder(shape, plan, &array)?))
        })
        .collect()
}

fn encoder(shape: &Shape, plan: &GroupPlan, array: &ArrayRef) -> Result<Encoder, ArrowError> {
    match (shape, array.data_type()) {
        (Shape::Struct(children), DataType::Struct(_)) => {
            let array = array.as_struct();
            Ok(Encoder::Struct {
                nulls: array.nulls().cloned(),
                fields: fields(children, plan, array.columns().to_vec())?,
            })
        }
        (Shape::List(element), DataType::List(_)) => {
            let list = array.as_list::<i32>();
            Ok(Encoder::List {
                nulls: list.nulls().cloned(),
                offsets: list.offsets().clone(),
                values: Box::new(encoder(element, plan, list.values())?),
            })
        }
        (Shape::List(entries), DataType::Map(_, _)) => {
            let map = array.as_map();
            let entry: ArrayRef = std::sync::Arc::new(map.entries().clone());
            Ok(Encoder::List {
                nulls: map.nulls().cloned(),
                offsets: map.offsets().clone(),
                values: Box::new(encoder(entries, plan, &entry)?),
            })
        }
        (Shape::Leaf { kind: LeafKind::Text, .. }, DataType::Binary) => {
            Ok(Encoder::Text(array.as_binary::<i32>().clone()))
        }
        (Shape::Leaf { kind: LeafKind::Binary, .. }, _) => Ok(Encoder::Presence(array.clone())),
        (Shape::Leaf { .. }, _) => Ok(plain_encoder(array)),
        (_, found) => Err(ArrowError::SchemaError(format!("{found} was read where a nested value was expected"))),
    }
}

fn plain_encoder(array: &ArrayRef) -> Encoder {
    match array.data_type() {
        DataType::Null => Encoder::Constant("null"),
        DataType::Boolean => Encoder::Bool(array.as_boolean().clone()),
        DataType::Int8 => Encoder::Int(array.as_primitive::<Int8Type>().unary(i64::from)),
        DataType::Int16 => Encoder::Int(array.as_primitive::<Int16Type>().unary(i64::from)),
        DataType::Int32 => Encoder::Int(array.as_primitive::<Int32Type>().unary(i64::from)),
        DataType::Int64 => Encoder::Int(array.as_primitive::<Int64Type>().clone()),
        DataType::UInt8 => Encoder::Uint(array.as_primitive::<UInt8Type>().unary(u64::from)),
        DataType::UInt16 => Encoder::Uint(array.as_primitive::<UInt16Type>().unary(u64::from)),
        DataType::UInt32 => Encoder::Uint(array.as_primitive::<UInt32Type>().unary(u64::from)),
        DataType::UInt64 => Encoder::Uint(array.as_primitive::<UInt64Type>().clone()),
        DataType::Float16 => Encoder::Float32(array.as_primitive::<Float16Type>().unary(f32::from)),
        DataType::Float32 => Encoder::Float32(array.as_primitive::<Float32Type>().clone()),
        DataType::Float64 => Encoder::Float64(array.as_primitive::<Float64Type>().clone()),
        decimal if decimal.is_decimal() => Encoder::Decimal(array.clone()),
        _ => Encoder::Display(array.clone()),
    }
}

fn write_fields(fields: &[(String, Encoder)], row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    out.push(b'{');
    for (index, (name, field)) in fields.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_json(name, out)?;
        out.push(b':');
        field.write(row, out).map_err(|detail| format!("{name}: {detail}"))?;
        check_length(out)?;
    }
    out.push(b'}');
    Ok(())
}

impl Encoder {
    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Constant(_) => false,
            Self::Presence(array) | Self::Decimal(array) | Self::Display(array) => array.is_null(row),
            Self::Text(array) => array.is_null(row),
            Self::Bool(array) => array.is_null(row),
            Self::Int(array) => array.is_null(row),
            Self::Uint(array) => array.is_null(row),
            Self::Float32(array) => array.is_null(row),
            Self::Float64(array) => array.is_null(row),
            Self::List { nulls, .. } | Self::Struct { nulls, .. } => {
                nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
            }
        }
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        match self {
            Self::Constant(text) => out.extend_from_slice(text.as_bytes()),
            Self::Presence(_) => out.extend_from_slice(b"true"),
            Self::Text(array) => {
                let value = array.value(row);
                check_length(value)?;
                let text = std::str::from_utf8(value).map_err(|utf8| format!("text is not UTF-8: {utf8}"))?;
                write_json(text, out)?;
            }
            Self::Bool(array) => write_json(&array.value(row), out)?,
            Self::Int(array) => write_json(&array.value(row), out)?,
            Self::Uint(array) => write_json(&array.value(row), out)?,
            // Infinities and NaN become `null`.
            // A whole number to its last digit. Of a fraction, the fewest digits that lead back to it, such as 0.1.
            Self::Float32(array) if array.value(row).fract() == 0.0 => write_json(&f64::from(array.value(row)), out)?,
            Self::Float32(array) => write_json(&array.value(row), out)?,
            Self::Float64(array) => write_json(&array.value(row), out)?,
            Self::Decimal(array) => out.extend_from_slice(text_of(array, row)?.as_bytes()),
            Self::Display(array) => write_json(&text_of(array, row)?, out)?,
            Self::List { offsets, values, .. } => {
                #[expect(clippy::indexing_slicing, reason = "there is one offset more than there are rows")]
                let (start, end) = (offsets[row], offsets[row + 1]);
                out.push(b'[');
                for index in start..end {
                    if index > start {
                        out.push(b',');
                    }
                    values.write(index as usize, out)?;
                    check_length(out)?;
                }
                out.push(b']');
            }
            Self::Struct { fields, .. } => write_fields(fields, row, out)?,
        }
        Ok(())
    }
}

/// A few bytes of a compressed file may be billions of values.
fn check_length(out: &[u8]) -> Result<(), String> {
    if out.len() > MAX_ROW_BYTES {
        return Err(format!("the record has more than {MAX_ROW_BYTES} bytes"));
    }
    Ok(())
}

fn write_json(value: &(impl serde::Serialize + ?Sized), out: &mut Vec<u8>) -> Result<(), String> {
    serde_json::to_writer(out, value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_whole_number_of_a_short_float_keeps_its_digits() {
        let values = [1_152_921_504_606_846_976.0_f32, 0.1, -0.0, 16_777_216.0, 3.4e38, f32::INFINITY];
        let array: ArrayRef = Arc::new(Float32Array::from(values.to_vec()));
        let written = (0..values.len()).map(|row| {
            let mut out = Vec::new();
            plain_encoder(&array).write(row, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        });
        let read: Vec<Option<f64>> = written.map(|text| serde_json::from_str(&text).unwrap()).collect();
        let whole = |row: usize| Some(f64::from(values[row]));
        assert_eq!(read, [whole(0), Some(0.1), Some(-0.0), whole(3), whole(4), None]);
    }
}
