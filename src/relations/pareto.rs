//! `FROM pareto(...)`: which few users (or products) bring most of the value: ABC classes, the share of the top, a ranked list.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{NullHandling, ScalarValue, UnnestOptions};
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions::core::expr_fn::named_struct;
use datafusion::functions::math::expr_fn::ceil;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::expr_fn::min;
use datafusion::functions_nested::expr_fn::make_array;
use datafusion::functions_window::rank::rank_udwf;
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, WindowFrame, WindowFrameBound, WindowFrameUnits,
    WindowFunctionDefinition, cast, col, lit, when,
};

use super::Relation;
use super::active::{ACTIVE, ActivePeriods, BY_EVENTS};
use super::argument::{Argument, Kind, docs};
use super::call::Call;
use super::expressions::{column, count_rows, unkeyed};
use super::measure::Measure;
use super::roles::declared;
use super::shared::{AS_OF, BY, TZ, with_roles};
use crate::error::{Error, Result};
use crate::functions::{FunctionDoc, FunctionKind};

/// The relation.
#[derive(Debug)]
pub struct Pareto;

const VALUE: Argument = Argument::needed("value", Kind::NumberColumn, "What is added up for each item.");
const ITEM: Argument = Argument::optional(
    "item",
    Kind::Column,
    "the user",
    "What the value is added up by, such as a product; NULL is one.",
);
const SHOW: Argument = Argument::with_default(
    "show",
    Kind::Word(&["classes", "top", "items"]),
    "'classes'",
    "`classes`: a row for each ABC class; `top`: the share of the top ones; `items`: a row for each item.",
);
/// The most classes but the last, a letter each, and the most shares of the top.
const MOST: usize = 25;
const CLASSES: Argument = Argument::optional(
    "classes",
    Kind::UpToNumbers(MOST),
    "[0.8, 0.95]",
    "Up to which share of the value class A reaches, then B, .., ascending; the last class has the rest.",
);
const TOP: Argument = Argument::optional(
    "top",
    Kind::UpToNumbers(MOST),
    "[0.01, 0.05, 0.1, 0.2, 0.5]",
    "Shares of the items, above 0 and up to 1; with show => 'top'.",
);

const OUTPUT: [&str; 10] =
    ["class", "top", "rank", "items", "items_rate", "value", "value_rate", "cumulative_rate", "at_least", "(row)"];

/// Names on the way.
const TOTAL: &str = "(total)";
const COUNTED: &str = "(counted)";
const ALL: &str = "(all)";
const BEFORE: &str = "(before)";
const THROUGH: &str = "(through)";
const N: &str = "(n)";
const PLACE: &str = "(place)";
const CLASS: &str = "(class)";
const ON_THE_WAY: [&str; 8] = [TOTAL, COUNTED, ALL, BEFORE, THROUGH, N, PLACE, CLASS];

impl Relation for Pareto {
    fn arguments(&self) -> Vec<Argument> {
        let active = ACTIVE.meaning("Which events are added up.");
        with_roles(&[VALUE, ITEM, SHOW, CLASSES, TOP, active, BY.meaning(BY_EVENTS), AS_OF, TZ])
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "pareto",
            kind: FunctionKind::Relation,
            summary: "Which few users or products bring most of the value: ABC classes, the share of the top",
            syntax: "pareto(table, value => price [, item => product] [, show => 'classes'] [, classes => [0.8, 0.95]] [, active => 'purchase'] [, by => ..])",
            arguments: docs(&self.arguments()),
            returns: vec![
                ("by ..", "The breakdown columns, under their own names."),
                ("class TEXT", "`A`, `B`, ..: of `classes`, and of each item with `items`."),
                ("top DOUBLE", "Of `top`: the share of the items that is looked at."),
                ("the item", "Of `items`: under its own name."),
                ("rank BIGINT", "Of `items`: 1 for the greatest value; equal values have the same."),
                ("items BIGINT", "Of `classes` and `top`: items in the class, among the top."),
                ("items_rate DOUBLE", "Of `classes`: items / all items."),
                ("value", "Their sum: BIGINT, DECIMAL or DOUBLE as the column is; doubles are rounded once."),
                ("value_rate DOUBLE", "value / the value of all items above zero."),
                ("cumulative_rate DOUBLE", "Of `items`: of this and all greater ones together."),
                ("at_least", "Of `classes`: the least value of an item in it; NULL without items."),
            ],
            text: TEXT,
            example: "SELECT class, items, round(items_rate, 3) AS items_rate, round(value_rate, 3) AS value_rate, at_least\nFROM pareto(events, value => price, active => 'purchase')",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let question = Question::read(call)?;
        question.compose(call).map_err(Error::from)
    }
}

