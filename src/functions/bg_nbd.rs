//! BG/NBD in SQL: `bg_nbd_fit`, `p_alive`, `expected_purchases`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Float64Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF,
    Signature, Volatility,
};

use hashbrown::HashMap;

use super::documentation::documentation;
use super::row_function::{RowFunction, row_function};
use super::{ArgumentDoc, FunctionDoc, FunctionKind};
use crate::error::Error;
use crate::model::bg_nbd::{Customer, Params, fit};

/// `bg_nbd_fit(repeats, recency, age)`.
pub fn bg_nbd_fit() -> AggregateUDF {
    let types = vec![DataType::Int64, DataType::Float64, DataType::Float64];
    BgNbdFit { signature: Signature::exact(types, Volatility::Immutable) }.into()
}

/// `p_alive(model, repeats, recency, age)`.
pub fn p_alive() -> ScalarUDF {
    row_function(Forecast { name: "p_alive", horizon: false })
}

/// `expected_purchases(model, t, repeats, recency, age)`.
pub fn expected_purchases() -> ScalarUDF {
    row_function(Forecast { name: "expected_purchases", horizon: true })
}

const PARAMETERS: [&str; 4] = ["r", "alpha", "a", "b"];

fn model_fields() -> Fields {
    let number = |name: &str| Field::new(name, DataType::Float64, true);
    let mut fields: Vec<Field> = PARAMETERS.iter().map(|name| number(name)).collect();
    fields.extend([
        number("log_likelihood"),
        Field::new("customers", DataType::Int64, true),
        Field::new("converged", DataType::Boolean, true),
    ]);
    fields.into()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct BgNbdFit {
    signature: Signature,
}

impl AggregateUDFImpl for BgNbdFit {
    fn name(&self) -> &str {
        "bg_nbd_fit"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(model_fields()))
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Customers::default()))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = |part: &str, item: DataType| {
            Arc::new(Field::new(format!("{}[{part}]", args.name), DataType::new_list(item, true), true))
        };
        let numbers = [("repeats", DataType::Int64), ("recency", DataType::Float64), ("age", DataType::Float64)];
        let counts = ("customers", DataType::Int64);
        Ok(numbers.into_iter().chain([counts]).map(|(part, item)| list(part, item)).collect())
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(documentation("bg_nbd_fit"))
    }
}

/// The distinct customers seen, and how many there are of each: the fit needs no more, and where times are whole days they
/// are far fewer than users. It sorts them itself, so their order does not matter.
#[derive(Debug, Default)]
struct Customers {
    /// By repeats, and the bits of recency and age.
    seen: HashMap<(u32, u64, u64), u64>,
}

impl Customers {
    /// Adds customers, each once or as often as a fourth column says.
    fn add(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let (repeats, recency) = (columns[0].as_primitive::<Int64Type>(), columns[1].as_primitive::<Float64Type>());
        let age = columns[2].as_primitive::<Float64Type>();
        let counts = columns.get(3).map(|counts| counts.as_primitive::<Int64Type>().values());
        for row in 0..repeats.len() {
            // Negative repeats are somebody without any transaction: nothing to learn from.
            if repeats.is_null(row) || recency.is_null(row) || age.is_null(row) || repeats.value(row) < 0 {
                continue;
            }
            let count = u32::try_from(repeats.value(row)).map_err(|_| {
                Error::data(format!("bg_nbd_fit: {} repeat purchases of one customer", repeats.value(row)))
            })?;
            let customer = Customer { repeats: count, recency: recency.value(row), age: age.value(row) };
            customer.check()?;
            // Where nothing was repeated the recency says nothing.
            let recency = if count == 0 { 0.0 } else { customer.recency };
            let like_it = self.seen.entry((count, recency.to_bits(), customer.age.to_bits())).or_default();
            *like_it += counts.map_or(1, |counts| counts[row].max(0) as u64);
        }
        Ok(())
    }

    fn weighted(&self) -> impl Iterator<Item = (Customer, u64)> {
        self.seen.iter().map(|((repeats, recency, age), count)| {
            (Customer { repeats: *repeats, recency: f64::from_bits(*recency), age: f64::from_bits(*age) }, *count)
        })
    }
}

