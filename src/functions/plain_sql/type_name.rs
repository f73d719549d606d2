//! `typeof(value)`, and the names of types in SQL: `BIGINT`, `VARCHAR`, `DECIMAL(10,2)`, `VARCHAR[]`.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, Signature, Volatility};

use crate::functions::row_function::{RowFunction, row_function};

/// A type by its name in SQL. Texts are VARCHAR however they are stored, and a dictionary is what its values are. A TIMESTAMP counts
/// nanoseconds or microseconds; coarser ones say their digits, `TIMESTAMP(3)`.
pub fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "NULL".into(),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INTEGER".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::UInt8 => "TINYINT UNSIGNED".into(),
        DataType::UInt16 => "SMALLINT UNSIGNED".into(),
        DataType::UInt32 => "INTEGER UNSIGNED".into(),
        DataType::UInt64 => "BIGINT UNSIGNED".into(),
        DataType::Float16 => "HALF".into(),
        DataType::Float32 => "REAL".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal32(digits, scale)
        | DataType::Decimal64(digits, scale)
        | DataType::Decimal128(digits, scale)
        | DataType::Decimal256(digits, scale) => format!("DECIMAL({digits},{scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "BYTEA".into()
        }
        DataType::Date32 | DataType::Date64 => "DATE".into(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".into(),
        DataType::Timestamp(unit, zone) => {
            let digits = match unit {
                TimeUnit::Nanosecond | TimeUnit::Microsecond => "",
                TimeUnit::Millisecond => "(3)",
                TimeUnit::Second => "(0)",
            };
            let zone = if zone.is_some() { " WITH TIME ZONE" } else { "" };
            format!("TIMESTAMP{digits}{zone}")
        }
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL".into(),
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) | DataType::LargeListView(item) => {
            format!("{}[]", sql_type(item.data_type()))
        }
        DataType::FixedSizeList(item, length) => format!("{}[{length}]", sql_type(item.data_type())),
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| format!("{} {}", field.name(), sql_type(field.data_type())));
            format!("STRUCT({})", fields.collect::<Vec<_>>().join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                format!("MAP({}, {})", sql_type(pair[0].data_type()), sql_type(pair[1].data_type()))
            }
            _ => "MAP".into(),
        },
        DataType::Union(fields, _) => {
            let fields = fields.iter().map(|(_, field)| format!("{} {}", field.name(), sql_type(field.data_type())));
            format!("UNION({})", fields.collect::<Vec<_>>().join(", "))
        }
        DataType::Dictionary(_, values) => sql_type(values),
        DataType::RunEndEncoded(_, values) => sql_type(values.data_type()),
    }
}

/// The function.
pub fn type_of() -> ScalarUDF {
    row_function(TypeOf)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TypeOf;

impl RowFunction for TypeOf {
    fn name(&self) -> &'static str {
        "typeof"
    }

    fn signature(&self) -> Signature {
        Signature::any(1, Volatility::Immutable)
    }

    fn answer_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let name = sql_type(args.arg_fields[0].data_type());
        Ok(ColumnarValue::Scalar(ScalarValue::Utf8(Some(name))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Field;

    #[test]
    fn types_have_the_names_that_sql_gives_them() {
        let list = |item| DataType::List(Field::new_list_field(item, true).into());
        for (data_type, name) in [
            (DataType::Utf8View, "VARCHAR"),
            (DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::LargeUtf8)), "VARCHAR"),
            (DataType::Decimal128(38, 2), "DECIMAL(38,2)"),
            (DataType::Timestamp(TimeUnit::Microsecond, None), "TIMESTAMP"),
            (DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), "TIMESTAMP(3) WITH TIME ZONE"),
            (DataType::Date64, "DATE"),
            (list(list(DataType::UInt8)), "TINYINT UNSIGNED[][]"),
            (
                DataType::Struct(
                    vec![Field::new("a b", DataType::Int64, true), Field::new("l", list(DataType::Utf8), true)].into(),
                ),
                "STRUCT(a b BIGINT, l VARCHAR[])",
            ),
        ] {
            assert_eq!(sql_type(&data_type), name);
        }
    }
}
