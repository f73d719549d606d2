//! Runs of rows with one user, in batches ordered by user.
//!
//! Deals with: finding where users begin by comparing neighbours, feeding the aggregates, taking finished users out, and
//! refusing input that is not in order. Does not deal with: streams, partitions, memory pools.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array, make_comparator};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{SortOptions, cast, concat, filter, filter_record_batch, partition, take};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::array_value_to_string;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::GroupsAccumulatorAdapter;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::PhysicalExpr;

use super::conditions::{Argument, Conditions, any_set, true_bits};
use super::edges::EdgeUser;
use super::files::Files;
use crate::error::Error;

/// What to do with files that are not in the order they claim; Parquet's own claim may mean each row group alone.
pub const DISBELIEVE: &str = "SET tenure.ordered_execution = false reads files without believing their order";

/// What is asked of each user.
pub struct UserQuestion {
    /// The user, over the input.
    pub key: Arc<dyn PhysicalExpr>,
    /// How the input is ordered by it.
    pub order: SortOptions,
    /// Which rows count: those for which all of these hold. A user without any has no answer. They are evaluated for all rows,
    /// and so may the arguments be.
    pub rows: Vec<Arc<dyn PhysicalExpr>>,
    /// The aggregates.
    pub aggregates: Vec<Arc<AggregateFunctionExpr>>,
    /// Their arguments, over the input.
    pub arguments: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    /// Their FILTER clauses.
    pub filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
    /// The user, then the answers.
    pub schema: SchemaRef,
    /// The files read, for messages.
    pub files: Files,
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
            self.files.wrong_row(),
            self.schema.field(0).name(),
            show(after),
            show(before)
        ))
        .hint(DISBELIEVE)
    }
}

/// A fresh state of an aggregate; those that know only one group get one for each user.
pub fn fresh_groups(aggregate: &Arc<AggregateFunctionExpr>) -> Result<Box<dyn GroupsAccumulator>> {
    if aggregate.groups_accumulator_supported() {
        return aggregate.create_groups_accumulator();
    }
    let aggregate = Arc::clone(aggregate);
    Ok(Box::new(GroupsAccumulatorAdapter::new(move || aggregate.create_accumulator())))
}

/// One aggregate of the query with its state.
struct Running {
    arguments: Vec<Argument>,
    filter: Option<Argument>,
    groups: Box<dyn GroupsAccumulator>,
}

/// The same values without what else their buffers hold: texts as views point into the pages they were read from, and a
/// user that stays for the next batch would keep those of all batches before it.
pub(super) fn compact(users: ArrayRef) -> ArrayRef {
    match users.data_type() {
        DataType::Utf8View => Arc::new(users.as_string_view().gc()),
        DataType::BinaryView => Arc::new(users.as_binary_view().gc()),
        _ => users,
    }
}

/// Where fewer than one row in so many counts, the others are taken out before the arguments are evaluated.
const FEW: usize = 16;

/// A batch with all that is asked of its rows evaluated, and where its users begin.
pub struct Block {
    users: ArrayRef,
    /// The rows of each user of whom some row counts.
    runs: Vec<Range<usize>>,
    /// The user of the last row, counting or not.
    last: ArrayRef,
    /// For each aggregate.
    arguments: Vec<Vec<ArrayRef>>,
    /// For each aggregate, the rows that it takes.
    filters: Vec<Option<BooleanArray>>,
}

impl Block {
    /// The rows of each user of whom some row counts.
    pub fn runs(&self) -> &[Range<usize>] {
        &self.runs
    }

    /// The user of the last row: an array of one row.
    pub fn last(&self) -> ArrayRef {
        Arc::clone(&self.last)
    }

    /// The users of these runs, a row each.
    pub fn users(&self, runs: Range<usize>) -> Result<ArrayRef> {
        let starts = UInt32Array::from_iter_values(self.runs[runs].iter().map(|run| run.start as u32));
        Ok(compact(take(&self.users, &starts, None)?))
    }

