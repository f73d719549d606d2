//! A condition on one dictionary column, answered once for each distinct value.
//!
//! `event = 'view' OR event = 'cart' OR event LIKE 'buy%'` over a dictionary is decided by the dictionary; a row costs one
//! look into a table of bytes, whatever the condition is. DataFusion compares and looks up once for each comparison.
//!
//! Deals with: finding such conditions, also as parts of AND, OR and NOT, and evaluating them. Does not deal with: conditions
//! over several columns.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, PrimitiveArray, RecordBatch, downcast_dictionary_array,
    new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::{ArrowDictionaryKeyType, ArrowNativeType, DataType, FieldRef, Schema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::expressions::{BinaryExpr, NotExpr};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::PhysicalExpr;
use parking_lot::Mutex;

use crate::error::Error;

/// Larger dictionaries than this are compared row by row: most of their values may occur in no row.
const MOST_VALUES: usize = 4_096;

/// The condition with its parts over one dictionary column decided by value.
pub fn by_value(condition: Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    condition
        .transform_down(|part| {
            let columns = collect_columns(&part);
            let mut columns = columns.iter();
            let one = columns.next().filter(|_| columns.next().is_none());
            let one = one.filter(|c| matches!(schema.field(c.index()).data_type(), DataType::Dictionary(..)));
            let Some(column) = one.filter(|_| !is_volatile(&part)) else {
                // Only the parts of AND, OR and NOT are sure to be given the same batch: a CASE gives its own columns.
                let logic = part.is::<NotExpr>()
                    || part
                        .downcast_ref::<BinaryExpr>()
                        .is_some_and(|b| matches!(b.op(), Operator::And | Operator::Or));
                let next = if logic { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Jump };
                return Ok(Transformed::new(part, false, next));
            };
            if part.data_type(schema)? != DataType::Boolean {
                return Ok(Transformed::new(part, false, TreeNodeRecursion::Jump));
            }
            let by_value = ByValue { column: column.index(), condition: part, known: Mutex::new(None) };
            Ok(Transformed::new(Arc::new(by_value) as Arc<dyn PhysicalExpr>, true, TreeNodeRecursion::Jump))
        })
        .data()
}

/// The expression that stands in for such a condition.
pub struct ByValue {
    /// The condition as it was: asked of the values, or of the rows where the column is no small dictionary.
    condition: Arc<dyn PhysicalExpr>,
    column: usize,
    /// The last dictionary and its table: batches of one column chunk share it.
    known: Mutex<Option<(ArrayRef, Arc<Table>)>>,
}

/// What the condition says of each value, and last of NULL.
struct Table {
    answers: Vec<u8>,
    has_nulls: bool,
}

/// One bit each: the lowest, and the next.
const TRUE: u8 = 1;
const NULL: u8 = 2;

/// Values up to which a dictionary's table has a fixed size.
const FIXED: usize = 256;

/// What a table says of each key; 0 of a key that is none of its.
pub(super) fn codes<K: ArrowNativeType>(keys: &[K], table: &[u8], codes: &mut Vec<u8>) {
    // Most dictionaries of events have few values; a table of fixed size needs no bounds checked at each row.
    if table.len() <= FIXED {
        let mut fixed = [0u8; FIXED];
        fixed[..table.len()].copy_from_slice(table);
        codes.extend(keys.iter().map(|key| fixed[key.as_usize() % FIXED]));
    } else {
        codes.extend(keys.iter().map(|key| table.get(key.as_usize()).copied().unwrap_or(0)));
    }
}

/// One bit of each byte.
pub(super) fn bits(codes: &[u8], bit: usize) -> BooleanBuffer {
    const LOWEST: u64 = 0x0101_0101_0101_0101;
    // Moves the lowest bit of byte j to bit 56 + j: no two of the products meet, so nothing is carried.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let mut packed = Vec::with_capacity(codes.len().div_ceil(8));
    let (eights, rest) = codes.as_chunks::<8>();
    packed.extend(
        eights.iter().map(|eight| (((u64::from_le_bytes(*eight) >> bit) & LOWEST).wrapping_mul(GATHER) >> 56) as u8),
    );
    if !rest.is_empty() {
        packed.push(rest.iter().enumerate().fold(0, |byte, (at, code)| byte | ((code >> bit) & 1) << at));
    }
    BooleanBuffer::new(Buffer::from_vec(packed), 0, codes.len())
}

impl ByValue {
    /// Position of the column.
    pub fn column(&self) -> usize {
        self.column
    }

    /// The condition itself, which rows may have to be asked.
    pub fn condition(&self) -> &Arc<dyn PhysicalExpr> {
        &self.condition
    }

    /// What the condition says of each value of the column's dictionary: NULL is `None`. `None` where the rows have to be asked.
    pub fn of_values<K: ArrowDictionaryKeyType>(
        &self,
        batch: &RecordBatch,
        column: &DictionaryArray<K>,
    ) -> Option<Vec<Option<bool>>> {
        let table = self.table(batch, column)?;
        let answers = table.answers[..column.values().len()].iter();
        Some(answers.map(|answer| (*answer != NULL).then_some(*answer == TRUE)).collect())
    }

    fn table<K: ArrowDictionaryKeyType>(&self, batch: &RecordBatch, column: &DictionaryArray<K>) -> Option<Arc<Table>> {
        let values = column.values();
        let mut known = self.known.lock();
        if let Some((of, table)) = known.as_ref()
            && Arc::ptr_eq(of, values)
        {
            return Some(Arc::clone(table));
        }
        if values.len() > MOST_VALUES.min(column.len()) {
            return None;
        }
        let each = (0..values.len()).map(K::Native::from_usize).chain([None]);
        let each: PrimitiveArray<K> = each.collect();
        if each.null_count() != 1 {
            return None;
        }
        let each: ArrayRef = Arc::new(DictionaryArray::try_new(each, Arc::clone(values)).ok()?);
        // The condition reads no other column: NULL stands for them.
        let columns = batch.columns().iter().enumerate().map(|(at, other)| match at == self.column {
            true => Arc::clone(&each),
            false => new_null_array(other.data_type(), each.len()),
        });
        let fields = batch.schema().fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.collect()).ok()?;
        // Where it fails on a value, the rows are asked: that value may occur in none of them.
        let answers = self.condition.evaluate(&batch).ok()?.into_array(batch.num_rows()).ok()?;
        let answers = answers.as_boolean_opt()?;
        let answer = |at| if answers.is_null(at) { NULL } else { u8::from(answers.value(at)) };
        let table =
            Arc::new(Table { answers: (0..answers.len()).map(answer).collect(), has_nulls: answers.null_count() > 0 });
        *known = Some((Arc::clone(values), Arc::clone(&table)));
        Some(table)
    }

    fn look_up<K: ArrowDictionaryKeyType>(
        &self,
        batch: &RecordBatch,
        column: &DictionaryArray<K>,
    ) -> Option<BooleanArray> {
        let table = self.table(batch, column)?;
        let mut answers = Vec::with_capacity(column.len());
        codes(column.keys().values(), &table.answers, &mut answers);
        let null = table.answers.len() - 1;
        if let Some(known) = column.keys().nulls() {
            let unknown = answers.iter_mut().zip(known).filter(|(_, known)| !known);
            unknown.for_each(|(answer, _)| *answer = table.answers[null]);
        }
        let nulls = (table.has_nulls && (column.null_count() > 0 || table.answers[..null].contains(&NULL)))
            .then(|| NullBuffer::new(!&bits(&answers, 1)));
        Some(BooleanArray::new(bits(&answers, 0), nulls))
    }
}

