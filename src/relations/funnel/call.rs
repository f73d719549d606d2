//! What both funnel relations ask, read and checked once: steps, options, and where along a chain the values are read.
//!
//! [`FunnelCall::chains`] is the computation that both share; `funnel` counts its rows, `funnel_users` lists them. So their
//! numbers cannot disagree.
//! Does not deal with: what a relation shows of a chain.

use arrow::datatypes::DataType;
use datafusion::common::{Column, ScalarValue};
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions::core::expr_fn::named_struct;
use datafusion::functions_nested::expr_fn::array_element;
use datafusion::functions_nested::position::array_position_udf;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit, when};

use super::arguments::{
    ANCHORS, BY_ENTRY, BY_STEP, BY_TOUCH, CHAIN, ENTRY, EXCLUDE, EXCLUDE_POLICY, HOLD, MATURE, MODE, OPTIONAL, REUSE,
    STEP_AFTER, STEP_WITHIN, STEPS, WINDOW_END, WITHIN,
};
use crate::algo::calendar::{Clock, Unit};
use crate::algo::funnel::{Entry, Order, Pick};
use crate::error::{Error, Result};
use crate::functions::columns::{clock_of, window_ticks};
use crate::functions::funnel::modes::Mode;
use crate::functions::funnel::options::{
    BY_ENTRIES, CHAINS, ENTRIES, EXCLUDE_POLICIES, Exclude, FunnelOptions, WINDOW_ENDS, WindowEnd,
};
use crate::functions::funnel::{funnel_chain, funnel_chains, funnel_touches, funnel_window_end};
use crate::relations::call::{Breakdown, Call};
use crate::relations::expressions::column;
use crate::relations::reach::Reach;
use crate::relations::roles::{Roles, declared};
use crate::relations::shared::{AS_OF, BY, PERIOD, TZ, WEEK_START, week_start, zone};

/// Where along a chain the `by` values are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ByPlace {
    /// Each value of the events that can start a chain, on its own.
    Entry,
    /// One value a user, that of the first such event.
    FirstEntry,
    /// Each value of the events of this step (from 1), on its own.
    Step(usize),
    /// At one or all of its events with a value.
    Touch(&'static str),
}

/// A call of either relation.
pub struct FunnelCall {
    /// Who, when, what.
    pub roles: Roles,
    /// What each step is called, in order.
    pub names: Vec<String>,
    /// The columns to break the answer down by.
    pub by: Vec<Breakdown>,
    by_place: ByPlace,
    within: ScalarValue,
    /// The mode words as they were written.
    mode: String,
    options: FunnelOptions,
    /// The steps, then the exclusions.
    conditions: Vec<Expr>,
    hold: Vec<Breakdown>,
    /// Whether entries are left out whose window has not ended.
    mature: bool,
    reach: Reach,
}

/// Names of the columns of [`FunnelCall::chains`], none of which clashes with one of the answer's.
pub struct ChainColumns {
    /// The chain.
    pub chain: String,
    /// The touch, where a chain has a row for each.
    touch: String,
    /// The kept fields that hold the columns asked for, in their order.
    pub kept: Vec<String>,
}

/// `name`, or the first of `name_`, `name__`, .. that is not taken.
pub fn free_name(name: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut free = name.to_string();
    while taken(&free) {
        free.push('_');
    }
    free
}

