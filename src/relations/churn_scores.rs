//! `FROM churn_scores(...)`: who is about to leave, why, and the probability that they are still active.

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions_aggregate::min_max::max_udaf;
use datafusion::functions_nested::expr_fn::{array_element, make_array};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, col, lit, when};

use super::Relation;
use super::argument::{Argument, Kind, docs};
use super::call::Call;
use super::expressions::{column, over_all};
use super::reach::Reach;
use super::roles::{Roles, declared};
use super::shared::{AS_OF, TZ, with_roles, zone};
use crate::algo::calendar::{Calendar, Clock, Unit};
use crate::error::{Error, Result};
use crate::functions::bg_nbd::{bg_nbd_fit, p_alive};
use crate::functions::churn::{SCORE_TEXT, activity_days, churn_features, churn_points, churn_score, feature_fields};
use crate::functions::columns::clock_of;
use crate::functions::{FunctionDoc, FunctionKind};

/// The relation.
#[derive(Debug)]
pub struct ChurnScores;

const HORIZON: Argument = Argument::with_default(
    "horizon",
    Kind::Days,
    "INTERVAL '30 days'",
    "The period that is compared with the one before it.",
);
const TRANSACTION: Argument = Argument::optional(
    "transaction",
    Kind::Condition,
    "'purchase'",
    "What counts as a transaction for P(alive); any event where there is no event column.",
);
const RECENCY: Argument = Argument::optional(
    "recency",
    Kind::Numbers(4),
    "1/4, 1/2, 1, 2 horizons",
    "Days of inactivity that give 15, 30, 45 and 60 points.",
);
const FREQUENCY: Argument = Argument::with_default(
    "frequency",
    Kind::Numbers(2),
    "[4, 2]",
    "Fewer active days than these give 10 and 20 points.",
);
const TREND: Argument = Argument::with_default(
    "trend",
    Kind::Numbers(2),
    "[0.3, 0.6]",
    "A fall in events by these shares gives 10 and 20 points.",
);
const MEDIUM: Argument =
    Argument::with_default("medium", Kind::Number(0.0, 1.0), "0.4", "The score from which the level is `medium`.");
const HIGH: Argument =
    Argument::with_default("high", Kind::Number(0.0, 1.0), "0.7", "The score from which the level is `high`.");

impl Relation for ChurnScores {
    fn arguments(&self) -> Vec<Argument> {
        let as_of = AS_OF.meaning("The moment of the score; what comes later is not looked at. A DATE is the midnight in `tz` with which it begins: everything before that day.");
        let tz = TZ.meaning("IANA time zone of the dates.");
        with_roles(&[as_of, HORIZON, TRANSACTION, RECENCY, FREQUENCY, TREND, MEDIUM, HIGH, tz])
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "churn_scores",
            kind: FunctionKind::Relation,
            summary: "Who is about to leave, why, and the probability that they are still active",
            syntax: "churn_scores(table [, as_of => ..] [, horizon => INTERVAL '30 days'] [, transaction => ..])",
            arguments: docs(&self.arguments()),
            returns: vec![
                ("the user column", "Under its own name."),
                ("score DOUBLE", "0 to 1, higher = more likely to leave."),
                ("level TEXT", "`low`, `medium` or `high`."),
                (
                    "p_alive DOUBLE",
                    "Probability of being active at `as_of` (BG/NBD), 0 to 1; NULL for users without a transaction, and where nobody has a repeat transaction.",
                ),
                ("features STRUCT", "What the score was computed from, as `churn_features` answers."),
                ("reasons LIST of TEXT", "Why, the heaviest first."),
            ],
            text: SCORE_TEXT,
            example: "SELECT user_id, score, level, round(p_alive, 3) AS p_alive, reasons[1] AS reason\nFROM churn_scores(events, horizon => INTERVAL '30 days')\nWHERE level <> 'low' ORDER BY score DESC, user_id LIMIT 5",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let roles = Roles::of(call)?;
        if OUTPUT.contains(&roles.user_name.as_str()) {
            return Err(call.error(format!(
                "the user column '{}' has the name of a result column; give it another in (SELECT ..)",
                roles.user_name
            )));
        }
        let zone = zone(call)?;
        let clock = clock_of(&roles.time_type).unwrap_or(Clock::Dates);
        Calendar::new(Unit::Day, &zone, 0, clock).ok_or_else(|| {
            call.error(format!("unknown time zone '{zone}'; an IANA name such as 'Europe/Berlin' is needed"))
        })?;
        let horizon = call.days(&HORIZON, 36_500)?.ok_or_else(|| call.required(&HORIZON))?;
        let transaction = match (call.condition(&TRANSACTION)?, &roles.event) {
            (Some(condition), _) => roles.condition(call, &condition)?,
            // Nobody asked for this name: a shop without purchases has no P(alive), which is not an error.
            (None, Some(event)) => event.clone().eq(lit("purchase")),
            (None, None) => lit(true),
        };
        let thresholds = thresholds(call, horizon)?;
        let (medium, high) = (call.number(&MEDIUM)?, call.number(&HIGH)?);
        if medium > high {
            return Err(call.error(format!("'medium' ({medium}) must not be above 'high' ({high})")));
        }
        let mut takes_part = roles.known();
        let reach = Reach::read(call, &roles, &zone)?;
        if let Some(looked_at) = reach.looked_at() {
            takes_part = takes_part.and(looked_at);
        }
        let days = activity_days().call(vec![roles.time.clone(), transaction, lit(zone)]);
        let levels = when(col("score").gt_eq(lit(high)), lit("high"))
            .when(col("score").gt_eq(lit(medium)), lit("medium"))
            .otherwise(lit("low"))?;
        compose(call, ScoreCall { roles, takes_part, days, reach, horizon, thresholds, levels }).map_err(Error::from)
    }
}

