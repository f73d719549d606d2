//! Several inputs, each ordered by user, evaluated as one: their users are merged, their rows stay where they are.
//!
//! ```text
//! input 0   a a b b b d d | d e        what is held of each input ends at |
//! input 1   b c c f f |
//! input 2   a d d g |                  the bound: d, the least of the users in which the held batches end
//!
//! groups    a: 0 0 2 2   b: 0 0 0 1   c: 1 1   d: 0 0 2 2 ..      a, b and c are over in every input; d goes on
//! ```
//!
//! Rows up to the bound are taken: no input has more of the users before it. An input whose held rows are used up, one at
//! the least, brings its next batch. The state of a user does not depend on the order in which its rows come, so they are
//! fed input by input, and only users are compared, never times.
//!
//! Deals with: one partition's inputs, the range of users that the partition owns, the bound, the numbers of groups.
//! Does not deal with: finding users within a batch (`user_runs`), or which files and users a partition gets (`plan`).
//! Memory: one batch of each input, and the state of the users of about one batch.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{SortOptions, cast, interleave};
use arrow::datatypes::DataType;
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use futures::future::try_join_all;

use super::user_runs::{Block, UserQuestion, UserRuns, compact};

/// What one partition reads: the inputs that can hold its users, and which users these are.
#[derive(Debug, Clone)]
pub struct Share {
    /// Which partitions of the operator below it merges.
    pub inputs: Range<usize>,
    /// Its least user, as [`Keys`] writes it; `None` is from the first.
    pub low: Option<OwnedRow>,
    /// The user from which on they are another's; `None` is to the last.
    pub high: Option<OwnedRow>,
}

/// Users as bytes that compare like the users do.
pub struct Keys(RowConverter);

impl Keys {
    /// For users of this type; `None` where it has no such form.
    pub fn new(user: &DataType, order: SortOptions) -> Result<Option<Self>> {
        let fields = vec![SortField::new_with_options(value_type(user).clone(), order)];
        if !RowConverter::supports_fields(&fields) {
            return Ok(None);
        }
        Ok(Some(Self(RowConverter::new(fields)?)))
    }

    /// The keys of users.
    pub fn of(&self, users: &ArrayRef) -> Result<Rows> {
        Ok(self.0.convert_columns(&[plain(users)?])?)
    }
}

fn value_type(user: &DataType) -> &DataType {
    match user {
        DataType::Dictionary(_, value) => value,
        other => other,
    }
}

/// Users without their dictionary: those of several inputs have different ones.
fn plain(users: &ArrayRef) -> Result<ArrayRef> {
    Ok(match users.data_type() {
        DataType::Dictionary(_, value) => cast(users, value)?,
        _ => Arc::clone(users),
    })
}

/// One input.
struct Input {
    /// `None` once it has ended, or is past the partition's users.
    rows: Option<SendableRecordBatchStream>,
    held: Option<Held>,
    /// The user of the last row that came.
    last: Option<ArrayRef>,
}

impl Input {
    /// Whether nothing is held of it though it may have more.
    fn waits(&self) -> bool {
        self.rows.is_some() && self.held.is_none()
    }
}

/// What is held of an input: the users of a batch that are the partition's and not yet taken.
struct Held {
    block: Block,
    /// The users of the runs, and as keys.
    users: ArrayRef,
    keys: Rows,
    runs: Range<usize>,
    bytes: usize,
}

impl Held {
    fn last(&self) -> arrow::row::Row<'_> {
        self.keys.row(self.runs.end - 1)
    }
}

/// One partition being merged.
pub struct Merge {
    inputs: Vec<Input>,
    runs: UserRuns,
    keys: Keys,
    low: Option<OwnedRow>,
    high: Option<OwnedRow>,
    /// The user of the last group, who may go on.
    open: Option<OwnedRow>,
}

impl Merge {
    /// Nothing read yet.
    pub fn new(
        question: Arc<UserQuestion>,
        keys: Keys,
        share: &Share,
        inputs: Vec<SendableRecordBatchStream>,
    ) -> Result<Self> {
        let inputs = inputs.into_iter().map(|rows| Input { rows: Some(rows), held: None, last: None }).collect();
        let runs = UserRuns::new(question)?;
        Ok(Self { inputs, runs, keys, low: share.low.clone(), high: share.high.clone(), open: None })
    }

    /// The users met and not yet taken out.
    pub fn runs(&mut self) -> &mut UserRuns {
        &mut self.runs
    }

    /// The next batch of every input of which nothing is held; an input that has ended brings none. They are waited for
    /// together: files are opened side by side, and an input that waits for another (a join that collects what all its
    /// partitions look for) is not kept from being asked.
    pub async fn next(&mut self) -> Result<Vec<(usize, RecordBatch)>> {
        let waiting = self.inputs.iter_mut().enumerate().filter(|(_, input)| input.waits());
        let came = waiting.map(|(at, input)| async move {
            while let Some(rows) = &mut input.rows {
                match rows.next().await.transpose()? {
                    Some(batch) if batch.num_rows() == 0 => {}
                    Some(batch) => return Ok(Some((at, batch))),
                    None => input.rows = None,
                }
            }
            Ok::<_, DataFusionError>(None)
        });
        Ok(try_join_all(came).await?.into_iter().flatten().collect())
    }

