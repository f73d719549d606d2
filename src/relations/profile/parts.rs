//! The plans below `profile`: one row from each part of what is known of the user, and the page that they make together.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{Column, ScalarValue, UnnestOptions};
use datafusion::error::Result;
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions::core::expr_fn::{coalesce, greatest, named_struct};
use datafusion::functions::expr_fn::{concat, lpad};
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::functions_aggregate::expr_fn::{max, min, sum};
use datafusion::functions_aggregate::first_last::last_value_udaf;
use datafusion::functions_nested::expr_fn::{array_concat, array_element, array_length, make_array};
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, WindowFunctionDefinition, cast, col, lit, when,
};

use super::{Orders, Page};
use crate::algo::calendar::{Clock, WEEKDAYS};
use crate::functions::lifecycle::user_lifecycle;
use crate::functions::local_time::{local_hour, local_text};
use crate::functions::middle::middle;
use crate::functions::period::{period_number, period_reached};
use crate::functions::session::user_sessions;
use crate::functions::user_known::user_known;
use crate::relations::call::Call;
use crate::relations::expressions::{column, count_rows, seconds};
use crate::relations::lifecycle_states::STATES;
use crate::relations::reach;

/// How many events, hours and weekdays are shown.
const EVENTS: u64 = 10;
const HABITS: u64 = 3;
/// Rows of a section have numbers of their own.
const OF_SECTION: i64 = 1_000_000;

/// A part of a page that counts values.
struct Counted {
    section: &'static str,
    /// What is counted, as text, and what tells equally frequent ones apart before it.
    name: Expr,
    rank: Expr,
    most: u64,
    /// Whether the rest is shown.
    other: bool,
}

impl Page {
    pub fn compose(&self, call: &mut Call) -> Result<LogicalPlan> {
        // The largest time is that of everybody; all else is about one user.
        let reach = self.reach.row(call, &self.roles)?;
        let mut of_user = self.roles.user.clone().eq(lit(self.id.clone())).and(self.roles.time.clone().is_not_null());
        if let Some(looked_at) = self.reach.looked_at() {
            of_user = of_user.and(looked_at);
        }
        call.keep_rows(of_user)?;
        let counted = self.counted();
        let known = user_known().call(vec![lit(call.name()), lit(self.shown_id()), col("events")]);
        let mut plan = self.totals(call)?.filter(known)?.cross_join(reach)?.cross_join(self.visits(call)?)?;
        for counts in &counted {
            plan = plan.cross_join(counts.list(call)?)?;
        }
        let mut lists = vec![cast(make_array(self.rows_before()?), rows_type())];
        lists.extend(counted.iter().map(|counts| column(&counts.column())));
        if !self.by.is_empty() {
            lists.push(cast(make_array(self.properties()), rows_type()));
        }
        let part = |name: &str| col("page").field(name);
        plan.project([array_concat(lists).alias("page")])?
            .unnest_column_with_options(Column::from_name("page"), UnnestOptions::new())?
            .sort([part("at").sort(true, false)])?
            .project(["section", "name", "value"].map(|name| part(name).alias(name)))?
            .build()
    }

    fn shown_id(&self) -> String {
        match self.id.try_as_str().flatten() {
            Some(text) => format!("'{text}'"),
            None => self.id.to_string(),
        }
    }

    /// One row, of what one pass over the user's events tells.
    fn totals(&self, call: &Call) -> Result<LogicalPlanBuilder> {
        let time = || self.roles.time.clone();
        let periods = |words: [Expr; 3]| {
            let arguments = [time(), lit(ScalarValue::Null)].into_iter().chain(words).collect();
            user_lifecycle().call(arguments)
        };
        let last = |value: Expr, tie: Expr, condition: Expr| {
            let order = vec![time().sort(true, true), tie.sort(true, true)];
            last_value_udaf().call(vec![value]).order_by(order).filter(condition).build()
        };
        let text = |value: &Expr| cast(value.clone(), DataType::Utf8);
        let mut totals = vec![
            count_rows().alias("events"),
            min(time()).alias("first"),
            max(time()).alias("last"),
            periods(self.days()).alias("days"),
        ];
        // The same aggregate twice would be two columns of one name, once DataFusion has found what they have in common.
        if self.periods() != "days" {
            totals.push(periods(self.words.each_ref().map(|word| lit(word.as_str()))).alias("periods"));
        }
        if let Some(Orders { value, order }) = &self.orders {
            let amount = value.value();
            let known = order.clone().and(amount.clone().is_not_null());
            totals.extend([
                count_rows().filter(order.clone()).build()?.alias("orders"),
                value.total().filter(order.clone()).build()?.alias("revenue"),
                last(text(&amount), amount, known)?.alias("last value"),
                max(time()).filter(order.clone()).build()?.alias("last order"),
            ]);
        }
        for (at, property) in self.by.iter().enumerate() {
            let value = &property.value;
            totals.push(last(text(value), value.clone(), value.clone().is_not_null())?.alias(format!("property {at}")));
        }
        LogicalPlanBuilder::from(call.input().clone()).aggregate(Vec::<Expr>::new(), totals)
    }