/// What is shown.
enum Show {
    Classes,
    Top(Vec<f64>),
    Items,
}

/// A call, read and checked.
struct Question {
    active: ActivePeriods,
    measure: Measure,
    item: Expr,
    item_name: String,
    item_is_user: bool,
    show: Show,
    classes: Vec<f64>,
}

impl Question {
    fn read(call: &mut Call) -> Result<Self> {
        let active = ActivePeriods::read(call, Some("day"), true, &OUTPUT)?;
        let Some(measure) = Measure::read(call, &VALUE)? else { return Err(call.required(&VALUE)) };
        let items = call.breakdowns(&ITEM)?;
        let (item, item_name, item_is_user) = match items.as_slice() {
            [] => (active.roles.user.clone(), active.roles.user_name.clone(), true),
            [item] => (item.value.clone(), item.name.clone(), false),
            _ => return Err(call.error("argument 'item' must be one column")),
        };
        for name in active.by.iter().map(|b| &b.name).chain([&item_name]) {
            if ON_THE_WAY.contains(&name.as_str()) {
                return Err(
                    call.error(format!("a column cannot be called '{name}' here; give it another in (SELECT ..)"))
                );
            }
        }
        if OUTPUT.contains(&item_name.as_str()) {
            return Err(call.error(format!(
                "the item column '{item_name}' has the name of a result column; give it another in (SELECT ..)"
            )));
        }
        if active.by.iter().any(|b| b.name == item_name) {
            return Err(call.error(format!("'{item_name}' is both the item and 'by'")));
        }
        let word = call.choice(&SHOW)?;
        let given = (call.given(&CLASSES), call.given(&TOP));
        let classes = call.number_list(&CLASSES)?.unwrap_or_else(|| vec![0.8, 0.95]);
        let top = call.number_list(&TOP)?.unwrap_or_else(|| vec![0.01, 0.05, 0.1, 0.2, 0.5]);
        for (argument, shares) in [(&CLASSES, &classes), (&TOP, &top)] {
            if let Some(share) = shares.iter().find(|share| !(**share > 0.0 && **share <= 1.0)) {
                return Err(call.error(format!(
                    "argument '{}' must be shares above 0 and up to 1, such as 0.2; got {share}",
                    argument.name
                )));
            }
            if let Some(pair) = shares.windows(2).find(|pair| pair[0] >= pair[1]) {
                return Err(
                    call.error(format!("argument '{}' must rise, got {} before {}", argument.name, pair[0], pair[1]))
                );
            }
        }
        let show = match (word, given) {
            ("top", (true, _)) => return Err(call.error("argument 'classes' has no use with show => 'top'")),
            ("classes" | "items", (_, true)) => {
                return Err(call.error(format!("argument 'top' needs show => 'top', not '{word}'")));
            }
            ("top", _) => Show::Top(top),
            ("items", _) => Show::Items,
            _ => Show::Classes,
        };
        Ok(Self { active, measure, item, item_name, item_is_user, show, classes })
    }

    fn compose(&self, call: &Call) -> datafusion::error::Result<LogicalPlan> {
        let ranked = self.ranked(call)?;
        match &self.show {
            Show::Classes => self.by_class(ranked),
            Show::Top(shares) => self.of_top(ranked, shares),
            Show::Items => self.by_item(ranked),
        }
    }

    fn keys(&self) -> impl Iterator<Item = Expr> {
        self.active.keys()
    }

