//! `funnel_touches(kept, which, n)`: the values along a chain by which a funnel is broken down.
//!
//! A touch is an event of the chain at which one at least of the first `n` kept values is not NULL.
//! Does not deal with: the value at one given step; that is an element of the chain's list.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StructArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use arrow::row::{RowConverter, SortField};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF};

use crate::error::Error;
use crate::functions::columns::list_of;
use crate::functions::row_function::{RowFunction, row_function};

const NAME: &str = "funnel_touches";

/// Which touches are asked for, as written in SQL.
pub const TOUCHES: [&str; 3] = ["first", "last", "all"];

/// The function: a list of the first touch, the last one, or all distinct ones in the order of the chain. Where there is no
/// touch, one item of NULLs.
pub fn funnel_touches() -> ScalarUDF {
    row_function(FunnelTouches)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FunnelTouches;

fn wrong() -> Error {
    Error::user(format!("{NAME}: needs (kept values of a chain, 'first', 'last' or 'all', number of values)"))
}

/// The kept fields, by the type of the list.
fn fields_of(kept: &DataType) -> Option<&Fields> {
    match kept {
        DataType::List(item) => match item.data_type() {
            DataType::Struct(fields) => Some(fields),
            _ => None,
        },
        _ => None,
    }
}

fn count_of(value: Option<&ScalarValue>) -> Option<usize> {
    match value {
        Some(ScalarValue::Int64(Some(n))) => usize::try_from(*n).ok().filter(|n| *n > 0),
        _ => None,
    }
}

impl RowFunction for FunnelTouches {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [kept, _, _] if fields_of(kept).is_some() => Ok(vec![kept.clone(), DataType::Utf8, DataType::Int64]),
            _ => Err(wrong().into()),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Err(Error::internal("funnel_touches: its type depends on a constant").into())
    }

    fn answer_field(&self, args: &ReturnFieldArgs) -> Option<Result<FieldRef>> {
        let fields = fields_of(args.arg_fields[0].data_type());
        let count = count_of(args.scalar_arguments.get(2).copied().flatten());
        let (Some(fields), Some(count)) = (fields, count) else { return Some(Err(wrong().into())) };
        let touch = DataType::Struct(fields.iter().take(count).cloned().collect());
        Some(Ok(Arc::new(Field::new(NAME, DataType::new_list(touch, true), true))))
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [kept, ColumnarValue::Scalar(which), ColumnarValue::Scalar(count)] = args.args.as_slice() else {
            return Err(wrong().into());
        };
        let (Some(Some(which)), Some(count)) = (which.try_as_str(), count_of(Some(count))) else {
            return Err(wrong().into());
        };
        Ok(ColumnarValue::Array(touches(&kept.to_array(args.number_rows)?, which, count)?))
    }
}

fn touches(kept: &ArrayRef, which: &str, count: usize) -> Result<ArrayRef> {
    let lists = kept.as_list::<i32>();
    let items = lists.values().as_struct();
    let fields: Fields = items.fields().iter().take(count).cloned().collect();
    let columns: Vec<ArrayRef> = items.columns().iter().take(count).cloned().collect();
    let sort = fields.iter().map(|f| SortField::new(f.data_type().clone())).collect();
    let rows = RowConverter::new(sort)?.convert_columns(&columns)?;
    let is_touch = |at: usize| items.is_valid(at) && columns.iter().any(|c| c.is_valid(at));

    let mut chosen: Vec<Option<u32>> = Vec::with_capacity(lists.len());
    let mut offsets = vec![0i32];
    for list in 0..lists.len() {
        let begun = chosen.len();
        let places = lists.value_offsets()[list] as usize..lists.value_offsets()[list + 1] as usize;
        let mut along = places.filter(|at| is_touch(*at));
        match which {
            "first" => chosen.extend(along.next().map(|at| Some(at as u32))),
            "last" => chosen.extend(along.next_back().map(|at| Some(at as u32))),
            // A chain has at most 64 events.
            _ => along.for_each(|at| {
                let seen = |other: &Option<u32>| other.is_some_and(|o| rows.row(o as usize) == rows.row(at));
                if !chosen[begun..].iter().any(seen) {
                    chosen.push(Some(at as u32));
                }
            }),
        }
        if chosen.len() == begun {
            chosen.push(None);
        }
        offsets.push(chosen.len() as i32);
    }
    let chosen = UInt32Array::from(chosen);
    let columns = columns.iter().map(|c| take(c, &chosen, None)).collect::<Result<Vec<_>, _>>()?;
    Ok(list_of(Arc::new(StructArray::try_new(fields, columns, None)?), offsets))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};
    use arrow::buffer::NullBuffer;
    use arrow::datatypes::Field;

    use super::*;

    /// Two chains and an empty one; the third value of the first chain is a gap, its second touch has a NULL field.
    fn kept() -> ArrayRef {
        let fields: Fields = vec![
            Field::new("a", DataType::Utf8, true),
            Field::new("b", DataType::Int64, true),
            Field::new("other", DataType::Int64, true),
        ]
        .into();
        let a = StringArray::from(vec![None, Some("x"), Some("gap"), Some("x"), Some("y"), None]);
        let b = Int64Array::from(vec![None, None, Some(1), None, Some(2), None]);
        let other = Int64Array::from(vec![1, 2, 3, 4, 5, 6]);
        let present = NullBuffer::from(vec![true, true, false, true, true, true]);
        let items =
            StructArray::try_new(fields, vec![Arc::new(a), Arc::new(b), Arc::new(other)], Some(present)).unwrap();
        list_of(Arc::new(items), vec![0, 5, 6, 6])
    }

    fn shown(which: &str) -> Vec<Vec<(Option<String>, Option<i64>)>> {
        let answer = touches(&kept(), which, 2).unwrap();
        let lists = answer.as_list::<i32>();
        lists
            .iter()
            .map(|list| {
                let list = list.unwrap();
                let items = list.as_struct();
                assert_eq!(items.num_columns(), 2);
                let a = items.column(0).as_string::<i32>();
                let b = items.column(1).as_primitive::<arrow::datatypes::Int64Type>();
                a.iter().zip(b).map(|(a, b)| (a.map(String::from), b)).collect()
            })
            .collect()
    }

    #[test]
    fn touches_are_events_with_a_value() {
        let x = || (Some("x".to_string()), None);
        let y = || (Some("y".to_string()), Some(2));
        let none = || vec![(None, None)];
        assert_eq!(shown("first"), vec![vec![x()], none(), none()]);
        assert_eq!(shown("last"), vec![vec![y()], none(), none()]);
        assert_eq!(shown("all"), vec![vec![x(), y()], none(), none()]);
    }
}
