use super::*;

fn parsed(text: &str) -> Result<Report> {
    Report::parse(Path::new("r.sql"), text)
}

fn told(text: &str) -> String {
    parsed(text).unwrap_err().message().to_string()
}

#[test]
fn the_front_matter_is_read() {
    let report = parsed(
        "-- A comment for people, see: nothing.\n-- title: Weekly 每周\n-- description: One\n--   and two.\n-- lang: zh\n\
         -- param: start date = 2025-01-01 -- first\n\nSET tenure.time_zone = 'UTC';\n\n/* -- name: not this */\n\
         -- name: Steps, first\n-- chart: funnel\n-- note: n: b\n-- alert: x > 1\n-- rows: 7\nSELECT 1 AS x\n-- name: inside\n;\n\
         -- chart: none\nSELECT $start;\n-- the end\n",
    )
    .unwrap();
    assert_eq!((report.title.as_str(), report.description.as_deref()), ("Weekly 每周", Some("One and two.")));
    assert_eq!(report.language, Language::Chinese);
    assert_eq!(report.parameters[0].line, 6);
    assert_eq!(report.statements.len(), 3);
    assert!(report.statements[0].section.is_none());
    let first = report.statements[1].section.as_ref().unwrap();
    assert_eq!((first.name.as_str(), first.slug.as_str(), first.rows), ("Steps, first", "steps-first", 7));
    assert_eq!((first.note.as_deref(), first.alert.clone()), (Some("n: b"), Some(("x > 1".into(), 14))));
    assert!(matches!(first.chart, Some((Chart::Of(_), 12))));
    let second = report.statements[2].section.as_ref().unwrap();
    assert_eq!((second.name.as_str(), second.chart), ("Statement 3", None));
}

#[test]
fn what_is_wrong_names_file_and_line() {
    assert_eq!(told("-- titel: x\nSELECT 1").split(':').take(2).collect::<Vec<_>>(), ["r.sql", "1"]);
    assert!(told("-- titel: x\nSELECT 1").contains("did you mean 'title'?"));
    assert!(
        told("-- name: a\nSELECT 1;\n-- name: A\nSELECT 2").starts_with("r.sql:3: two statements have the name 'A'")
    );
    assert!(told("-- name: a b\nSELECT 1;\n-- name: a-b\nSELECT 2").starts_with("r.sql:3: 'a b' and 'a-b' would both"));
    assert!(told("-- chart: pie\nSELECT 1").starts_with("r.sql:1: unknown chart 'pie'"));
    assert!(told("SELECT 1;\n-- title: late\nSELECT 2").starts_with("r.sql:2: 'title' belongs at the head"));
    assert!(told("-- title: a\n-- title: b\nSELECT 1").starts_with("r.sql:2: 'title' stands there twice"));
    assert!(
        told("-- param: n int\n-- param: n text\nSELECT 1").starts_with("r.sql:2: parameter 'n' is declared in line 1")
    );
    assert!(told("-- param: n number\nSELECT 1").starts_with("r.sql:1: parameter 'n' has the unknown type 'number'"));
    assert!(told("\nSELECT\n $who").starts_with("r.sql:3: parameter $who is not declared"));
    assert!(told("-- alert: x > $who\nSELECT 1 AS x").starts_with("r.sql:1: parameter $who is not declared"));
    assert!(told("SELECT 1;\n-- note: lost").starts_with("r.sql:2: 'note' is followed by no statement"));
    assert!(told("-- name: a\nSET x = 1;\nSELECT 1").starts_with("r.sql:1: 'name' is of a query"));
    assert!(told("-- rows: many\nSELECT 1").starts_with("r.sql:1: rows is 'many'"));
    assert!(told("-- name:\nSELECT 1").starts_with("r.sql:1: 'name' is empty"));
    for change in ["COPY (SELECT 1) TO 'x.csv'", "DROP TABLE t", "INSERT INTO t SELECT 1", "CREATE TABLE t AS SELECT 1"]
    {
        assert!(told(&format!("SELECT 1;\n{change}")).starts_with("r.sql:2: a report only reads"), "{change}");
    }
    assert!(told("-- nothing").contains("no statement"));
    assert!(told("SET x = 1").contains("no statement of the report returns rows"));
}
