//! The expressions that the one-pass aggregation asks of each batch: which rows count, and the aggregates' arguments.
//!
//! Conditions over one dictionary column are decided together: one look at each row tells up to eight of them, so that
//! a funnel of three steps below `WHERE event IN (..)` reads its events once, not four times.
//!
//! Deals with: evaluating each expression once for each batch, and constants once at all. Does not deal with: what a condition over a
//! dictionary is ([`by_value`](super::by_value)), or which rows belong to whom (`user_runs`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, RecordBatch, downcast_dictionary_array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::ArrowDictionaryKeyType;
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_plan::PhysicalExpr;

use super::by_value::{ByValue, bits, codes};

/// Conditions that one look at a row can tell: the bits of a byte.
const AT_ONCE: usize = 8;

/// An expression with what it needs to be evaluated for many batches.
pub struct Argument {
    expression: Arc<dyn PhysicalExpr>,
    /// A constant is made once and sliced, not made anew for every batch.
    constant: Option<ArrayRef>,
    /// Its place among the conditions that are decided together.
    place: Option<(usize, usize)>,
}

/// The conditions over dictionaries that occur among the arguments.
#[derive(Default)]
pub struct Conditions {
    together: Vec<Together>,
}

impl Conditions {
    /// Takes an expression in; one that occurs twice is evaluated once.
    pub fn argument(&mut self, expression: Arc<dyn PhysicalExpr>) -> Argument {
        let place = expression.downcast_ref::<ByValue>().map(|condition| self.place(condition, &expression));
        Argument { expression, constant: None, place }
    }

    fn place(&mut self, condition: &ByValue, expression: &Arc<dyn PhysicalExpr>) -> (usize, usize) {
        let same_column = |t: &Together| t.column == condition.column();
        for (group, together) in self.together.iter().enumerate().filter(|(_, t)| same_column(t)) {
            if let Some(at) = together.conditions.iter().position(|c| c.eq(expression)) {
                return (group, at);
            }
        }
        let free = |t: &Together| same_column(t) && t.conditions.len() < AT_ONCE;
        let group = self.together.iter().position(free).unwrap_or_else(|| {
            self.together.push(Together { column: condition.column(), ..Together::default() });
            self.together.len() - 1
        });
        self.together[group].conditions.push(Arc::clone(expression));
        (group, self.together[group].conditions.len() - 1)
    }

    /// Forgets what the batch before answered.
    pub fn next_batch(&mut self) {
        for together in &mut self.together {
            together.answers.clear();
            together.asked = false;
        }
    }

    /// The value of an argument for each row of `batch`, which is the same until [`Conditions::next_batch`].
    pub fn evaluate(&mut self, argument: &mut Argument, batch: &RecordBatch) -> Result<ArrayRef> {
        let rows = batch.num_rows();
        if let Some((group, at)) = argument.place
            && let Some(answer) = self.together[group].answer(at, batch)
        {
            return Ok(answer);
        }
        if argument.expression.downcast_ref::<Literal>().is_none() {
            return argument.expression.evaluate(batch)?.into_array(rows);
        }
        let made = match &argument.constant {
            Some(made) if made.len() >= rows => Arc::clone(made),
            _ => Arc::clone(argument.constant.insert(argument.expression.evaluate(batch)?.into_array(rows)?)),
        };
        Ok(made.slice(0, rows))
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        let of = |t: &Together| t.codes.capacity() + t.table.capacity() + t.answers.len() * t.codes.len().div_ceil(8);
        self.together.iter().map(of).sum()
    }
}

impl Argument {
    /// Bytes held.
    pub fn size(&self) -> usize {
        self.constant.as_ref().map_or(0, |c| c.get_array_memory_size())
    }
}