    /// Bytes held, as far as they are not shared with other batches.
    pub fn size(&self) -> usize {
        let columns = self.arguments.iter().flatten().chain([&self.users]);
        let columns: usize = columns.map(|c| c.to_data().get_slice_memory_size().unwrap_or(0)).sum();
        let filters: usize = self.filters.iter().flatten().map(|f| f.len().div_ceil(8)).sum();
        columns + filters + self.runs.capacity() * size_of::<Range<usize>>()
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
    /// The user of the last group.
    open: Option<ArrayRef>,
    row_groups: Vec<usize>,
    rows: Vec<Argument>,
    conditions: Conditions,
}

impl UserRuns {
    /// No user yet.
    pub fn new(question: Arc<UserQuestion>) -> Result<Self> {
        let mut conditions = Conditions::default();
        let rows = question.rows.iter().map(|rows| conditions.argument(Arc::clone(rows))).collect();
        let aggregates = (question.aggregates.iter().zip(&question.arguments).zip(&question.filters))
            .map(|((aggregate, arguments), filter)| {
                Ok(Running {
                    arguments: arguments.iter().map(|a| conditions.argument(Arc::clone(a))).collect(),
                    filter: filter.clone().map(|filter| conditions.argument(filter)),
                    groups: fresh_groups(aggregate)?,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let (users, last, open, row_groups) = Default::default();
        Ok(Self { question, aggregates, users, groups: 0, last, open, row_groups, rows, conditions })
    }

    /// Evaluates a batch that has rows; `last` is the user of the row before it.
    pub fn block(&mut self, batch: &RecordBatch, last: Option<&ArrayRef>) -> Result<Block> {
        let mut users = self.question.key.evaluate(batch)?.into_array(batch.num_rows())?;
        let mut runs = partition(std::slice::from_ref(&users))?.ranges();
        let compare = make_comparator(&users, &users, self.question.order)?;
        if let Some(neighbours) = runs.windows(2).find(|w| compare(w[0].start, w[1].start) != Ordering::Less) {
            return Err(self.question.out_of_order(&users, neighbours[0].start, neighbours[1].start).into());
        }
        if let Some(last) = last
            && make_comparator(last, &users, self.question.order)?(0, 0) == Ordering::Greater
        {
            let both = concat(&[last.as_ref(), users.slice(0, 1).as_ref()])?;
            return Err(self.question.out_of_order(&both, 0, 1).into());
        }
        let end = users.slice(users.len() - 1, 1);
        self.conditions.next_batch();
        let mut counts: Option<BooleanBuffer> = None;
        for condition in &mut self.rows {
            let holds = true_bits(&self.conditions.evaluate(condition, batch)?);
            counts = Some(match counts {
                Some(counts) => &counts & &holds,
                None => holds,
            });
        }
        // All rows, some of them, or a batch of those that count.
        let counting = counts.as_ref().map_or(batch.num_rows(), |counts| counts.count_set_bits());
        let counts = counts.filter(|_| counting < batch.num_rows()).map(|counts| BooleanArray::new(counts, None));
        let (arguments, filters) = match counts {
            None => self.evaluate(batch, None)?,
            Some(counts) if counting * FEW > batch.num_rows() => {
                runs.retain(|run| any_set(counts.values(), run.start, run.end));
                self.evaluate(batch, Some(&counts))?
            }
            Some(counts) => {
                users = filter(&users, &counts)?;
                runs = partition(std::slice::from_ref(&users))?.ranges();
                self.conditions.next_batch();
                self.evaluate(&filter_record_batch(batch, &counts)?, None)?
            }
        };
        Ok(Block { users, runs, last: end, arguments, filters })
    }

    /// The arguments of each aggregate, and which rows it takes.
    #[expect(clippy::type_complexity, reason = "two lists, one entry an aggregate")]
    fn evaluate(
        &mut self,
        batch: &RecordBatch,
        counts: Option<&BooleanArray>,
    ) -> Result<(Vec<Vec<ArrayRef>>, Vec<Option<BooleanArray>>)> {
        let Self { aggregates, conditions, .. } = self;
        let (mut arguments, mut filters) = (Vec::new(), Vec::new());
        for aggregate in aggregates {
            let mut evaluate = |a: &mut Argument| conditions.evaluate(a, batch);
            arguments.push(aggregate.arguments.iter_mut().map(&mut evaluate).collect::<Result<Vec<_>>>()?);
            let own = match &mut aggregate.filter {
                Some(filter) => Some(true_bits(&evaluate(filter)?)),
                None => None,
            };
            filters.push(match (own, counts) {
                (Some(own), Some(counts)) => Some(BooleanArray::new(&own & counts.values(), None)),
                (Some(own), None) => Some(BooleanArray::new(own, None)),
                (None, counts) => counts.cloned(),
            });
        }
        Ok((arguments, filters))
    }

    /// Takes the next batch.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let last = self.last.take();
        let block = self.block(batch, last.as_ref())?;
        self.last = Some(block.last());
        let (Some(begins), Some(ends)) = (block.runs.first(), block.runs.last()) else { return Ok(()) };
        let continues = match &self.open {
            None => false,
            Some(open) => make_comparator(open, &block.users, self.question.order)?(0, begins.start) == Ordering::Equal,
        };
        self.open = Some(block.users.slice(ends.start, 1));
        let first = if continues { self.groups - 1 } else { self.groups };
        let runs = block.runs.len();
        if usize::from(continues) < runs {
            self.begin(block.users(usize::from(continues)..runs)?);
        }
        self.feed(&block, 0..runs, first..first + runs)
    }

    /// New users, which stand after all others.
    pub fn begin(&mut self, users: ArrayRef) {
        self.groups += users.len();
        self.users.push(users);
    }

    /// The rows of some runs, whose users are these groups.
    pub fn feed(&mut self, block: &Block, runs: Range<usize>, groups: impl Iterator<Item = usize>) -> Result<()> {
        let runs = &block.runs[runs];
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else { return Ok(()) };
        let (from, rows) = (first.start, last.end - first.start);
        self.row_groups.clear();
        self.row_groups.reserve(rows);
        for (run, group) in runs.iter().zip(groups) {
            // Up to its end: rows between two runs do not count, and no aggregate takes them.
            self.row_groups.resize(run.end - from, group);
        }
        let whole = rows == block.users.len();
        for (nth, aggregate) in self.aggregates.iter_mut().enumerate() {
            let filter = block.filters[nth].as_ref();
            if whole {
                aggregate.groups.update_batch(&block.arguments[nth], &self.row_groups, filter, self.groups)?;
            } else {
                let arguments: Vec<ArrayRef> = block.arguments[nth].iter().map(|a| a.slice(from, rows)).collect();
                let filter = filter.map(|f| f.slice(from, rows));
                aggregate.groups.update_batch(&arguments, &self.row_groups, filter.as_ref(), self.groups)?;
            }
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
