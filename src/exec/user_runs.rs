//! Runs of rows with one user, in batches ordered by user.
//!
//! Deals with: finding where users begin by comparing neighbours, feeding the aggregates, taking finished users out, and
//! refusing input that is not in order. Does not deal with: streams, partitions, memory pools.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array, make_comparator};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{SortOptions, cast, concat, filter_record_batch, partition, take};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::array_value_to_string;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::PhysicalExpr;

use super::conditions::{Argument, Conditions, any_set, true_bits};
use super::edges::EdgeUser;
use crate::error::Error;

/// What to do with files that are not in the order they claim; Parquet's own claim may mean each row group alone.
pub const DISBELIEVE: &str = "SET tenure.ordered_execution = false reads files without believing their order";

/// What is asked of each user.
pub struct UserQuestion {
    /// The user, over the input.
    pub key: Arc<dyn PhysicalExpr>,
    /// How the input is ordered by it.
    pub order: SortOptions,
    /// Which rows count; a user without any has no answer. Its arguments, and those of the aggregates, are evaluated for all rows.
    pub rows: Option<Arc<dyn PhysicalExpr>>,
    /// The aggregates.
    pub aggregates: Vec<Arc<AggregateFunctionExpr>>,
    /// Their arguments, over the input.
    pub arguments: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    /// Their FILTER clauses.
    pub filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
    /// The user, then the answers.
    pub schema: SchemaRef,
    /// The files read, for messages.
    pub files: String,
}