/// Up to eight conditions over one dictionary column.
#[derive(Default)]
struct Together {
    column: usize,
    conditions: Vec<Arc<dyn PhysicalExpr>>,
    /// For each value of the dictionary `values` a byte with a bit for each condition; empty where one of them may be NULL.
    table: Vec<u8>,
    values: Option<ArrayRef>,
    /// The byte of each row.
    codes: Vec<u8>,
    /// The answers for the batch at hand, once asked; empty where each condition has to be asked for itself.
    answers: Vec<ArrayRef>,
    asked: bool,
}

impl Together {
    fn answer(&mut self, at: usize, batch: &RecordBatch) -> Option<ArrayRef> {
        if self.conditions.len() == 1 {
            return None;
        }
        if !self.asked {
            self.asked = true;
            let column = batch.column(self.column);
            let known = downcast_dictionary_array!(
                column => self.look_up(column, batch),
                _ => false
            );
            if known {
                let bits = |bit| Arc::new(BooleanArray::new(bits(&self.codes, bit), None)) as ArrayRef;
                self.answers = (0..self.conditions.len()).map(bits).collect();
            }
        }
        self.answers.get(at).cloned()
    }

    /// Fills the codes; false where a condition may be NULL for a row, or the dictionary is too large.
    fn look_up<K: ArrowDictionaryKeyType>(&mut self, column: &DictionaryArray<K>, batch: &RecordBatch) -> bool {
        if !self.values.as_ref().is_some_and(|v| Arc::ptr_eq(v, column.values())) {
            self.table = self.table_of(column, batch).unwrap_or_default();
            self.values = Some(Arc::clone(column.values()));
        }
        if self.table.is_empty() || column.keys().null_count() > 0 {
            return false;
        }
        self.codes.clear();
        codes(column.keys().values(), &self.table, &mut self.codes);
        true
    }

    fn table_of<K: ArrowDictionaryKeyType>(&self, column: &DictionaryArray<K>, batch: &RecordBatch) -> Option<Vec<u8>> {
        let mut codes = vec![0u8; column.values().len()];
        for (bit, condition) in self.conditions.iter().enumerate() {
            let answers = condition.downcast_ref::<ByValue>()?.of_values(batch, column)?;
            for (code, answer) in codes.iter_mut().zip(answers) {
                *code |= u8::from(answer?) << bit;
            }
        }
        Some(codes)
    }
}

/// Whether any bit of a range is set.
pub fn any_set(bits: &BooleanBuffer, from: usize, to: usize) -> bool {
    // Most ranges are short, and most are decided by their first bits.
    let near = to.min(from + 8);
    (from..near).any(|at| bits.value(at)) || (near < to && bits.slice(near, to - near).count_set_bits() > 0)
}

