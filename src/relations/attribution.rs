//! `FROM attribution(...)`: which channels get the credit for conversions, by one model or several.

use arrow::datatypes::DataType;
use datafusion::common::{NullHandling, ScalarValue, UnnestOptions};
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions::core::expr_fn::named_struct;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, SortExpr, cast, col, lit, when};

use super::Relation;
use super::argument::{Argument, Kind, docs};
use super::call::{Breakdown, Call};
use super::expressions::{column, unkeyed};
use super::roles::Roles;
use super::shared::{BY, ORDER_KEY, with_roles};
use crate::algo::attribution::Rule;
use crate::algo::calendar::Clock;
use crate::error::{Error, Result};
use crate::functions::attribution::models::Model;
use crate::functions::attribution::user::half_life_ticks;
use crate::functions::attribution::{attribution_credits, user_attribution};
use crate::functions::columns::{clock_of, window_ticks};
use crate::functions::{FunctionDoc, FunctionKind};

/// The relation.
#[derive(Debug)]
pub struct Attribution;

const CONVERSION: Argument =
    Argument::needed("conversion", Kind::Condition, "What is credited; each such row is one conversion.");
const MODEL: Argument = Argument::with_default(
    "model",
    Kind::Texts,
    "'last'",
    "`first`, `last`, `last_non_direct`, `linear`, `participation`, `position`, `time_decay`, `markov`, `shapley`; \
     several are answered by one scan.",
);
const CHANNEL: Argument = Argument::optional("channel", Kind::Column, "channel", "Where a touch came from.");
const TOUCH: Argument = Argument::optional(
    "touch",
    Kind::Condition,
    "any row with a channel",
    "What counts as a touch; without a channel (NULL) nothing does.",
);
const VALUE: Argument = Argument::optional(
    "value",
    Kind::Column,
    "nothing",
    "What a conversion is worth, taken from its row; NULL is 0, less than 0 is allowed.",
);
const LOOKBACK: Argument = Argument::with_default(
    "lookback",
    Kind::Span,
    "INTERVAL '30 days'",
    "How long before a conversion a touch may be, inclusive.",
);
const RESET: Argument = Argument::with_default(
    "reset",
    Kind::Switch,
    "false",
    "Whether a conversion uses its touches up: later ones see only touches after its instant.",
);
const WEIGHTS: Argument = Argument::with_default(
    "weights",
    Kind::Numbers(3),
    "[40, 20, 40]",
    "For `position`: shares of the first touch, of all between, and of the last.",
);
const HALF_LIFE: Argument = Argument::with_default(
    "half_life",
    Kind::Span,
    "INTERVAL '7 days'",
    "For `time_decay`: the age that halves a weight.",
);
const DIRECT: Argument = Argument::with_default(
    "direct",
    Kind::Texts,
    "['direct', '(direct)']",
    "For `last_non_direct`: the channels to pass over.",
);

