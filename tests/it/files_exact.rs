//! Values that hardly fit: identifiers and numbers behind a sample, nanoseconds, far years.

use crate::ask::Asked;
use crate::program::Place;

/// A file whose first 50,000 rows tell the type, and one value behind them.
fn behind(place: &Place, name: &str, sample: &str, value: &str) {
    let rows: String = (0..50_001).map(|_| format!("{sample},x\n")).collect();
    place.write(name, &format!("v,w\n{rows}{value},x\n"));
}

#[test]
fn nothing_behind_the_sample_is_bent_to_its_type() {
    let place = Place::new();
    for (sample, value, fits) in [
        ("5", "+5", false),
        ("5", " 5", false),
        ("5", "-5", true),
        ("1.5", "+1.5", false),
        ("1.5", "9007199254740993", false),
        ("1.5", "123456789012345678901", false),
        ("1.5", "007.5", false),
        ("1.5", "1e3", true),
        ("true", "1", false),
        ("true", "t", false),
        ("2024-05-01", "2024-05-01 10:00:00", false),
    ] {
        behind(&place, "late.csv", sample, value);
        let told = place.run(&["--format", "csv", "-c", "SELECT max(v) AS m FROM 'late.csv'"]);
        match fits {
            true => assert!(told.starts_with("exit 0"), "{sample}, {value}: {told}"),
            false => {
                assert!(
                    told.starts_with("exit 1") && told.contains("'late.csv' line 50003"),
                    "{sample}, {value}: {told}"
                );
            }
        }
        // Who says the type says how much may differ.
        if sample == "5" {
            let sql = "SELECT count(v) AS n FROM read_csv('late.csv', types => {'v': 'bigint'})";
            assert!(place.run(&["--format", "csv", "-c", sql]).contains("n\n50002\n"), "{value}");
        }
    }
}

/// What would be another user as a number makes the users texts, in a query by an error that says so.
#[test]
fn users_behind_the_sample_stay_who_they_are() {
    let place = Place::new();
    for id in ["-5", "+5", "1234567890123456789", "5 "] {
        let rows: String = (0..50_001).map(|n| format!("{n},2024-05-01 10:00:00,a\n")).collect();
        place.write("e.csv", &format!("user_id,ts,event\n{rows}{id},2024-05-01 10:00:00,b\n"));
        let told = place.run(&["-c", "SELECT count(DISTINCT user_id) FROM 'e.csv'"]);
        assert!(told.starts_with("exit 1") && told.contains("line 50003"), "{id}: {told}");
        let into = format!("db{}", id.trim());
        let told = place.run(&["ingest", "e.csv", "--into", &into]);
        assert!(told.starts_with("exit 0") && told.contains("column 'user_id' is text because of"), "{id}: {told}");
        let sql = format!("SELECT user_id AS u FROM '{into}/events' WHERE event = 'b'");
        assert!(place.run(&["--format", "csv", "-c", &sql]).contains(&format!("u\n{id}\n")), "{id}");
    }
}

#[test]
fn fractions_of_seconds_are_kept() {
    let place = Place::new();
    let one = |sql: &str| place.run(&["--format", "csv", "-c", sql]);
    place.write("go.csv", "id,at\n1,2024-05-01T10:00:00.123456789Z\n2,2024-05-01T12:00:00.5+02:00\n");
    let told = one("SELECT id, at FROM 'go.csv' ORDER BY at DESC");
    assert!(told.contains("2,2024-05-01T10:00:00.500Z\n1,2024-05-01T10:00:00.123456789Z\n"), "{told}");
    place.write("go.ndjson", "{\"at\": \"2024-05-01 10:00:00.000000001\"}\n{\"at\": \"2024-05-01\"}\n");
    let told = one("SELECT max(at) AS m FROM 'go.ndjson'");
    assert!(told.contains("m\n2024-05-01T10:00:00.000000001\n"), "{told}");
    // What no time holds stays text, to its last digit.
    for text in ["2024-05-01T10:00:00.1234567891", "2024-05-01 10:00:00.000000001\n9999-12-31"] {
        place.write("odd.csv", &format!("at\n{text}\n"));
        let told = one("SELECT at FROM 'odd.csv'");
        assert!(told.contains(&format!("at\n{text}\n")), "{told}");
    }
}