/// The rows for which a condition is true: NULL is false.
pub fn true_bits(answer: &dyn Array) -> BooleanBuffer {
    let answer = answer.as_boolean();
    match answer.nulls() {
        Some(known) => answer.values() & known.inner(),
        None => answer.values().clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::by_value::by_value;
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{Int32Type, UInt8Type};
    use datafusion::common::DFSchema;
    use datafusion::prelude::SessionContext;

    #[test]
    fn any_bit_of_a_range() {
        let all: BooleanBuffer = (0..100).map(|i| i == 37 || i == 60).collect();
        for from in 0..100 {
            for to in from..100 {
                assert_eq!(any_set(&all, from, to), (from..to).any(|i| i == 37 || i == 60), "{from} {to}");
            }
        }
    }

    /// Batches whose dictionaries change from one to the next, with NULL keys, NULL values and a large dictionary.
    fn batches() -> Vec<RecordBatch> {
        let n = |rows: usize| Arc::new(Int64Array::from_iter_values(0..rows as i64)) as ArrayRef;
        let texts = ["view", "cart", "buy", "other", "view"];
        let plain: DictionaryArray<Int32Type> = (0..77).map(|i| Some(texts[i % 5])).collect();
        let nulls: DictionaryArray<Int32Type> = (0..77).map(|i| (i % 3 > 0).then_some(texts[i % 5])).collect();
        let many: DictionaryArray<Int32Type> = (0..9_000)
            .map(|i| ["a", "view"][i % 2].to_string() + &i.to_string())
            .collect::<Vec<_>>()
            .iter()
            .map(|s| Some(s.as_str()))
            .collect();
        let words: Vec<String> = (0..3_000).map(|i| format!("{}{}", ["view", "cart"][i % 2], i % 1_000)).collect();
        let some: DictionaryArray<Int32Type> = words.iter().map(|word| Some(word.as_str())).collect();
        let other = DictionaryArray::<Int32Type>::new(
            (0..77).map(|i| i % 3).collect::<Vec<i32>>().into(),
            Arc::new(StringArray::from(vec![Some("buy"), None, Some("cart")])),
        );
        [plain.clone(), plain.slice(5, 40), nulls, other, many, some, plain]
            .into_iter()
            .map(|d| {
                RecordBatch::try_from_iter_with_nullable([
                    ("n", n(d.len()), true),
                    ("event", Arc::new(d) as ArrayRef, true),
                ])
                .unwrap()
            })
            .collect()
    }

    #[test]
    fn together_as_one_by_one() {
        let batches = batches();
        let schema = DFSchema::try_from(batches[0].schema().as_ref().clone()).unwrap();
        let context = SessionContext::new();
        let sql = [
            "event = 'view'",
            "event IN ('view', 'cart')",
            "event LIKE 'c%'",
            "event = 'buy' AND n > 20",
            "n > 3",
            "event IS NULL",
            "true",
            "event = 'view'",
            "event > 'c'",
            "event < 'c'",
            "event = 'x'",
            "event <> 'x'",
            "event = 'other'",
            "length(event) = 4",
        ];
        let plain: Vec<_> = sql
            .iter()
            .map(|s| context.create_physical_expr(context.parse_sql_expr(s, &schema).unwrap(), &schema).unwrap())
            .collect();
        let mut conditions = Conditions::default();
        let mut arguments: Vec<Argument> =
            plain.iter().map(|e| conditions.argument(by_value(Arc::clone(e), &batches[0].schema()).unwrap())).collect();
        assert_eq!(conditions.together.iter().map(|t| t.conditions.len()).collect::<Vec<_>>(), [8, 2]);
        let mut together = 0;
        for batch in &batches {
            conditions.next_batch();
            for (plain, argument) in plain.iter().zip(&mut arguments) {
                let found = conditions.evaluate(argument, batch).unwrap();
                let wanted = plain.evaluate(batch).unwrap().into_array(batch.num_rows()).unwrap();
                assert_eq!(found.as_boolean(), wanted.as_boolean(), "{plain}");
            }
            together += usize::from(!conditions.together[0].answers.is_empty());
        }
        // Not where NULLs or too many values are.
        assert_eq!(together, 4);
    }

    #[test]
    fn narrow_keys() {
        let event: DictionaryArray<UInt8Type> = (0..300).map(|i| Some(["a", "b", "c"][i % 3])).collect();
        let batch = RecordBatch::try_from_iter([("event", Arc::new(event) as ArrayRef)]).unwrap();
        let schema = DFSchema::try_from(batch.schema().as_ref().clone()).unwrap();
        let context = SessionContext::new();
        let mut conditions = Conditions::default();
        let mut arguments: Vec<Argument> = ["event = 'a'", "event = 'c'"]
            .iter()
            .map(|s| context.create_physical_expr(context.parse_sql_expr(s, &schema).unwrap(), &schema).unwrap())
            .map(|e| conditions.argument(by_value(e, &batch.schema()).unwrap()))
            .collect();
        let count = |a: ArrayRef| a.as_boolean().true_count();
        assert_eq!(count(conditions.evaluate(&mut arguments[0], &batch).unwrap()), 100);
        assert_eq!(count(conditions.evaluate(&mut arguments[1], &batch).unwrap()), 100);
        assert!(!conditions.together[0].answers.is_empty());
    }
}