impl Relation for Attribution {
    fn arguments(&self) -> Vec<Argument> {
        let by = BY.meaning("Breaks the answer down by the value at the conversion.");
        let order = ORDER_KEY.meaning("Orders touches of one instant; those it leaves tied go by channel.");
        with_roles(&[CONVERSION, MODEL, CHANNEL, TOUCH, VALUE, LOOKBACK, RESET, by, WEIGHTS, HALF_LIFE, DIRECT, order])
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "attribution",
            kind: FunctionKind::Relation,
            summary: "Which channels get the credit for conversions, by one model or several",
            syntax: "attribution(table, conversion => '..' [, model => '..'] [, channel => ..] [, value => ..])",
            arguments: docs(&self.arguments()),
            returns: vec![
                ("by ..", "The breakdown columns, under their own names."),
                ("model TEXT", "The model, in the order asked."),
                (
                    "channel TEXT",
                    "The channel; `(direct)` stands for conversions without a touch. Largest credit first.",
                ),
                ("credit DOUBLE", "Conversions credited to the channel."),
                ("share DOUBLE", "Credit as a share of all conversions, 0 to 1."),
                ("value DOUBLE", "Value credited to the channel; NULL without `value`."),
                ("touches BIGINT", "Touches of the channel that conversions reach back to, once for each conversion."),
                ("users BIGINT", "Users with such a touch; for `(direct)`, with a conversion without one."),
            ],
            text: TEXT,
            example: "SELECT model, channel, round(credit, 2) AS credit, round(share, 3) AS share, touches, users\nFROM attribution(events, conversion => 'purchase', touch => event IN ('search', 'view_item', 'share'),\n  channel => event, model => ['last', 'linear', 'markov'], lookback => INTERVAL '7 days')",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let roles = Roles::of(call)?;
        let Some(conversion) = call.condition(&CONVERSION)? else {
            return Err(call.required(&CONVERSION));
        };
        let conversion = roles.condition(call, &conversion)?;
        let channel = match call.column(&CHANNEL)? {
            Some(channel) => channel,
            None => call.column_named("channel", "channel")?,
        };
        let channel = as_text(call, channel)?;
        let touch = call.condition(&TOUCH)?.map(|touch| roles.condition(call, &touch)).transpose()?;
        let value = call.column(&VALUE)?.map(|value| as_number(call, value)).transpose()?;
        let by = call.breakdowns(&BY)?;
        call.refuse_names(&by, &OUTPUT)?;
        call.refuse_names(&by, &INNER)?;
        let models = models(call)?;
        let clock = clock_of(&roles.time_type).unwrap_or(Clock::Dates);
        let lookback = call.span(&LOOKBACK)?;
        window_ticks(call.name(), "argument 'lookback'", &lookback, clock)?;
        let reset = call.switch(&RESET)?;
        for (argument, rule) in [(HALF_LIFE, Rule::TimeDecay), (WEIGHTS, Rule::Position), (DIRECT, Rule::LastNonDirect)]
        {
            only_for(call, &argument, &models, rule)?;
        }
        let half_life = call.span(&HALF_LIFE)?;
        half_life_ticks(call.name(), "argument 'half_life'", &half_life, clock)?;
        let weights = weights(call)?;
        let direct = call.texts(&DIRECT)?.unwrap_or_default();
        let order_key = call.column(&ORDER_KEY)?;

        let has_channel = channel.clone().is_not_null();
        let touch = match touch {
            Some(touch) => touch.and(has_channel),
            None => has_channel,
        };
        let is_direct = if models.contains(&Model::Rule(Rule::LastNonDirect)) {
            channel.clone().in_list(direct.into_iter().map(lit).collect(), false)
        } else {
            lit(false)
        };
        let mut kept = Vec::new();
        kept.extend(order_key.into_iter().flat_map(|key| [lit("order_key"), key]));
        kept.extend([lit("channel"), channel]);
        let has_value = value.is_some();
        if let Some(value) = value {
            // Only conversions are worth something: so rows that are touches alone share one kept value a channel.
            kept.extend([lit("value"), when(conversion.clone(), value).end().map_err(Error::from)?]);
        }
        kept.extend(by.iter().flat_map(|b| [lit(b.name.as_str()), b.value.clone()]));
        let names: Vec<&str> = models.iter().map(|m| m.name()).collect();
        let mut arguments = vec![roles.time.clone(), conversion.clone(), touch.clone(), is_direct];
        arguments.extend([lit(lookback), lit(half_life), lit(names.join(",")), lit(reset)]);
        arguments.extend(weights.map(lit));
        arguments.push(named_struct(kept));
        let takes_part = roles.known().and(conversion.or(touch));
        report(call.input().clone(), &roles, takes_part, arguments, &by, &names.join(","), has_value)
            .map_err(Error::from)
    }
}

const OUTPUT: [&str; 7] = ["model", "channel", "credit", "share", "value", "touches", "users"];
/// Names that columns have on the way.
const INNER: [&str; 6] = ["order_key", "kind", "channels", "parts", "credits", "position"];

/// Each user's sums, then the report over them.
fn report(
    input: LogicalPlan,
    roles: &Roles,
    takes_part: Expr,
    arguments: Vec<Expr>,
    by: &[Breakdown],
    models: &str,
    has_value: bool,
) -> datafusion::error::Result<LogicalPlan> {
    let options = || UnnestOptions::new().with_null_handling(NullHandling::Drop);
    let plain = |b: &Breakdown| column(&b.name);
    let item = |field: &str| col("items").field(field);
    let mut items: Vec<Expr> = by.iter().map(|b| item("by").field(b.name.as_str()).alias(b.name.as_str())).collect();
    items.extend(["kind", "channels", "parts", "value"].map(|field| item(field).alias(field)));
    let credits = ["kind", "channels", "parts", "value"].map(col).into_iter().chain([lit(models)]).collect();
    let mut rows: Vec<Expr> = by.iter().map(|b| unkeyed(&b.name)).collect();
    rows.extend(OUTPUT.iter().chain(&["position"]).map(|field| match *field {
        "value" if !has_value => lit(ScalarValue::Float64(None)).alias("value"),
        field => col("credits").field(field).alias(field),
    }));
    let order: Vec<SortExpr> = by.iter().map(plain).chain([col("position")]).map(|c| c.sort(true, true)).collect();
    let output: Vec<Expr> = by.iter().map(plain).chain(OUTPUT.map(col)).collect();
    LogicalPlanBuilder::from(input)
        .filter(takes_part)?
        .aggregate([roles.user.clone()], [user_attribution().call(arguments).alias("items")])?
        .project([col("items")])?
        .unnest_column_with_options("items", options())?
        .project(items)?
        .aggregate(by.iter().map(plain), [attribution_credits().call(credits).alias("credits")])?
        .unnest_column_with_options("credits", options())?
        .project(rows)?
        .sort(order)?
        .project(output)?
        .build()
}

