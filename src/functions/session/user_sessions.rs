//! `user_sessions` and `user_views`: the sessions of each group, and the views within them, as lists of structs.
//!
//! Deals with: from one user's events to rows of lists. Does not deal with: cuts (`algo::session`), counting over users.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, Int64Array, StructArray, UInt32Array, UInt64Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, Expr, GroupsAccumulator};

use super::arguments::{RULES, Visits, coerce, kept_of, layout};
use super::parts::{Parts, by_columns, by_fields, page_columns, page_fields};
use super::rules::Constants;
use crate::algo::event::Event;
use crate::algo::session::Session;
use crate::algo::session::views::{self, View};
use crate::error::Error;
use crate::functions::columns::{list_of, times_array};
use crate::functions::event_groups::{EventOrder, Question, event_groups};
use crate::functions::grouped::{GroupedFunction, aggregate, argument_types};
use crate::functions::kept_values::{KeptValues, kept_fields};

/// The sessions of each group.
pub fn user_sessions() -> AggregateUDF {
    aggregate(SessionFunction { name: "user_sessions", answer: Answer::Sessions })
}

/// The views within the sessions of each group.
pub fn user_views() -> AggregateUDF {
    aggregate(SessionFunction { name: "user_views", answer: Answer::Views })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Sessions,
    Views,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct SessionFunction {
    name: &'static str,
    answer: Answer,
}

impl GroupedFunction for SessionFunction {
    fn name(&self) -> &'static str {
        self.name
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        coerce(self.name, types)
    }

    fn answer_type(&self, types: &[DataType]) -> Result<DataType, Error> {
        let kept = kept_of(types).map(kept_fields);
        let fields = match self.answer {
            Answer::Sessions => session_fields(&types[0], kept.as_ref()),
            Answer::Views => view_fields(kept.as_ref()),
        };
        Ok(DataType::new_list(DataType::Struct(fields), true))
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let types = argument_types(args);
        let visits = Visits::of(self.name, args.exprs, &types[0])?;
        let question: Box<dyn Question> = match self.answer {
            Answer::Sessions => Box::new(Sessions::new(visits, types[0].clone())),
            Answer::Views => Box::new(Views::new(visits)),
        };
        event_groups(self.name, layout(self.name, &types)?, &types, question)
    }

    fn state_fields(&self, name: &str, types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        Ok(layout(self.name, types)?.state_fields(name, types))
    }

    fn check(&self, arguments: &[Expr]) -> Result<(), Error> {
        if let Some(Expr::Literal(rules, _)) = arguments.get(RULES)
            && let Some(Some(rules)) = rules.try_as_str()
        {
            Constants::parse(self.name, rules)?;
        }
        Ok(())
    }
}

fn session_fields(time: &DataType, kept: Option<&Fields>) -> Fields {
    let mut fields: Vec<FieldRef> = [
        ("number", DataType::Int64),
        ("started_at", time.clone()),
        ("ended_at", time.clone()),
        ("ticks", DataType::UInt64),
        ("events", DataType::Int64),
        ("views", DataType::Int64),
        ("bounce", DataType::Boolean),
        ("converted", DataType::Boolean),
        ("first", DataType::Boolean),
        ("period", DataType::Date32),
    ]
    .into_iter()
    .map(|(name, data_type)| Arc::new(Field::new(name, data_type, name == "period")))
    .collect();
    fields.extend(page_fields(kept, &["entry", "exit"]));
    fields.extend(by_fields(kept));
    fields.into()
}

fn view_fields(kept: Option<&Fields>) -> Fields {
    let mut fields: Vec<FieldRef> = vec![Arc::new(Field::new("ticks", DataType::UInt64, true))];
    for name in ["entry", "exit", "bounce", "first_of_session", "first_of_user"] {
        fields.push(Arc::new(Field::new(name, DataType::Boolean, false)));
    }
    fields.extend(page_fields(kept, &["page"]));
    fields.extend(by_fields(kept));
    fields.into()
}

/// Where the next list ends.
fn end_of(name: &str, elements: usize) -> Result<i32> {
    Ok(i32::try_from(elements).map_err(|_| {
        Error::resources(format!("{name}: more than 2 billion answers in one partition; use more partitions"))
    })?)
}

