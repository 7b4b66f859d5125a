//! What is no JSON value by itself as text: decimals, times, dates, UUIDs, intervals.

use std::fmt::Write as _;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, IntervalDayTimeType,
    Time32MillisecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{Array, ArrayRef};
use arrow_buffer::IntervalDayTime;
use arrow_schema::{DataType, IntervalUnit, TimeUnit};

/// The text form of a value that is there: the digits of a decimal, ISO 8601 of a date or time. These are the types that Parquet
/// has.
pub(crate) fn text_of(array: &ArrayRef, row: usize) -> Result<String, String> {
    let text = match array.data_type() {
        DataType::Decimal32(..) => Some(array.as_primitive::<Decimal32Type>().value_as_string(row)),
        DataType::Decimal64(..) => Some(array.as_primitive::<Decimal64Type>().value_as_string(row)),
        DataType::Decimal128(..) => Some(array.as_primitive::<Decimal128Type>().value_as_string(row)),
        DataType::Decimal256(..) => Some(array.as_primitive::<Decimal256Type>().value_as_string(row)),
        DataType::Date32 => array.as_primitive::<Date32Type>().value_as_date(row).map(|date| format!("{date:?}")),
        DataType::Time32(TimeUnit::Millisecond) => {
            time(array.as_primitive::<Time32MillisecondType>().value_as_time(row))
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            time(array.as_primitive::<Time64MicrosecondType>().value_as_time(row))
        }
        DataType::Time64(TimeUnit::Nanosecond) => time(array.as_primitive::<Time64NanosecondType>().value_as_time(row)),
        // Time zones other than offsets are unknown here; the instant is the same.
        DataType::Timestamp(unit, zone) => {
            let suffix = if zone.is_some() { "Z" } else { "" };
            timestamp(array, *unit, row).map(|time| time + suffix)
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            Some(interval(array.as_primitive::<IntervalDayTimeType>().value(row)))
        }
        DataType::FixedSizeBinary(_) => Some(digits(array.as_fixed_size_binary().value(row))),
        found => return Err(format!("{found} has no text form")),
    };
    text.ok_or_else(|| format!("a value of the type {} is none that a clock or calendar has", array.data_type()))
}

fn time(time: Option<impl std::fmt::Debug>) -> Option<String> {
    time.map(|time| format!("{time:?}"))
}

fn timestamp(array: &ArrayRef, unit: TimeUnit, row: usize) -> Option<String> {
    time(match unit {
        TimeUnit::Second => array.as_primitive::<TimestampSecondType>().value_as_datetime(row),
        TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().value_as_datetime(row),
        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value_as_datetime(row),
        TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().value_as_datetime(row),
    })
}

fn digits(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // A string takes whatever is written to it.
        _ = write!(digits, "{byte:02x}");
    }
    digits
}

/// `3 days 2 hours 1 mins -0.500 secs`, without what is zero.
fn interval(IntervalDayTime { days, milliseconds }: IntervalDayTime) -> String {
    let (hours, mins, secs) = (milliseconds / 3_600_000, milliseconds / 60_000 % 60, milliseconds / 1000 % 60);
    let rest = milliseconds % 1000;
    let whole = [(days, "days"), (hours, "hours"), (mins, "mins")];
    let mut parts: Vec<String> =
        whole.iter().filter(|(number, _)| *number != 0).map(|(number, unit)| format!("{number} {unit}")).collect();
    if secs != 0 || rest != 0 {
        let sign = if secs < 0 || rest < 0 { "-" } else { "" };
        parts.push(format!("{sign}{}.{:03} secs", secs.abs(), rest.abs()));
    }
    if parts.is_empty() { "0 secs".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        Date32Array, Decimal128Array, Decimal256Array, FixedSizeBinaryArray, IntervalDayTimeArray,
        Time32MillisecondArray, Time64MicrosecondArray, Time64NanosecondArray, TimestampMicrosecondArray,
        TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
    };
    use arrow_buffer::i256;
    use arrow_cast::display::{ArrayFormatter, FormatOptions};

    use super::*;

    #[test]
    fn texts_are_those_of_arrows_own_formatter() {
        let counts =
            [0, 1, -1, 86_399_999, 123_456_789_012, -62_135_596_800_123, 253_402_300_800_000, i64::MAX, i64::MIN];
        let instants = || counts.to_vec();
        let times = vec![0, 1, 999, 1000, 43_200_000, 86_399_999];
        let days = vec![0, 1, -1, 19_782, -719_529, 2_932_897, i32::MAX, i32::MIN];
        let decimals = vec![0, 1, -1, 1230, -1230, 99_999_999_999, -99_999_999_999_999];
        let wide = decimals.iter().map(|value| i256::from_i128(*value)).collect::<Vec<_>>();
        let spans = [(0, 0), (1, 0), (-3, 500), (0, -500), (2, 7_384_005), (-1, -7_384_005), (0, 60_000)];
        let spans = spans.map(|(days, milliseconds)| IntervalDayTime { days, milliseconds }).to_vec();
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(Date32Array::from(days)),
            Arc::new(Time32MillisecondArray::from(times.clone())),
            Arc::new(Time64MicrosecondArray::from(
                times.iter().map(|&time| i64::from(time) * 1000 + 7).collect::<Vec<_>>(),
            )),
            Arc::new(Time64NanosecondArray::from(
                times.iter().map(|&time| i64::from(time) * 1_000_000 + 7).collect::<Vec<_>>(),
            )),
            Arc::new(IntervalDayTimeArray::from(spans)),
            Arc::new(FixedSizeBinaryArray::try_from_iter([[0_u8, 1, 0xab, 0xff]].into_iter()).unwrap()),
        ];
        for zone in [None, Some("+00:00")] {
            arrays.push(Arc::new(TimestampSecondArray::from(instants()).with_timezone_opt(zone)));
            arrays.push(Arc::new(TimestampMillisecondArray::from(instants()).with_timezone_opt(zone)));
            arrays.push(Arc::new(TimestampMicrosecondArray::from(instants()).with_timezone_opt(zone)));
            arrays.push(Arc::new(TimestampNanosecondArray::from(instants()).with_timezone_opt(zone)));
        }
        for (precision, scale) in [(38, 0), (38, 2), (38, 12), (38, -3)] {
            let narrow = Decimal128Array::from(decimals.clone()).with_precision_and_scale(precision, scale).unwrap();
            let wide = Decimal256Array::from(wide.clone()).with_precision_and_scale(precision, scale).unwrap();
            arrays.extend([Arc::new(narrow) as ArrayRef, Arc::new(wide)]);
        }
        for array in &arrays {
            let options = FormatOptions::new();
            let expected = ArrayFormatter::try_new(array, &options).unwrap();
            for row in 0..array.len() {
                let (text, expected) = (text_of(array, row), expected.value(row).try_to_string());
                assert_eq!(text.as_ref().ok(), expected.as_ref().ok(), "{}, row {row}", array.data_type());
            }
        }
    }
}