    /// The column that holds the periods of the lifecycle.
    fn periods(&self) -> &'static str {
        if self.words[0] == "day" { "days" } else { "periods" }
    }

    /// One row about the user's sessions.
    fn visits(&self, call: &Call) -> Result<LogicalPlan> {
        let nothing = || lit(false);
        let arguments = vec![
            self.roles.time.clone(),
            lit(self.sessions.to_string()),
            lit(true),
            nothing(),
            nothing(),
            nothing(),
            nothing(),
        ];
        LogicalPlanBuilder::from(call.input().clone())
            .aggregate([self.roles.user.clone().alias("(user)")], [user_sessions().call(arguments).alias("visit")])?
            .unnest_column_with_options(Column::from_name("visit"), UnnestOptions::new())?
            .project([col("visit").field("ticks").alias("ticks")])?
            .aggregate(
                Vec::<Expr>::new(),
                [count_rows().alias("sessions"), middle(call.room("middle")).call(vec![col("ticks")]).alias("middle")],
            )?
            .build()
    }

    /// What is counted by value.
    fn counted(&self) -> Vec<Counted> {
        let time = || self.roles.time.clone();
        let mut parts = Vec::with_capacity(3);
        if let Some(event) = &self.roles.event {
            let name = cast(event.clone(), DataType::Utf8);
            parts.push(Counted { section: "events", name, rank: lit(0i64), most: EVENTS, other: true });
        }
        if self.clock != Clock::Dates {
            let rank = local_hour().call(vec![time(), self.zone()]);
            let digits = lpad(vec![cast(rank.clone(), DataType::Utf8), lit(2i64), lit("0")]);
            let name = concat(vec![digits, lit(":00")]);
            parts.push(Counted { section: "hours", name, rank, most: HABITS, other: false });
        }
        let day = period_number().call([time()].into_iter().chain(self.days()).collect());
        // Day 0 was a Thursday.
        let rank = (cast(day, DataType::Int64) % lit(7i64) + lit(10i64)) % lit(7i64);
        let names = make_array(WEEKDAYS.map(lit).to_vec());
        let name = array_element(names, rank.clone() + lit(1i64));
        parts.push(Counted { section: "weekdays", name, rank, most: HABITS, other: false });
        parts
    }

    /// The rows before those of counted values.
    fn rows_before(&self) -> Result<Vec<Expr>> {
        let local = |time: Expr| local_text().call(vec![time, self.zone()]);
        let as_of = || col(reach::AS_OF);
        let of_words = |first: Expr, words: [Expr; 3]| [first].into_iter().chain(words).collect::<Vec<_>>();
        let day = |time: Expr| cast(period_number().call(of_words(time, self.days())), DataType::Int64);
        let listed = |name: &str| col(name).field("periods");
        // A date that was given is shown as one, and is the day from which one looks back.
        let (shown, reached) = match self.reach.day() {
            Some(given) if self.reach.is_before_a_date() || self.clock == Clock::Dates => {
                let date = i32::try_from(given).map(|day| ScalarValue::Date32(Some(day))).unwrap_or(ScalarValue::Null);
                (cast(lit(date), DataType::Utf8), lit(given))
            }
            Some(given) => (local(as_of()), lit(given)),
            None => (local(as_of()), day(as_of())),
        };
        let visit = |end: &str| seconds(col("middle").field(end), &self.roles.time_type);
        let median = (visit("lower") + visit("upper")) / lit(2f64);
        let mut rows = vec![
            row(0, 0, "user", lit(self.roles.user_name.as_str()), lit(self.id.clone())),
            row(1, 0, "activity", lit("first_seen"), local(col("first"))),
            row(1, 1, "activity", lit("last_seen"), local(col("last"))),
            row(1, 2, "activity", lit("as_of"), shown),
            row(1, 3, "activity", lit("days_since_last"), reached - day(col("last"))),
            row(1, 4, "activity", lit("active_days"), array_length(listed("days"))),
            row(1, 5, "activity", lit("events"), col("events")),
            row(2, 0, "lifecycle", lit("state"), self.state(listed(self.periods()))?),
            row(3, 0, "sessions", lit("sessions"), col("sessions")),
            row(3, 1, "sessions", lit("median_seconds"), median),
        ];
        if self.orders.is_some() {
            let sum = || coalesce(vec![col("revenue"), lit(0i64)]);
            let mean = when(
                col("orders").gt(lit(0i64)),
                cast(sum(), DataType::Float64) / cast(col("orders"), DataType::Float64),
            )
            .end()?;
            rows.extend([
                row(4, 0, "orders", lit("orders"), col("orders")),
                row(4, 1, "orders", lit("sum"), sum()),
                row(4, 2, "orders", lit("mean"), mean),
                row(4, 3, "orders", lit("last"), column("last value")),
                row(4, 4, "orders", lit("last_at"), local(column("last order"))),
            ]);
        }
        Ok(rows)
    }

    /// The state as `lifecycle_states` counts it.
    fn state(&self, periods: Expr) -> Result<Expr> {
        let words = || self.words.each_ref().map(|word| lit(word.as_str()));
        let of_words = |first: Expr| [first].into_iter().chain(words()).collect::<Vec<_>>();
        let period = |at: i64| cast(array_element(periods.clone(), lit(at)), DataType::Int64);
        let reached = period_reached().call(of_words(col(reach::AS_OF))).field("reached");
        // The data reach into the period of their largest time; an instant that begins a period, into it only with an event there.
        let now = match self.reach.day() {
            Some(_) if self.reach.is_before_a_date() => reached,
            Some(_) => greatest(vec![reached, period_number().call(of_words(col("last")))]),
            None => period_number().call(of_words(col(reach::AS_OF))),
        };
        let now = || cast(now.clone(), DataType::Int64);
        when(period(1).gt_eq(now()), lit(STATES[0]))
            .when(period(-1).gt_eq(now()), lit(STATES[1]))
            .when((now() - period(-1)).lt(lit(self.churned_after)), lit(STATES[2]))
            .otherwise(lit(STATES[3]))
    }

    fn properties(&self) -> Vec<Expr> {
        let property = |(at, by): (usize, &crate::relations::call::Breakdown)| {
            row(8, at as i64, "properties", lit(by.name.as_str()), column(&format!("property {at}")))
        };
        self.by.iter().enumerate().map(property).collect()
    }
}