#[test]
fn times_said_by_numbers_of_another_unit_are_errors() {
    let place = Place::new();
    let rows: String = (0..100).map(|n| format!("{}\n", 1_714_557_600_000_i64 + n)).collect();
    place.write("e.csv", &format!("t\n{rows}1714557600\n"));
    let told = place.run(&["-c", "SELECT min(t) FROM read_csv('e.csv', types => {'t': 'timestamp'})"]);
    assert!(told.starts_with("exit 1") && told.contains("'1714557600'"), "{told}");
    // A format is for the columns that are said to be times, not for those that say it themselves.
    place.write("two.csv", "a,b\n31.01.2024,2024-01-31 10:00:00\n");
    let sql = "SELECT b - a AS d FROM read_csv('two.csv', types => {'a': 'timestamp'}, time_format => '%d.%m.%Y')";
    let told = place.run(&["--format", "csv", "-c", sql]);
    assert!(told.starts_with("exit 0"), "{told}");
}

/// Every format prints the whole range of a time.
#[test]
fn far_years_are_printed_in_every_format() {
    let asked = Asked::new(1);
    let place = Place::new();
    let sql = "SELECT arrow_cast(9223372036854775807, 'Timestamp(Microsecond, None)') AS t, arrow_cast(2147483647, 'Date32') AS d";
    for (format, t) in [
        ("csv", "+294247-01-10T04:00:54.775807,+5881580-07-11"),
        ("tsv", "+294247-01-10T04:00:54.775807\t+5881580-07-11"),
        ("json", "\"+294247-01-10T04:00:54.775807\""),
        ("ndjson", "\"d\":\"+5881580-07-11\""),
        ("table", "+294247-01-10 04:00:54.775807"),
        ("markdown", "+294247-01-10 04:00:54.775807"),
    ] {
        let told = place.run(&["--format", format, "-c", sql]);
        assert!(told.starts_with("exit 0") && told.contains(t), "{format}: {told}");
    }
    for format in ["parquet", "arrow"] {
        let file = format!("far.{format}");
        let told = place.run(&["-o", &file, "-c", sql]);
        assert!(told.starts_with("exit 0"), "{told}");
    }
    let parquet = place.path("far.parquet").display().to_string();
    assert_eq!(asked.one(&format!("SELECT arrow_cast(t, 'Int64') FROM '{parquet}'")), "9223372036854775807");
}

/// Columns that are called like places are found by their names.
#[test]
fn names_that_look_like_places_are_names() {
    let place = Place::new();
    place.write("top.csv", "user_id,ts,#1,#2\n7,2024-05-01 10:00:00,a,b\n");
    let sql = "SELECT user_id, \"#1\", \"#2\" FROM ";
    let told = place.run(&["--format", "csv", "-c", &format!("{sql} 'top.csv'")]);
    assert!(told.contains("7,a,b\n"), "{told}");
    assert!(place.run(&["ingest", "-q", "top.csv", "--into", "db"]).starts_with("exit 0"));
    let told = place.run(&["--format", "csv", "-c", &format!("{sql} 'db/events'")]);
    assert!(told.contains("7,a,b\n"), "{told}");
    // As a mapping means them, too, and places where nothing is called so.
    place.write("m.toml", "drop = ['#2']\n[columns]\nfirst = '#1'");
    assert!(place.run(&["ingest", "-q", "top.csv", "--into", "mapped", "--mapping", "m.toml"]).starts_with("exit 0"));
    let told = place.run(&["--format", "csv", "-c", "SELECT user_id, first FROM 'mapped/events'"]);
    assert!(told.contains("7,a\n"), "{told}");
}

