//! `flow_table`: the table of edges, from the edges of many users.
//!
//! Deals with: reading edges as the users' aggregates write them, partial states, the table's columns. Does not deal with:
//! how edges are counted and folded (`algo::flow`).

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, ListArray, PrimitiveArray,
    StructArray, UInt32Array,
};
use arrow::datatypes::{
    DataType, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType, Field,
    FieldRef, Fields, Int32Type, Int64Type, TimeUnit, UInt32Type,
};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::names::{Names, Translation, name_type};
use crate::algo::flow::{Flow, Row, TooManyEdges};
use crate::error::Error;
use crate::functions::columns::{list_of, literal_integer, passes, ticks_per_second};
use crate::functions::grouped::{GroupedFunction, argument_types};
use crate::functions::single_group::states_of_rows;

const NAME: &str = "flow_table";

/// The aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowTable;

/// Fields of a row of the table.
fn row_fields() -> Fields {
    Fields::from(vec![
        Field::new("step", DataType::Int32, false),
        Field::new("source", name_type(), false),
        Field::new("target", name_type(), false),
        Field::new("events", DataType::Int64, false),
        Field::new("users", DataType::Int64, false),
        Field::new("share", DataType::Float64, false),
        Field::new("median_seconds", DataType::Float64, true),
        Field::new("mean_seconds", DataType::Float64, true),
    ])
}

/// Fields of an edge in a partial state.
fn state_edge_fields() -> Fields {
    row_fields().iter().take(4).cloned().collect()
}

/// Fields of a timed passage in a partial state.
fn state_time_fields() -> Fields {
    Fields::from(vec![Field::new("edge", DataType::UInt32, false), Field::new("ticks", DataType::Int64, false)])
}

fn edge_fields(edges: &DataType) -> Result<&Fields, Error> {
    match edges {
        DataType::List(item) => match item.data_type() {
            DataType::Struct(fields) if fields.find("source").is_some() => Ok(fields),
            _ => Err(wrong_arguments()),
        },
        _ => Err(wrong_arguments()),
    }
}

fn wrong_arguments() -> Error {
    Error::user(format!("{NAME}: is a part of FROM transitions(..) and paths(..); call these"))
}

impl GroupedFunction for FlowTable {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        match types {
            [edges, top] if top.is_integer() && edge_fields(edges).is_ok() => Ok(vec![edges.clone(), DataType::Int64]),
            _ => Err(wrong_arguments()),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType, Error> {
        Ok(DataType::new_list(DataType::Struct(row_fields()), true))
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let types = argument_types(args);
        let fields = edge_fields(&types[0])?;
        let unit = fields.find("time").and_then(|(_, f)| match f.data_type() {
            DataType::Duration(unit) => Some(*unit),
            _ => None,
        });
        let top = literal_integer(NAME, "the number of nodes", args.exprs, 1)?;
        Ok(Box::new(FlowGroups::new(usize::try_from(top).ok().filter(|t| *t > 0), unit)))
    }

    fn state_fields(&self, name: &str, _types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        let list = |part: &str, item: DataType| {
            Arc::new(Field::new(format!("{name}[{part}]"), DataType::new_list(item, true), false))
        };
        Ok(vec![
            list("edges", DataType::Struct(state_edge_fields())),
            list("times", DataType::Struct(state_time_fields())),
            list("uses", DataType::UInt32),
        ])
    }
}

/// Grouped state: a flow for each breakdown value.
struct FlowGroups {
    top: Option<usize>,
    /// The unit of times; `None` where edges are counted steps of paths.
    unit: Option<TimeUnit>,
    names: Names,
    translations: [Translation; 2],
    flows: Vec<Flow>,
    /// Bytes of the flows: there may be too many of them to ask each after every batch.
    held: usize,
}

fn too_many(_: TooManyEdges) -> Error {
    Error::resources(format!("{NAME}: more than 2 billion distinct edges in one partition; use top => N"))
}

/// The children of a struct column by name.
fn child<'a>(columns: &'a StructArray, name: &str) -> Result<&'a ArrayRef, Error> {
    columns.column_by_name(name).ok_or_else(|| Error::internal(format!("{NAME}: an edge has no {name}")))
}

