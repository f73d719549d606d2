//! `funnel_steps`: the report of a funnel, one row a step, from the chains of many users.
//!
//! A chain reaches a step where it has a time for it. Steps that may be skipped (a third argument, as bits) lose nobody: the
//! step before is always the last one that may not.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int32Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, EmitTo, GroupsAccumulator};

use crate::algo::calendar::Clock;
use crate::algo::event_log::{ByGroup, EventLog, Grouped};
use crate::error::Error;
use crate::functions::columns::{Times, check_step_count, clock_of, list_of, literal, literal_integer, passes};
use crate::functions::grouped::{GroupedFunction, aggregate};
use crate::functions::single_group::states_of_rows;

const NAME: &str = "funnel_steps";

/// `funnel_steps(chain, k [, optional])`: a list of k structs.
pub fn funnel_steps() -> AggregateUDF {
    aggregate(FunnelSteps)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct FunnelSteps;

/// Type of the times inside a chain.
fn chain_time(chain: &DataType) -> Option<&DataType> {
    let DataType::Struct(fields) = chain else { return None };
    let (_, times) = fields.find("times")?;
    match times.data_type() {
        DataType::List(item) => Some(item.data_type()),
        _ => None,
    }
}

/// The columns of a step, in order.
pub fn step_fields() -> Fields {
    let number = |name: &str| Field::new(name, DataType::Float64, true);
    vec![
        Field::new("step", DataType::Int32, false),
        Field::new("users", DataType::Int64, false),
        number("conversion"),
        number("step_conversion"),
        Field::new("dropped", DataType::Int64, false),
        number("median_seconds"),
        number("mean_seconds"),
        number("p90_seconds"),
        number("step_median_seconds"),
    ]
    .into()
}

impl GroupedFunction for FunnelSteps {
    fn name(&self) -> &'static str {
        NAME
    }

    fn answers_once(&self) -> bool {
        true
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        match types {
            [chain, DataType::Int64 | DataType::Int32] if chain_time(chain).and_then(clock_of).is_some() => {
                Ok(vec![chain.clone(), DataType::Int64])
            }
            [chain, DataType::Int64 | DataType::Int32, DataType::UInt64]
                if chain_time(chain).and_then(clock_of).is_some() =>
            {
                Ok(vec![chain.clone(), DataType::Int64, DataType::UInt64])
            }
            _ => Err(Error::user(format!(
                "{NAME}: needs (chain, number of steps [, optional steps as bits]), where chain is a funnel_chain(..)"
            ))),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType, Error> {
        Ok(DataType::new_list(DataType::Struct(step_fields()), true))
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let steps = literal_integer(NAME, "the number of steps", args.exprs, 1)?;
        let steps = usize::try_from(steps).unwrap_or(0);
        check_step_count(NAME, steps)?;
        let clock = chain_time(args.expr_fields[0].data_type()).and_then(clock_of).unwrap_or(Clock::Dates);
        let optional = match args.exprs.get(2) {
            Some(_) => match literal(NAME, "the optional steps", args.exprs, 2)? {
                ScalarValue::UInt64(Some(bits)) => *bits,
                other => {
                    return Err(Error::user(format!("{NAME}: the optional steps must be bits, got {other}")).into());
                }
            },
            None => 0,
        };
        Ok(Box::new(StepGroups { steps, optional, clock, users: Vec::new(), log: EventLog::default() }))
    }

    fn state_fields(&self, name: &str, _types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        let list = |part: &str, item: DataType| {
            Arc::new(Field::new(format!("{name}[{part}]"), DataType::new_list(item, true), false))
        };
        Ok(vec![
            list("users", DataType::Int64),
            list("steps", DataType::Int32),
            list("from_start", DataType::Int64),
            list("from_previous", DataType::Int64),
        ])
    }
}

/// One user's arrival at a step after the first.
#[derive(Clone, Copy)]
struct Arrival {
    from_start: i64,
    from_previous: i64,
    group: u32,
    step: u32,
}

impl Grouped for Arrival {
    fn group(&self) -> u32 {
        self.group
    }
    fn with_group(self, group: u32) -> Self {
        Self { group, ..self }
    }
}

struct StepGroups {
    steps: usize,
    /// Bits of the steps that may be skipped.
    optional: u64,
    clock: Clock,
    /// `users[group * steps + step]`: users whose chain reaches the step.
    users: Vec<i64>,
    log: EventLog<Arrival>,
}

impl StepGroups {
    fn emit(&mut self, emit_to: EmitTo) -> Result<(usize, Vec<i64>, EventLog<Arrival>, ByGroup)> {
        let groups = match emit_to {
            EmitTo::All => self.users.len() / self.steps,
            EmitTo::First(n) => n,
        };
        let rest = self.users.split_off(groups * self.steps);
        let users = std::mem::replace(&mut self.users, rest);
        let arrivals = self.log.take(match emit_to {
            EmitTo::All => None,
            EmitTo::First(n) => Some(n as u32),
        });
        let by_group = ByGroup::new(&arrivals, groups)
            .ok_or_else(|| Error::resources("funnel_steps: more than 4 billion users in one partition"))?;
        Ok((groups, users, arrivals, by_group))
    }
}

/// Continuous percentile of durations: linear between the two nearest ranks, as `percentile_cont`. They are reordered.
///
/// Selects, as sorting the durations of 20 million events' funnel took longer than adding up all else of the report.
fn percentile(durations: &mut [i64], share: f64) -> Option<f64> {
    let rank = share * (durations.len().checked_sub(1)?) as f64;
    let (_, low, above) = durations.select_nth_unstable(rank.floor() as usize);
    let low = *low as f64;
    Some(match above.iter().min() {
        Some(high) if rank.fract() > 0.0 => low + (*high as f64 - low) * rank.fract(),
        _ => low,
    })
}

fn ratio(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl GroupsAccumulator for StepGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.users.resize(total_num_groups * self.steps, 0);
        let chains = values[0].as_struct();
        let Some(lists) = chains.column_by_name("times").map(|times| times.as_list::<i32>()) else {
            return Err(Error::internal("funnel_steps: a chain has times").into());
        };
        let times = Times::read(lists.values())?;
        let gaps = times.has_nulls();
        let (offsets, ticks) = (lists.value_offsets(), times.values());
        for (row, group) in group_indices.iter().enumerate() {
            if !passes(opt_filter, row) || chains.is_null(row) || lists.is_null(row) {
                continue;
            }
            let from = offsets[row] as usize;
            let chain = &ticks[from..offsets[row + 1] as usize];
            let mut previous = chain.first().copied().unwrap_or(0);
            for (step, time) in chain.iter().enumerate().take(self.steps) {
                if gaps && times.is_null(from + step) {
                    continue;
                }
                self.users[group * self.steps + step] += 1;
                if step > 0 {
                    self.log.push(Arrival {
                        from_start: time.saturating_sub(chain[0]),
                        from_previous: time.saturating_sub(previous),
                        group: *group as u32,
                        step: step as u32,
                    });
                }
                previous = *time;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (groups, users, arrivals, by_group) = self.emit(emit_to)?;
        let rows = groups * self.steps;
        let (mut from_start, mut from_previous) = (vec![Vec::new(); self.steps], vec![Vec::new(); self.steps]);
        let mut step_numbers = Vec::with_capacity(rows);
        let mut dropped = Vec::with_capacity(rows);
        let mut shares: [Vec<Option<f64>>; 6] = Default::default();
        for group in 0..groups {
            from_start.iter_mut().chain(from_previous.iter_mut()).for_each(Vec::clear);
            for at in by_group.group(group) {
                let a = arrivals.get(*at);
                from_start[a.step as usize].push(a.from_start);
                from_previous[a.step as usize].push(a.from_previous);
            }
            let reached = &users[group * self.steps..(group + 1) * self.steps];
            let mut before = reached[0];
            for step in 0..self.steps {
                let optional = self.optional >> step & 1 != 0;
                let (starts, previous) = (&mut from_start[step], &mut from_previous[step]);
                let seconds = |ticks: f64| match self.clock {
                    // A product with a billionth would give 465.00000000000006.
                    Clock::Instants(per_second) => ticks / per_second as f64,
                    Clock::Dates => ticks * 86_400.0,
                };
                let sum: i128 = starts.iter().map(|t| i128::from(*t)).sum();
                step_numbers.push(step as i32 + 1);
                dropped.push(if optional { 0 } else { before - reached[step] });
                let row = [
                    ratio(reached[step], reached[0]),
                    ratio(reached[step], before),
                    percentile(starts, 0.5).map(seconds),
                    (!starts.is_empty()).then(|| seconds(sum as f64 / starts.len() as f64)),
                    percentile(starts, 0.9).map(seconds),
                    percentile(previous, 0.5).map(seconds),
                ];
                shares.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
                if !optional {
                    before = reached[step];
                }
            }
        }
        let [conversion, step_conversion, median, mean, p90, step_median] =
            shares.map(|column| Arc::new(Float64Array::from(column)) as ArrayRef);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(step_numbers)),
            Arc::new(Int64Array::from(users)),
            conversion,
            step_conversion,
            Arc::new(Int64Array::from(dropped)),
            median,
            mean,
            p90,
            step_median,
        ];
        let offsets = (0..=groups).map(|g| (g * self.steps) as i32).collect();
        Ok(list_of(Arc::new(StructArray::try_new(step_fields(), columns, None)?), offsets))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (groups, users, arrivals, by_group) = self.emit(emit_to)?;
        let user_offsets = (0..=groups).map(|g| (g * self.steps) as i32).collect();
        let mut offsets = vec![0i32];
        let mut sorted: Vec<Arrival> = Vec::with_capacity(arrivals.len());
        for group in 0..groups {
            sorted.extend(by_group.group(group).iter().map(|at| *arrivals.get(*at)));
            offsets.push(sorted.len() as i32);
        }
        let steps: Int32Array = sorted.iter().map(|a| a.step as i32).collect::<Vec<_>>().into();
        let from_start: Int64Array = sorted.iter().map(|a| a.from_start).collect::<Vec<_>>().into();
        let from_previous: Int64Array = sorted.iter().map(|a| a.from_previous).collect::<Vec<_>>().into();
        Ok(vec![
            list_of(Arc::new(Int64Array::from(users)), user_offsets),
            list_of(Arc::new(steps), offsets.clone()),
            list_of(Arc::new(from_start), offsets.clone()),
            list_of(Arc::new(from_previous), offsets),
        ])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.users.resize(total_num_groups * self.steps, 0);
        let users = values[0].as_list::<i32>();
        let counts = users.values().as_primitive::<Int64Type>().values();
        let steps = values[1].as_list::<i32>();
        let step_values = steps.values().as_primitive::<Int32Type>().values();
        let part = |at: usize| values[at].as_list::<i32>().values().as_primitive::<Int64Type>().values().clone();
        let (from_start, from_previous) = (part(2), part(3));
        for (row, group) in group_indices.iter().enumerate() {
            let from = users.value_offsets()[row] as usize;
            for step in 0..self.steps {
                self.users[group * self.steps + step] += counts[from + step];
            }
            for at in steps.value_offsets()[row] as usize..steps.value_offsets()[row + 1] as usize {
                self.log.push(Arrival {
                    from_start: from_start[at],
                    from_previous: from_previous[at],
                    group: *group as u32,
                    step: step_values[at] as u32,
                });
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let single = StepGroups {
            steps: self.steps,
            optional: self.optional,
            clock: self.clock,
            users: Vec::new(),
            log: EventLog::default(),
        };
        states_of_rows(single, values, opt_filter)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.users.capacity() * size_of::<i64>() + self.log.size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_linear_between_ranks() {
        assert_eq!(percentile(&mut [], 0.5), None);
        assert_eq!(percentile(&mut [7], 0.9), Some(7.0));
        assert_eq!(percentile(&mut [10, 3, 1, 2], 0.5), Some(2.5));
        assert_eq!(percentile(&mut [10, 100, 0, 90, 20, 80, 30, 70, 40, 60, 50], 0.9), Some(90.0));
        assert_eq!(percentile(&mut [5, 9, 5], 1.0), Some(9.0));
    }
}
