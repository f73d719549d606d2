//! The grouped state of questions that fold each user's events as they come: a little that is known of the user, and a log of the
//! rest.
//!
//! Deals with: growing, kept values, merging, handing each user's entries to the question, giving users out in part, memory.
//! Does not deal with: what is known and logged ([`UserFold`]). Questions that need every event of a user log events
//! (`event_groups`).
//!
//! Memory: what is known of each user, each entry of the log and 4 bytes for reading it back, each distinct kept value once (until
//! its users are answered, where input is ordered).

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, StructArray};
use arrow::buffer::NullBuffer;
use datafusion::error::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::kept_values::{KeptValues, MANY_VALUES};
use super::single_group::states_of_rows;
use crate::algo::event_log::{ByGroup, EventLog, Grouped};
use crate::error::Error;

/// The number of no kept value.
pub const NO_VALUE: u32 = u32::MAX;

/// One question: what is known of a user, what goes to the log, and what becomes of both.
pub trait UserFold: Send + Sized + 'static {
    /// The aggregate's name, for messages.
    const NAME: &'static str;
    /// What the entries of the log are, for messages.
    const ENTRIES: &'static str;
    /// What is known of a user. One event makes one touch of it, which is likely a cache miss: it should be small.
    type Known: Copy + Send;
    /// An entry of the log.
    type Logged: Grouped + Send;
    /// A user of whom nothing has come yet.
    const UNKNOWN: Self::Known;

    /// The number of the kept value, [`NO_VALUE`] for none.
    fn kept(_known: &Self::Known) -> u32 {
        NO_VALUE
    }
    /// Sets it.
    fn set_kept(_known: &mut Self::Known, _number: u32) {}
    /// The entry that is not yet in the log, since the next event may still be folded into it.
    fn pending(known: &Self::Known, group: u32) -> Option<Self::Logged>;
    /// The same question without anything that came.
    fn fresh(&self) -> Self;
    /// Takes rows in.
    fn update(
        &mut self,
        users: &mut Users<Self>,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
    ) -> Result<()>;
    /// Takes partial states in.
    fn merge(&mut self, users: &mut Users<Self>, values: &[ArrayRef], groups: &[usize]) -> Result<()>;
    /// A row for each user; `kept` are their kept values, where values are kept.
    fn evaluate(&mut self, taken: &Taken<Self>, kept: Option<ArrayRef>) -> Result<ArrayRef>;
    /// The partial states of the users.
    fn state(&mut self, taken: &Taken<Self>, kept: Option<ArrayRef>) -> Result<Vec<ArrayRef>>;
    /// Bytes that stand beside the log while users are given out: for each user, and for each entry.
    fn bytes_at_the_end() -> (usize, usize);
}

/// The users of one accumulator.
pub struct Users<F: UserFold> {
    /// What is known of each.
    pub known: Vec<F::Known>,
    /// The rest.
    pub log: EventLog<F::Logged>,
    values: Option<KeptValues>,
    /// Rows of the batch whose value may be the one to keep.
    candidates: Vec<u32>,
}

impl<F: UserFold> Users<F> {
    /// Whether a value is kept for each user.
    pub fn keeps(&self) -> bool {
        self.values.is_some()
    }

    /// Notes a row of the batch whose value may be the one to keep.
    #[inline]
    pub fn note_candidate(&mut self, row: usize) {
        self.candidates.push(row as u32);
    }

    /// Keeps the least value of each user among the candidates that `still` stand after the batch, and those before.
    pub fn keep(
        &mut self,
        column: &ArrayRef,
        groups: &[usize],
        still: impl Fn(usize, &F::Known) -> bool,
    ) -> Result<()> {
        let Some(values) = &mut self.values else { return Ok(()) };
        let mut rows = std::mem::take(&mut self.candidates);
        rows.retain(|row| still(*row as usize, &self.known[groups[*row as usize]]));
        let mut numbers = Vec::with_capacity(rows.len());
        values.number(column, &rows, &mut numbers)?;
        for (number, row) in numbers.into_iter().zip(&rows) {
            let known = &mut self.known[groups[*row as usize]];
            let before = F::kept(known);
            if before == NO_VALUE || values.compare(number, before).is_lt() {
                F::set_kept(known, number);
            }
        }
        rows.clear();
        self.candidates = rows;
        Ok(())
    }

    fn grow(&mut self, users: usize) -> Result<()> {
        if users > NO_VALUE as usize {
            return Err(Error::resources(format!("{}: more than 4 billion groups in one partition", F::NAME)).into());
        }
        if users > self.known.len() {
            self.known.resize(users, F::UNKNOWN);
        }
        Ok(())
    }

    fn take(&mut self, emit_to: EmitTo) -> Result<Taken<F>> {
        let known = emit_to.take_needed(&mut self.known);
        let entries = self.log.take(match emit_to {
            EmitTo::All => None,
            EmitTo::First(n) => Some(n as u32),
        });
        i32::try_from(entries.len() + known.len()).map_err(|_| too_many::<F>())?;
        Ok(Taken { known, entries })
    }