    /// Holds a batch of an input; nothing where none of its users are the partition's.
    pub fn hold(&mut self, at: usize, batch: &RecordBatch) -> Result<()> {
        let input = &mut self.inputs[at];
        let block = self.runs.block(batch, input.last.as_ref())?;
        input.last = Some(block.last());
        let users = plain(&block.users(0..block.runs().len())?)?;
        let keys = self.keys.of(&users)?;
        let below = |bound: &OwnedRow| partition_point(0..keys.num_rows(), |run| keys.row(run) < bound.row());
        let from = self.low.as_ref().map_or(0, below);
        let to = self.high.as_ref().map_or(keys.num_rows(), below);
        if to < keys.num_rows() {
            input.rows = None;
        }
        if from < to {
            let bytes = block.size() + users.get_array_memory_size() + keys.size();
            input.held = Some(Held { block, users, keys, runs: from..to, bytes });
        }
        Ok(())
    }

    /// Whether an input has more to bring before users can be taken.
    pub fn wants_more(&self) -> bool {
        self.inputs.iter().any(Input::waits)
    }

    /// Whether all was taken.
    pub fn ended(&self) -> bool {
        self.inputs.iter().all(|input| input.rows.is_none() && input.held.is_none())
    }

    /// Takes the rows up to the bound.
    pub fn take(&mut self) -> Result<()> {
        let going_on = self.inputs.iter().filter(|input| input.rows.is_some());
        let bound = going_on.filter_map(|input| input.held.as_ref()).map(Held::last).min().map(|row| row.owned());
        let cuts: Vec<Range<usize>> = (self.inputs.iter())
            .map(|input| match (&input.held, &bound) {
                (None, _) => 0..0,
                (Some(held), None) => held.runs.clone(),
                (Some(held), Some(bound)) => {
                    let end = partition_point(held.runs.clone(), |run| held.keys.row(run) <= bound.row());
                    held.runs.start..end
                }
            })
            .collect();
        let groups = self.number(&cuts)?;
        for ((input, cut), groups) in self.inputs.iter_mut().zip(&cuts).zip(groups) {
            let Some(held) = &mut input.held else { continue };
            self.runs.feed(&held.block, cut.clone(), groups.into_iter())?;
            held.runs.start = cut.end;
            if held.runs.is_empty() {
                input.held = None;
            }
        }
        Ok(())
    }

    /// The group of each run that is taken, by input; users not met before begin one.
    fn number(&mut self, cuts: &[Range<usize>]) -> Result<Vec<Vec<usize>>> {
        let mut groups: Vec<Vec<usize>> = cuts.iter().map(|cut| Vec::with_capacity(cut.len())).collect();
        let held: Vec<Option<&Held>> = self.inputs.iter().map(|input| input.held.as_ref()).collect();
        let mut runs = Vec::with_capacity(cuts.iter().map(ExactSizeIterator::len).sum());
        for (at, cut) in cuts.iter().enumerate() {
            let Some(held) = held[at] else { continue };
            runs.extend(cut.clone().map(|run| (held.keys.row(run), at, run)));
        }
        // Each input's are in order already: a stable sort finds that and merges.
        if cuts.iter().filter(|cut| !cut.is_empty()).count() > 1 {
            runs.sort_by(|a, b| a.0.cmp(&b.0));
        }
        let mut new: Vec<(usize, usize)> = Vec::new();
        let mut before = self.open.as_ref().map(OwnedRow::row);
        let met = self.runs.groups();
        for (key, at, run) in &runs {
            if before != Some(*key) {
                new.push((*at, *run));
                before = Some(*key);
            }
            groups[*at].push(met + new.len() - 1);
        }
        let open = runs.last().map(|(key, ..)| key.owned());
        if !new.is_empty() {
            // `interleave` counts arrays, not inputs.
            let some: Vec<&Held> = held.iter().flatten().copied().collect();
            let places: Vec<usize> = held
                .iter()
                .scan(0, |next, held| {
                    let place = *next;
                    *next += usize::from(held.is_some());
                    Some(place)
                })
                .collect();
            let picks: Vec<(usize, usize)> = new.iter().map(|(at, run)| (places[*at], *run)).collect();
            let arrays: Vec<_> = some.iter().map(|held| held.users.as_ref()).collect();
            let users = interleave(&arrays, &picks)?;
            self.runs.begin(compact(users));
        }
        self.open = open.or(self.open.take());
        Ok(groups)
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        let held: usize = self.inputs.iter().filter_map(|input| input.held.as_ref()).map(|held| held.bytes).sum();
        held + self.runs.size()
    }
}

/// The first of the range for which the condition does not hold.
fn partition_point(range: Range<usize>, holds: impl Fn(usize) -> bool) -> usize {
    let (mut from, mut to) = (range.start, range.end);
    while from < to {
        let middle = from + (to - from) / 2;
        if holds(middle) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    from
}