fn ticks_of(times: &ArrayRef) -> PrimitiveArray<Int64Type> {
    match times.data_type() {
        DataType::Duration(TimeUnit::Second) => times.as_primitive::<DurationSecondType>().reinterpret_cast(),
        DataType::Duration(TimeUnit::Millisecond) => times.as_primitive::<DurationMillisecondType>().reinterpret_cast(),
        DataType::Duration(TimeUnit::Microsecond) => times.as_primitive::<DurationMicrosecondType>().reinterpret_cast(),
        _ => times.as_primitive::<DurationNanosecondType>().reinterpret_cast(),
    }
}

impl FlowGroups {
    fn new(top: Option<usize>, unit: Option<TimeUnit>) -> Self {
        Self { top, unit, names: Names::default(), translations: Default::default(), flows: Vec::new(), held: 0 }
    }

    fn emit(&mut self, emit_to: EmitTo) -> Vec<Flow> {
        let taken = match emit_to {
            EmitTo::All => std::mem::take(&mut self.flows),
            EmitTo::First(n) => {
                let rest = self.flows.split_off(n);
                std::mem::replace(&mut self.flows, rest)
            }
        };
        self.held -= taken.iter().map(Flow::size).sum::<usize>();
        taken
    }

    fn grow(&mut self, groups: usize) {
        let new = groups.saturating_sub(self.flows.len());
        self.held += new * Flow::default().size();
        self.flows.resize_with(self.flows.len() + new, Flow::default);
    }
}

fn offset(length: usize) -> Result<i32, Error> {
    i32::try_from(length).map_err(|_| {
        Error::resources(format!("{NAME}: more than 2 billion edges in one partition; use more partitions"))
    })
}

