//! Parquet: its columns as a JSON object, row by row.

use std::collections::HashMap;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ingestion::mapping::past::MAX_ROW_BYTES;
use parquet::basic::{LogicalType, TimeUnit};
use parquet::data_type::Decimal;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row as ParquetRow};
use serde_json::{Map, Value};

use super::input::Input;
use super::rows::{Broken, Place, Row, Rows};

const MICROS_A_DAY: i64 = 86_400_000_000;

/// The rows of a Parquet file.
pub(super) struct ParquetRows {
    rows: RowIter<'static>,
    file: String,
    at: Place,
    /// The columns that are points in time: how many of their units a second has, and whether they are of UTC.
    times: HashMap<String, (i64, bool)>,
}

impl ParquetRows {
    /// Goes to a place by reading up to it. Returns the columns and how many rows there are, too.
    pub(super) fn open(input: &Input, from: Place) -> anyhow::Result<(Self, Vec<String>, u64)> {
        let file = input.path.display().to_string();
        let reader =
            SerializedFileReader::new(input.file()?).with_context(|| format!("{file}: this is no Parquet file"))?;
        let metadata = reader.metadata().file_metadata();
        let total = metadata.num_rows().max(0).unsigned_abs();
        let (mut columns, mut times) = (Vec::new(), HashMap::new());
        for column in metadata.schema().get_fields() {
            columns.push(column.name().to_owned());
            if let Some(LogicalType::Timestamp(time)) = column.get_basic_info().logical_type_ref() {
                let units = match time.unit {
                    TimeUnit::MILLIS => 1_000,
                    TimeUnit::MICROS => 1_000_000,
                    TimeUnit::NANOS => 1_000_000_000,
                };
                times.insert(column.name().to_owned(), (units, time.is_adjusted_to_u_t_c));
            }
        }
        let mut rows = RowIter::from_file_into(Box::new(reader));
        for row in rows.by_ref().take(usize::try_from(from.row)?) {
            row.with_context(|| file.clone())?;
        }
        Ok((Self { rows, file, at: from, times }, columns, total))
    }

    fn json(&self, row: &ParquetRow) -> Result<String, Broken> {
        let mut object = Map::new();
        for (name, field) in row.get_column_iter() {
            let time = self.times.get(name).and_then(|(units, utc)| time(field, *units, *utc));
            let value = time.map_or_else(|| json(field), |time| Some(Value::String(time)));
            object.extend(value.map(|value| (name.clone(), value)));
        }
        let json = Value::Object(object).to_string();
        if json.len() > MAX_ROW_BYTES {
            let problem = format!("the row has {} bytes as JSON; at most {MAX_ROW_BYTES} are taken", json.len());
            return Err(Broken::new("too_large", problem));
        }
        Ok(json)
    }
}

impl Rows for ParquetRows {
    fn next(&mut self) -> anyhow::Result<Option<Row>> {
        let number = self.at.row + 1;
        let Some(row) = self.rows.next() else { return Ok(None) };
        let row = row.with_context(|| format!("{}: row {number} can't be read", self.file))?;
        self.at.row = number;
        Ok(Some(Row { number, json: self.json(&row), raw: None, end: self.at }))
    }
}

/// A value as JSON; none where there is none, or nothing that JSON has.
fn json(field: &Field) -> Option<Value> {
    Some(match field {
        Field::Null => return None,
        Field::Bool(value) => (*value).into(),
        Field::Byte(value) => (*value).into(),
        Field::Short(value) => (*value).into(),
        Field::Int(value) => (*value).into(),
        Field::Long(value) => (*value).into(),
        Field::UByte(value) => (*value).into(),
        Field::UShort(value) => (*value).into(),
        Field::UInt(value) => (*value).into(),
        Field::ULong(value) => (*value).into(),
        // As it is written shortest: 19.9 of 32 bits is not 19.899999618530273.
        Field::Float(value) => float(&value.to_string())?,
        Field::Float16(value) => float(&value.to_f32().to_string())?,
        Field::Double(value) => float(&value.to_string())?,
        Field::Decimal(value) => decimal(value)?.into(),
        Field::Str(value) => value.as_str().into(),
        Field::Bytes(value) => {
            std::str::from_utf8(value.data()).map_or_else(|_| STANDARD.encode(value.data()), str::to_owned).into()
        }
        Field::Date(days) => point_in_time(i64::from(*days).checked_mul(MICROS_A_DAY)?, true)?.get(..10)?.into(),
        Field::TimeMillis(millis) => point_in_time(i64::from(*millis) * 1_000, false)?.get(11..)?.into(),
        Field::TimeMicros(micros) => point_in_time(*micros, false)?.get(11..)?.into(),
        Field::TimestampMillis(millis) => point_in_time(millis.checked_mul(1_000)?, true)?.into(),
        Field::TimestampMicros(micros) => point_in_time(*micros, true)?.into(),
        Field::Group(row) => {
            let members = row.get_column_iter().filter_map(|(name, field)| Some((name.clone(), json(field)?)));
            Value::Object(members.collect())
        }
        Field::ListInternal(list) => Value::Array(list.elements().iter().filter_map(json).collect()),
        Field::MapInternal(map) => {
            let entries = map.entries().iter().filter_map(|(key, field)| Some((name(&json(key)?), json(field)?)));
            Value::Object(entries.collect())
        }
    })
}

fn name(key: &Value) -> String {
    key.as_str().map_or_else(|| key.to_string(), str::to_owned)
}

fn float(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

/// In decimal digits, exactly.
fn decimal(decimal: &Decimal) -> Option<String> {
    let bytes = decimal.data();
    if bytes.is_empty() || bytes.len() > 16 {
        return None;
    }
    let negative = bytes[0] & 0x80 != 0;
    let mut wide = [if negative { 0xff } else { 0 }; 16];
    wide[16 - bytes.len()..].copy_from_slice(bytes);
    let unscaled = i128::from_be_bytes(wide);
    let scale = usize::try_from(decimal.scale()).ok()?;
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let point = if scale == 0 { "" } else { "." };
    Some(format!("{}{whole}{point}{fraction}", if negative { "-" } else { "" }))
}

/// The text of a column that is a point in time.
fn time(field: &Field, units_a_second: i64, utc: bool) -> Option<String> {
    let micros = match field {
        Field::TimestampMillis(millis) => millis.checked_mul(1_000)?,
        Field::TimestampMicros(micros) => *micros,
        Field::Long(units) if units_a_second > 1_000_000 => units.div_euclid(units_a_second / 1_000_000),
        Field::Long(units) => units.checked_mul(1_000_000 / units_a_second)?,
        _ => return None,
    };
    point_in_time(micros, utc)
}

/// As RFC 3339 has it, with a zone where it is known.
fn point_in_time(micros: i64, utc: bool) -> Option<String> {
    let at = jiff::Timestamp::from_microsecond(micros).ok()?;
    Some(if utc { at.to_string() } else { jiff::tz::Offset::UTC.to_datetime(at).to_string() })
}
