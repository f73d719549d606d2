//! How far a relation looks at its data: `as_of`, or to their end.
//!
//! A DATE is the local midnight at which that day begins, whatever the type of the time column: everything before it is looked
//! at, and the day before is over. A TIMESTAMP is an instant, up to which everything is looked at, itself included. Without
//! either the data reach to their largest time, and a note says so where that lies in the future.
//! Does not deal with: what a relation makes of it.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::expr::Expr;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, col, lit, scalar_subquery};
use std::sync::Arc;

use super::argument::Argument;
use super::call::{Call, Moment};
use super::roles::Roles;
use super::shared as argument;
use crate::algo::calendar::{Calendar, Clock, Unit};
use crate::error::{Error, Result};
use crate::functions::columns::{clock_of, times_array};
use crate::functions::data_reach::data_reach;

/// The name of the column that holds it.
pub const AS_OF: &str = "as_of";

/// How far a relation looks.
#[derive(Debug, Clone)]
pub struct Reach {
    relation: &'static str,
    zone: String,
    /// The bound that was given.
    given: Option<Bound>,
}

#[derive(Debug, Clone)]
struct Bound {
    /// Which rows are looked at.
    looked_at: Expr,
    /// What has ended has done so by then: an instant; of dates the last one that is over.
    as_of: ScalarValue,
    /// The local date, as days since 1970.
    day: i64,
    /// Whether it was given as a date.
    date: bool,
}

impl Reach {
    /// The argument `as_of` of a call, whose calendar is that of `zone`.
    pub fn read(call: &mut Call, roles: &Roles, zone: &str) -> Result<Self> {
        let moment = call.moment(&argument::AS_OF)?;
        let given = moment.map(|moment| bound(call, roles, zone, moment)).transpose()?;
        Ok(Self { relation: call.name(), zone: zone.to_string(), given })
    }

    /// Which rows are looked at, where not all are.
    pub fn looked_at(&self) -> Option<Expr> {
        self.given.as_ref().map(|bound| bound.looked_at.clone())
    }

    /// Whether all that is looked at lies before the midnight of a date that was given.
    pub fn is_before_a_date(&self) -> bool {
        self.given.as_ref().is_some_and(|bound| bound.date)
    }

    /// The local date of `as_of`, where it was given.
    pub fn day(&self) -> Option<i64> {
        self.given.as_ref().map(|bound| bound.day)
    }

    /// What was given: what has ended has done so by then.
    pub fn as_of(&self) -> Option<&ScalarValue> {
        self.given.as_ref().map(|bound| &bound.as_of)
    }

    /// The same as an expression.
    pub fn constant(&self) -> Option<Expr> {
        self.given.as_ref().map(|bound| lit(bound.as_of.clone()))
    }

    /// One row of one column [`AS_OF`]: what has ended by then compares as less or equal.
    pub fn row(&self, call: &Call, roles: &Roles) -> datafusion::error::Result<LogicalPlan> {
        if let Some(constant) = self.constant() {
            return LogicalPlanBuilder::empty(true).project([constant.alias(AS_OF)])?.build();
        }
        LogicalPlanBuilder::from(call.input().clone())
            .aggregate(Vec::<Expr>::new(), [max(roles.time.clone()).alias(AS_OF)])?
            .project([self.noticed(col(AS_OF)).alias(AS_OF)])?
            .build()
    }

    /// The same as an expression.
    pub fn value(&self, call: &Call, roles: &Roles) -> datafusion::error::Result<Expr> {
        match self.constant() {
            Some(constant) => Ok(constant),
            None => Ok(scalar_subquery(Arc::new(self.row(call, roles)?))),
        }
    }

    /// A largest time, of which a note says so if it lies in the future.
    pub fn noticed(&self, largest: Expr) -> Expr {
        data_reach().call(vec![largest, lit(self.relation), lit(self.zone.as_str())])
    }
}

