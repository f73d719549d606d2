//! Parquet and text files in one folder: the same rows to a query and to an ingest, or the same sentence.

use crate::program::Place;

/// A folder with a file of each kind; `stored` is the SELECT list of the Parquet file, beside user, time and event.
fn place(stored: &str, csv: &str, ndjson: &str) -> Place {
    let place = Place::new();
    let sql = format!(
        "COPY (SELECT 1 AS user_id, TIMESTAMP '2024-05-01 10:00:00' AS ts, 'a' AS event, {stored}) TO 'd/1.parquet'"
    );
    place.write("d/2.csv", csv);
    place.write("d/3.ndjson", ndjson);
    let told = place.run(&["-c", &sql]);
    assert!(told.starts_with("exit 0"), "{told}");
    place
}

/// The rows that a query sees, and those that an ingest takes in.
fn both_ways(place: &Place, columns: &str) -> [String; 2] {
    let asked = |from: &str| {
        let told = place.run(&["--format", "csv", "-c", &format!("SELECT {columns} FROM '{from}' ORDER BY 1")]);
        told.replace('Z', "")
    };
    let told = place.run(&["ingest", "-q", "d", "--into", "db"]);
    if !told.starts_with("exit 0") {
        return [asked("d"), told];
    }
    [asked("d"), asked("db/events")]
}

#[test]
fn columns_are_those_of_all_files_and_wide_enough() {
    let csv = "ts,user_id,event,n,only_csv\n2024-05-02 10:00:00.25,2,b,2.5,x\n";
    let ndjson = "{\"user_id\": 3, \"ts\": \"2024-05-03T10:00:00Z\", \"event\": \"c\", \"n\": 7, \"p\": {\"a\": 1}}\n";
    let place = place("5 AS n, 'y' AS only_parquet", csv, ndjson);
    let [asked, loaded] = both_ways(&place, "user_id, ts, event, n, only_parquet, only_csv, p['a'] AS a");
    assert_eq!(asked, loaded);
    let rows = [
        "user_id,ts,event,n,only_parquet,only_csv,a",
        "1,2024-05-01T10:00:00,a,5.0,y,,",
        "2,2024-05-02T10:00:00.250,b,2.5,,x,",
        "3,2024-05-03T10:00:00,c,7.0,,,1",
    ];
    assert!(asked.contains(&rows.join("\n")), "{asked}");
    // Filters, limits and counts over both kinds.
    let one = |sql: &str| place.run(&["--format", "csv", "-c", sql]);
    for (sql, answer) in [
        ("SELECT count(*) AS n FROM 'd'", "n\n3\n"),
        ("SELECT count(*) AS n FROM 'd' WHERE n > 4", "n\n2\n"),
        ("SELECT count(*) AS n FROM 'd' WHERE only_csv IS NULL", "n\n2\n"),
        ("SELECT count(*) AS n FROM (SELECT user_id FROM 'd' WHERE event <> 'a' LIMIT 1)", "n\n1\n"),
        ("SELECT users AS n FROM funnel('d', steps => ['a'], within => INTERVAL '1 day')", "n\n1\n"),
    ] {
        assert!(one(sql).contains(answer), "{sql}: {}", one(sql));
    }
}

#[test]
fn texts_are_kept_as_they_are_written() {
    let csv = "user_id,ts,event,zip,big\n2,2024-05-02,b,00501,9007199254740993\n3,2024-05-03,b,1.50,1\n";
    let place = place("10115 AS zip, CAST(2.5 AS DOUBLE) AS x", csv, "");
    let [asked, loaded] = both_ways(&place, "user_id, zip, big, x");
    assert_eq!(asked, loaded);
    assert!(asked.contains("1,10115,,2.5\n2,00501,9007199254740993,\n3,1.50,1,\n"), "{asked}");
}

#[test]
fn folders_of_keys_and_columns_without_values_fit() {
    let place = Place::new();
    place.write("d/country=7/a.csv", "user_id,ts,event,gone\n2,2024-05-02,b,\n");
    std::fs::create_dir_all(place.path("d/country=DE")).unwrap();
    let sql = "COPY (SELECT 1 AS user_id, TIMESTAMP '2024-05-01' AS ts, 'a' AS event, DATE '2024-01-31' AS gone) TO 'd/country=DE/b.parquet'";
    assert!(place.run(&["-c", sql]).starts_with("exit 0"));
    let [asked, loaded] = both_ways(&place, "user_id, country, gone");
    assert_eq!(asked, loaded);
    assert!(asked.contains("1,DE,2024-01-31\n2,7,\n"), "{asked}");
}

#[test]
fn what_nothing_holds_is_refused_by_both() {
    let csv = "user_id,ts,event,n\n2,2024-05-02,b,5\n";
    let place = place("true AS n", csv, "");
    let [asked, loaded] = both_ways(&place, "user_id, n");
    for told in [asked, loaded] {
        assert!(told.starts_with("exit 1"), "{told}");
        for words in ["column 'n' is boolean in", "but bigint in", "files of one table must agree"] {
            assert!(told.contains(words), "{words}: {told}");
        }
    }
}

/// Numbers in one Parquet file and texts in another are two columns of one name.
#[test]
fn parquet_files_that_contradict_are_refused_by_both() {
    let place = Place::new();
    std::fs::create_dir(place.path("d")).unwrap();
    for (name, user) in [("1", "1"), ("2", "'007'")] {
        let sql = format!(
            "COPY (SELECT {user} AS user_id, TIMESTAMP '2024-05-01' AS ts, 'a' AS event) TO 'd/{name}.parquet'"
        );
        assert!(place.run(&["-c", &sql]).starts_with("exit 0"));
    }
    for told in both_ways(&place, "user_id") {
        assert!(told.starts_with("exit 1") && told.contains("files of one table must agree"), "{told}");
    }
    place.write("m.toml", "[columns]\nuser_id = { from = 'user_id', type = 'text' }");
    let told = place.run(&["ingest", "-q", "d", "--into", "db", "--mapping", "m.toml"]);
    assert!(told.starts_with("exit 0"), "{told}");
    let told = place.run(&["--format", "csv", "-c", "SELECT user_id FROM 'db/events' ORDER BY 1"]);
    assert!(told.contains("user_id\n007\n1\n"), "{told}");
}

/// Structs gain fields within one load of Parquet files, as they do in a query.
#[test]
fn structs_of_parquet_files_grow_within_a_load() {
    let place = Place::new();
    std::fs::create_dir(place.path("d")).unwrap();
    for (name, fields) in [("1", "'a', 1"), ("2", "'a', 2.5, 'b', ['x']")] {
        let sql = format!(
            "COPY (SELECT {name} AS user_id, TIMESTAMP '2024-05-01' AS ts, 'a' AS event, named_struct({fields}) AS p) TO 'd/{name}.parquet'"
        );
        assert!(place.run(&["-c", &sql]).starts_with("exit 0"));
    }
    let [asked, loaded] = both_ways(&place, "user_id, p['a'] AS a, p['b'] AS b");
    assert_eq!(asked, loaded);
    assert!(asked.contains("1,1.0,\n2,2.5,\"[\"\"x\"\"]\"\n"), "{asked}");
}
