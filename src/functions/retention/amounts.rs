//! Amounts as columns: doubles, and whole numbers and decimals as decimals of 38 digits.
//!
//! Does not deal with: what is added up (`algo::cohort_value`).

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, Float64Array, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Fields, Float64Type};
use datafusion::error::Result;

use crate::algo::cohort_value::{Amount, TooLarge};
use crate::error::Error;
use crate::functions::columns::list_of;

/// Digits of a decimal that holds sums.
const DIGITS: u8 = 38;

/// A number of a column.
pub trait ColumnAmount: Amount {
    /// Those of a column.
    fn read(column: &ArrayRef) -> &[Self];
    /// A column of this type.
    fn column(values: Vec<Self>, nulls: Option<NullBuffer>, data_type: &DataType) -> Result<ArrayRef>;
    /// The type of a column of unrounded sums.
    fn state_type(data_type: &DataType) -> DataType;
    /// A column of unrounded sums; nothing where one is too large.
    fn states<'a>(sums: impl Iterator<Item = &'a Self::Sum>, data_type: &DataType) -> Result<ArrayRef, TooLarge>;
    /// Adds the unrounded sum in this row.
    fn add_state(states: &ArrayRef, row: usize, sum: &mut Self::Sum);
}

impl ColumnAmount for f64 {
    fn read(column: &ArrayRef) -> &[Self] {
        column.as_primitive::<Float64Type>().values()
    }

    fn column(values: Vec<Self>, nulls: Option<NullBuffer>, _data_type: &DataType) -> Result<ArrayRef> {
        Ok(Arc::new(Float64Array::try_new(values.into(), nulls)?))
    }

    fn state_type(_data_type: &DataType) -> DataType {
        DataType::new_list(DataType::Float64, true)
    }

    fn states<'a>(sums: impl Iterator<Item = &'a Self::Sum>, _data_type: &DataType) -> Result<ArrayRef, TooLarge> {
        let (mut parts, mut ends) = (Vec::new(), vec![0i32]);
        for sum in sums {
            parts.extend(sum.parts());
            ends.push(i32::try_from(parts.len()).map_err(|_| TooLarge)?);
        }
        Ok(list_of(Arc::new(Float64Array::from(parts)), ends))
    }

    fn add_state(states: &ArrayRef, row: usize, sum: &mut Self::Sum) {
        let lists = states.as_list::<i32>();
        let range = lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize;
        sum.terms += 1;
        lists.values().as_primitive::<Float64Type>().values()[range].iter().for_each(|part| sum.add(*part));
    }
}

impl ColumnAmount for i128 {
    fn read(column: &ArrayRef) -> &[Self] {
        column.as_primitive::<Decimal128Type>().values()
    }

    fn column(values: Vec<Self>, nulls: Option<NullBuffer>, data_type: &DataType) -> Result<ArrayRef> {
        Ok(Arc::new(Decimal128Array::try_new(values.into(), nulls)?.with_data_type(data_type.clone())))
    }

    fn state_type(data_type: &DataType) -> DataType {
        data_type.clone()
    }

    fn states<'a>(sums: impl Iterator<Item = &'a Self::Sum>, data_type: &DataType) -> Result<ArrayRef, TooLarge> {
        let totals = sums.map(|sum| Self::total(sum).ok_or(TooLarge)).collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(Decimal128Array::new(totals.into(), None).with_data_type(data_type.clone())))
    }

    fn add_state(states: &ArrayRef, row: usize, sum: &mut Self::Sum) {
        states.as_primitive::<Decimal128Type>().value(row).add_to(sum);
    }
}

/// The type that an argument of amounts is coerced to.
pub fn coerce_amount(function: &str, amount: &DataType) -> Result<DataType, Error> {
    let refuse = |why: &str| Err(Error::user(format!("{function}: the amounts must be numbers, got {amount}{why}")));
    match amount {
        DataType::Float16 | DataType::Float32 | DataType::Float64 | DataType::Null => Ok(DataType::Float64),
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => {
            Ok(DataType::Decimal128(DIGITS, *scale))
        }
        whole if whole.is_integer() => Ok(DataType::Decimal128(DIGITS, 0)),
        DataType::Decimal256(..) => refuse(", which has more than 38 digits; CAST them to DECIMAL(38, n) or DOUBLE"),
        _ => refuse(""),
    }
}

/// What is said of one period of a user.
pub fn worth_fields(amount: &DataType) -> Fields {
    vec![
        Field::new("period", DataType::Int64, false),
        Field::new("amount", amount.clone(), false),
        Field::new("since_birth", amount.clone(), true),
    ]
    .into()
}

/// The type of the amounts in a list of periods, as `user_amounts` answers it; `None` for any other type.
pub fn amount_of(worth: &DataType) -> Option<&DataType> {
    let DataType::List(item) = worth else { return None };
    let DataType::Struct(fields) = item.data_type() else { return None };
    let amount = fields.get(1)?.data_type();
    (*fields == worth_fields(amount)).then_some(amount)
}

/// A list of structs as an element of a list, or as an answer.
pub fn list_item(fields: Fields) -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(fields), true))
}

/// Structs cut into lists.
pub fn list_of_structs(structs: arrow::array::StructArray, offsets: Vec<i32>) -> Result<ArrayRef> {
    let item = list_item(structs.fields().clone());
    Ok(Arc::new(ListArray::try_new(item, OffsetBuffer::new(offsets.into()), Arc::new(structs), None)?))
}

/// The error of a sum that is too large.
pub fn too_large(function: &str) -> Error {
    Error::data(format!("{function}: a sum of the amounts has more than {DIGITS} digits; CAST them to DOUBLE"))
}
