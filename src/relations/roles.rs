//! Which columns of the input are user, time and event.
//!
//! Resolved in this order: the call's own `user =>`, `time =>`, `event =>`; the columns' metadata (`tenure.toml` and
//! managed tables put it there, and it survives SELECT); the session (`SET tenure.user_column = ...`); conventional names.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ExprSchema;
use datafusion::common::metadata::FieldMetadata;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, cast};

use super::argument::Argument;
use super::call::{Call, Condition, condition_expr};
use super::shared::{EVENT, TIME, TIME_UNIT, USER};
use crate::error::{Error, Result, nearest, suggest};
use crate::store;
use crate::store::table::{CONVENTIONS, ROLE_KEY, TIME_UNIT_KEY};

/// The columns of a behaviour relation.
#[derive(Debug, Clone)]
pub struct Roles {
    /// Who.
    pub user: Expr,
    /// Name of the user column in the output.
    pub user_name: String,
    /// When: a timestamp or date.
    pub time: Expr,
    /// Type of `time`.
    pub time_type: DataType,
    /// What; `None` where no column was found and nothing needed one yet.
    pub event: Option<Expr>,
    missing_event: String,
}

/// The user column of a call whose rows need no time, and its name.
pub fn user_of(call: &mut Call) -> Result<(Expr, String)> {
    let options = call.options();
    let user = resolve(call, &USER, &options.user_column)?.map_err(|why| call.error(why))?;
    let name = named(&user);
    Ok((user, name))
}

/// Name of the user column in an answer.
fn named(user: &Expr) -> String {
    match user {
        Expr::Column(column) => column.name.clone(),
        _ => "user_id".to_string(),
    }
}

impl Roles {
    /// Resolves the three roles of a call.
    pub fn of(call: &mut Call) -> Result<Self> {
        let options = call.options();
        let user = resolve(call, &USER, &options.user_column)?.map_err(|why| call.error(why))?;
        let time = resolve(call, &TIME, &options.time_column)?.map_err(|why| call.error(why))?;
        let (event, missing_event) = match resolve(call, &EVENT, &options.event_column)? {
            Ok(event) => (Some(event), String::new()),
            Err(why) => (None, why),
        };
        let unit = match call.chosen(&TIME_UNIT)? {
            Some(unit) => Some(unit.to_string()),
            None => {
                metadata_of(call, &time, TIME_UNIT_KEY).or((!options.time_unit.is_empty()).then_some(options.time_unit))
            }
        };
        let (time, time_type) = typed_time(call, time, unit.as_deref())?;
        let user_name = named(&user);
        Ok(Self { user, user_name, time, time_type, event, missing_event })
    }

    /// A condition as an expression; an event name needs an event column, and an event of that name where the files can
    /// tell at once which there are.
    pub fn condition(&self, call: &Call, condition: &Condition) -> Result<Expr> {
        checked_condition(call, condition, self.event.as_ref(), &self.missing_event)
    }

    /// The event column.
    pub fn event(&self, call: &Call) -> Result<Expr> {
        self.event.clone().ok_or_else(|| call.error(&self.missing_event))
    }

    /// Rows that take part: user and time are known.
    pub fn known(&self) -> Expr {
        self.user.clone().is_not_null().and(self.time.clone().is_not_null())
    }
}

/// The event column of a call whose rows need no time.
#[derive(Debug, Clone)]
pub struct Events {
    event: Option<Expr>,
    missing: String,
}

impl Events {
    /// Resolves it; nothing needs one yet.
    pub fn of(call: &mut Call) -> Result<Self> {
        let options = call.options();
        Ok(match resolve(call, &EVENT, &options.event_column)? {
            Ok(event) => Self { event: Some(event), missing: String::new() },
            Err(missing) => Self { event: None, missing },
        })
    }

    /// A condition as [`Roles::condition`] reads it.
    pub fn condition(&self, call: &Call, condition: &Condition) -> Result<Expr> {
        checked_condition(call, condition, self.event.as_ref(), &self.missing)
    }
}

fn checked_condition(call: &Call, condition: &Condition, event: Option<&Expr>, missing: &str) -> Result<Expr> {
    if let (Condition::Event(name), Some(Expr::Column(column))) = (condition, event)
        && let Some(known) = event_names(call.input(), &column.name)
        && !known.contains(name)
    {
        let help = known_events(name, &known);
        return Err(call.error(format!("no event is called '{name}'; {help}")));
    }
    condition_expr(condition, event, || call.error(missing))
}

/// Declares the role of an output column, so that another relation over this one finds it.
pub fn declared(role: &str) -> Option<FieldMetadata> {
    Some(FieldMetadata::from(BTreeMap::from([(ROLE_KEY.to_string(), role.to_string())])))
}

/// Names in the column of the one table below `plan`, followed down as long as rows are only filtered, sorted or renamed.
fn event_names(plan: &LogicalPlan, column: &str) -> Option<BTreeSet<String>> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let table = source_as_provider(&scan.source).ok()?;
            store::event_names::of(table.as_ref(), column)
        }
        LogicalPlan::Projection(projection) => {
            let at = projection.schema.fields().iter().position(|f| f.name() == column)?;
            match projection.expr.get(at)?.clone().unalias() {
                Expr::Column(below) => event_names(&projection.input, &below.name),
                _ => None,
            }
        }
        LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => {
            event_names(plan.inputs().first()?, column)
        }
        _ => None,
    }
}

