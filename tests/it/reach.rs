//! A largest time that lies in the future is said so, on stderr and once a statement; where nothing depends on it, or the end
//! is given, nothing is said.

use crate::program::Place;

const EVENTS: &str = "user_id,ts,event\n1,2024-01-01 10:00:00,a\n1,2024-01-01 11:00:00,b\n2,2062-06-04 11:36:12,a\n";

fn warnings(sql: &str) -> Vec<String> {
    let place = Place::new();
    place.write("e.csv", EVENTS);
    let done = place.tenure().args(["-t", "e=e.csv", "-c", sql]).output().unwrap();
    let stderr = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success(), "{stderr}");
    stderr.lines().filter(|line| line.contains("future")).map(str::to_string).collect()
}

#[test]
fn data_that_end_in_the_future_are_warned_of_once() {
    let funnel = "funnel(e, steps => ['a', 'b'], within => INTERVAL '1 day', period => 'year', mature => true";
    for (relation, call) in [
        ("lifecycle", "lifecycle(e, unit => 'year')".to_string()),
        ("retention", "retention(e, unit => 'year')".to_string()),
        ("retention_curve", "retention_curve(e, unit => 'year')".to_string()),
        ("churn_scores", "churn_scores(e, transaction => 'b')".to_string()),
        // Both what is mature and what is complete ask how far the data reach.
        ("funnel", format!("{funnel})")),
    ] {
        let said = warnings(&format!("SELECT * FROM {call}"));
        assert_eq!(said.len(), 1, "{relation}: {said:?}");
        let begins = format!("warning: {relation}: the data end at 2062-06-04");
        assert!(said[0].starts_with(&begins) && said[0].contains("as_of => .."), "{said:?}");
    }
    // Each statement says it for itself.
    assert_eq!(
        warnings("SELECT * FROM lifecycle(e, unit => 'year'); SELECT * FROM lifecycle(e, unit => 'year')").len(),
        2
    );
    for sql in [
        "SELECT * FROM lifecycle(e, unit => 'year', as_of => DATE '2024-02-01')".to_string(),
        format!("SELECT * FROM {funnel}, as_of => DATE '2024-02-01')"),
        "SELECT * FROM funnel(e, steps => ['a', 'b'], within => INTERVAL '1 day')".to_string(),
        "SELECT * FROM lifecycle((SELECT * FROM e WHERE user_id = 1), unit => 'year')".to_string(),
    ] {
        assert_eq!(warnings(&sql), [""; 0], "{sql}");
    }
}