impl GroupsAccumulator for FlowGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let lists = values[0].as_list::<i32>();
        let edges = lists.values().as_struct();
        let [sources, targets] = [child(edges, "source")?, child(edges, "target")?];
        let [from, to] = &mut self.translations;
        let (source_keys, target_keys) = (from.read(sources)?, to.read(targets)?);
        let steps = edges.column_by_name("step").map(|c| c.as_primitive::<Int32Type>().values());
        let events = edges.column_by_name("events").map(|c| c.as_primitive::<Int64Type>().values());
        let times = edges.column_by_name("time").map(ticks_of);
        let offsets = lists.value_offsets();
        for (row, group) in group_indices.iter().enumerate() {
            if lists.is_null(row) || !passes(opt_filter, row) {
                continue;
            }
            let flow = &mut self.flows[*group];
            let before = flow.size();
            flow.next_user();
            for at in offsets[row] as usize..offsets[row + 1] as usize {
                let source = from.number(source_keys[at], &mut self.names)?;
                let target = to.number(target_keys[at], &mut self.names)?;
                let step = steps.map_or(0, |s| s[at]);
                let count = events.map_or(1, |e| e[at].max(0) as u64);
                let ticks = times.as_ref().filter(|t| t.is_valid(at)).map(|t| t.value(at));
                flow.add((step, source, target), count, ticks).map_err(too_many)?;
            }
            self.held = self.held + flow.size() - before;
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let flows = self.emit(emit_to);
        let layered = self.unit.is_none();
        let seconds_per_tick = 1.0 / self.unit.map_or(1, ticks_per_second) as f64;
        let mut offsets = vec![0i32];
        let mut rows = Vec::new();
        for flow in flows {
            rows.extend(flow.table(self.top, layered, |a, b| self.names.compare(a, b)));
            offsets.push(offset(rows.len())?);
        }
        let nodes = [|r: &Row| r.key.1, |r: &Row| r.key.2].map(|node| rows.iter().map(node).collect());
        let [source, target] = self.names.columns(nodes)?;
        let seconds = |ticks: Option<f64>| ticks.map(|t| t * seconds_per_tick);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|r| r.key.0))),
            source,
            target,
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| i64::try_from(r.events).unwrap_or(i64::MAX)))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.users as i64))),
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.share))),
            Arc::new(Float64Array::from_iter(rows.iter().map(|r| seconds(r.median)))),
            Arc::new(Float64Array::from_iter(rows.iter().map(|r| seconds(r.mean)))),
        ];
        Ok(list_of(Arc::new(StructArray::try_new(row_fields(), columns, None)?), offsets))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let flows = self.emit(emit_to);
        let (mut steps, mut sources, mut targets, mut events) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut timed_edges, mut ticks, mut uses) = (Vec::new(), Vec::new(), Vec::new());
        let [mut edge_ends, mut time_ends, mut use_ends] = [const { Vec::<i32>::new() }; 3];
        [&mut edge_ends, &mut time_ends, &mut use_ends].into_iter().for_each(|ends| ends.push(0));
        for flow in flows {
            for edge in flow.edges() {
                steps.push(edge.key.0);
                sources.push(edge.key.1);
                targets.push(edge.key.2);
                events.push(i64::try_from(edge.events).unwrap_or(i64::MAX));
            }
            for (edge, time) in flow.times() {
                timed_edges.push(edge);
                ticks.push(time);
            }
            uses.extend(flow.uses());
            edge_ends.push(offset(steps.len())?);
            time_ends.push(offset(ticks.len())?);
            use_ends.push(offset(uses.len())?);
        }
        let [sources, targets] = self.names.columns([sources, targets])?;
        let edges: Vec<ArrayRef> =
            vec![Arc::new(Int32Array::from(steps)), sources, targets, Arc::new(Int64Array::from(events))];
        let times: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from(timed_edges)), Arc::new(Int64Array::from(ticks))];
        Ok(vec![
            list_of(Arc::new(StructArray::try_new(state_edge_fields(), edges, None)?), edge_ends),
            list_of(Arc::new(StructArray::try_new(state_time_fields(), times, None)?), time_ends),
            list_of(Arc::new(UInt32Array::from(uses)), use_ends),
        ])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.grow(total_num_groups);
        let [edges, times, uses] = [0, 1, 2].map(|at| values[at].as_list::<i32>());
        let columns = edges.values().as_struct();
        let [from, to] = &mut self.translations;
        let [sources, targets] = [child(columns, "source")?, child(columns, "target")?];
        let (source_keys, target_keys) = (from.read(sources)?, to.read(targets)?);
        let steps = child(columns, "step")?.as_primitive::<Int32Type>().values();
        let events = child(columns, "events")?.as_primitive::<Int64Type>().values();
        let time_columns = times.values().as_struct();
        let timed_edges = child(time_columns, "edge")?.as_primitive::<UInt32Type>().values();
        let ticks = child(time_columns, "ticks")?.as_primitive::<Int64Type>().values();
        let use_values = uses.values().as_primitive::<UInt32Type>().values();
        for (row, group) in group_indices.iter().enumerate() {
            let mut told = Vec::new();
            for at in range(edges, row) {
                let source = from.number(source_keys[at], &mut self.names)?;
                let target = to.number(target_keys[at], &mut self.names)?;
                told.push(((steps[at], source, target), events[at].max(0) as u64));
            }
            let times = range(times, row).map(|at| (timed_edges[at], ticks[at]));
            let uses = range(uses, row).map(|at| use_values[at]);
            let flow = &mut self.flows[*group];
            let before = flow.size();
            let merged = flow.merge(told.into_iter(), times, uses).map_err(too_many)?;
            self.held = self.held + flow.size() - before;
            merged.ok_or_else(|| {
                Error::internal(format!("{NAME}: a partial state names an edge that it does not have"))
            })?;
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        states_of_rows(FlowGroups::new(self.top, self.unit), values, opt_filter)
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + self.names.size()
            + self.translations.iter().map(Translation::size).sum::<usize>()
            + self.held
            + (self.flows.capacity() - self.flows.len()) * size_of::<Flow>()
    }
}

fn range(list: &ListArray, row: usize) -> std::ops::Range<usize> {
    let offsets = list.value_offsets();
    offsets[row] as usize..offsets[row + 1] as usize
}