impl Accumulator for Customers {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists: Vec<_> = states.iter().map(|s| s.as_list::<i32>()).collect();
        for row in 0..lists[0].len() {
            if lists[0].is_valid(row) {
                self.add(&lists.iter().map(|l| l.value(row)).collect::<Vec<_>>())?;
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let list =
            |values: Vec<ScalarValue>, item: &DataType| ScalarValue::List(ScalarValue::new_list(&values, item, true));
        let repeats = self.weighted().map(|(c, _)| ScalarValue::from(i64::from(c.repeats))).collect();
        let recency = self.weighted().map(|(c, _)| ScalarValue::from(c.recency)).collect();
        let age = self.weighted().map(|(c, _)| ScalarValue::from(c.age)).collect();
        let counts = self.weighted().map(|(_, count)| ScalarValue::from(count as i64)).collect();
        Ok(vec![
            list(repeats, &DataType::Int64),
            list(recency, &DataType::Float64),
            list(age, &DataType::Float64),
            list(counts, &DataType::Int64),
        ])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.seen.keys().all(|(repeats, ..)| *repeats == 0) {
            return ScalarValue::try_from(&DataType::Struct(model_fields()));
        }
        let weighted: Vec<(Customer, f64)> = self.weighted().map(|(c, count)| (c, count as f64)).collect();
        let customers: u64 = self.seen.values().sum();
        let found = fit(&weighted)?;
        let Params { r, alpha, a, b } = found.params;
        let numbers = [r, alpha, a, b, found.log_likelihood];
        let mut columns: Vec<ArrayRef> =
            numbers.iter().map(|n| Arc::new(Float64Array::from(vec![*n])) as ArrayRef).collect();
        columns.push(Arc::new(arrow::array::Int64Array::from(vec![customers as i64])));
        columns.push(Arc::new(arrow::array::BooleanArray::from(vec![found.converged])));
        Ok(ScalarValue::Struct(Arc::new(StructArray::try_new(model_fields(), columns, None)?)))
    }

    fn size(&self) -> usize {
        // The fit lists them: as they are, sorted and merged, and in columns.
        let fitted = self.seen.len() * (2 * size_of::<(Customer, f64)>() + size_of::<Customer>());
        size_of_val(self) + self.seen.allocation_size() + fitted
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Forecast {
    name: &'static str,
    /// Whether a span to look ahead follows the model.
    horizon: bool,
}

impl RowFunction for Forecast {
    fn name(&self) -> &'static str {
        self.name
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let numbers = 3 + usize::from(self.horizon);
        let is_model =
            matches!(types.first(), Some(DataType::Struct(f)) if PARAMETERS.iter().all(|p| f.find(p).is_some()));
        if !is_model || types.len() != numbers + 1 {
            let shape =
                if self.horizon { "(model, t, repeats, recency, age)" } else { "(model, repeats, recency, age)" };
            return Err(Error::user(format!(
                "{}: needs {shape}, where model is a STRUCT with r, alpha, a and b, as bg_nbd_fit(..) answers",
                self.name
            ))
            .into());
        }
        Ok([types[0].clone()].into_iter().chain(std::iter::repeat_n(DataType::Float64, numbers)).collect())
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let models = columns[0].as_struct();
        let parameters: Vec<Float64Array> = PARAMETERS
            .iter()
            .map(|name| {
                let column =
                    models.column_by_name(name).ok_or_else(|| Error::internal(format!("no parameter {name}")))?;
                Ok::<_, datafusion::error::DataFusionError>(
                    arrow::compute::cast(column, &DataType::Float64)?.as_primitive::<Float64Type>().clone(),
                )
            })
            .collect::<Result<_>>()?;
        let numbers: Vec<&Float64Array> = columns[1..].iter().map(|c| c.as_primitive::<Float64Type>()).collect();
        let mut answers = Vec::with_capacity(models.len());
        for row in 0..models.len() {
            let unknown = models.is_null(row)
                || parameters.iter().any(|p| p.is_null(row))
                || numbers.iter().any(|n| n.is_null(row))
                || numbers[numbers.len() - 3].value(row) < 0.0;
            if unknown {
                answers.push(None);
                continue;
            }
            let [r, alpha, a, b] = [0, 1, 2, 3].map(|p| parameters[p].value(row));
            let model = Params::new(r, alpha, a, b)?;
            let [repeats, recency, age] = [3, 2, 1].map(|from_end| numbers[numbers.len() - from_end].value(row));
            if repeats.fract() != 0.0 || repeats > f64::from(u32::MAX) {
                return Err(Error::data(format!(
                    "{}: {repeats} repeat purchases; a whole number is needed",
                    self.name
                ))
                .into());
            }
            let customer = Customer { repeats: repeats as u32, recency, age };
            customer.check()?;
            answers.push(Some(if self.horizon {
                model.expected_purchases(numbers[0].value(row), &customer)
            } else {
                model.p_alive(&customer)
            }));
        }
        Ok(ColumnarValue::Array(Arc::new(Float64Array::from(answers))))
    }
}

/// What the manual says of this family.
pub fn docs() -> Vec<FunctionDoc> {
    let argument = |name, kind, text| ArgumentDoc { name, kind, default: None, text };
    let customer = || {
        vec![
            argument("repeats", "BIGINT", "Distinct periods with a purchase, minus 1."),
            argument("recency", "DOUBLE", "Time from the first to the last purchase."),
            argument("age", "DOUBLE", "Time from the first purchase to the end of observation, in the same unit."),
        ]
    };
    let with = |first: Vec<ArgumentDoc>| first.into_iter().chain(customer()).collect();
    let model = || argument("model", "STRUCT", "With fields r, alpha, a and b, as `bg_nbd_fit` answers.");
    vec![
        FunctionDoc {
            name: "bg_nbd_fit",
            kind: FunctionKind::Aggregate,
            summary: "Fits the BG/NBD model to customers, one row each",
            syntax: "bg_nbd_fit(repeats, recency, age)",
            arguments: customer(),
            returns: vec![
                ("r, alpha, a, b DOUBLE", "The parameters; alpha is in the unit of the times."),
                ("log_likelihood DOUBLE", "At the parameters."),
                ("customers BIGINT", "How many were used."),
                ("converged BOOLEAN", "Whether the gradient vanishes there."),
            ],
            text: "Maximum likelihood of Fader, Hardie and Lee (2005). Rows with a NULL or with negative repeats are left out. \
                   NULL where no customer has a repeat purchase: the likelihood then has no maximum. The answer does not \
                   depend on the order of rows. Cost: some 20 to 50 passes over the distinct customers (repeats, recency, age); some 130 bytes each.",
            example: "SELECT round(m.r, 3) AS r, round(m.alpha, 3) AS alpha, m.customers\nFROM (\n  SELECT bg_nbd_fit(x, tx, age) AS m\n  FROM (VALUES (2, 30.43, 38.86), (1, 1.71, 38.86), (0, 0.0, 38.86), (0, 0.0, 38.86), (4, 35.1, 36.0), (0, 0.0, 27.0)) AS c(x, tx, age)\n)",
        },
        FunctionDoc {
            name: "p_alive",
            kind: FunctionKind::Scalar,
            summary: "The probability that a customer is still active (BG/NBD)",
            syntax: "p_alive(model, repeats, recency, age)",
            arguments: with(vec![model()]),
            returns: vec![(
                "DOUBLE",
                "0 to 1; 1 without repeat purchases; NULL where an argument is NULL or repeats is negative.",
            )],
            text: "Fader, Hardie and Lee (2005): a customer can only leave right after a purchase, and the first is given.",
            example: "SELECT round(p_alive(named_struct('r', 0.243, 'alpha', 4.414, 'a', 0.793, 'b', 2.426), 2, 30.43, 38.86), 4) AS p_alive",
        },
        FunctionDoc {
            name: "expected_purchases",
            kind: FunctionKind::Scalar,
            summary: "How many purchases to expect of a customer in the next t (BG/NBD)",
            syntax: "expected_purchases(model, t, repeats, recency, age)",
            arguments: with(vec![model(), argument("t", "DOUBLE", "How far to look ahead, in the model's unit.")]),
            returns: vec![("DOUBLE", "At least 0; NULL as for `p_alive`.")],
            text: "The conditional expectation of Fader, Hardie and Lee (2005), with Gauss's hypergeometric function.",
            example: "SELECT round(expected_purchases(named_struct('r', 0.243, 'alpha', 4.414, 'a', 0.793, 'b', 2.426), 39, 2, 30.43, 38.86), 3) AS expected",
        },
    ]
}