const OUTPUT: [&str; 5] = ["score", "level", "p_alive", "features", "reasons"];

/// A call, read and checked.
struct ScoreCall {
    roles: Roles,
    takes_part: Expr,
    days: Expr,
    reach: Reach,
    horizon: i64,
    thresholds: Expr,
    levels: Expr,
}

fn compose(call: &Call, question: ScoreCall) -> datafusion::error::Result<LogicalPlan> {
    let ScoreCall { roles, takes_part, days, reach, horizon, thresholds, levels } = question;
    let user = || column(&roles.user_name);
    let per_user = LogicalPlanBuilder::from(call.input().clone()).filter(takes_part)?.aggregate(
        [roles.user.clone().alias_with_metadata(roles.user_name.as_str(), declared("user"))],
        [days.alias("days")],
    )?;
    // Without as_of the last day of all users is the reach of the data: a window over users, not a second scan.
    let date = reach.day().and_then(|day| i32::try_from(day).ok()).map(|day| lit(ScalarValue::Date32(Some(day))));
    let dated = match date {
        Some(date) => per_user.project([user(), col("days"), date.alias("as_of")])?,
        None => {
            let last = array_element(col("days"), lit(-1i64)).field("day");
            let latest = over_all(max_udaf(), vec![col("last")]).alias("as_of");
            per_user.project([user(), col("days"), last.alias("last")])?.window([latest])?.project([
                user(),
                col("days"),
                reach.noticed(col("as_of")).alias("as_of"),
            ])?
        }
    };
    let f = |name: &str| col("features").field(name);
    let number = |name: &str| cast(f(name), DataType::Float64);
    let customer = || vec![f("repeats"), number("transaction_span"), number("transaction_age")];
    let mut alive = vec![col("model")];
    alive.extend([number("repeats"), number("transaction_span"), number("transaction_age")]);
    dated
        .project([user(), churn_features().call(vec![col("days"), col("as_of"), lit(horizon)]).alias("features")])?
        .filter(col("features").is_not_null())?
        .window([over_all(bg_nbd_fit().into(), customer()).alias("model")])?
        .project([
            user(),
            churn_points().call(vec![col("features"), lit(horizon), thresholds.clone()]).alias("score"),
            p_alive().call(alive).alias("p_alive"),
            cast(col("features"), sorted_features()).alias("features"),
        ])?
        .sort([col("score").sort(false, false), user().sort(true, false)])?
        .project([
            user(),
            col("score"),
            col("p_alive"),
            cast(col("features"), DataType::Struct(feature_fields())).alias("features"),
        ])?
        // Sentences are made once the order is known: rows that are sorted are held or spilled, and these are most of their bytes.
        .project([
            user(),
            col("score"),
            levels.alias("level"),
            col("p_alive"),
            col("features"),
            churn_score().call(vec![col("features"), lit(horizon), thresholds]).field("reasons").alias("reasons"),
        ])?
        .build()
}

/// Features as they are sorted: days fit into half of the bytes.
fn sorted_features() -> DataType {
    let narrow = |field: &FieldRef| {
        let days = !field.name().starts_with("events");
        let data_type = if days { DataType::Int32 } else { field.data_type().clone() };
        field.as_ref().clone().with_data_type(data_type)
    };
    DataType::Struct(feature_fields().iter().map(narrow).collect())
}

fn thresholds(call: &mut Call, horizon: i64) -> Result<Expr> {
    let default = crate::algo::activity::Points::for_horizon(horizon);
    let recency = call.numbers(&RECENCY)?.unwrap_or_else(|| default.recency.iter().map(|n| *n as f64).collect());
    let frequency = call.numbers(&FREQUENCY)?.ok_or_else(|| call.required(&FREQUENCY))?;
    let trend = call.numbers(&TREND)?.ok_or_else(|| call.required(&TREND))?;
    let rises = |numbers: &[f64]| numbers.windows(2).all(|pair| pair[0] <= pair[1]);
    if !rises(&recency) || !rises(&trend) || frequency[0] < frequency[1] {
        return Err(call.error(
            "thresholds go from mild to severe: 'recency' and 'trend' must not fall, 'frequency' must not rise",
        ));
    }
    Ok(make_array(recency.into_iter().chain(frequency).chain(trend).map(lit).collect()))
}