fn models(call: &mut Call) -> Result<Vec<Model>> {
    let names = call.texts(&MODEL)?.unwrap_or_default();
    let mut models: Vec<Model> = Vec::new();
    for name in names {
        let model = Model::parse(call.name(), &name)?;
        if models.contains(&model) {
            return Err(call.error(format!("argument 'model' names '{}' twice", model.name())));
        }
        models.push(model);
    }
    Ok(models)
}

/// Refuses an argument that says something only to a model that is not asked for.
fn only_for(call: &Call, argument: &Argument, models: &[Model], rule: Rule) -> Result<()> {
    let model = Model::Rule(rule);
    if !call.given(argument) || models.contains(&model) {
        return Ok(());
    }
    let (key, name) = (argument.name, model.name());
    Err(call.error(format!("argument '{key}' is for the model '{name}', which is not asked for")))
}

/// Shares of first, middle and last touch that add up to 1.
fn weights(call: &mut Call) -> Result<[f64; 3]> {
    let numbers = call.numbers(&WEIGHTS)?.unwrap_or_default();
    let sum: f64 = numbers.iter().sum();
    match numbers.as_slice() {
        [first, middle, last] if numbers.iter().all(|n| *n >= 0.0) && sum > 0.0 && sum.is_finite() => {
            Ok([first / sum, middle / sum, last / sum])
        }
        _ => {
            Err(call
                .error(format!("argument 'weights' must be 3 numbers from 0 up that are not all 0, got {numbers:?}")))
        }
    }
}

fn as_text(call: &Call, channel: Expr) -> Result<Expr> {
    let data_type = channel.get_type(call.schema()).map_err(Error::from)?;
    let text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    match &data_type {
        DataType::Dictionary(_, value) if text(value) => Ok(channel),
        plain if text(plain) => Ok(channel),
        plain if plain.is_integer() || *plain == DataType::Boolean => Ok(cast(channel, DataType::Utf8)),
        other => Err(call.error(format!("argument 'channel' must be a text column, got {channel} of type {other}"))),
    }
}

fn as_number(call: &Call, value: Expr) -> Result<Expr> {
    match value.get_type(call.schema()).map_err(Error::from)? {
        number if number.is_numeric() => Ok(cast(value, DataType::Float64)),
        other => Err(call.error(format!("argument 'value' must be a column of numbers, got {value} of type {other}"))),
    }
}

const TEXT: &str = "\
A conversion at `t` reaches back to the user's touches in `[t - lookback, t]`, so a touch at its very instant counts, and a row \
that is both a touch and a conversion is a touch of its own. Touches are ordered by time, then `order_key` (NULL first), then \
channel. Conversions at one instant have the same touches; with `reset`, touches up to an instant with a conversion are gone \
for all later ones. A conversion without touches is credited to `(direct)`, by every model. Rows whose user or time is NULL \
take no part, and neither do touches whose channel is NULL.

- `first`, `last`: all credit to the first or last touch. `last_non_direct`: to the last touch whose channel is not in `direct`; \
  where all are, to the last.
- `linear`: equal parts to all touches. `position`: `weights` to first, middle and last touch, the middle's in equal parts; of two \
  touches the first and last weight are scaled to 1 (both 0: equal parts), one touch gets all.
- `time_decay`: in proportion to `2^(-age / half_life)`.
- `participation`: a whole conversion to each channel on the path, so credits add up to more than the conversions.
- `markov`: the chain of order 1 over all paths with touches, neighbours of one channel taken as one. A channel's removal effect \
  is the share of conversions lost where every path that comes to it ends there; credit is in proportion to the effects. Values \
  have effects of their own: a converting path weighs what its conversion is worth, one that does not convert as much as those \
  that do on average; so a channel that brought only worthless conversions gets no value (values below zero are shared out in \
  the same way, apart). Paths that do not convert are the touches that no conversion reaches back to, cut where two are more \
  than a lookback apart; with `by`, the last touch tells where they belong. Their channels have rows too, with 0 touches where \
  no conversion reaches back to them. Conversions without a touch are no paths. At most 1,000 channels.
- `shapley`: where a set of channels is worth the conversions of paths that use only these. In closed form: of each conversion \
  every channel on its path gets an equal part, however often it was touched.

There is a row for each model and each channel that some conversion reaches back to (for `markov` each channel of some path), \
zeros included. But for `participation`, \
credits add up to the number of conversions, and values to the sum of values, to the last bit and in whatever order they are \
added (for each model and breakdown; with values of both signs, to within 2^-52 of the sum of their sizes). For that, credit is \
counted in whole parts of a conversion, values are summed without rounding, and at the end each number is cut to the smallest \
step at which a total of this size is exact; the steps left over go one each to the channels that lost most by it, of equal \
losses to the first by name.

Cost: one scan however many models; each user O(touches + conversions x channels on a path), however paths overlap. Memory: the \
touches and conversions (28 bytes each), then distinct channels, moves and sets of channels, not paths. `markov`: \
O(channels^3).";