impl UserQuestion {
    /// Users and answers as a batch of the operator's schema.
    pub fn batch(&self, mut columns: Vec<ArrayRef>) -> Result<RecordBatch> {
        let user = self.schema.field(0).data_type();
        if columns[0].data_type() != user {
            columns[0] = cast(&columns[0], user)?;
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    /// Two neighbours that stand in the wrong order.
    pub fn out_of_order(&self, users: &ArrayRef, before: usize, after: usize) -> Error {
        let show = |at: usize| array_value_to_string(users, at).unwrap_or_else(|_| "a value".to_string());
        Error::data(format!(
            "{}: declared to be ordered by {}, but {} comes after {}",
            self.files,
            self.schema.field(0).name(),
            show(after),
            show(before)
        ))
        .hint(DISBELIEVE)
    }
}

/// One aggregate of the query with its state.
struct Running {
    arguments: Vec<Argument>,
    filter: Option<Argument>,
    groups: Box<dyn GroupsAccumulator>,
}

/// The same values without what else their buffers hold: texts as views point into the pages they were read from, and a
/// user that stays for the next batch would keep those of all batches before it.
fn compact(users: ArrayRef) -> ArrayRef {
    match users.data_type() {
        DataType::Utf8View => Arc::new(users.as_string_view().gc()),
        DataType::BinaryView => Arc::new(users.as_binary_view().gc()),
        _ => users,
    }
}

/// The users met and not yet taken out; only the last one may go on in the next batch.
pub struct UserRuns {
    question: Arc<UserQuestion>,
    aggregates: Vec<Running>,
    /// The users of the groups, in order.
    users: Vec<ArrayRef>,
    groups: usize,
    /// The user of the last row: an array of one row.
    last: Option<ArrayRef>,
    /// Whether the last group is that user's: none of its rows may have counted yet.
    last_has_group: bool,
    row_groups: Vec<usize>,
    rows: Option<Argument>,
    conditions: Conditions,
}

/// Where fewer than one row in so many counts, the others are taken out before the arguments are evaluated.
const FEW: usize = 16;

impl UserRuns {
    /// No user yet.
    pub fn new(question: Arc<UserQuestion>) -> Result<Self> {
        let mut conditions = Conditions::default();
        let rows = question.rows.clone().map(|rows| conditions.argument(rows));
        let asked = question.aggregates.iter().zip(&question.arguments).zip(&question.filters);
        let aggregates = asked
            .map(|((aggregate, arguments), filter)| {
                Ok(Running {
                    arguments: arguments.iter().map(|a| conditions.argument(Arc::clone(a))).collect(),
                    filter: filter.clone().map(|filter| conditions.argument(filter)),
                    groups: aggregate.create_groups_accumulator()?,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let (users, last, row_groups) = Default::default();
        Ok(Self { question, aggregates, users, groups: 0, last, last_has_group: false, row_groups, rows, conditions })
    }

    /// Takes the next batch.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.conditions.next_batch();
        let users = self.question.key.evaluate(batch)?.into_array(batch.num_rows())?;
        let runs = partition(std::slice::from_ref(&users))?.ranges();
        let continues = self.check_order(&users, &runs)?;
        let counts = match &mut self.rows {
            Some(rows) => Some(true_bits(&self.conditions.evaluate(rows, batch)?)),
            None => None,
        };
        self.number(&users, &runs, continues, counts.as_ref())?;
        self.last = Some(users.slice(users.len() - 1, 1));
        let Some(counts) = counts else { return self.update(batch, None) };
        let counting = counts.count_set_bits();
        if counting == batch.num_rows() {
            return self.update(batch, None);
        }
        let counts = BooleanArray::new(counts, None);
        if counting * FEW > batch.num_rows() {
            return self.update(batch, Some(counts));
        }
        if counting > 0 {
            self.conditions.next_batch();
            self.row_groups = counts.values().set_indices().map(|row| self.row_groups[row]).collect();
            self.update(&filter_record_batch(batch, &counts)?, None)?;
        }
        Ok(())
    }

    /// Whether the first user of a batch is the last one of the batch before; an error where users go back.
    fn check_order(&self, users: &ArrayRef, runs: &[Range<usize>]) -> Result<bool> {
        let compare = make_comparator(users, users, self.question.order)?;
        if let Some(neighbours) = runs.windows(2).find(|w| compare(w[0].start, w[1].start) != Ordering::Less) {
            return Err(self.question.out_of_order(users, neighbours[0].start, neighbours[1].start).into());
        }
        let Some(last) = &self.last else { return Ok(false) };
        match make_comparator(last, users, self.question.order)?(0, 0) {
            Ordering::Equal => Ok(true),
            Ordering::Less => Ok(false),
            Ordering::Greater => {
                let both = concat(&[last.as_ref(), users.slice(0, 1).as_ref()])?;
                Err(self.question.out_of_order(&both, 0, 1).into())
            }
        }
    }

    /// Gives every row its group; a user none of whose rows count has none, and whatever its rows are given is not read.
    fn number(
        &mut self,
        users: &ArrayRef,
        runs: &[Range<usize>],
        continues: bool,
        counts: Option<&BooleanBuffer>,
    ) -> Result<()> {
        self.row_groups.clear();
        self.row_groups.reserve(users.len());
        let mut new = Vec::with_capacity(runs.len());
        for (at, run) in runs.iter().enumerate() {
            let known = at == 0 && continues && self.last_has_group;
            if !known {
                self.last_has_group = counts.is_none_or(|counts| any_set(counts, run.start, run.end));
                if self.last_has_group {
                    self.groups += 1;
                    new.push(run.start as u32);
                }
            }
            self.row_groups.extend(std::iter::repeat_n(self.groups.saturating_sub(1), run.len()));
        }
        if !new.is_empty() {
            self.users.push(compact(take(users, &UInt32Array::from(new), None)?));
        }
        Ok(())
    }

    fn update(&mut self, batch: &RecordBatch, counts: Option<BooleanArray>) -> Result<()> {
        let Self { aggregates, conditions, row_groups, groups, .. } = self;
        for aggregate in aggregates {
            let mut evaluate = |a: &mut Argument| conditions.evaluate(a, batch);
            let arguments = aggregate.arguments.iter_mut().map(&mut evaluate).collect::<Result<Vec<_>>>()?;
            let filter = match &mut aggregate.filter {
                Some(filter) => Some(evaluate(filter)?),
                None => None,
            };
            let both;
            let filter = match (filter.as_ref().map(|f| f.as_boolean()), counts.as_ref()) {
                (Some(filter), Some(counts)) => {
                    both = BooleanArray::new(&true_bits(filter) & counts.values(), None);
                    Some(&both)
                }
                (filter, counts) => filter.or(counts),
            };
            aggregate.groups.update_batch(&arguments, row_groups, filter, *groups)?;
        }
        Ok(())
    }

    /// Users whose rows are over, as far as this partition goes.
    pub fn finished(&self) -> usize {
        self.groups.saturating_sub(1)
    }

    /// Users met and not taken out.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The answer for the first `count` users, which are taken out.
    pub fn answer(&mut self, count: usize) -> Result<RecordBatch> {
        let emit = self.emit(count);
        let mut columns = vec![self.take_users(count)?];
        for aggregate in &mut self.aggregates {
            columns.push(aggregate.groups.evaluate(emit)?);
        }
        self.question.batch(columns)
    }

    /// The partial state of the first user, who is taken out; `held` accounts for it from now on.
    pub fn take_edge(&mut self, held: MemoryReservation) -> Result<EdgeUser> {
        let emit = self.emit(1);
        let user = compact(self.take_users(1)?);
        let states = self.aggregates.iter_mut().map(|a| a.groups.state(emit)).collect::<Result<Vec<_>>>()?;
        let columns = states.iter().flatten().chain([&user]);
        held.try_resize(columns.map(|c| c.get_array_memory_size()).sum())?;
        Ok(EdgeUser { user, states, _held: held })
    }

    fn emit(&self, count: usize) -> EmitTo {
        if count == self.groups { EmitTo::All } else { EmitTo::First(count) }
    }

    fn take_users(&mut self, count: usize) -> Result<ArrayRef> {
        let all = concat(&self.users.iter().map(|u| u.as_ref()).collect::<Vec<_>>())?;
        let rest = all.len() - count;
        self.users = if rest > 0 { vec![compact(all.slice(count, rest))] } else { Vec::new() };
        self.groups -= count;
        Ok(all.slice(0, count))
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        let users: usize = self.users.iter().map(|u| u.get_array_memory_size()).sum();
        let constants: usize = self.aggregates.iter().flat_map(|a| &a.arguments).map(Argument::size).sum();
        let states: usize = self.aggregates.iter().map(|a| a.groups.size()).sum();
        states + users + constants + self.conditions.size() + self.row_groups.capacity() * size_of::<usize>()
    }
}