/// Appends to each list what comes for it.
fn append(
    lists: &mut Vec<Vec<Option<u32>>>,
    more: impl ExactSizeIterator<Item = impl IntoIterator<Item = Option<u32>>>,
) {
    lists.resize(more.len(), Vec::new());
    lists.iter_mut().zip(more).for_each(|(list, more)| list.extend(more));
}

/// The sessions of user after user, column by column: nothing is held twice when they are handed over.
struct Sessions {
    visits: Visits,
    time_type: DataType,
    columns: SessionColumns,
    offsets: Vec<i32>,
}

#[derive(Default)]
struct SessionColumns {
    numbers: Vec<i64>,
    starts: Vec<i64>,
    ends: Vec<i64>,
    ticks: Vec<u64>,
    events: Vec<i64>,
    views: Vec<i64>,
    bounces: Vec<bool>,
    converted: Vec<bool>,
    firsts: Vec<bool>,
    periods: Vec<i32>,
    entries: Vec<Option<u32>>,
    exits: Vec<Option<u32>>,
    by: Vec<u32>,
    /// A list for each value that the first or last event with one gives.
    known: Vec<Vec<Option<u32>>>,
}

impl Sessions {
    fn new(visits: Visits, time_type: DataType) -> Self {
        Self { visits, time_type, columns: SessionColumns::default(), offsets: vec![0] }
    }
}

impl SessionColumns {
    fn push(&mut self, number: i64, session: &Session) {
        self.numbers.push(number);
        self.starts.push(session.start);
        self.ends.push(session.end);
        self.ticks.push(session.duration());
        self.events.push((session.to - session.from) as i64);
        self.views.push(session.views as i64);
        self.bounces.push(session.bounce);
        self.converted.push(session.converted);
        self.entries.push(session.entry);
        self.exits.push(session.exit);
        self.by.push(session.by);
    }

    /// Marks the user's first session with each property in each period; the user's sessions begin at `from`.
    fn mark_firsts(&mut self, from: usize, properties: &[u32]) {
        let Self { by, periods, firsts, .. } = self;
        let of = |at: usize| (properties.get(at - from), periods.get(at));
        let mut order: Vec<usize> = (from..by.len()).collect();
        order.sort_by_key(|at| of(*at));
        firsts.resize(by.len(), false);
        let mut before = None;
        for at in order {
            firsts[at] = before != Some(of(at));
            before = Some(of(at));
        }
    }
}

impl Question for Sessions {
    fn order(&self) -> EventOrder {
        EventOrder::Time
    }

    fn forget_numbers(&mut self) -> Result<()> {
        self.visits.parts = Parts::default();
        Ok(())
    }

    fn answer(&mut self, events: &[Event], kept: Option<&KeptValues>) -> Result<()> {
        let Self { visits, columns, offsets, .. } = self;
        visits.cut(events, kept)?;
        let from = columns.numbers.len();
        (1..).zip(&visits.found).for_each(|(number, session)| columns.push(number, session));
        if visits.has_period() {
            for at in from..columns.starts.len() {
                columns.periods.push(visits.period(columns.starts[at])?);
            }
        }
        append(&mut columns.known, visits.known.iter().map(|tags| tags.iter().copied()));
        columns.mark_firsts(from, &visits.properties);
        offsets.push(end_of("user_sessions", columns.numbers.len())?);
        Ok(())
    }

    fn finish(&mut self, kept: Option<&KeptValues>) -> Result<ArrayRef> {
        let found = std::mem::take(&mut self.columns);
        let sessions = found.numbers.len();
        let whole = |values: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
        let flags = |values: Vec<bool>| -> ArrayRef { Arc::new(BooleanArray::from(values)) };
        let mut columns: Vec<ArrayRef> = vec![
            whole(found.numbers),
            times_array(found.starts, None, &self.time_type)?,
            times_array(found.ends, None, &self.time_type)?,
            Arc::new(UInt64Array::from(found.ticks)),
            whole(found.events),
            whole(found.views),
            flags(found.bounces),
            flags(found.converted),
            flags(found.firsts),
            if self.visits.has_period() {
                Arc::new(Date32Array::from(found.periods))
            } else {
                Arc::new(Date32Array::new_null(sessions))
            },
        ];
        columns.extend(page_columns(kept, vec![found.entries.into(), found.exits.into()])?);
        columns.extend(by_columns(kept, found.by, found.known)?);
        let fields = session_fields(&self.time_type, kept.map(KeptValues::fields));
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        Ok(list_of(Arc::new(StructArray::try_new(fields, columns, None)?), offsets))
    }
}

