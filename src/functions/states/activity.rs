//! `activity_state(time, unit, tz, week_start)` and `activity_merge(state)`: in which periods each group was active, as a state that
//! can be stored.
//!
//! Memory: 8 bytes for each run of consecutive periods. Does not deal with: bytes (`algo::states::activity`), functions of a state
//! (`activity_readers`).

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, Expr, GroupsAccumulator};
use datafusion::physical_plan::PhysicalExpr;

use super::arguments::{apart, refused};
use super::groups::{Fold, Groups, Held, StateGroups, merging, state_field};
use crate::algo::calendar::{Calendar, Clock, Unit, weekday};
use crate::algo::states::activity::{Active, Periods};
use crate::error::Error;
use crate::functions::columns::{Times, clock_of, coerce_time, literal_text, passes};
use crate::functions::grouped::{GroupedFunction, aggregate};
use crate::functions::lifecycle::calendar;
use crate::functions::period::numbers::PeriodNumbers;

/// The aggregate that makes such states.
pub const STATE: &str = "activity_state";
const MERGE: &str = "activity_merge";

/// The function.
pub fn activity_state() -> AggregateUDF {
    aggregate(MakeState)
}

/// The function.
pub fn activity_merge() -> AggregateUDF {
    merging(MERGE, STATE, || Activity { name: MERGE, numbers: None, periods: None })
}

/// The calendar of the constants from position `from` on, unit, time zone and week start, and these as they are stored.
pub fn periods_of(
    function: &str,
    expressions: &[Arc<dyn PhysicalExpr>],
    from: usize,
    clock: Clock,
) -> Result<(Calendar, Periods), Error> {
    let word = |at| literal_text(function, "unit, time zone or week_start", expressions, from + at);
    let (unit, zone, week_start) = (word(0)?, word(1)?, word(2)?);
    let calendar = calendar(function, &unit, &zone, &week_start, clock)?;
    let week_start = match calendar.unit() {
        Unit::Week => weekday(&week_start).ok_or_else(|| Error::internal(format!("{function}: no day of the week")))?,
        _ => 0,
    };
    Ok((calendar.clone(), Periods { unit: calendar.unit(), zone, week_start }))
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct MakeState;

impl GroupedFunction for MakeState {
    fn name(&self) -> &'static str {
        STATE
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        if types.len() != 4 {
            let text = format!("{STATE}: needs (time, unit, time zone, week_start), got {} arguments", types.len());
            return Err(Error::user(text));
        }
        Ok(vec![coerce_time(STATE, 1, &types[0])?, DataType::Utf8, DataType::Utf8, DataType::Utf8])
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType, Error> {
        Ok(DataType::Binary)
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let clock = clock_of(args.expr_fields[0].data_type()).unwrap_or(Clock::Dates);
        let (calendar, periods) = periods_of(STATE, args.exprs, 1, clock)?;
        let periods = Arc::new(periods);
        let fold = Activity { name: STATE, numbers: Some(PeriodNumbers::new(STATE, calendar)), periods: Some(periods) };
        Ok(Box::new(StateGroups::new(fold, false)))
    }

    fn state_fields(&self, name: &str, _types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        Ok(state_field(name))
    }

    fn check(&self, arguments: &[Expr]) -> Result<(), Error> {
        let word = |at: usize| match arguments.get(at) {
            Some(Expr::Literal(value, _)) => ScalarValue::try_as_str(value).flatten(),
            _ => None,
        };
        match (word(1), word(2), word(3)) {
            (Some(unit), Some(zone), Some(week_start)) => {
                calendar(STATE, unit, zone, week_start, Clock::Dates).map(drop)
            }
            _ => Ok(()),
        }
    }
}

/// Active periods of a group.
struct Of {
    /// Those of its states; none before any came.
    periods: Option<Arc<Periods>>,
    active: Active,
}

impl Held for Of {
    fn bytes(&self) -> usize {
        self.active.size()
    }
}

struct Activity {
    name: &'static str,
    /// Not of aggregates that merge.
    numbers: Option<PeriodNumbers>,
    /// Those asked for, or of the state that came last: groups share them.
    periods: Option<Arc<Periods>>,
}

impl Fold for Activity {
    type State = Of;

    fn name(&self) -> &'static str {
        self.name
    }

    fn twin(&self) -> Self {
        let numbers = self.numbers.as_ref().map(|n| PeriodNumbers::new(self.name, n.calendar().clone()));
        Self { name: self.name, numbers, periods: self.periods.clone() }
    }

    fn fresh(&self) -> Of {
        let periods = self.numbers.as_ref().and(self.periods.clone());
        Of { periods, active: Active::default() }
    }

    fn update(
        &mut self,
        groups: &mut Groups<Self>,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let Some(numbers) = &mut self.numbers else {
            return Err(Error::internal(format!("{}: no calendar", self.name)).into());
        };
        let periods = &self.periods;
        let times = Times::read(&values[0])?;
        for (row, group) in group_indices.iter().enumerate() {
            if times.is_null(row) || !passes(filter, row) {
                continue;
            }
            let period = numbers.of(times.values()[row])?;
            let fresh = || Of { periods: periods.clone(), active: Active::default() };
            groups.change(*group, fresh, |of| of.active.add(period, period));
        }
        Ok(())
    }

    fn merge(&mut self, of: &mut Of, bytes: &[u8]) -> Result<()> {
        let (periods, active) = Active::read(bytes).map_err(|fault| refused(self.name, &fault))?;
        let periods = match &self.periods {
            Some(last) if **last == periods => Arc::clone(last),
            _ => Arc::new(periods),
        };
        match &of.periods {
            Some(known) if *known != periods => {
                let [one, other] = sorted(known.told(), periods.told());
                return Err(apart(self.name, &one, &other).into());
            }
            Some(_) => {}
            None => of.periods = Some(Arc::clone(&periods)),
        }
        if self.numbers.is_none() {
            self.periods = Some(periods);
        }
        of.active.merge(&active);
        Ok(())
    }

    fn write(&mut self, mut of: Of) -> Result<Vec<u8>> {
        let Some(periods) = &of.periods else {
            return Err(Error::internal(format!("{}: a state without options", self.name)).into());
        };
        Ok(of.active.write(periods))
    }
}

/// So that a message does not depend on which state came first.
pub fn sorted(one: String, other: String) -> [String; 2] {
    if one <= other { [one, other] } else { [other, one] }
}
