//! `tenure ingest` of nested values and mappings: loads after loads, fields that are left out, names that nothing has.

use crate::program::Place;

/// The messages of an ingest into `data`, below its exit code.
fn ingest(place: &Place, args: &[&str]) -> String {
    let told = place.run(&[&["ingest"][..], args, &["--into", "data", "-q"]].concat());
    told.lines().filter(|line| *line != "-- stderr").collect::<Vec<_>>().join("\n")
}

/// The rows of a query, as CSV.
fn query(place: &Place, sql: &str) -> String {
    let output = place.tenure().args(["--format", "csv", "-c", sql]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    text.trim_end().to_string()
}

/// What is kept of rejected rows, each as its reason.
fn reasons(place: &Place, table: &str) -> Vec<String> {
    let folder = place.path(&format!("data/{table}/_rejects"));
    let files = std::fs::read_dir(folder).into_iter().flatten().map(|e| std::fs::read_to_string(e.unwrap().path()));
    let mut reasons = Vec::new();
    for line in files.flat_map(|text| text.unwrap().lines().map(str::to_string).collect::<Vec<_>>()) {
        let row: serde_json::Value = serde_json::from_str(&line).unwrap();
        reasons.push(row["reason"].as_str().unwrap().to_string());
    }
    reasons.sort();
    reasons
}

/// Lists, structs of lists, lists of lists and of structs: the table takes more of them.
#[test]
fn nested_columns_are_loaded_again() {
    let place = Place::new();
    let line = |user: i64| {
        format!(
            "{{\"user_id\": {user}, \"ts\": \"2024-01-31\", \"event\": \"v\", \"tags\": [\"x\"], \
             \"p\": {{\"l\": [{user}], \"m\": [[1], [2, 3]]}}, \"o\": [{{\"k\": \"a\", \"n\": [{user}]}}]}}\n"
        )
    };
    for (user, name) in [(1, "a.ndjson"), (2, "b.ndjson"), (3, "c.ndjson")] {
        place.write(name, &line(user));
        assert_eq!(ingest(&place, &[name]), "exit 0");
    }
    let read = |table: &str| query(&place, &format!("SELECT tags, p, o FROM 'data/{table}' ORDER BY user_id"));
    let row = |user: i64| {
        format!(
            "\"[\"\"x\"\"]\",\"{{\"\"l\"\":[{user}],\"\"m\"\":[[1],[2,3]]}}\",\"[{{\"\"k\"\":\"\"a\"\",\"\"n\"\":[{user}]}}]\""
        )
    };
    assert_eq!(read("events"), format!("tags,p,o\n{}\n{}\n{}", row(1), row(2), row(3)));
    // Parts that are always empty or NULL have no type of their own.
    place.write(
        "d.ndjson",
        "{\"user_id\": 4, \"ts\": \"2024-01-31\", \"event\": \"v\", \"tags\": [], \"p\": {\"l\": null, \"m\": []}, \"o\": [{}]}\n",
    );
    assert_eq!(ingest(&place, &["d.ndjson"]), "exit 0");
    // Parquet first, then text.
    query(&place, "COPY (SELECT * FROM 'data/events' WHERE user_id = 1) TO 'a.parquet'");
    assert_eq!(ingest(&place, &["a.parquet", "--table", "mixed"]), "exit 0");
    assert_eq!(ingest(&place, &["b.ndjson", "--table", "mixed"]), "exit 0");
    assert_eq!(ingest(&place, &["a.parquet", "--table", "mixed", "--again"]), "exit 0");
    assert_eq!(read("mixed"), format!("tags,p,o\n{}\n{}\n{}", row(1), row(1), row(2)));
}

#[test]
fn nested_values_of_parquet_are_rejected_like_those_of_text() {
    let place = Place::new();
    let row = |user: i64, n: &str, t: &str| {
        format!(
            "SELECT {user} AS user_id, TIMESTAMP '2024-01-31' AS ts, 'v' AS event, \
             named_struct('n', [arrow_cast('{n}', 'UInt64')]) AS p, [arrow_cast('{t}', 'Timestamp(Nanosecond, None)')] AS l"
        )
    };
    let rows = [
        row(1, "7", "1969-12-31T23:59:59.999999"),
        row(2, "18446744073709551615", "2024-01-31"),
        row(3, "1", "1969-12-31T23:59:59.9999999"),
    ];
    assert_eq!(query(&place, &format!("COPY ({}) TO 'a.parquet'", rows.join(" UNION ALL "))), "");
    let told = ingest(&place, &["a.parquet"]);
    assert!(told.starts_with("exit 0"), "{told}");
    let found = query(&place, "SELECT user_id, p, l FROM 'data/events' ORDER BY user_id");
    assert_eq!(found, "user_id,p,l\n1,\"{\"\"n\"\":[7]}\",\"[\"\"1969-12-31T23:59:59.999999Z\"\"]\"");
    let found = reasons(&place, "events");
    assert_eq!(
        found,
        [
            "l: '1969-12-31T23:59:59.999999900' is finer than a microsecond (--floor-time cuts it)",
            "p.n: '18446744073709551615' is out of range"
        ]
    );
    // Texts are times where the table has times.
    place.write("b.ndjson", "{\"user_id\": 4, \"ts\": \"2024-01-31\", \"l\": [\"2024-01-31T12:00:00+02:00\"]}\n");
    assert_eq!(ingest(&place, &["b.ndjson"]), "exit 0");
    assert_eq!(query(&place, "SELECT l FROM 'data/events' WHERE user_id = 4"), "l\n\"[\"\"2024-01-31T10:00:00Z\"\"]\"");
    // Cut, it is the microsecond before, also before 1970.
    assert!(ingest(&place, &["a.parquet", "--table", "cut", "--floor-time"]).starts_with("exit 0"));
    let found = query(&place, "SELECT l FROM 'data/cut' WHERE user_id = 3");
    assert_eq!(found, "l\n\"[\"\"1969-12-31T23:59:59.999999Z\"\"]\"");
}

#[test]
fn a_struct_may_have_fewer_fields_than_the_table() {
    let place = Place::new();
    let copy = |user: i64, fields: &str, name: &str| {
        let sql = format!(
            "COPY (SELECT {user} AS user_id, TIMESTAMP '2024-01-31' AS ts, 'v' AS event, \
             named_struct({fields}) AS p, [named_struct({fields})] AS l) TO '{name}'"
        );
        assert_eq!(query(&place, &sql), "");
        assert_eq!(ingest(&place, &[name]), "exit 0");
    };
    copy(1, "'a', 1, 'b', 'x'", "a.parquet");
    copy(2, "'b', 'y'", "b.parquet");
    place.write(
        "c.ndjson",
        "{\"user_id\": 3, \"ts\": \"2024-01-31\", \"event\": \"v\", \"p\": {\"a\": 3}, \"l\": [{\"a\": 3}]}\n",
    );
    assert_eq!(ingest(&place, &["c.ndjson"]), "exit 0");
    let found = query(
        &place,
        "SELECT p['a'] AS a, p['b'] AS b, l[1]['a'] AS c, l[1]['b'] AS d FROM 'data/events' ORDER BY user_id",
    );
    assert_eq!(found, "a,b,c,d\n1,x,1,x\n,y,,y\n3,,3,");
}

#[test]
fn what_the_mapping_leaves_out_is_left_out() {
    let place = Place::new();
    let line =
        "{\"user_id\": 1, \"ts\": \"2024-01-31\", \"event\": \"v\", \"p\": {\"email\": \"a@b\", \"plan\": \"pro\"}}\n";
    place.write("a.ndjson", line);
    // A table that has it, from an earlier day.
    assert_eq!(ingest(&place, &["a.ndjson"]), "exit 0");
    query(&place, "COPY (SELECT 2 AS user_id, ts, event, p FROM 'data/events') TO 'b.parquet'");
    place.write("c.ndjson", &line.replace("1,", "3,"));
    place.write("drop.toml", "drop = ['p.email']");
    for name in ["b.parquet", "c.ndjson"] {
        assert_eq!(ingest(&place, &[name, "--mapping", "drop.toml"]), "exit 0");
        let table = name.replace('.', "_");
        assert_eq!(ingest(&place, &[name, "--mapping", "drop.toml", "--table", &table]), "exit 0");
        assert_eq!(query(&place, &format!("SELECT p FROM 'data/{table}'")), "p\n\"{\"\"plan\"\":\"\"pro\"\"}\"");
    }
    let found = query(&place, "SELECT user_id, p['email'] AS email, p['plan'] AS plan FROM 'data/events' ORDER BY 1");
    assert_eq!(found, "user_id,email,plan\n1,a@b,pro\n2,,pro\n3,,pro");
    // A text would hold all of it.
    place.write("words.csv", "user_id,ts,event,p\n1,2024-01-31,v,x\n");
    assert_eq!(ingest(&place, &["words.csv", "--table", "words"]), "exit 0");
    let told = ingest(&place, &["c.ndjson", "--mapping", "drop.toml", "--table", "words"]);
    assert!(told.contains("'p' is kept as text, and 'p.email' cannot be left out of it"), "{told}");
    // A name with a mistake would let it in, too.
    for (name, drop, expected) in [
        ("a.ndjson", "p.emial", "'p.emial' (in drop); did you mean 'p.email'"),
        ("b.parquet", "p.emial", "'p.emial' (in drop); did you mean 'p.email'"),
        ("b.parquet", "evnt", "'evnt' (in drop); did you mean 'event'"),
    ] {
        place.write("wrong.toml", &format!("drop = ['{drop}']"));
        let told = ingest(&place, &[name, "--mapping", "wrong.toml", "--table", "wrong"]);
        assert!(told.starts_with("exit 1") && told.contains(&format!("no source has a column {expected}")), "{told}");
    }
    // Fields that a sample does not show may be there all the same.
    place.write("many.ndjson", &format!("{line}{}", line.replace("\"event\"", "\"debug\": 1, \"event\"")));
    place.write("later.toml", "drop = ['debug']");
    assert_eq!(
        ingest(&place, &["many.ndjson", "--mapping", "later.toml", "--sample", "1", "--table", "later"]),
        "exit 0"
    );
    let told = ingest(&place, &["many.ndjson", "--mapping", "wrong.toml", "--sample", "1", "--table", "wrong"]);
    assert!(told.contains("did you mean 'event'") && told.contains("--sample all"), "{told}");
}

#[test]
fn nobody_is_called_by_an_empty_text() {
    let place = Place::new();
    place.write("a.csv", "user_id,ts,event\nu,2024-01-31,v\n\"\",2024-01-31,v\n");
    place.write(
        "b.ndjson",
        "{\"user_id\": \"u\", \"ts\": \"2024-01-31\"}\n{\"user_id\": \"\", \"ts\": \"2024-01-31\"}\n",
    );
    let sql = "SELECT column1 AS user_id, TIMESTAMP '2024-01-31' AS ts FROM (VALUES ('u'), (''))";
    assert_eq!(query(&place, &format!("COPY ({sql}) TO 'c.parquet'")), "");
    for (name, table) in [("a.csv", "a"), ("b.ndjson", "b"), ("c.parquet", "c")] {
        assert!(ingest(&place, &[name, "--table", table]).starts_with("exit 0"), "{name}");
        assert_eq!(reasons(&place, table), ["user_id is NULL"], "{name}");
        assert_eq!(query(&place, &format!("SELECT user_id FROM 'data/{table}'")), "user_id\nu", "{name}");
    }
}