impl PhysicalExpr for ByValue {
    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.condition.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let column = batch.column(self.column);
        let found = downcast_dictionary_array!(
            column => self.look_up(batch, column),
            _ => None
        );
        match found {
            Some(found) => Ok(ColumnarValue::Array(Arc::new(found))),
            None => self.condition.evaluate(batch),
        }
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        match children.len() {
            0 => Ok(self),
            n => Err(Error::internal(format!("a condition by value has no children, got {n}")).into()),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt_sql(f)
    }
}

impl fmt::Display for ByValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "by_value({})", self.condition)
    }
}

impl fmt::Debug for ByValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for ByValue {
    fn eq(&self, other: &Self) -> bool {
        self.column == other.column && self.condition.eq(&other.condition)
    }
}

impl Eq for ByValue {}

impl Hash for ByValue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.condition.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray, UInt8Array};
    use arrow::datatypes::{Int32Type, UInt8Type};
    use datafusion::common::DFSchema;
    use datafusion::prelude::SessionContext;

    fn batch(event: ArrayRef) -> RecordBatch {
        let n: ArrayRef = Arc::new(Int64Array::from_iter_values(0..event.len() as i64));
        RecordBatch::try_from_iter_with_nullable([("n", n, true), ("event", event, true)]).unwrap()
    }

    /// The condition by value and as DataFusion evaluates it; how often a part is decided by value.
    fn both(sql: &str, batch: &RecordBatch) -> (BooleanArray, BooleanArray, usize) {
        let schema = DFSchema::try_from(batch.schema().as_ref().clone()).unwrap();
        let context = SessionContext::new();
        let logical = context.parse_sql_expr(sql, &schema).unwrap();
        let plain = context.create_physical_expr(logical, &schema).unwrap();
        let by = by_value(Arc::clone(&plain), &batch.schema()).unwrap();
        let run = |e: &Arc<dyn PhysicalExpr>| {
            let value = e.evaluate(batch).unwrap().into_array(batch.num_rows()).unwrap();
            value.as_boolean().clone()
        };
        (run(&by), run(&plain), by.to_string().matches("by_value").count())
    }

    #[test]
    fn bits_of_bytes() {
        let codes: Vec<u8> = (0..203u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for length in [0, 1, 7, 8, 9, 64, 200, 203] {
            for bit in 0..8 {
                let found: Vec<bool> = bits(&codes[..length], bit).iter().collect();
                let wanted: Vec<bool> = codes[..length].iter().map(|c| c >> bit & 1 == 1).collect();
                assert_eq!(found, wanted);
            }
        }
    }

    #[test]
    fn agrees_with_asking_row_by_row() {
        let texts =
            [Some("view"), None, Some("cart"), Some("view"), Some("buy"), Some("buyer"), Some(""), None, Some("7")];
        let many: Vec<Option<&str>> = texts.iter().copied().cycle().take(200).collect();
        let plain: DictionaryArray<Int32Type> = many.iter().copied().collect();
        // NULL as a value of the dictionary, a value of no row, and NULL keys over garbage.
        let values = StringArray::from(vec![Some("view"), None, Some("unused"), Some("cart")]);
        let keys = UInt8Array::new(
            (0..150u8).map(|i| if i % 7 == 0 { 250 } else { [0, 1, 3][i as usize % 3] }).collect::<Vec<_>>().into(),
            Some((0..150).map(|i| i % 7 != 0).collect::<NullBuffer>()),
        );
        let odd = DictionaryArray::<UInt8Type>::new(keys, Arc::new(values));
        for event in [Arc::new(plain.clone()) as ArrayRef, Arc::new(plain.slice(3, 71)), Arc::new(odd)] {
            let batch = batch(event);
            for (sql, parts) in [
                ("event = 'view'", 1),
                ("event = 'view' OR event = 'cart' OR event LIKE 'buy%'", 1),
                ("event IN ('cart', 'nothing')", 1),
                ("event <> 'view' AND n > 3", 1),
                ("NOT (event = 'view') OR n IS NULL OR event > 'c'", 2),
                ("event IS NULL", 1),
                ("event IS NOT NULL AND length(event) > 3", 1),
                ("n > 3", 0),
                ("CASE WHEN event = 'cart' THEN n > 20 ELSE event = 'view' END", 0),
            ] {
                let (by, plain, found) = both(sql, &batch);
                assert_eq!(by, plain, "{sql}");
                assert_eq!(found, parts, "{sql}");
            }
        }
    }
}