impl Counted {
    /// The column of the section's rows; the totals have names of sections.
    fn column(&self) -> String {
        format!("list of {}", self.section)
    }

    /// One row with the list of the section's rows, in a column of its name.
    fn list(&self, call: &Call) -> Result<LogicalPlan> {
        let place = Expr::from(WindowFunction::new(WindowFunctionDefinition::WindowUDF(row_number_udwf()), vec![]));
        let place = place
            .order_by(vec![col("n").sort(false, false), col("rank").sort(true, true), col("name").sort(true, true)])
            .build()?;
        let within = || col("place").lt_eq(lit(self.most));
        let counts = LogicalPlanBuilder::from(call.input().clone())
            .aggregate([self.name.clone().alias("name"), self.rank.clone().alias("rank")], [count_rows().alias("n")])?
            .window([place.alias("place")])?;
        let kept = match self.other {
            false => counts.filter(within())?.project([
                cast(col("place"), DataType::Int64).alias("place"),
                col("name"),
                col("n"),
            ])?,
            true => counts
                .project([
                    when(within(), cast(col("place"), DataType::Int64))
                        .otherwise(lit(self.most as i64 + 1))?
                        .alias("place"),
                    when(within(), col("name")).otherwise(lit("(other)"))?.alias("name"),
                    col("n"),
                ])?
                .aggregate([col("place"), col("name")], [sum(col("n")).alias("n")])?,
        };
        let section = match self.section {
            "events" => 5,
            "hours" => 6,
            _ => 7,
        };
        let at = lit(section * OF_SECTION) + col("place");
        let item = item(at, self.section, col("name"), col("n"));
        let list = array_agg_udaf().call(vec![item]).order_by(vec![col("place").sort(true, false)]).build()?;
        kept.aggregate(Vec::<Expr>::new(), [list.alias("list")])?
            .project([cast(col("list"), rows_type()).alias(self.column())])?
            .build()
    }
}

/// A row of the page, at a place in its section.
fn row(section: i64, at: i64, name: &str, what: Expr, value: Expr) -> Expr {
    item(lit(section * OF_SECTION + at), name, what, value)
}

fn item(at: Expr, section: &str, name: Expr, value: Expr) -> Expr {
    let text = |e: Expr| cast(e, DataType::Utf8);
    named_struct(vec![lit("at"), at, lit("section"), lit(section), lit("name"), text(name), lit("value"), text(value)])
}

/// Rows of the page as a list.
fn rows_type() -> DataType {
    let text = |name| Field::new(name, DataType::Utf8, true);
    let fields = vec![Field::new("at", DataType::Int64, true), text("section"), text("name"), text("value")];
    DataType::List(Arc::new(Field::new_list_field(DataType::Struct(fields.into()), true)))
}
