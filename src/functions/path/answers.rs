//! From one user's events to the edges of the user's walks, as a column.
//!
//! Deals with: reading nodes, sessions and breakdowns off the kept values, writing edges. Does not deal with: which edges a
//! walk has (`algo::path`), or counting them over users (`table`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, StructArray};
use arrow::array::{DurationMicrosecondArray, DurationMillisecondArray, DurationNanosecondArray, DurationSecondArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use datafusion::error::Result;

use super::arguments::{EDGES_FIELD, Edges, NODE_FIELD, SESSION_FIELD, by_fields, duration_unit};
use super::names::{Names, shown};
use crate::algo::event::Event;
use crate::algo::flow::EdgeKey;
use crate::algo::path::{self, Paths, Visit, Walks};
use crate::error::Error;
use crate::functions::columns::list_of;
use crate::functions::event_groups::{EventOrder, Question};
use crate::functions::kept_values::{KeptValues, kept_fields};

/// Distinct kept values that are read at a time: few enough that their texts fit into one array.
const CHUNK: usize = 1 << 10;

/// What is asked of each walk, in full.
#[derive(Debug, Clone, Copy)]
pub enum Ask {
    /// Transitions.
    Transitions,
    /// These paths.
    Paths(Paths),
}

impl Ask {
    fn edges(self) -> Edges {
        match self {
            Self::Transitions => Edges::Transitions,
            Self::Paths(_) => Edges::Paths,
        }
    }
}

/// Type of the answer: edges, or where there is a breakdown, a list of its values with the edges of each.
pub fn answer_type(edges: Edges, time: &DataType, kept: &Fields) -> DataType {
    let list = DataType::new_list(DataType::Struct(edges.fields(time)), true);
    let by = by_fields(kept);
    if by.is_empty() { list } else { DataType::new_list(DataType::Struct(group_fields(&by, list)), true) }
}

fn group_fields(by: &Fields, edges: DataType) -> Fields {
    let by = kept_fields(by);
    by.iter().cloned().chain([Arc::new(Field::new(EDGES_FIELD, edges, false))]).collect()
}

/// One edge of the user at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    group: u32,
    key: EdgeKey,
    ticks: Option<i64>,
    events: i64,
}

/// The edges of each user's walks.
pub struct UserEdges {
    ask: Ask,
    walks: Walks,
    time_type: DataType,
    names: Names,
    /// Numbers of node, session and breakdown of each kept value.
    nodes: Vec<u32>,
    sessions: Vec<u32>,
    groups: Vec<u32>,
    session_values: Option<KeptValues>,
    by_values: Option<KeptValues>,
    visits: Vec<Visit>,
    found: Vec<Found>,
    answer: Answer,
}

/// The answers since the last emission.
#[derive(Default)]
struct Answer {
    steps: Vec<i32>,
    sources: Vec<u32>,
    targets: Vec<u32>,
    events: Vec<i64>,
    ticks: Vec<i64>,
    timed: Vec<bool>,
    /// Where the edges of each user and breakdown value end, and which value that is.
    ends: Vec<i32>,
    groups: Vec<u32>,
    /// Where the breakdown values of each user end among `groups`.
    user_ends: Vec<i32>,
}

impl Answer {
    fn push_transition(&mut self, source: u32, target: u32, ticks: Option<i64>) {
        self.sources.push(source);
        self.targets.push(target);
        self.ticks.push(ticks.unwrap_or(0));
        self.timed.push(ticks.is_some());
    }

    fn push_step(&mut self, edge: &Found) {
        self.sources.push(edge.key.1);
        self.targets.push(edge.key.2);
        self.steps.push(edge.key.0);
        self.events.push(edge.events);
    }

    /// Ends the edges of a user and breakdown value. There are at most as many ends as numbers of edges, and one for each user.
    fn end(&mut self, group: u32) -> Result<()> {
        let too_many =
            |_| Error::resources("transitions: more than 2 billion edges in one partition; use more partitions");
        self.ends.push(i32::try_from(self.sources.len()).map_err(too_many)?);
        i32::try_from(self.ends.len()).map_err(too_many)?;
        self.groups.push(group);
        Ok(())
    }
}

