//! `flow_table`: the table of edges, from the edges of many users.
//!
//! Deals with: reading edges as the users' aggregates write them, partial states, the table's columns. Does not deal with:
//! how edges are counted and folded (`algo::flow`), where their times are kept (`stores`).
//!
//! A partial state has the edges and their counts, and says in which store of the plan the times of each edge are and under
//! which number (`places`): it is a part of the plan that made it, and means nothing to another.

use std::collections::HashMap;
use std::fmt;
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

use parking_lot::RwLock;

use super::names::{Names, Translation, name_type};
use crate::algo::flow::{Flow, Row, Table, TooManyEdges};
use crate::algo::value_runs::{NO_ROW, Summary, between};
use crate::error::Error;
use crate::functions::columns::{list_of, literal_integer, passes, ticks_per_second};
use crate::functions::grouped::{GroupedFunction, argument_types};
use crate::functions::room::Room;
use crate::functions::single_group::states_of_rows;
use crate::functions::stores::{Store, Stores, set_row};

const NAME: &str = "flow_table";

/// The aggregate.
#[derive(Clone)]
pub struct FlowTable {
    stores: Stores,
}

impl fmt::Debug for FlowTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FlowTable")
    }
}

/// Where times are kept is no part of what is asked.
impl PartialEq for FlowTable {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for FlowTable {}

impl FlowTable {
    /// Keeps what it must in this room.
    pub fn new(room: Room) -> Self {
        Self { stores: Stores::new(room) }
    }
}

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
    row_fields().iter().take(5).cloned().collect()
}

/// Fields of a [`Place`] in a partial state.
fn state_place_fields() -> Fields {
    ["edge", "store", "flow", "number", "owner"].map(|name| Arc::new(Field::new(name, DataType::UInt32, false))).into()
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
        let top = usize::try_from(top).ok().filter(|t| *t > 0);
        Ok(Box::new(FlowGroups::new(top, unit, self.stores.clone())))
    }

    fn state_fields(&self, name: &str, _types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        let list = |part: &str, item: DataType| {
            Arc::new(Field::new(format!("{name}[{part}]"), DataType::new_list(item, true), false))
        };
        Ok(vec![
            list("edges", DataType::Struct(state_edge_fields())),
            list("places", DataType::Struct(state_place_fields())),
        ])
    }

    fn answers_once(&self) -> bool {
        true
    }
}

/// Where the times and users of one edge of a flow are.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The edge's number in this flow.
    edge: u32,
    store: u32,
    /// The flow and its edge's number, as the store knows them.
    flow: u32,
    number: u32,
    /// The owner of its times; [`NO_ROW`] where there are none.
    owner: u32,
}

/// The flow of one breakdown value.
#[derive(Default)]
struct Counted {
    flow: Flow,
    /// As the partition's own store knows it.
    id: u32,
    /// The owner of the times of each edge that was counted here.
    owners: Vec<u32>,
    /// Those of edges that were counted elsewhere.
    places: Vec<Place>,
}

impl Counted {
    fn size(&self) -> usize {
        self.flow.size()
            + size_of::<Self>()
            + self.owners.capacity() * size_of::<u32>()
            + self.places.capacity() * size_of::<Place>()
    }

    /// Every place of its edges; `own` is the number of the partition's own store.
    fn places(&self, own: Option<u32>) -> impl Iterator<Item = Place> {
        let counted = self.owners.iter().enumerate().filter_map(move |(edge, owner)| {
            let edge = edge as u32;
            Some(Place { edge, store: own?, flow: self.id, number: edge, owner: *owner })
        });
        counted.chain(self.places.iter().copied())
    }
}

/// Grouped state: a flow for each breakdown value.
struct FlowGroups {
    top: Option<usize>,
    /// The unit of times; `None` where edges are counted steps of paths.
    unit: Option<TimeUnit>,
    names: Names,
    translations: [Translation; 2],
    stores: Stores,
    own: Option<(u32, Arc<RwLock<Store>>)>,
    flows: Vec<Counted>,
    ids: u32,
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

/// A row of the answer.
struct Answer {
    row: Row,
    all: Summary,
    median: Option<f64>,
}

impl FlowGroups {
    fn new(top: Option<usize>, unit: Option<TimeUnit>, stores: Stores) -> Self {
        let (names, translations, own, flows, ids, held) = Default::default();
        Self { top, unit, names, translations, stores, own, flows, ids, held }
    }

    fn emit(&mut self, emit_to: EmitTo) -> Vec<Counted> {
        let taken = match emit_to {
            EmitTo::All => std::mem::take(&mut self.flows),
            EmitTo::First(n) => {
                let rest = self.flows.split_off(n);
                std::mem::replace(&mut self.flows, rest)
            }
        };
        self.held -= taken.iter().map(Counted::size).sum::<usize>();
        taken
    }

