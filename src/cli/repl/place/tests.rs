//! Places in lines, whole and half.

use super::*;

/// The place of `|` in a line.
fn at(line: &str) -> Place<'static> {
    let pos = line.find('|').unwrap();
    let line: &'static str = Box::leak(line.replacen('|', "", 1).into_boxed_str());
    place(line, pos, &Words::default()).unwrap()
}

fn wants(line: &str) -> Wants<'static> {
    at(line).wants
}

fn sources(line: &str) -> Vec<(&'static str, Option<&'static str>)> {
    at(line).sources.iter().map(|source| (source.name, source.alias)).collect()
}

fn value(call: &'static str, argument: &'static str) -> Wants<'static> {
    Wants::Value { call, argument, whole: false }
}

#[test]
fn tables_stand_after_from_and_join_and_first_in_a_relation() {
    for line in [
        "SELECT * FROM |",
        "FROM ev|",
        "SELECT * FROM a, |",
        "SELECT * FROM a JOIN | ON",
        "SELECT (SELECT 1 FROM |)",
        "INSERT INTO |",
        "DESCRIBE |",
        "SUMMARIZE |",
        "SELECT 1; SELECT * FROM |",
        "SELECT * FROM retention((SELECT * FROM |",
        "SELECT * FROM \"ev|",
        "SELECT * FROM -- the table\n |",
        "WITH a AS (SELECT 1) SELECT * FROM |",
    ] {
        assert_eq!(wants(line), Wants::Table, "{line}");
    }
    assert_eq!(wants("SELECT * FROM funnel(|"), Wants::Input);
    assert_eq!(wants("SELECT * FROM funnel(ev|, steps => [])"), Wants::Input);
    for line in ["SELECT * FROM events |", "SELECT extract(day FROM |", "SELECT a, |", "SELECT * FROM t WHERE x = 1, |"]
    {
        assert_ne!(wants(line), Wants::Table, "{line}");
    }
    assert_eq!(at("WITH a AS (SELECT 1), b AS (SELECT 2) SELECT * FROM |").queries, ["a", "b"]);
}

