//! What was given for a report's parameters: one value each, or for one of them a range, which makes one run for each value.
//!
//! `start=2025-01-06..2025-03-31/week`: both ends belong to it; without a step it goes by day, and whole numbers by one. Only dates and whole
//! numbers have ranges: a text with two dots is a text.

use jiff::civil::Date;

use super::Report;
use super::parameter::{Parameter, Type, Unit, Value};
use crate::engine::Param;
use crate::error::{Error, Result, suggest};

/// Runs that one range may make.
const MOST_RUNS: usize = 10_000;

/// The values of one run, in the order of the declarations.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// A value for each parameter.
    pub values: Vec<Value>,
    /// Which values were given, and are no defaults.
    pub given: Vec<bool>,
    /// The value of the range that makes this run, where there is one: a part of the names of files.
    pub run: Option<String>,
}

/// The runs that `-p` asks for: one, or as many as a range has values.
///
/// # Errors
/// A parameter is not declared, given twice, missing or of the wrong type: the message names the line of its declaration.
pub fn given(report: &Report, typed: &[(String, String)], today: Date) -> Result<Vec<Given>> {
    for (at, (name, _)) in typed.iter().enumerate() {
        if !report.parameters.iter().any(|p| p.name == *name) {
            let path = report.path.display();
            let known: Vec<&str> = report.parameters.iter().map(|p| p.name.as_str()).collect();
            let told = if known.is_empty() { "it has none".to_string() } else { suggest(name, known) };
            return Err(Error::usage(format!("{path}: the report has no parameter '{name}': {told}")));
        }
        if typed[..at].iter().any(|(other, _)| other == name) {
            return Err(Error::usage(format!("parameter '{name}' is given twice")));
        }
    }
    let mut range: Option<(usize, Vec<Value>)> = None;
    let mut values = Vec::new();
    let mut was_given = Vec::new();
    for (at, parameter) in report.parameters.iter().enumerate() {
        let place = report.place(parameter.line);
        let text = typed.iter().find(|(name, _)| *name == parameter.name).map(|(_, text)| text);
        was_given.push(text.is_some());
        let Some(text) = text.or(parameter.default.as_ref()) else {
            let name = &parameter.name;
            return Err(Error::usage(format!("{place}: parameter '{name}' has no default and is not given"))
                .hint(format!("give it with -p {name}=..")));
        };
        let (all, is_range) = values_of(parameter, text, today).map_err(|e| Error::usage(e.message()).at(&place))?;
        values.push(all[0].clone());
        if is_range {
            if let Some((other, _)) = range {
                let (one, two) = (&report.parameters[other].name, &parameter.name);
                return Err(Error::usage(format!("'{one}' and '{two}' both have a range, and only one may")));
            }
            range = Some((at, all));
        }
    }
    let Some((at, all)) = range else {
        return Ok(vec![Given { values, given: was_given, run: None }]);
    };
    let run = |value: Value| {
        let run = Some(value.param.to_string());
        let mut values = values.clone();
        values[at] = value;
        Given { values, given: was_given.clone(), run }
    };
    Ok(all.into_iter().map(run).collect())
}

