//! `user_sessions` and `user_views`: the sessions of each group, and the views within them, as lists of structs.
//!
//! Deals with: from one user's events to rows of lists. Does not deal with: cuts (`algo::session`), counting over users.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, Int64Array, StructArray, UInt64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, Expr, GroupsAccumulator};

use super::arguments::{RULES, Visits, coerce, kept_of, layout};
use super::parts::{by_columns, by_fields, page_columns, page_fields};
use super::rules::Constants;
use crate::algo::event::Event;
use crate::algo::session::Session;
use crate::algo::session::views::{View, views};
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

/// The sessions of user after user.
struct Sessions {
    visits: Visits,
    time_type: DataType,
    sessions: Vec<Session>,
    numbers: Vec<i64>,
    firsts: Vec<bool>,
    periods: Vec<i32>,
    offsets: Vec<i32>,
}

impl Sessions {
    fn new(visits: Visits, time_type: DataType) -> Self {
        let (sessions, numbers, firsts, periods) = Default::default();
        Self { visits, time_type, sessions, numbers, firsts, periods, offsets: vec![0] }
    }

    /// Marks the user's first session with each property in each period.
    fn mark_firsts(&mut self, from: usize) {
        let by = self.visits.parts.ranks().by;
        let of = |at: usize| (by.get(self.sessions[at].by as usize), self.periods.get(at));
        let mut order: Vec<usize> = (from..self.sessions.len()).collect();
        order.sort_by_key(|at| of(*at));
        self.firsts.resize(self.sessions.len(), false);
        let mut before = None;
        for at in order {
            self.firsts[at] = before != Some(of(at));
            before = Some(of(at));
        }
    }
}

impl Question for Sessions {
    fn order(&self) -> EventOrder {
        EventOrder::Time
    }

    fn answer(&mut self, events: &[Event], kept: Option<&KeptValues>) -> Result<()> {
        self.visits.cut(events, kept)?;
        let from = self.sessions.len();
        self.sessions.append(&mut self.visits.found);
        self.numbers.extend(1..=(self.sessions.len() - from) as i64);
        if self.visits.has_period() {
            for session in &self.sessions[from..] {
                self.periods.push(self.visits.period(session.start)?);
            }
        }
        self.mark_firsts(from);
        self.offsets.push(end_of("user_sessions", self.sessions.len())?);
        Ok(())
    }

    fn finish(&mut self, kept: Option<&KeptValues>) -> Result<ArrayRef> {
        let sessions = std::mem::take(&mut self.sessions);
        let all = |value: fn(&Session) -> i64| sessions.iter().map(value).collect::<Vec<i64>>();
        let is = |value: fn(&Session) -> bool| -> ArrayRef {
            Arc::new(sessions.iter().map(|s| Some(value(s))).collect::<BooleanArray>())
        };
        let periods: ArrayRef = match self.visits.has_period() {
            true => Arc::new(Date32Array::from(std::mem::take(&mut self.periods))),
            false => Arc::new(Date32Array::new_null(sessions.len())),
        };
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(std::mem::take(&mut self.numbers))),
            times_array(all(|s| s.start), None, &self.time_type)?,
            times_array(all(|s| s.end), None, &self.time_type)?,
            Arc::new(sessions.iter().map(Session::duration).collect::<UInt64Array>()),
            Arc::new(Int64Array::from(all(|s| (s.to - s.from) as i64))),
            Arc::new(Int64Array::from(all(|s| s.views as i64))),
            is(|s| s.bounce),
            is(|s| s.converted),
            Arc::new(BooleanArray::from(std::mem::take(&mut self.firsts))),
            periods,
        ];
        let tags = |tag: fn(&Session) -> Option<u32>| sessions.iter().map(tag).collect();
        columns.extend(page_columns(kept, vec![tags(|s| s.entry), tags(|s| s.exit)])?);
        columns.extend(by_columns(kept, sessions.iter().map(|s| s.by).collect())?);
        let fields = session_fields(&self.time_type, kept.map(KeptValues::fields));
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        Ok(list_of(Arc::new(StructArray::try_new(fields, columns, None)?), offsets))
    }
}

/// The views of user after user.
struct Views {
    visits: Visits,
    views: Vec<View>,
    /// Of each view's session: whether it was a bounce, and the tag of its property.
    bounces: Vec<bool>,
    by: Vec<u32>,
    offsets: Vec<i32>,
}

impl Views {
    fn new(visits: Visits) -> Self {
        let (views, bounces, by) = Default::default();
        Self { visits, views, bounces, by, offsets: vec![0] }
    }
}

impl Question for Views {
    fn order(&self) -> EventOrder {
        EventOrder::Time
    }

    fn answer(&mut self, events: &[Event], kept: Option<&KeptValues>) -> Result<()> {
        self.visits.cut(events, kept)?;
        let (from, sessions) = (self.views.len(), &self.visits.found);
        views(events, sessions, &self.visits.parts.ranks(), &mut self.views);
        for view in &self.views[from..] {
            self.bounces.push(view.entry && sessions[view.session].bounce);
            self.by.push(sessions[view.session].by);
        }
        self.offsets.push(end_of("user_views", self.views.len())?);
        Ok(())
    }

    fn finish(&mut self, kept: Option<&KeptValues>) -> Result<ArrayRef> {
        let views = std::mem::take(&mut self.views);
        let is = |value: fn(&View) -> bool| -> ArrayRef {
            Arc::new(views.iter().map(|v| Some(value(v))).collect::<BooleanArray>())
        };
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(views.iter().map(|v| v.dwell).collect::<UInt64Array>()),
            is(|v| v.entry),
            is(View::exit),
            Arc::new(BooleanArray::from(std::mem::take(&mut self.bounces))),
            is(|v| v.first_of_session),
            is(|v| v.first_of_user),
        ];
        columns.extend(page_columns(kept, vec![views.iter().map(|v| Some(v.tag)).collect()])?);
        columns.extend(by_columns(kept, std::mem::take(&mut self.by))?);
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let fields = view_fields(kept.map(KeptValues::fields));
        Ok(list_of(Arc::new(StructArray::try_new(fields, columns, None)?), offsets))
    }
}
