//! `tenure init`: a folder to begin in.

use insta::assert_snapshot;

use crate::program::Place;

#[test]
fn a_folder_to_begin_in_answers_reports_and_is_sound() {
    let place = Place::new();
    assert_snapshot!(place.run(&["init", "shop"]), @r"
    exit 0
    -- stderr
    a made shop of 2,000 users: shop/events.parquet, users.parquet, tenure.toml, 8 reports
      tenure -w shop                                           the prompt: SELECT * FROM lifecycle(events); then \chart
      tenure report shop/reports/retention.sql -w shop -o out  a page about who stays
      tenure doctor -w shop                                    what is wrong with the data
    ");
    let made = |text: String| text.replace('\n', " | ");
    let sql = "SELECT count(*) AS events, count(DISTINCT user_id) AS users FROM events";
    assert_eq!(
        made(place.run(&["-w", "shop", "--format", "csv", "-c", sql])),
        "exit 0 | -- stdout | events,users | 50000,2000 | "
    );
    assert!(place.run(&["doctor", "-w", "shop", "--as-of", "2025-06-30", "-q"]).starts_with("exit 0\n"));
    let report = place.run(&["report", "shop/reports/retention.sql", "-w", "shop", "-o", "out", "-q"]);
    assert!(report.starts_with("exit 0"), "{report}");
    assert!(std::fs::read_dir(place.path("out")).unwrap().count() > 0);
}

#[test]
fn what_is_there_stays() {
    let place = Place::new();
    place.write("mine/tenure.toml", "# mine\n");
    assert_snapshot!(place.run(&["init", "mine"]), @r"
    exit 1
    -- stderr
    error: init: 'mine/tenure.toml' is there already, and nothing was written
    hint: tenure init shop makes a folder of its own
    ");
    assert_eq!(place.read("mine/tenure.toml"), "# mine\n");
    assert_eq!(std::fs::read_dir(place.path("mine")).unwrap().count(), 1);
    place.write("file", "");
    let failed = place.run(&["init", "file"]);
    assert!(failed.starts_with("exit 1\n") && failed.contains("'file'"), "{failed}");
    // Beside other files, in the current folder.
    assert!(place.run(&["init", "-q"]).starts_with("exit 0"));
    assert_eq!(place.names(), ["events.parquet", "file", "mine", "reports", "tenure.toml", "users.parquet"]);
    assert!(place.run(&["init"]).starts_with("exit 1\n"));
}