/// A role's column, or the sentence that says why there is none.
fn resolve(call: &mut Call, argument: &Argument, session: &str) -> Result<Result<Expr, String>> {
    if let Some(expr) = call.column(argument)? {
        return Ok(Ok(expr));
    }
    let role = argument.name;
    let declared: Vec<String> = fields_with(call, |f| f.metadata().get(ROLE_KEY).is_some_and(|r| r == role));
    match declared.as_slice() {
        [] => {}
        [only] => return call.column_named(role, only).map(Ok),
        several => return Ok(Err(ambiguous(role, several))),
    }
    if !session.is_empty() {
        return call.column_named(role, session).map(Ok);
    }
    let conventional = CONVENTIONS.iter().find(|(r, _)| *r == role).map_or(&[][..], |(_, names)| names);
    let found = fields_with(call, |f| conventional.contains(&f.name().as_str()));
    match found.as_slice() {
        [only] => call.column_named(role, only).map(Ok),
        [] => {
            let candidates = fields_with(call, |f| fits(role, f.data_type()));
            let list = if candidates.is_empty() { "none fits".to_string() } else { candidates.join(", ") };
            Ok(Err(format!(
                "no {role} column found (looked for {}); name it with {role} => column; candidates: {list}",
                conventional.join(", ")
            )))
        }
        several => Ok(Err(ambiguous(role, several))),
    }
}

fn ambiguous(role: &str, columns: &[String]) -> String {
    format!("more than one {role} column ({}); choose with {role} => column", columns.join(", "))
}

fn fields_with(call: &Call, keep: impl Fn(&arrow::datatypes::Field) -> bool) -> Vec<String> {
    call.schema().fields().iter().filter(|f| keep(f)).map(|f| f.name().clone()).collect()
}

/// Types that could play a role, for the list of candidates.
fn fits(role: &str, data_type: &DataType) -> bool {
    let text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let string = match data_type {
        DataType::Dictionary(_, value) => text(value),
        other => text(other),
    };
    match role {
        "time" => matches!(data_type, DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64),
        "user" => string || data_type.is_integer(),
        _ => string,
    }
}

fn metadata_of(call: &Call, expr: &Expr, key: &str) -> Option<String> {
    let Expr::Column(column) = expr else { return None };
    call.schema().field_from_column(column).ok()?.metadata().get(key).cloned()
}

/// The time as a timestamp or date: integers become timestamps where their unit is known.
fn typed_time(call: &Call, time: Expr, unit: Option<&str>) -> Result<(Expr, DataType)> {
    let data_type = time.get_type(call.schema()).map_err(Error::from)?;
    match &data_type {
        DataType::Timestamp(_, _) | DataType::Date32 => Ok((time, data_type)),
        DataType::Date64 => {
            let target = DataType::Timestamp(TimeUnit::Millisecond, None);
            Ok((cast(time, target.clone()), target))
        }
        integer if integer.is_integer() => {
            let Some(unit) = unit else {
                return Err(call
                    .error(format!(
                        "time column {time} holds integers ({integer}); say their unit with time_unit => 'ms'"
                    ))
                    .hint("allowed units: s, ms, us, ns"));
            };
            let unit = match unit {
                "s" => TimeUnit::Second,
                "ms" => TimeUnit::Millisecond,
                "us" => TimeUnit::Microsecond,
                "ns" => TimeUnit::Nanosecond,
                other => {
                    return Err(
                        call.error(format!("unknown time_unit '{other}'; {}", suggest(other, ["s", "ms", "us", "ns"])))
                    );
                }
            };
            let target = DataType::Timestamp(unit, None);
            Ok((cast(cast(time, DataType::Int64), target.clone()), target))
        }
        other => Err(call.error(format!("time column {time} must be a TIMESTAMP or DATE, got {other}"))),
    }
}

/// The nearest of all events, or the first few: a line that can be read, however many there are and however long.
fn known_events(name: &str, known: &BTreeSet<String>) -> String {
    const FEW: usize = 20;
    const LONG: usize = 100;
    let shown = || known.iter().map(String::as_str).filter(|event| event.len() <= LONG);
    if !nearest(name, shown()).is_empty() {
        return suggest(name, shown());
    }
    let few: Vec<&str> = shown().take(FEW).collect();
    match (few.as_slice(), known.len() - few.len()) {
        ([], more) => format!("there are {more} others"),
        (few, 0) => format!("allowed: {}", few.join(", ")),
        (few, more) => format!("allowed: {} and {more} more", few.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_suggested_from_all_and_listed_in_part() {
        let many: BTreeSet<String> = (100..300).map(|n| format!("play_{n}")).collect();
        assert!(known_events("play_288x", &many).starts_with("did you mean 'play_288'"));
        let listed = known_events("zzz", &many);
        assert!(listed.starts_with("allowed: play_100, ") && listed.ends_with("play_119 and 180 more"), "{listed}");
        let long = BTreeSet::from(["x".repeat(10_000), "a".to_string()]);
        assert_eq!(known_events("zzz", &long), "allowed: a and 1 more");
        assert_eq!(known_events("zzz", &BTreeSet::from(["a".to_string()])), "allowed: a");
    }
}