#[test]
fn names_of_arguments_follow_commas_of_a_relation() {
    let argument = |call, given: &[&'static str]| Wants::Argument { call, given: given.to_vec() };
    assert_eq!(wants("SELECT * FROM retention(events, |"), argument("retention", &[]));
    assert_eq!(wants("SELECT * FROM retention(events, uni|"), argument("retention", &[]));
    assert_eq!(
        wants("SELECT * FROM funnel((SELECT 1 FROM t WHERE x IN (1, 2)), steps => ['a', 'b'], by => [x], |"),
        argument("funnel", &["steps", "by"])
    );
    assert_eq!(wants("SELECT * FROM a JOIN funnel(b, by => f(1, 2), wi|) ON"), argument("funnel", &["by"]));
    // Neither inside a value nor in another function.
    assert_eq!(wants("SELECT * FROM funnel(events, steps => ['a', |"), value("funnel", "steps"));
    assert_eq!(wants("SELECT count(a, |"), Wants::Expression);
    assert_eq!(wants("SELECT * FROM funnel(events) WHERE f(a, |"), Wants::Expression);
}

#[test]
fn values_know_their_argument() {
    let whole = Wants::Value { call: "funnel", argument: "entry", whole: true };
    assert_eq!(wants("SELECT * FROM funnel(events, steps => ['a'], entry => |"), whole);
    assert_eq!(wants("SELECT * FROM funnel(events, entry => 'be|"), whole);
    assert_eq!(wants("SELECT * FROM funnel(events, entry=>'|') f"), whole);
    assert_eq!(wants("SELECT * FROM funnel(events, steps => ['a', 'b|"), value("funnel", "steps"));
    assert_eq!(wants("SELECT * FROM funnel(events, steps => ['it''s', 'b''|"), value("funnel", "steps"));
    assert_eq!(wants("SELECT * FROM funnel(events, steps => [event = 'a' AND lower(x|"), value("funnel", "steps"));
    assert_eq!(wants("SELECT * FROM funnel(events, steps => {'first': '|"), value("funnel", "steps"));
    assert_eq!(wants("SELECT * FROM funnel(events, steps => {'|"), Wants::Nothing);
    assert_eq!(wants("SELECT * FROM funnel(events, steps => {'first': 'a', '|"), Wants::Nothing);
    assert_eq!(wants("SELECT * FROM trend(events, by => [country, |"), value("trend", "by"));
    // Names of arguments that are keywords elsewhere.
    assert_eq!(wants("SELECT * FROM trend(events, to => ['|"), value("trend", "to"));
    // A query within a value is a place of its own.
    assert_eq!(wants("SELECT * FROM compare(events, a => (SELECT x FROM t WHERE |"), Wants::Expression);
}

#[test]
fn quotes_after_a_comparison_are_values_of_the_column() {
    for line in [
        "SELECT * FROM events WHERE event = '|",
        "SELECT * FROM events WHERE event <> 'a|",
        "SELECT * FROM events WHERE event != '|",
        "SELECT * FROM events WHERE x AND event IN ('a', '|",
        "SELECT * FROM events WHERE event NOT IN ('|",
        "SELECT * FROM events WHERE e.\"event\" = '|",
        "SELECT * FROM funnel(events, steps => [event = '|",
    ] {
        assert_eq!(wants(line), Wants::Compared("event"), "{line}");
    }
    assert_eq!(wants("SELECT '|"), Wants::Nothing);
    assert_eq!(wants("SELECT * FROM t WHERE f(x) = '|"), Wants::Nothing);
}

#[test]
fn files_settings_qualifiers_and_comments() {
    for line in [
        "SELECT * FROM '|",
        "FROM 'a/b|",
        "COPY t TO '|",
        "SELECT * FROM read_csv('|",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '|",
    ] {
        assert_eq!(wants(line), Wants::File, "{line}");
    }
    assert_eq!(at("SET tenure.ti|").typed, "tenure.ti");
    assert_eq!(wants("SET tenure.ti|"), Wants::Setting);
    assert_eq!(wants("RESET |"), Wants::Setting);
    assert_eq!(wants("SET tenure.time_zone = |"), Wants::Nothing);
    assert_eq!(wants("SELECT e.|"), Wants::ColumnOf("e"));
    assert_eq!(wants("SELECT \"my events\".us| FROM x"), Wants::ColumnOf("my events"));
    assert_eq!(wants("SELECT 1 LIMIT |"), Wants::Nothing);
    assert!(place("SELECT 1 -- no", 14, &Words::default()).is_none());
    assert!(place("SELECT /* no", 12, &Words::default()).is_none());
    assert_eq!(wants("SELECT /* yes */ |"), Wants::Expression);
    assert!(place("SELECT 'é'", 9, &Words::default()).is_none(), "within a character");
}

#[test]
fn tables_of_the_statement_are_seen_from_both_sides() {
    assert_eq!(
        sources("SELECT | FROM events AS e JOIN users u ON e.id = u.id WHERE x"),
        [("events", Some("e")), ("users", Some("u"))]
    );
    assert_eq!(sources("SELECT * FROM events WHERE | GROUP BY x; SELECT * FROM users"), [("events", None)]);
    assert_eq!(sources("SELECT 1 FROM users; SELECT | FROM events"), [("events", None)]);
    assert_eq!(sources("SELECT (SELECT | FROM inner_t) FROM outer_t"), [("inner_t", None), ("outer_t", None)]);
    assert_eq!(sources("SELECT | FROM (SELECT * FROM inner_t) AS x JOIN outer_t"), [("outer_t", None)]);
    assert_eq!(sources("SELECT * FROM a, \"B b\" x WHERE |"), [("a", None), ("B b", Some("x"))]);
    assert_eq!(sources("SELECT * FROM public.events e WHERE |"), [("events", Some("e"))]);
    let called = at("SELECT | FROM funnel(events, steps => ['a']) AS f");
    assert_eq!(called.sources.len(), 1);
    assert!(called.sources[0].call && called.sources[0].name == "funnel" && called.sources[0].alias == Some("f"));
    // In a call, those that it reads.
    assert_eq!(sources("SELECT * FROM users JOIN trend(events, by => |"), [("events", None)]);
    assert_eq!(
        sources("SELECT * FROM users JOIN trend((SELECT * FROM a JOIN b), by => [|]) t"),
        [("a", None), ("b", None)]
    );
}

/// Every place of every half of long and broken texts is read, and none fails.
#[test]
fn nothing_makes_it_fail() {
    let odd = "WITH a AS (SELECT ]) } '日本' \"x FROM funnel(, => [{ 'it''s' : e.\"a\"\"b\" . ; -- \n /* é */ $x => IN (' ;;; )))";
    for end in 0..=odd.len() {
        if let Some(before) = odd.get(..end) {
            for pos in 0..=before.len() {
                place(before, pos, &Words::default());
            }
        }
    }
    let long = "SELECT f(a, [b, {'c': ".repeat(5_000);
    assert!(place(&long, long.len(), &Words::default()).is_some());
}