/// A file that a query cannot make a table of says which line keeps it from that, as an ingest does.
#[test]
fn json_that_is_none_is_told_by_its_line() {
    let place = Place::new();
    for (text, words) in [
        ("{\"a\":1,}\n", "line 1: broken JSON: a key must be a string"),
        ("\n1\n", "line 2: the line is no JSON object"),
        ("{\"a\":1}{\"a\":2}\n", "line 1: more than one value in the line"),
        ("{\"a\":NaN}\n", "line 1: broken JSON: a value is missing"),
    ] {
        place.write("x.ndjson", text);
        let told = place.run(&["-c", "SELECT * FROM 'x.ndjson'"]);
        assert!(told.starts_with("exit 1") && told.contains(&format!("'x.ndjson' {words}")), "{told}");
        place.write("m.toml", "user = 'u'\ntime = 't'\n[columns]\nu = { constant = 'u' }\nt = { constant = '2024-05-01', type = 'timestamp' }");
        let told = place.run(&["ingest", "-q", "x.ndjson", "--into", "db", "--mapping", "m.toml"]);
        assert!(told.starts_with("exit 1") && told.contains(words.split(": ").last().unwrap()), "{told}");
    }
    place.write("far.ndjson", "{\"n\":1e400}\n{\"n\":2.5}\n");
    let told = place.run(&["--format", "csv", "-c", "SELECT n FROM 'far.ndjson'"]);
    assert!(told.contains("n\n1e400\n2.5\n"), "{told}");
    // The way out of a fault inside an object is an option that there is.
    let rows = "{\"p\":{\"a\":1}}\n".repeat(50_001);
    place.write("late.ndjson", &format!("{rows}{{\"p\":{{\"a\":\"x\"}}}}\n"));
    let told = place.run(&["-c", "SELECT * FROM 'late.ndjson'"]);
    assert!(told.contains("p.a: 'x' is not a whole number") && told.contains("types => {'p': 'text'}"), "{told}");
    let told = place.run(&[
        "--format",
        "csv",
        "-c",
        "SELECT min(p) AS m FROM read_json('late.ndjson', types => {'p': 'text'})",
    ]);
    assert!(told.contains("\"{\"\"a\"\":\"\"x\"\"}\"\n"), "{told}");
}

/// Fields of a struct that differ only by case are one to tools that read tables.
#[test]
fn fields_that_differ_by_case_are_told_before_anything_is_written() {
    let place = Place::new();
    let line = |fields: &str| format!("{{\"user_id\":1,\"ts\":\"2024-05-01\",\"p\":{{{fields}}}}}\n");
    place.write("e.ndjson", &line("\"Ab\":1,\"ab\":2"));
    let told = place.run(&["ingest", "-q", "e.ndjson", "--into", "db"]);
    assert!(told.starts_with("exit 1") && told.contains("fields 'Ab' and 'ab' of 'p' differ only by case"), "{told}");
    place.write("m.toml", "drop = ['p.ab']");
    assert!(place.run(&["ingest", "-q", "e.ndjson", "--into", "db", "--mapping", "m.toml"]).starts_with("exit 0"));
    // Behind a table that has one of them.
    place.write("later.ndjson", &line("\"AB\":3"));
    let told = place.run(&["ingest", "-q", "later.ndjson", "--into", "db"]);
    assert!(told.starts_with("exit 1") && told.contains("differ only by case"), "{told}");
}

/// A column may be called like a type that tables cannot have: experiments have variants.
#[test]
fn a_column_called_variant_is_a_column() {
    let place = Place::new();
    place.write("e.csv", "user_id,ts,event,variant\n1,2024-05-01,a,B\n");
    assert_eq!(place.run(&["ingest", "-q", "e.csv", "--into", "db"]), "exit 0\n");
    let told = place.run(&["--format", "csv", "-c", "SELECT variant FROM 'db/events'"]);
    assert!(told.contains("variant\nB\n"), "{told}");
}

/// Maps with keys of any type are printed in every format.
#[test]
fn maps_are_printed_in_every_format() {
    let place = Place::new();
    for format in ["csv", "tsv", "json", "ndjson", "table", "markdown"] {
        let told = place.run(&[
            "--format",
            format,
            "-c",
            "SELECT map([1, 2], ['a', 'b']) AS m, [map([1.5], [map([true], [2])])] AS n",
        ]);
        assert!(told.starts_with("exit 0") && told.contains('2') && told.contains('b'), "{format}: {told}");
    }
}

/// Keys without a name and objects without a value cost no row, and nothing else.
#[test]
fn odd_keys_of_objects_are_kept() {
    let place = Place::new();
    place.write(
        "k.ndjson",
        "{\"a\":{\"\":1,\"b\":2},\"c\":{\"d\":{\"e\":{}},\"f\":1}}\n{\"c\":{\"d\":{\"e\":null},\"f\":2}}\n",
    );
    let told = place.run(&["--format", "csv", "-c", "SELECT a, sum(c['f']) OVER () AS f FROM 'k.ndjson' LIMIT 1"]);
    assert!(told.contains("a,f\n\"{\"\"\"\":1,\"\"b\"\":2}\",3\n"), "{told}");
}