impl FunnelCall {
    /// Reads and checks everything that both relations take.
    pub fn read(call: &mut Call) -> Result<Self> {
        let roles = Roles::of(call)?;
        let steps = call.steps(&STEPS)?;
        let by = call.breakdowns(&BY)?;
        let mode = call.text(&MODE)?.unwrap_or_default();
        let within = call.span(&WITHIN)?;
        let mode = if call.switch(&REUSE)? { words(&mode, "reuse") } else { mode };
        let by_place = by_place(call, &by, steps.len())?;
        let mature = call.switch(&MATURE)?;
        let exclusions = call.exclusions(&EXCLUDE)?;
        let hold = call.breakdowns(&HOLD)?;
        if call.given(&EXCLUDE_POLICY) && exclusions.is_empty() {
            return Err(call.error("argument 'exclude_policy' needs 'exclude'"));
        }
        let entry = call.choice(&ENTRY)?;
        let chain = call.choice(&CHAIN)?;
        let window_end = call.choice(&WINDOW_END)?;
        let mut options = FunnelOptions {
            mode: Mode::parse(call.name(), &mode)?,
            window_end: [WindowEnd::Inclusive, WindowEnd::Exclusive, WindowEnd::Calendar][at(&WINDOW_ENDS, window_end)],
            step_within: call.intervals(&STEP_WITHIN)?,
            step_after: call.intervals(&STEP_AFTER)?,
            exclude: exclusions.iter().map(|e| Exclude { after: e.after, before: e.before }).collect(),
            drop_excluded: call.choice(&EXCLUDE_POLICY)? == EXCLUDE_POLICIES[1],
            optional: call.step_numbers(&OPTIONAL)?,
            anchors: call.step_numbers(&ANCHORS)?,
            entry: [Entry::Best, Entry::First, Entry::All][at(&ENTRIES, entry)],
            chain: [Pick::EarliestCompletion, Pick::EarliestStart][at(&CHAINS, chain)],
            period: call.chosen(&PERIOD)?.and_then(Unit::parse),
            by_step: match by_place {
                ByPlace::Step(step) => Some(step as i64),
                _ => None,
            },
            by_first_entry: by_place == ByPlace::FirstEntry,
            mature,
            ..FunnelOptions::default()
        };
        if matches!(by_place, ByPlace::Entry | ByPlace::FirstEntry | ByPlace::Step(_)) {
            options.by = by.iter().map(|b| b.name.clone()).collect();
        }
        let zone = calendar(call, &mut options)?;
        let reach = Reach::read(call, &roles, &zone)?;
        // Every constant is checked here, where the argument has a name.
        if options.window_end != WindowEnd::Calendar {
            window_ticks(
                call.name(),
                "argument 'within'",
                &within,
                clock_of(&roles.time_type).unwrap_or(Clock::Dates),
            )?;
        }
        let count = steps.len() + exclusions.len() + usize::from(mature);
        options.spec(call.name(), &within, &roles.time_type, count)?;
        let when = steps.iter().map(|s| &s.condition).chain(exclusions.iter().map(|e| &e.when));
        let conditions = when.map(|condition| roles.condition(call, condition)).collect::<Result<Vec<_>>>()?;
        let names = steps.into_iter().map(|s| s.name).collect();
        Ok(Self { roles, names, by, by_place, within, mode, options, conditions, hold, mature, reach })
    }

    /// Number of steps.
    pub fn steps(&self) -> usize {
        self.names.len()
    }

    /// Whether the steps have no order of their own: step i of the answer is then the i-th that was met.
    pub fn any_order(&self) -> bool {
        self.options.mode.order == Order::AnyOrder
    }

    /// Whether all passages through the funnel are counted.
    pub fn every_passage(&self) -> bool {
        self.options.entry == Entry::All
    }

    /// Whether chains are looked for in each period.
    pub fn by_period(&self) -> bool {
        self.options.period.is_some()
    }

    /// Whether a user can have several rows in [`FunnelCall::chains`].
    pub fn several(&self) -> bool {
        self.lists_chains() || self.by_place == ByPlace::Touch("all")
    }

    fn lists_chains(&self) -> bool {
        self.every_passage() || self.by_period() || self.is_apart()
    }

    /// Whether chains come with the value that distinguishes them.
    fn is_apart(&self) -> bool {
        !self.options.by.is_empty()
    }

    /// The time of a chain's period that tells whether the period is complete.
    pub fn last_entry(&self, names: &ChainColumns) -> Expr {
        column(&names.chain).field("last_entry")
    }

    /// One row, one column: how far the data reach.
    pub fn reach(&self, call: &Call) -> datafusion::error::Result<LogicalPlan> {
        self.reach.row(call, &self.roles)
    }

    /// Whether the window of a chain that starts at `entry` has ended `as_of` then.
    pub fn has_ended(&self, entry: Expr, as_of: Expr) -> Result<Expr> {
        // Whatever else was asked does not tell when a window ends.
        let options = FunnelOptions {
            window_end: self.options.window_end,
            tz: self.options.tz.clone(),
            ..FunnelOptions::default()
        };
        let end = funnel_window_end().call(vec![entry, lit(self.within.clone()), lit(options.literal()?)]);
        Ok(end.lt_eq(as_of))
    }

    /// Whether a step (from 1) may be skipped.
    pub fn is_optional(&self, step: usize) -> bool {
        self.options.optional.contains(&(step as i64))
    }

    /// The optional steps as bits, bit 0 for step 1.
    pub fn optional_bits(&self) -> u64 {
        self.options.optional.iter().fold(0, |bits, step| bits | 1 << (step - 1))
    }

    /// The steps (from 1) that keep their place in mode `any_order`.
    pub fn anchors(&self) -> &[i64] {
        &self.options.anchors
    }

    /// Refuses an answer in which two columns have one name.
    pub fn check_names(&self, call: &Call, output: &[&str]) -> Result<()> {
        call.refuse_names(&self.by, output)
    }

