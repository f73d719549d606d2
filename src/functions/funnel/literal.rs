//! Funnel options as a constant of SQL: read and written.
//!
//! Deals with: names and types of the options. Does not deal with: which values go together (`options`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StructArray};
use arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;

use super::modes::Mode;
use super::options::{BY_ENTRIES, CHAINS, ENTRIES, EXCLUDE_POLICIES, Exclude, FunnelOptions, WINDOW_ENDS, WindowEnd};
use crate::algo::calendar::Unit;
use crate::algo::funnel::{Entry, MAX_STEPS, Pick};
use crate::error::{Error, Result, suggest};
use crate::functions::columns;

/// The names of the options.
const NAMES: [&str; 19] = [
    "mode",
    "window_end",
    "step_within",
    "step_after",
    "exclude",
    "exclude_policy",
    "optional",
    "hold",
    "anchors",
    "entry",
    "chain",
    "period",
    "tz",
    "week_start",
    "by",
    "by_step",
    "by_entry",
    "mature",
    "kept",
];

impl FunnelOptions {
    /// The options in a constant: mode words or a STRUCT.
    pub fn read(function: &str, value: &ScalarValue) -> Result<Self> {
        match value {
            ScalarValue::Struct(fields) => Reader { function }.options(fields),
            other => match other.try_as_str() {
                Some(words) => Ok(Self { mode: Mode::parse(function, words.unwrap_or_default())?, ..Self::default() }),
                None => Err(Error::user(format!(
                    "{function}: the options must be mode words such as 'increase', or a STRUCT such as \
                     {{'mode': 'increase'}}; got {other}"
                ))),
            },
        }
    }

    /// The options as a constant that [`FunnelOptions::read`] reads: a STRUCT of those that differ from the default.
    pub fn literal(&self) -> Result<ScalarValue> {
        let default = Self::default();
        let mut fields: Vec<(&str, ScalarValue)> = vec![("mode", self.mode.words().into())];
        let mut add = |name: &'static str, differs: bool, value: ScalarValue| {
            if differs {
                fields.push((name, value));
            }
        };
        let numbers = |numbers: &[i64]| {
            let items: Vec<ScalarValue> = numbers.iter().map(|n| ScalarValue::from(*n)).collect();
            list(&items, &DataType::Int64)
        };
        add("window_end", self.window_end != default.window_end, WINDOW_ENDS[self.window_end as usize].into());
        add("step_within", !self.step_within.is_empty(), list(&self.step_within, &columns::interval_type()));
        add("step_after", !self.step_after.is_empty(), list(&self.step_after, &columns::interval_type()));
        if !self.exclude.is_empty() {
            let bounds = |bound: fn(&Exclude) -> Option<i64>| -> ArrayRef {
                Arc::new(self.exclude.iter().map(bound).collect::<arrow::array::Int64Array>())
            };
            let bounds = StructArray::try_from(vec![("after", bounds(|e| e.after)), ("before", bounds(|e| e.before))])?;
            add("exclude", true, ScalarValue::List(Arc::new(one_list(Arc::new(bounds)))));
        }
        add("exclude_policy", self.drop_excluded, EXCLUDE_POLICIES[usize::from(self.drop_excluded)].into());
        add("optional", !self.optional.is_empty(), numbers(&self.optional));
        let hold: Vec<ScalarValue> = self.hold.iter().map(|name| name.as_str().into()).collect();
        add("hold", !hold.is_empty(), list(&hold, &DataType::Utf8));
        add("anchors", !self.anchors.is_empty(), numbers(&self.anchors));
        add("entry", self.entry != default.entry, ENTRIES[self.entry as usize].into());
        add("chain", self.chain != default.chain, CHAINS[self.chain as usize].into());
        add("period", self.period.is_some(), self.period.map_or("", Unit::name).into());
        add("tz", self.tz != default.tz, self.tz.as_str().into());
        add("week_start", self.week_start != default.week_start, self.week_start.as_str().into());
        let by: Vec<ScalarValue> = self.by.iter().map(|name| name.as_str().into()).collect();
        add("by", !by.is_empty(), list(&by, &DataType::Utf8));
        add("by_step", self.by_step.is_some(), self.by_step.into());
        add("by_entry", self.by_first_entry, BY_ENTRIES[usize::from(self.by_first_entry)].into());
        add("mature", self.mature, self.mature.into());
        add("kept", !self.kept, self.kept.into());
        let columns = fields
            .into_iter()
            .map(|(name, value)| {
                Ok((Arc::new(Field::new(name, value.data_type(), true)), value.to_array().map_err(Error::from)?))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(ScalarValue::Struct(Arc::new(StructArray::from(columns))))
    }
}

fn one_list(items: ArrayRef) -> arrow::array::ListArray {
    let field = Arc::new(Field::new_list_field(items.data_type().clone(), true));
    let offsets = arrow::buffer::OffsetBuffer::from_lengths([items.len()]);
    arrow::array::ListArray::new(field, offsets, items, None)
}

fn list(items: &[ScalarValue], of: &DataType) -> ScalarValue {
    ScalarValue::List(ScalarValue::new_list_nullable(items, of))
}

/// Reads a STRUCT of options.
struct Reader<'a> {
    function: &'a str,
}