    /// A row for each item, with its sum, those of the items before it and through it, its place and its class.
    fn ranked(&self, call: &Call) -> datafusion::error::Result<LogicalPlanBuilder> {
        let item = if self.item_is_user {
            self.item.clone().alias_with_metadata(self.item_name.as_str(), declared("user"))
        } else {
            self.item.clone().alias(self.item_name.as_str())
        };
        let values = self.active.by.iter().map(|b| b.value.clone().alias(b.name.as_str()));
        let item_and_by = || std::iter::once(column(&self.item_name)).chain(self.keys());
        // What is not above zero takes nothing off the others' shares.
        let counted = when(column(TOTAL).lt_eq(lit(0i64)).is_not_true(), column(TOTAL)).end()?;
        let falling = || vec![column(TOTAL).sort(false, false)];
        let sum = |frame: WindowFrame, ordered: bool| {
            let window = Expr::from(WindowFunction::new(Arc::new(self.measure.adder()), vec![column(COUNTED)]))
                .partition_by(self.keys().collect());
            let window = if ordered { window.order_by(falling()) } else { window };
            window.window_frame(frame).build()
        };
        let up_to = |end| {
            WindowFrame::new_bounds(
                WindowFrameUnits::Groups,
                WindowFrameBound::Preceding(ScalarValue::UInt64(None)),
                end,
            )
        };
        let through = sum(up_to(WindowFrameBound::CurrentRow), true)?.alias(THROUGH);
        let before = sum(up_to(WindowFrameBound::Preceding(ScalarValue::UInt64(Some(1)))), true)?.alias(BEFORE);
        let all = sum(WindowFrame::new(None), false)?.alias(ALL);
        let place = Expr::from(WindowFunction::new(
            WindowFunctionDefinition::WindowUDF(if matches!(self.show, Show::Items) {
                rank_udwf()
            } else {
                row_number_udwf()
            }),
            vec![],
        ))
        .partition_by(self.keys().collect())
        .order_by(falling())
        .window_frame(WindowFrame::new(Some(true)))
        .build()?
        .alias(PLACE);
        let n = Expr::from(WindowFunction::new(count_udaf(), vec![lit(1i64)]))
            .partition_by(self.keys().collect())
            .window_frame(WindowFrame::new(None))
            .build()?
            .alias(N);
        let reached = share_of(column(BEFORE));
        let reached = when(column(BEFORE).is_null(), lit(0f64)).otherwise(reached)?;
        let last = lit(self.classes.len() as i64);
        let mut class = when(column(TOTAL).lt_eq(lit(0i64)), last.clone());
        for (at, end) in (0i64..).zip(&self.classes) {
            class = class.when(reached.clone().lt(lit(*end)), lit(at));
        }
        let class = class.otherwise(last)?.alias(CLASS);
        let kept = item_and_by().chain([TOTAL, ALL, THROUGH, PLACE, N].map(column)).chain([class]);
        LogicalPlanBuilder::from(call.input().clone())
            .filter(self.active.takes_part())?
            .aggregate(std::iter::once(item).chain(values), [self.measure.total().alias(TOTAL)])?
            .filter(column(TOTAL).is_not_null())?
            .project(item_and_by().chain([column(TOTAL), counted.alias(COUNTED)]))?
            .window([through])?
            .window([before])?
            .window([place])?
            .window([all])?
            .window([n])?
            .project(kept.collect::<Vec<_>>())
    }

    /// Rows made of the sums over all items of a value of `by`, in the order of their `first` column.
    fn folded(
        &self,
        ranked: LogicalPlanBuilder,
        sums: Vec<Expr>,
        rows: Vec<Expr>,
        first: &str,
        output: Vec<Expr>,
    ) -> datafusion::error::Result<LogicalPlan> {
        let mut columns: Vec<Expr> = self.active.by.iter().map(|b| unkeyed(&b.name)).collect();
        columns.extend(output);
        let order: Vec<_> = self.keys().chain([col(first)]).map(|key| key.sort(true, true)).collect();
        let common = [min(column(ALL)).alias(ALL), count_rows().alias(N)];
        let folded = LogicalPlanBuilder::from(ranked.build()?)
            .aggregate(self.keys(), common.into_iter().chain(sums))?
            // Without `by` there is a row of no items.
            .filter(column(N).gt(lit(0i64)))?
            .project(self.keys().chain([ALL, N].map(column)).chain([make_array(rows).alias("(row)")]))?
            .unnest_column_with_options("(row)", UnnestOptions::new().with_null_handling(NullHandling::Drop))?
            .project(columns)?
            .sort(order)?;
        folded.build()
    }