    /// Position, in the lists of a chain, of the event that serves a step (from 1).
    pub fn place_of_step(&self, chain: &str, step: usize) -> Expr {
        if self.any_order() {
            let position = array_position_udf().call(vec![column(chain).field("steps"), lit(step as i32)]);
            cast(position, DataType::Int64)
        } else {
            lit(step as i64)
        }
    }

    /// A row for each chain (where there are users or `by` columns: that meets a step): its columns are the user where `user` names it, the chain, and what
    /// [`FunnelCall::by_values`] reads. `columns` are kept with each event beside the `by` and `hold` values.
    pub fn chains(
        &self,
        call: &Call,
        user: Option<&str>,
        columns: &[Breakdown],
    ) -> datafusion::error::Result<(LogicalPlanBuilder, ChainColumns)> {
        let kept = self.kept(columns)?;
        let taken = |name: &str| self.by.iter().any(|b| b.name == name) || user == Some(name);
        let names =
            ChainColumns { chain: free_name("chain", taken), touch: free_name("touch", taken), kept: kept.columns };
        let mut arguments = vec![
            lit(self.within.clone()),
            self.options_literal(kept.hold, columns.is_empty())?,
            self.roles.time.clone(),
        ];
        arguments.extend(self.conditions.iter().cloned());
        if self.mature {
            arguments.push(self.has_ended(self.roles.time.clone(), self.reach.value(call, &self.roles)?)?);
        }
        if !kept.fields.is_empty() {
            let fields = kept.fields.into_iter().flat_map(|(name, value)| [lit(name), value]);
            arguments.push(named_struct(fields.collect()));
        }
        let function = if self.lists_chains() { funnel_chains() } else { funnel_chain() };
        let mut takes_part = self.roles.known();
        if !self.every_event() {
            takes_part =
                self.conditions.iter().cloned().reduce(Expr::or).map_or(takes_part.clone(), |any| takes_part.and(any));
        }
        if let Some(looked_at) = self.reach.looked_at() {
            takes_part = takes_part.and(looked_at);
        }
        let group = match user {
            Some(name) => self.roles.user.clone().alias_with_metadata(name, declared("user")),
            None => self.roles.user.clone(),
        };
        let mut plan = LogicalPlanBuilder::from(call.input().clone())
            .filter(takes_part)?
            .aggregate([group], [function.call(arguments).alias(names.chain.as_str())])?;
        if self.lists_chains() {
            plan = plan.unnest_column(Column::from_name(names.chain.as_str()))?;
        }
        // The report counts nobody who reaches no step; a group or a row of their own they must not have.
        if user.is_some() || !self.by_names().is_empty() {
            plan = plan.filter(column(&names.chain).field("level").gt_eq(lit(1i32)))?;
        }
        if self.by_place == ByPlace::Touch("all") {
            let mut carried: Vec<Expr> = user.map(column).into_iter().collect();
            carried.extend([column(&names.chain), self.touches(&names, "all").alias(names.touch.as_str())]);
            plan = plan.project(carried)?.unnest_column(Column::from_name(names.touch.as_str()))?;
        }
        Ok((plan, names))
    }

    /// The `by` columns and the period of a row of [`FunnelCall::chains`], under their names.
    pub fn by_values(&self, names: &ChainColumns) -> Vec<Expr> {
        let at = match self.by_place {
            ByPlace::Entry | ByPlace::FirstEntry | ByPlace::Step(_) => column(&names.chain).field("by"),
            ByPlace::Touch("all") => column(&names.touch),
            ByPlace::Touch(which) => array_element(self.touches(names, which), lit(1i64)),
        };
        let mut values: Vec<Expr> =
            self.by.iter().map(|b| at.clone().field(b.name.as_str()).alias(b.name.as_str())).collect();
        if self.by_period() {
            values.push(column(&names.chain).field("period").alias("period"));
        }
        values
    }

    /// The names of [`FunnelCall::by_values`].
    pub fn by_names(&self) -> Vec<String> {
        let period = self.by_period().then(|| "period".to_string());
        self.by.iter().map(|b| b.name.clone()).chain(period).collect()
    }

    fn touches(&self, names: &ChainColumns, which: &str) -> Expr {
        let kept = column(&names.chain).field("kept");
        funnel_touches().call(vec![kept, lit(which), lit(self.by.len() as i64)])
    }

    fn every_event(&self) -> bool {
        self.options.mode.between == crate::algo::funnel::Between::Strict
    }