fn bound(call: &Call, roles: &Roles, zone: &str, moment: Moment) -> Result<Bound> {
    let clock = clock_of(&roles.time_type).unwrap_or(Clock::Dates);
    let calendar = |clock| {
        Calendar::new(Unit::Day, zone, 0, clock).ok_or_else(|| {
            call.error(format!("unknown time zone '{zone}'; an IANA name such as 'Europe/Berlin' is needed"))
        })
    };
    let beyond = |shown: &dyn std::fmt::Display| {
        call.error(format!("argument '{AS_OF}': {shown} is beyond what the time column ({}) can hold", roles.time_type))
    };
    let time = || roles.time.clone();
    match (moment, clock) {
        (Moment::Date(day), _) => {
            let shown = ScalarValue::Date32(Some(day));
            let midnight = calendar(clock)?.starts_at(i64::from(day)).ok_or_else(|| beyond(&shown))?;
            let of_column = |ticks: i64| -> Result<ScalarValue> {
                let array = times_array(vec![ticks], None, &roles.time_type)?;
                ScalarValue::try_from_array(&array, 0).map_err(Error::from)
            };
            let begins = of_column(midnight)?;
            let as_of = if clock == Clock::Dates { of_column(midnight - 1)? } else { begins.clone() };
            Ok(Bound { looked_at: time().lt(lit(begins)), as_of, day: i64::from(day), date: true })
        }
        (Moment::Instant(instant), Clock::Dates) => {
            // Dates up to that of the instant are looked at; the one before it is over.
            let ticks = ticks_of(&instant).ok_or_else(|| beyond(&instant))?;
            let clock = clock_of(&instant.data_type()).unwrap_or(Clock::Dates);
            let day = calendar(clock)?.day(ticks).ok_or_else(|| beyond(&instant))?;
            let date = |day: i64| i32::try_from(day).map(|day| ScalarValue::Date32(Some(day)));
            let (own, before) =
                (date(day).map_err(|_| beyond(&instant))?, date(day - 1).map_err(|_| beyond(&instant))?);
            Ok(Bound { looked_at: time().lt_eq(lit(own)), as_of: before, day, date: false })
        }
        (Moment::Instant(instant), _) => {
            let as_of = super::call::as_instant(&instant, &roles.time_type).map_err(|_| beyond(&instant))?;
            let ticks = ticks_of(&as_of).ok_or_else(|| beyond(&instant))?;
            let day = calendar(clock)?.day(ticks).ok_or_else(|| beyond(&instant))?;
            Ok(Bound { looked_at: time().lt_eq(lit(as_of.clone())), as_of, day, date: false })
        }
    }
}

/// A moment of a call as a value that the time column compares with: a DATE is the midnight in `zone` with which it begins.
pub fn moment_of(call: &mut Call, argument: &Argument, roles: &Roles, zone: &str) -> Result<Option<ScalarValue>> {
    let Some(moment) = call.moment(argument)? else { return Ok(None) };
    let clock = clock_of(&roles.time_type).unwrap_or(Clock::Dates);
    let name = argument.name;
    let beyond = |shown: &dyn std::fmt::Display| {
        call.error(format!("argument '{name}': {shown} is beyond what the time column ({}) can hold", roles.time_type))
    };
    let value = match moment {
        Moment::Date(day) => {
            let calendar = Calendar::new(Unit::Day, zone, 0, clock);
            let midnight = calendar.and_then(|calendar| calendar.starts_at(i64::from(day)));
            let midnight = midnight.ok_or_else(|| beyond(&ScalarValue::Date32(Some(day))))?;
            let array = times_array(vec![midnight], None, &roles.time_type)?;
            ScalarValue::try_from_array(&array, 0).map_err(Error::from)?
        }
        Moment::Instant(instant) if clock == Clock::Dates => {
            return Err(call.error(format!(
                "argument '{name}': the time column holds dates, so a DATE is needed, got {}",
                super::call::shown(&instant)
            )));
        }
        Moment::Instant(instant) => {
            super::call::as_instant(&instant, &roles.time_type).map_err(|_| beyond(&instant))?
        }
    };
    Ok(Some(value))
}

fn ticks_of(instant: &ScalarValue) -> Option<i64> {
    match instant.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(ticks)) => ticks,
        _ => None,
    }
}