    fn by_class(&self, ranked: LogicalPlanBuilder) -> datafusion::error::Result<LogicalPlan> {
        let (mut sums, mut rows) = (Vec::new(), Vec::new());
        for at in 0..=self.classes.len() {
            let of_class = || column(CLASS).eq(lit(at as i64));
            let name = |what: &str| format!("{what} of {at}");
            sums.push(count_rows().filter(of_class()).build()?.alias(name("items")));
            sums.push(self.measure.adder().call(vec![column(TOTAL)]).filter(of_class()).build()?.alias(name("value")));
            sums.push(min(column(TOTAL)).filter(of_class()).build()?.alias(name("least")));
            let letter = char::from(b'A' + at as u8).to_string();
            rows.push(named_struct(vec![
                lit("class"),
                lit(letter),
                lit("items"),
                column(&name("items")),
                lit("value"),
                column(&name("value")),
                lit("at_least"),
                column(&name("least")),
            ]));
        }
        let row = |name: &str| column("(row)").field(name);
        let number = |e: Expr| cast(e, DataType::Float64);
        let rate = when(row("value").is_null(), lit(0f64)).otherwise(share_of(row("value")))?;
        let output = vec![
            row("class").alias("class"),
            row("items").alias("items"),
            (number(row("items")) / number(column(N))).alias("items_rate"),
            row("value").alias("value"),
            rate.alias("value_rate"),
            row("at_least").alias("at_least"),
        ];
        self.folded(ranked, sums, rows, "class", output)
    }

    fn of_top(&self, ranked: LogicalPlanBuilder, shares: &[f64]) -> datafusion::error::Result<LogicalPlan> {
        let (mut sums, mut rows) = (Vec::new(), Vec::new());
        for (at, share) in shares.iter().enumerate() {
            // A tenth of 30 is 3, though 0.1 * 30 is a little more in binary.
            let items = || cast(ceil(cast(column(N), DataType::Float64) * lit(*share) - lit(1e-9)), DataType::Int64);
            let among = cast(column(PLACE), DataType::Int64).lt_eq(items());
            let name = format!("value of {at}");
            sums.push(self.measure.adder().call(vec![column(TOTAL)]).filter(among).build()?.alias(name.as_str()));
            rows.push(named_struct(vec![lit("top"), lit(*share), lit("items"), items(), lit("value"), column(&name)]));
        }
        let row = |name: &str| column("(row)").field(name);
        let output = vec![
            row("top").alias("top"),
            row("items").alias("items"),
            row("value").alias("value"),
            share_of(row("value")).alias("value_rate"),
        ];
        self.folded(ranked, sums, rows, "top", output)
    }

    fn by_item(&self, ranked: LogicalPlanBuilder) -> datafusion::error::Result<LogicalPlan> {
        let mut letters = when(column(CLASS).eq(lit(0i64)), lit("A"));
        for at in 1..=self.classes.len() {
            letters = letters.when(column(CLASS).eq(lit(at as i64)), lit(char::from(b'A' + at as u8).to_string()));
        }
        let mut output: Vec<Expr> = self.active.by.iter().map(|b| unkeyed(&b.name)).collect();
        let item = if self.item_is_user { column(&self.item_name) } else { unkeyed(&self.item_name) };
        output.extend([
            cast(column(PLACE), DataType::Int64).alias("rank"),
            item,
            column(TOTAL).alias("value"),
            share_of(column(TOTAL)).alias("value_rate"),
            share_of(column(THROUGH)).alias("cumulative_rate"),
            letters.end()?.alias("class"),
        ]);
        let order: Vec<_> =
            self.keys().chain([col("rank"), column(&self.item_name)]).map(|key| key.sort(true, true)).collect();
        ranked.project(output)?.sort(order)?.build()
    }
}

/// Of the value of all items above zero; NULL where there is none.
fn share_of(value: Expr) -> Expr {
    cast(value, DataType::Float64) / cast(column(ALL), DataType::Float64)
}

const TEXT: &str = "\
The value of an item is the sum of `value` over its events; the items stand in the falling order of it. An item is in class A as long as those of greater value \
hold less than 80 % of it all, in B as long as they hold less than 95 %, else in C: the one that reaches 80 % is still in A. \
Items of equal value are in the same class. Every class has a row. `show => 'top'` tells how much the top 1 %, 5 %, .. of the items hold together, rounded up to whole items.

Items whose value is zero or less are in the last class; the shares are of the sum of the others, so that refunds do not make more than 100 % of the rest. \
NULL values add nothing; an item of nothing but NULLs takes no part. Sums are exact (of whole numbers and decimals) or rounded once (of doubles), whatever the order of the rows; a NaN makes all shares NaN. Money kept as DOUBLE: sums that are equal in cents may differ in the last bit, and then stand in different places; \
`value => CAST(round(price * 100) AS BIGINT)` adds up cents.

Rows whose user or time is NULL take no part. With `by` each value is an answer of its own, over its events alone. Without items there are no rows.

Cost: one pass, then a sort of the items, which spills.";