/// The values that a text says, and whether it is a range, whose runs are named even where it has one value.
fn values_of(parameter: &Parameter, text: &str, today: Date) -> Result<(Vec<Value>, bool)> {
    let ranged = matches!(parameter.data_type, Type::Date | Type::Int);
    let Some((first, rest)) = text.split_once("..").filter(|_| ranged) else {
        return Ok((vec![parameter.read(text, today)?], false));
    };
    let (last, step) = rest.split_once('/').map_or((rest, None), |(last, step)| (last, Some(step.trim())));
    let (first, last) = (parameter.read(first, today)?.param, parameter.read(last, today)?.param);
    let wrong_step = |allowed: &str| {
        let (name, step) = (&parameter.name, step.unwrap_or_default());
        Error::user(format!(
            "parameter '{name}' goes by '{step}': a range of {}s goes by {allowed}",
            parameter.data_type.name()
        ))
    };
    let mut values = Vec::new();
    let mut steps = 0;
    loop {
        let next = match (&first, &last) {
            (Param::Date(first), Param::Date(last)) => {
                let step = step.unwrap_or("day");
                let (count, unit) = step.split_at(step.find(|c: char| !c.is_ascii_digit()).unwrap_or(step.len()));
                let count: i64 = if count.is_empty() { 1 } else { count.parse().unwrap_or(0) };
                let unit = Unit::from_name(unit.trim()).filter(|_| (1..=100_000).contains(&count));
                let unit =
                    unit.ok_or_else(|| wrong_step("day, week, month, quarter or year, as in week or '2 weeks'"))?;
                // From the first one always: after 31 January comes 28 February, and then 31 March.
                unit.after(*first, steps * count).filter(|next| next <= last).map(Param::Date)
            }
            (Param::Integer(first), Param::Integer(last)) => {
                let count: i64 = step.map_or(Ok(1), str::parse).unwrap_or(0);
                if count < 1 {
                    return Err(wrong_step("a whole number from 1"));
                }
                steps
                    .checked_mul(count)
                    .and_then(|far| first.checked_add(far))
                    .filter(|next| next <= last)
                    .map(Param::Integer)
            }
            _ => None,
        };
        let Some(param) = next else { break };
        values.push(Value { param, said: None });
        steps += 1;
        if values.len() > MOST_RUNS {
            return Err(Error::user(format!(
                "parameter '{}' is '{text}': a range has 10,000 values at most",
                parameter.name
            )));
        }
    }
    if values.is_empty() {
        return Err(Error::user(format!(
            "parameter '{}' is '{text}': the range ends before it begins",
            parameter.name
        )));
    }
    Ok((values, true))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn runs(declarations: &str, typed: &[(&str, &str)]) -> Result<Vec<String>> {
        let report = Report::parse(Path::new("r.sql"), &format!("{declarations}\nSELECT 1")).unwrap();
        let typed: Vec<_> = typed.iter().map(|(n, t)| (n.to_string(), t.to_string())).collect();
        let runs = given(&report, &typed, "2025-03-31".parse().unwrap())?;
        Ok(runs.iter().map(|g| g.values.iter().map(|v| v.param.to_string()).collect::<Vec<_>>().join(",")).collect())
    }

    #[test]
    fn ranges_make_a_run_for_each_value() {
        let start = "-- param: start date = 2025-01-01\n-- param: n int = 3";
        assert_eq!(runs(start, &[]).unwrap(), ["2025-01-01,3"]);
        assert_eq!(
            runs(start, &[("start", "2025-01-06..2025-01-27/week")]).unwrap(),
            ["2025-01-06,3", "2025-01-13,3", "2025-01-20,3", "2025-01-27,3"]
        );
        assert_eq!(
            runs(start, &[("start", "2025-01-31..today/month")]).unwrap(),
            ["2025-01-31,3", "2025-02-28,3", "2025-03-31,3"]
        );
        assert_eq!(runs(start, &[("start", "today - 1 day..today")]).unwrap(), ["2025-03-30,3", "2025-03-31,3"]);
        assert_eq!(runs(start, &[("n", "1..6/2")]).unwrap(), ["2025-01-01,1", "2025-01-01,3", "2025-01-01,5"]);
        assert_eq!(runs("-- param: t text", &[("t", "1..6/2")]).unwrap(), ["1..6/2"]);
        let most = format!("{}..{}", i64::MAX - 1, i64::MAX);
        assert_eq!(runs(start, &[("n", most.as_str())]).unwrap().len(), 2);
    }

    #[test]
    fn what_is_wrong_is_told() {
        let start = "-- param: start date\n-- param: n int = 3";
        let told = |typed: &[(&str, &str)]| runs(start, typed).unwrap_err().message().to_string();
        assert_eq!(told(&[]), "r.sql:1: parameter 'start' has no default and is not given");
        assert!(told(&[("start", "x")]).starts_with("r.sql:1: parameter 'start' is 'x': a date is"));
        assert!(told(&[("strat", "x")]).contains("did you mean 'start'?"));
        assert!(told(&[("start", "2025-01-02..2025-01-01")]).contains("ends before it begins"));
        assert!(told(&[("start", "2025-01-02..2025-01-05/hour")]).contains("goes by 'hour'"));
        assert!(told(&[("start", "2025-01-02..2025-01-05/0 days")]).contains("goes by '0 days'"));
        assert!(told(&[("start", "0001-01-01..2025-01-05")]).contains("10,000"));
        assert!(told(&[("start", "2025-01-02..2025-01-05"), ("n", "1..2")]).contains("both have a range"));
        assert!(told(&[("n", "1"), ("n", "2")]).contains("given twice"));
    }
}