impl UserEdges {
    /// `kept`: the fields of the kept values, as they come back.
    pub fn new(ask: Ask, walks: Walks, time_type: DataType, kept: &Fields) -> Result<Self> {
        let values_of = |fields: Fields| (!fields.is_empty()).then(|| KeptValues::new(&fields)).transpose();
        let session = kept.iter().filter(|f| f.name() == SESSION_FIELD).cloned().collect();
        Ok(Self {
            ask,
            walks,
            time_type,
            names: Names::default(),
            nodes: Vec::new(),
            sessions: Vec::new(),
            groups: Vec::new(),
            session_values: values_of(session)?,
            by_values: values_of(by_fields(kept))?,
            visits: Vec::new(),
            found: Vec::new(),
            answer: Answer::default(),
        })
    }

    /// Numbers the nodes, sessions and breakdowns of kept values that were not met before.
    fn read_kept(&mut self, kept: &KeptValues) -> Result<()> {
        let mut numbers = Vec::new();
        while self.nodes.len() < kept.count() {
            let from = self.nodes.len();
            let range = from..(from + CHUNK).min(kept.count());
            let rows: Vec<u32> = (0..range.len() as u32).collect();
            let fields = kept.fields();
            let columns = kept.columns(range)?;
            let Some((at, _)) = fields.find(NODE_FIELD) else {
                return Err(Error::internal("a kept value has a node").into());
            };
            let nodes = cast(&columns[at], &DataType::Utf8)?;
            let nodes = nodes.as_string::<i32>();
            let numbered = (0..nodes.len()).map(|row| self.names.number(&shown(nodes.value(row))));
            self.nodes.extend(numbered.collect::<Result<Vec<u32>, _>>()?);
            for (values, to) in
                [(&mut self.session_values, &mut self.sessions), (&mut self.by_values, &mut self.groups)]
            {
                match values {
                    Some(values) => {
                        let picked = values.fields().iter().filter_map(|f| fields.find(f.name()));
                        let picked = picked.map(|(at, _)| Arc::clone(&columns[at])).collect();
                        let part = StructArray::try_new(values.fields().clone(), picked, None)?;
                        values.number(&(Arc::new(part) as ArrayRef), &rows, &mut numbers)?;
                        to.extend_from_slice(&numbers);
                    }
                    None => to.resize(to.len() + rows.len(), 0),
                }
            }
        }
        Ok(())
    }

    /// Puts equal edges together. An anchor at every event makes `depth` edges of each: they must not pile up.
    fn merge_found(found: &mut Vec<Found>) {
        found.sort_unstable();
        found.dedup_by(|next, kept| {
            let same = (next.group, next.key) == (kept.group, kept.key);
            if same {
                kept.events += next.events;
            }
            same
        });
    }
}

impl Question for UserEdges {
    fn order(&self) -> EventOrder {
        EventOrder::TimeAndValue
    }

    fn forget_numbers(&mut self) -> Result<()> {
        for numbers in [&mut self.nodes, &mut self.sessions, &mut self.groups] {
            numbers.clear();
        }
        // Nodes and breakdowns are few and come again; sessions do not.
        self.session_values =
            self.session_values.as_ref().map(|values| KeptValues::new(values.fields())).transpose()?;
        Ok(())
    }