    fn kept_column(&self, known: &[F::Known]) -> Result<Option<ArrayRef>> {
        let Some(values) = &self.values else { return Ok(None) };
        let numbers = || known.iter().map(F::kept);
        let valid: NullBuffer = numbers().map(|number| number != NO_VALUE).collect::<Vec<_>>().into();
        let column = values.values(numbers().map(|number| if number == NO_VALUE { 0 } else { number }).collect())?;
        let columns = column.as_struct().columns().to_vec();
        Ok(Some(Arc::new(StructArray::try_new(values.fields().clone(), columns, Some(valid))?)))
    }

    /// Drops kept values that no user has any more: over ordered input, where users come and go, they would pile up.
    fn forget_values(&mut self) -> Result<()> {
        let Some(values) = &mut self.values else { return Ok(()) };
        if values.count() < MANY_VALUES || values.count() < 4 * self.known.len() {
            return Ok(());
        }
        let having = |known: &&F::Known| F::kept(known) != NO_VALUE;
        let numbers = values.keep(self.known.iter().filter(having).map(F::kept).collect())?;
        let having = self.known.iter_mut().filter(|known| F::kept(known) != NO_VALUE);
        having.zip(numbers).for_each(|(known, number)| F::set_kept(known, number));
        Ok(())
    }
}

/// Users that are given out.
pub struct Taken<F: UserFold> {
    known: Vec<F::Known>,
    entries: EventLog<F::Logged>,
}

impl<F: UserFold> Taken<F> {
    /// What is known of each.
    pub fn known(&self) -> &[F::Known] {
        &self.known
    }

    /// The most entries that all of them have.
    pub fn most_entries(&self) -> usize {
        self.entries.len() + self.known.len()
    }

    /// Hands over each user's entries, in the order in which they came.
    pub fn each(&self, mut user: impl FnMut(&F::Known, &mut Vec<F::Logged>) -> Result<()>) -> Result<()> {
        let mut own: Vec<F::Logged> = Vec::new();
        let mut end = |group: usize, known: &F::Known, own: &mut Vec<F::Logged>| {
            own.extend(F::pending(known, group as u32));
            user(known, own)?;
            own.clear();
            Ok::<_, datafusion::error::DataFusionError>(())
        };
        if self.entries.in_order() {
            let mut entries = self.entries.iter().peekable();
            for (group, known) in self.known.iter().enumerate() {
                while let Some(entry) = entries.next_if(|entry| entry.group() as usize == group) {
                    own.push(*entry);
                }
                end(group, known, &mut own)?;
            }
            return Ok(());
        }
        let by_group = ByGroup::new(&self.entries, self.known.len()).ok_or_else(too_many::<F>)?;
        for (group, known) in self.known.iter().enumerate() {
            own.extend(by_group.group(group).iter().map(|at| *self.entries.get(*at)));
            end(group, known, &mut own)?;
        }
        Ok(())
    }
}

fn too_many<F: UserFold>() -> Error {
    Error::resources(format!("{}: more than 2 billion {} in one partition", F::NAME, F::ENTRIES))
}

/// The accumulator of a question.
pub struct UserLogs<F: UserFold> {
    fold: F,
    users: Users<F>,
}

impl<F: UserFold> UserLogs<F> {
    /// `values` is for a question that keeps a value of each user.
    pub fn new(fold: F, values: Option<KeptValues>) -> Self {
        let users = Users { known: Vec::new(), log: EventLog::default(), values, candidates: Vec::new() };
        Self { fold, users }
    }
}

impl<F: UserFold> GroupsAccumulator for UserLogs<F> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.users.grow(total_num_groups)?;
        self.fold.update(&mut self.users, values, group_indices, opt_filter)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let taken = self.users.take(emit_to)?;
        let kept = self.users.kept_column(&taken.known)?;
        let answers = self.fold.evaluate(&taken, kept)?;
        if let EmitTo::First(_) = emit_to {
            self.users.log.recycle(taken.entries);
            self.users.forget_values()?;
        }
        Ok(answers)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let taken = self.users.take(emit_to)?;
        let kept = self.users.kept_column(&taken.known)?;
        self.fold.state(&taken, kept)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.users.grow(total_num_groups)?;
        self.fold.merge(&mut self.users, values, group_indices)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let kept = self.users.values.as_ref().map(|kept| KeptValues::new(kept.fields())).transpose()?;
        states_of_rows(Self::new(self.fold.fresh(), kept), values, opt_filter)
    }

    fn size(&self) -> usize {
        let (a_user, an_entry) = F::bytes_at_the_end();
        size_of_val(self)
            + self.users.known.capacity() * size_of::<F::Known>()
            + self.users.known.len() * a_user
            + self.users.log.size()
            + self.users.log.len() * an_entry
            // One user's entries are copied out to be read.
            + self.users.log.last_len() * size_of::<F::Logged>()
            + self.users.candidates.capacity() * size_of::<u32>()
            + self.users.values.as_ref().map_or(0, KeptValues::size)
    }
}