impl Reader<'_> {
    fn wrong(&self, name: &str, wanted: &str, got: &ScalarValue) -> Error {
        Error::user(format!("{}: option '{name}' must be {wanted}, got {got}", self.function))
    }

    fn options(&self, fields: &StructArray) -> Result<FunnelOptions> {
        let mut options = FunnelOptions::default();
        for (name, column) in fields.column_names().into_iter().zip(fields.columns()) {
            let value = ScalarValue::try_from_array(column, 0).map_err(Error::from)?;
            if !NAMES.contains(&name) {
                return Err(Error::user(format!(
                    "{}: unknown option '{name}'; {}",
                    self.function,
                    suggest(name, NAMES)
                )));
            }
            if !value.is_null() {
                self.option(&mut options, name, &value)?;
            }
        }
        Ok(options)
    }

    fn option(&self, options: &mut FunnelOptions, name: &str, value: &ScalarValue) -> Result<()> {
        match name {
            "mode" => options.mode = Mode::parse(self.function, self.text(name, value)?)?,
            "window_end" => {
                options.window_end = match self.choice(name, value, &WINDOW_ENDS)? {
                    0 => WindowEnd::Inclusive,
                    1 => WindowEnd::Exclusive,
                    _ => WindowEnd::Calendar,
                }
            }
            "step_within" => options.step_within = self.items(name, "a list of INTERVALs", value)?,
            "step_after" => options.step_after = self.items(name, "a list of INTERVALs", value)?,
            "exclude" => options.exclude = self.exclude(name, value)?,
            "exclude_policy" => options.drop_excluded = self.choice(name, value, &EXCLUDE_POLICIES)? == 1,
            "optional" => options.optional = self.numbers(name, value)?,
            "anchors" => options.anchors = self.numbers(name, value)?,
            "hold" => options.hold = self.names(name, value)?,
            "by" => options.by = self.names(name, value)?,
            "by_step" => options.by_step = Some(self.number(name, "the number of a step", value)?),
            "by_entry" => options.by_first_entry = self.choice(name, value, &BY_ENTRIES)? == 1,
            "mature" => options.mature = self.switch(name, value)?,
            "kept" => {
                options.kept = self.switch(name, value)?;
                if options.kept {
                    return Err(self.wrong(name, "false, which leaves the list of that name out of the answer", value));
                }
            }
            "entry" => {
                options.entry = [Entry::Best, Entry::First, Entry::All][self.choice(name, value, &ENTRIES)?];
            }
            "chain" => {
                options.chain = [Pick::EarliestCompletion, Pick::EarliestStart][self.choice(name, value, &CHAINS)?];
            }
            "period" => {
                let given = self.text(name, value)?;
                options.period = Some(Unit::parse(given).ok_or_else(|| {
                    Error::user(format!("{}: unknown period '{given}'; {}", self.function, suggest(given, Unit::NAMES)))
                })?);
            }
            "tz" => options.tz = self.text(name, value)?.to_string(),
            _ => options.week_start = self.text(name, value)?.to_string(),
        }
        Ok(())
    }

    fn names(&self, name: &str, value: &ScalarValue) -> Result<Vec<String>> {
        let items = match value.try_as_str() {
            Some(_) => vec![value.clone()],
            None => self.items(name, "a list of names of kept fields", value)?,
        };
        items.iter().map(|item| self.text(name, item).map(String::from)).collect()
    }

    fn switch(&self, name: &str, value: &ScalarValue) -> Result<bool> {
        match value {
            ScalarValue::Boolean(Some(value)) => Ok(*value),
            other => Err(self.wrong(name, "true or false", other)),
        }
    }

    fn text<'v>(&self, name: &str, value: &'v ScalarValue) -> Result<&'v str> {
        value.try_as_str().flatten().ok_or_else(|| self.wrong(name, "a string", value))
    }

    fn choice(&self, name: &str, value: &ScalarValue, allowed: &[&'static str]) -> Result<usize> {
        let given = self.text(name, value)?;
        allowed.iter().position(|a| *a == given).ok_or_else(|| {
            Error::user(format!(
                "{}: option '{name}' cannot be '{given}'; {}",
                self.function,
                suggest(given, allowed.iter().copied())
            ))
        })
    }

    fn items(&self, name: &str, wanted: &str, value: &ScalarValue) -> Result<Vec<ScalarValue>> {
        let items = match value {
            ScalarValue::List(list) => list.value(0),
            ScalarValue::LargeList(list) => list.value(0),
            ScalarValue::FixedSizeList(list) => list.value(0),
            other => return Err(self.wrong(name, wanted, other)),
        };
        (0..items.len()).map(|at| ScalarValue::try_from_array(&items, at).map_err(Error::from)).collect()
    }

    fn number(&self, name: &str, wanted: &str, value: &ScalarValue) -> Result<i64> {
        match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(Some(n))) if value.data_type().is_integer() => Ok(n),
            _ => Err(self.wrong(name, wanted, value)),
        }
    }

    fn numbers(&self, name: &str, value: &ScalarValue) -> Result<Vec<i64>> {
        let wanted = "a list of step numbers";
        self.items(name, wanted, value)?.iter().map(|n| self.number(name, wanted, n)).collect()
    }

    fn exclude(&self, name: &str, value: &ScalarValue) -> Result<Vec<Exclude>> {
        let wanted = "the number of exclusions, or a list with {'after': step, 'before': step} for each of them";
        if value.data_type().is_integer() {
            let count = self.number(name, wanted, value)?;
            let count = usize::try_from(count).ok().filter(|c| *c <= MAX_STEPS);
            return Ok(vec![Exclude::default(); count.ok_or_else(|| self.wrong(name, wanted, value))?]);
        }
        let one = |item: &ScalarValue| {
            let mut exclude = Exclude::default();
            let ScalarValue::Struct(fields) = item else {
                return if item.is_null() { Ok(exclude) } else { Err(self.wrong(name, wanted, item)) };
            };
            for (key, column) in fields.column_names().into_iter().zip(fields.columns()) {
                let bound = ScalarValue::try_from_array(column, 0).map_err(Error::from)?;
                let place = match key {
                    "after" => &mut exclude.after,
                    "before" => &mut exclude.before,
                    _ => return Err(self.wrong(name, wanted, item)),
                };
                if !bound.is_null() {
                    *place = Some(self.number(name, wanted, &bound)?);
                }
            }
            Ok(exclude)
        };
        self.items(name, wanted, value)?.iter().map(one).collect()
    }
}