    fn answer(&mut self, events: &[Event], kept: Option<&KeptValues>) -> Result<()> {
        if let Some(kept) = kept {
            self.read_kept(kept)?;
        }
        let Self { ask, walks, nodes, sessions, groups, visits, found, answer, .. } = self;
        visits.clear();
        visits.extend(events.iter().map(|event| {
            let tag = event.tag as usize;
            let (node, session, group) = (nodes[tag], sessions[tag], groups[tag]);
            Visit { time: event.time, node, session, group, anchor: event.mask & 1 != 0 }
        }));
        found.clear();
        match ask {
            // One user may have most of the events: without a breakdown nothing is put aside.
            Ask::Transitions if self.by_values.is_none() => {
                walks.each(visits, |walk| {
                    path::transitions(walk, |source, target, ticks| {
                        answer.push_transition(source, target, ticks);
                    })
                });
            }
            Ask::Transitions => {
                walks.each(visits, |walk| {
                    let group = walk[0].group;
                    path::transitions(walk, |source, target, ticks| {
                        found.push(Found { group, key: (0, source, target), ticks, events: 1 });
                    });
                });
                if !found.is_sorted_by_key(|f| f.group) {
                    found.sort_unstable_by_key(|f| f.group);
                }
            }
            Ask::Paths(paths) => {
                let mut bound = 1 << 12;
                walks.each(visits, |walk| {
                    paths.each(walk, |group, step, source, target| {
                        found.push(Found { group, key: (step, source, target), ticks: None, events: 1 });
                        if found.len() >= bound {
                            Self::merge_found(found);
                            bound = bound.max(found.len() * 2);
                        }
                    });
                });
                Self::merge_found(found);
            }
        }
        for edges in found.chunk_by(|a, b| a.group == b.group) {
            for edge in edges {
                match ask {
                    Ask::Transitions => answer.push_transition(edge.key.1, edge.key.2, edge.ticks),
                    Ask::Paths(_) => answer.push_step(edge),
                }
            }
            if self.by_values.is_some() {
                answer.end(edges[0].group)?;
            }
        }
        if self.by_values.is_none() {
            // Without a breakdown each user has a row of edges, even of none.
            answer.end(0)?;
        }
        answer.user_ends.push(answer.groups.len() as i32);
        Ok(())
    }

    fn finish(&mut self, _kept: Option<&KeptValues>) -> Result<ArrayRef> {
        let answer = std::mem::take(&mut self.answer);
        let names = self.names.columns([answer.sources, answer.targets])?;
        let mut columns: Vec<ArrayRef> = Vec::new();
        match self.ask {
            Ask::Transitions => {
                columns.extend(names);
                columns.push(durations(answer.ticks, answer.timed, &self.time_type));
            }
            Ask::Paths(_) => {
                columns.push(Arc::new(Int32Array::from(answer.steps)));
                columns.extend(names);
                columns.push(Arc::new(Int64Array::from(answer.events)));
            }
        }
        let offsets = |ends: Vec<i32>| [0].into_iter().chain(ends).collect::<Vec<i32>>();
        let edges = StructArray::try_new(self.ask.edges().fields(&self.time_type), columns, None)?;
        let edges = list_of(Arc::new(edges), offsets(answer.ends));
        let Some(by) = &self.by_values else { return Ok(edges) };
        let mut columns = by.values(answer.groups)?.as_struct().columns().to_vec();
        let fields = group_fields(by.fields(), edges.data_type().clone());
        columns.push(edges);
        Ok(list_of(Arc::new(StructArray::try_new(fields, columns, None)?), offsets(answer.user_ends)))
    }

    fn bytes_an_event(&self) -> usize {
        match self.ask {
            Ask::Transitions => 2 * size_of::<u32>() + size_of::<i64>() + 1,
            // Edges of paths are merged for each user; how many stay depends on the names.
            Ask::Paths(_) => 3 * size_of::<u32>() + size_of::<i64>(),
        }
    }
}

/// Times between events, in the unit of [`duration_unit`].
fn durations(mut ticks: Vec<i64>, known: Vec<bool>, time: &DataType) -> ArrayRef {
    if !matches!(time, DataType::Timestamp(_, _)) {
        ticks.iter_mut().for_each(|days| *days = days.saturating_mul(86_400));
    }
    let (ticks, nulls) = (ScalarBuffer::from(ticks), Some(NullBuffer::from(known)));
    match duration_unit(time) {
        TimeUnit::Second => Arc::new(DurationSecondArray::new(ticks, nulls)),
        TimeUnit::Millisecond => Arc::new(DurationMillisecondArray::new(ticks, nulls)),
        TimeUnit::Microsecond => Arc::new(DurationMicrosecondArray::new(ticks, nulls)),
        TimeUnit::Nanosecond => Arc::new(DurationNanosecondArray::new(ticks, nulls)),
    }
}