/// The views of user after user, column by column.
struct Views {
    visits: Visits,
    kernel: views::Views,
    /// Those of the user looked at.
    found: Vec<View>,
    columns: ViewColumns,
    offsets: Vec<i32>,
}

#[derive(Default)]
struct ViewColumns {
    ticks: Vec<u64>,
    /// What is yes or no, a bit each.
    flags: Vec<u8>,
    pages: Vec<u32>,
    by: Vec<u32>,
    known: Vec<Vec<Option<u32>>>,
}

/// Bits of a view's flags, in the order of their columns.
mod flag {
    pub const ENTRY: u8 = 1;
    pub const EXIT: u8 = 1 << 1;
    pub const BOUNCE: u8 = 1 << 2;
    pub const FIRST_OF_SESSION: u8 = 1 << 3;
    pub const FIRST_OF_USER: u8 = 1 << 4;
    pub const ALL: [u8; 5] = [ENTRY, EXIT, BOUNCE, FIRST_OF_SESSION, FIRST_OF_USER];
}

impl Views {
    fn new(visits: Visits) -> Self {
        let (kernel, found, columns) = Default::default();
        Self { visits, kernel, found, columns, offsets: vec![0] }
    }
}

impl ViewColumns {
    fn push(&mut self, view: &View, session: &Session) {
        let set = |yes: bool, bit: u8| if yes { bit } else { 0 };
        self.ticks.push(view.dwell().unwrap_or(0));
        self.flags.push(
            set(view.entry, flag::ENTRY)
                | set(view.exit, flag::EXIT)
                | set(view.entry && session.bounce, flag::BOUNCE)
                | set(view.first_of_session, flag::FIRST_OF_SESSION)
                | set(view.first_of_user, flag::FIRST_OF_USER),
        );
        self.pages.push(view.tag);
        self.by.push(session.by);
    }
}

impl Question for Views {
    fn order(&self) -> EventOrder {
        EventOrder::Time
    }

    fn forget_numbers(&mut self) -> Result<()> {
        self.visits.parts = Parts::default();
        Ok(())
    }

    fn bytes_an_event(&self) -> usize {
        // What is known of a view, and its page and properties as they come back.
        size_of::<u64>() + 1 + 4 * size_of::<u32>()
    }

    fn answer(&mut self, events: &[Event], kept: Option<&KeptValues>) -> Result<()> {
        let Self { visits, kernel, found, columns, offsets } = self;
        visits.cut(events, kept)?;
        found.clear();
        kernel.of_user(events, &visits.found, &visits.properties, &visits.parts.ranks(), found);
        found.iter().for_each(|view| columns.push(view, &visits.found[view.session as usize]));
        let of_views =
            |tags: &Vec<Option<u32>>| found.iter().map(|view| tags[view.session as usize]).collect::<Vec<_>>();
        append(&mut columns.known, visits.known.iter().map(of_views));
        offsets.push(end_of("user_views", columns.by.len())?);
        Ok(())
    }

    fn finish(&mut self, kept: Option<&KeptValues>) -> Result<ArrayRef> {
        let found = std::mem::take(&mut self.columns);
        let flags = |bit: u8| BooleanBuffer::collect_bool(found.flags.len(), |at| found.flags[at] & bit != 0);
        // How long the last view of a session lasts is not known.
        let known = NullBuffer::new(!&flags(flag::EXIT));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt64Array::new(found.ticks.into(), Some(known)))];
        columns.extend(flag::ALL.map(|bit| Arc::new(BooleanArray::new(flags(bit), None)) as ArrayRef));
        columns.extend(page_columns(kept, vec![UInt32Array::from(found.pages)])?);
        columns.extend(by_columns(kept, found.by, found.known)?);
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let fields = view_fields(kept.map(KeptValues::fields));
        Ok(list_of(Arc::new(StructArray::try_new(fields, columns, None)?), offsets))
    }
}