    fn options_literal(&self, hold: Vec<String>, nothing_asked: bool) -> Result<Expr> {
        let kept = !(self.is_apart() && nothing_asked);
        let options = FunnelOptions { hold, kept, ..self.options.clone() };
        let only_mode = FunnelOptions { mode: options.mode, ..FunnelOptions::default() };
        Ok(if options == only_mode {
            lit(if self.mode.is_empty() { "ordered" } else { &self.mode })
        } else {
            lit(options.literal()?)
        })
    }

    /// The values kept with each event. The `by` values come first: ties are broken by them.
    fn kept(&self, columns: &[Breakdown]) -> Result<Kept> {
        let mut kept = Kept {
            fields: self.by.iter().map(|b| (b.name.clone(), b.value.clone())).collect(),
            hold: Vec::new(),
            columns: Vec::new(),
        };
        kept.hold = self.hold.iter().map(|h| kept.add(h)).collect();
        // Values that are separated beforehand do not depend on which of several tied events a chain takes.
        let settled = self.by.is_empty() || self.is_apart();
        if !settled && !columns.is_empty() {
            // Without the columns, ties between equal `by` values are broken by conditions: the columns come after these, so
            // that asking for more of them moves nobody to another value.
            let conditions = self.conditions.iter().enumerate().map(|(bit, condition)| {
                let mut met = when(condition.clone(), lit(1u64 << bit));
                met.otherwise(lit(0u64)).map_err(Error::from)
            });
            let conditions: Vec<Expr> = conditions.collect::<Result<_>>()?;
            if let Some(mask) = conditions.into_iter().reduce(datafusion::logical_expr::bitwise_or) {
                kept.add(&Breakdown { name: "conditions".to_string(), value: mask });
            }
        }
        kept.columns = columns.iter().map(|c| kept.add(c)).collect();
        Ok(kept)
    }
}

/// Fields of the struct kept with each event.
struct Kept {
    fields: Vec<(String, Expr)>,
    /// Names of those that all events of a chain share.
    hold: Vec<String>,
    /// Names of those asked for beside.
    columns: Vec<String>,
}

impl Kept {
    /// The field with this value, which is added where there is none.
    fn add(&mut self, wanted: &Breakdown) -> String {
        if let Some((name, _)) = self.fields.iter().find(|(_, value)| *value == wanted.value) {
            return name.clone();
        }
        let name = free_name(&wanted.name, |name| self.fields.iter().any(|(n, _)| n == name));
        self.fields.push((name.clone(), wanted.value.clone()));
        name
    }
}

fn at(words: &[&str], word: &str) -> usize {
    words.iter().position(|w| *w == word).unwrap_or(0)
}

fn words(mode: &str, word: &str) -> String {
    if mode.trim().is_empty() { word.to_string() } else { format!("{mode}, {word}") }
}

fn by_place(call: &mut Call, by: &[Breakdown], steps: usize) -> Result<ByPlace> {
    let given: Vec<&str> = [BY_ENTRY, BY_STEP, BY_TOUCH].iter().filter(|a| call.given(a)).map(|a| a.name).collect();
    if let [one, other, ..] = given.as_slice() {
        return Err(
            call.error(format!("arguments '{one}' and '{other}' exclude each other: both say where 'by' is read"))
        );
    }
    if let ([key], true) = (given.as_slice(), by.is_empty()) {
        return Err(call.error(format!("argument '{key}' needs 'by'")));
    }
    if let Some(touch) = call.chosen(&BY_TOUCH)? {
        return Ok(ByPlace::Touch(touch));
    }
    if call.given(&BY_STEP) {
        return Ok(ByPlace::Step(call.step(&BY_STEP, steps)?));
    }
    Ok(if call.choice(&BY_ENTRY)? == BY_ENTRIES[1] { ByPlace::FirstEntry } else { ByPlace::Entry })
}

/// The zone of everything that asks for one; it and the start of weeks are left in the options where chains need them.
fn calendar(call: &mut Call, options: &mut FunnelOptions) -> Result<String> {
    let asked = options.period.is_some() || options.window_end == WindowEnd::Calendar;
    if call.given(&TZ) && !asked && !call.given(&AS_OF) {
        return Err(call.error("argument 'tz' needs 'period', 'as_of' or window_end => 'calendar'"));
    }
    if call.given(&WEEK_START) && options.period != Some(Unit::Week) {
        return Err(call.error("argument 'week_start' needs period => 'week'"));
    }
    let zone = zone(call)?;
    if asked {
        options.tz.clone_from(&zone);
    }
    if options.period == Some(Unit::Week) {
        options.week_start = week_start(call)?.to_string();
    }
    Ok(zone)
}