    fn grow(&mut self, groups: usize) {
        for _ in self.flows.len()..groups {
            let new = Counted { id: self.ids, ..Counted::default() };
            self.ids = self.ids.wrapping_add(1);
            self.held += new.size();
            self.flows.push(new);
        }
    }

    /// The tables of some flows, one after the other, and where each ends.
    fn tables(&self, flows: Vec<Counted>) -> Result<(Vec<Answer>, Vec<i32>)> {
        let layered = self.unit.is_none();
        let own = self.own.as_ref().map(|(number, _)| *number);
        let (mut rows, mut ends): (Vec<Row>, Vec<i32>) = (Vec::new(), vec![0]);
        let mut read: HashMap<u32, Asked> = HashMap::new();
        let mut folded = false;
        for counted in flows {
            let Table { rows: of_flow, row_of } = {
                let table = counted.flow.table(self.top, layered, |a, b| self.names.compare(a, b));
                folded |= table.folds();
                table
            };
            let first = rows.len();
            rows.extend(of_flow);
            ends.push(offset(rows.len())?);
            for place in counted.places(own) {
                let row = (first + row_of[place.edge as usize] as usize) as u32;
                read.entry(place.store).or_default().ask(place, row);
            }
        }
        let mut sources = Vec::with_capacity(read.len());
        for (number, asked) in read {
            sources.push((self.stores.get(number)?, asked));
        }
        if folded {
            count_users(&mut rows, &sources)?;
        }
        let asked: Vec<_> = sources.into_iter().map(|(store, asked)| (store, asked.rows)).collect();
        let (all, middles) = self.stores.measure(rows.len(), &asked)?;
        let answers = rows.into_iter().zip(all).zip(middles);
        let answers = answers.map(|((row, all), middle)| Answer { row, all, median: middle.map(between) });
        Ok((answers.collect(), ends))
    }
}

/// What is asked of one store.
#[derive(Default)]
struct Asked {
    /// The row of each owner.
    rows: Vec<u32>,
    /// For each flow, the row of each of its edges.
    flows: HashMap<u32, Vec<u32>>,
}

impl Asked {
    fn ask(&mut self, place: Place, row: u32) {
        if place.owner != NO_ROW {
            set_row(&mut self.rows, place.owner, row);
        }
        set_row(self.flows.entry(place.flow).or_default(), place.number, row);
    }
}

/// Counts the users of each row again: who took several edges of a row is one.
fn count_users(rows: &mut [Row], sources: &[(Arc<RwLock<Store>>, Asked)]) -> Result<()> {
    rows.iter_mut().for_each(|row| row.users = 0);
    let mut seen = vec![0u64; rows.len()];
    let mut user = 0;
    for (store, asked) in sources {
        store.read().each_user(|flow, edges| {
            user += 1;
            let Some(rows_of) = asked.flows.get(&flow) else { return };
            for edge in edges {
                let row = rows_of.get(*edge as usize).copied().unwrap_or(NO_ROW) as usize;
                if row < rows.len() && std::mem::replace(&mut seen[row], user) != user {
                    rows[row].users += 1;
                }
            }
        })?;
    }
    Ok(())
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
        let (_, store) = self.own.get_or_insert_with(|| self.stores.open());
        let mut store = store.write();
        let keeps_users = self.top.is_some();
        for (row, group) in group_indices.iter().enumerate() {
            if lists.is_null(row) || !passes(opt_filter, row) {
                continue;
            }
            let counted = &mut self.flows[*group];
            let before = counted.size();
            counted.flow.next_user();
            for at in offsets[row] as usize..offsets[row + 1] as usize {
                let source = from.number(source_keys[at], &mut self.names)?;
                let target = to.number(target_keys[at], &mut self.names)?;
                let step = steps.map_or(0, |s| s[at]);
                let count = events.map_or(1, |e| e[at].max(0) as u64);
                let (edge, first) = counted.flow.add((step, source, target), count).map_err(too_many)?;
                if counted.owners.len() <= edge as usize {
                    counted.owners.resize(edge as usize + 1, NO_ROW);
                }
                if first && keeps_users {
                    store.edge_of_user(counted.id, edge);
                }
                if let Some(times) = times.as_ref().filter(|t| t.is_valid(at)) {
                    let owner = &mut counted.owners[edge as usize];
                    if *owner == NO_ROW {
                        *owner = store.owner();
                    }
                    store.value(*owner, times.value(at))?;
                }
            }
            store.end_user()?;
            self.held = self.held + counted.size() - before;
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let flows = self.emit(emit_to);
        if let Some((_, store)) = &self.own {
            store.write().seal()?;
        }
        let (answers, ends) = self.tables(flows)?;
        let seconds_per_tick = 1.0 / self.unit.map_or(1, ticks_per_second) as f64;
        let nodes = [|r: &Row| r.key.1, |r: &Row| r.key.2].map(|node| answers.iter().map(|a| node(&a.row)).collect());
        let [source, target] = self.names.columns(nodes)?;
        let seconds = |ticks: Option<f64>| ticks.map(|t| t * seconds_per_tick);
        let mean = |all: &Summary| (all.count > 0).then(|| all.sum as f64 / all.count as f64);
        let rows = || answers.iter().map(|answer| &answer.row);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from_iter_values(rows().map(|r| r.key.0))),
            source,
            target,
            Arc::new(Int64Array::from_iter_values(rows().map(|r| i64::try_from(r.events).unwrap_or(i64::MAX)))),
            Arc::new(Int64Array::from_iter_values(rows().map(|r| r.users as i64))),
            Arc::new(Float64Array::from_iter_values(rows().map(|r| r.share))),
            Arc::new(Float64Array::from_iter(answers.iter().map(|a| seconds(a.median)))),
            Arc::new(Float64Array::from_iter(answers.iter().map(|a| seconds(mean(&a.all))))),
        ];
        Ok(list_of(Arc::new(StructArray::try_new(row_fields(), columns, None)?), ends))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let flows = self.emit(emit_to);
        let own = self.own.as_ref().map(|(number, _)| *number);
        if let Some((_, store)) = &self.own {
            store.write().seal()?;
        }
        let (mut steps, mut sources, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        let (mut events, mut users) = (Vec::new(), Vec::new());
        let mut places: [Vec<u32>; 5] = Default::default();
        let (mut edge_ends, mut place_ends) = (vec![0i32], vec![0i32]);
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        for counted in flows {
            for edge in counted.flow.edges() {
                steps.push(edge.key.0);
                sources.push(edge.key.1);
                targets.push(edge.key.2);
                events.push(count(edge.events));
                users.push(count(edge.users));
            }
            for place in counted.places(own) {
                let fields = [place.edge, place.store, place.flow, place.number, place.owner];
                places.iter_mut().zip(fields).for_each(|(column, field)| column.push(field));
            }
            edge_ends.push(offset(steps.len())?);
            place_ends.push(offset(places[0].len())?);
        }
        let [sources, targets] = self.names.columns([sources, targets])?;
        let edges: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(steps)),
            sources,
            targets,
            Arc::new(Int64Array::from(events)),
            Arc::new(Int64Array::from(users)),
        ];
        let places = places.into_iter().map(|column| Arc::new(UInt32Array::from(column)) as ArrayRef).collect();
        Ok(vec![
            list_of(Arc::new(StructArray::try_new(state_edge_fields(), edges, None)?), edge_ends),
            list_of(Arc::new(StructArray::try_new(state_place_fields(), places, None)?), place_ends),
        ])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.grow(total_num_groups);
        let [edges, places] = [0, 1].map(|at| values[at].as_list::<i32>());
        let columns = edges.values().as_struct();
        let [from, to] = &mut self.translations;
        let [sources, targets] = [child(columns, "source")?, child(columns, "target")?];
        let (source_keys, target_keys) = (from.read(sources)?, to.read(targets)?);
        let steps = child(columns, "step")?.as_primitive::<Int32Type>().values();
        let [events, users] = [child(columns, "events")?, child(columns, "users")?];
        let [events, users] = [events, users].map(|c| c.as_primitive::<Int64Type>().values());
        let fields: Vec<_> =
            places.values().as_struct().columns().iter().map(|c| c.as_primitive::<UInt32Type>().values()).collect();
        let mut numbers = Vec::new();
        for (row, group) in group_indices.iter().enumerate() {
            let counted = &mut self.flows[*group];
            let before = counted.size();
            numbers.clear();
            for at in range(edges, row) {
                let source = from.number(source_keys[at], &mut self.names)?;
                let target = to.number(target_keys[at], &mut self.names)?;
                let [events, users] = [events, users].map(|counts| counts[at].max(0) as u64);
                numbers.push(counted.flow.merge((steps[at], source, target), events, users).map_err(too_many)?);
            }
            for at in range(places, row) {
                let [edge, store, flow, number, owner] = std::array::from_fn(|field| fields[field][at]);
                let edge = *numbers.get(edge as usize).ok_or_else(|| {
                    Error::internal(format!("{NAME}: a partial state names an edge that it does not have"))
                })?;
                counted.places.push(Place { edge, store, flow, number, owner });
            }
            self.held = self.held + counted.size() - before;
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        states_of_rows(FlowGroups::new(self.top, self.unit, self.stores.clone()), values, opt_filter)
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + self.names.size()
            + self.translations.iter().map(Translation::size).sum::<usize>()
            + self.held
            + (self.flows.capacity() - self.flows.len()) * size_of::<Counted>()
            + self.own.as_ref().map_or(0, |(_, store)| store.read().size())
    }
}

fn range(list: &ListArray, row: usize) -> std::ops::Range<usize> {
    let offsets = list.value_offsets();
    offsets[row] as usize..offsets[row + 1] as usize
}
