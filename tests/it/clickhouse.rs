//! What ClickHouse itself answers (`testdata/peers/README.md`): the functions that share its names or its modes.

use std::collections::BTreeMap;

use crate::ask::{Asked, testdata};

/// Sets of users, as `testdata/peers/clickhouse_events.parquet` names them.
struct Users {
    asked: Asked,
    /// The set of each user, by number from 1.
    sets: Vec<String>,
}

impl Users {
    fn load() -> Self {
        let asked = Asked::new(2);
        let sets = asked.rows(&format!("SELECT user_id, min(set) FROM {} GROUP BY user_id ORDER BY user_id", events()));
        Self { asked, sets: sets.into_iter().map(|mut row| row.remove(1)).collect() }
    }

    /// The answers to each expression, by user; `rows` are those that take part.
    fn ask(&self, expressions: &[String], rows: &str) -> Vec<Vec<String>> {
        let named = expressions.iter().enumerate().map(|(at, e)| format!("{e} AS e{at}")).collect::<Vec<_>>();
        let sql = format!(
            "SELECT user_id, {} FROM {} WHERE {rows} GROUP BY user_id ORDER BY user_id",
            named.join(", "),
            events()
        );
        let mut answers = vec![vec![String::new(); self.sets.len()]; expressions.len()];
        for row in self.asked.rows(&sql) {
            let user: usize = row[0].parse().unwrap();
            for (at, answer) in row[1..].iter().enumerate() {
                answers[at][user - 1].clone_from(answer);
            }
        }
        answers
    }
}

fn events() -> String {
    format!("'{}'", testdata("peers").join("clickhouse_events.parquet").display())
}

/// Lines of a CSV file without quotes, the header left out.
fn table(name: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(testdata("peers").join(name)).unwrap();
    text.lines().skip(1).map(|line| line.split(',').map(str::to_string).collect()).collect()
}

/// ClickHouse drops a row in which any argument is NULL.
const KNOWN: &str = "m1 IS NOT NULL AND m2 IS NOT NULL AND m3 IS NOT NULL AND m4 IS NOT NULL";

/// `sequenceMatch` and `sequenceCount`: the same where no two rows share a time; where they do, ClickHouse takes them in one
/// order, and the best order can only give more.
#[test]
fn sequences() {
    let users = Users::load();
    let lines = table("clickhouse_sequences.csv");
    assert!(lines.len() > 100);
    let (mut same, mut more) = (0, 0);
    for lines in lines.chunks(25) {
        let expressions: Vec<String> = lines
            .iter()
            .flat_map(|line| {
                let arguments = format!("('{}', ts, m1, m2, m3, m4)", line[0]);
                [format!("CAST(sequence_match{arguments} AS INT)"), format!("sequence_count{arguments}")]
            })
            .collect();
        let answers = users.ask(&expressions, KNOWN);
        for (line, answers) in lines.iter().zip(answers.chunks(2)) {
            for (theirs, answers) in line[1..].iter().zip(answers) {
                assert_eq!(theirs.len(), users.sets.len());
                for ((theirs, ours), set) in theirs.chars().zip(answers).zip(&users.sets) {
                    let (theirs, ours) = (theirs.to_digit(10).unwrap(), ours.parse().unwrap_or(0));
                    match set.ends_with("spread") {
                        true => assert_eq!(ours, theirs, "{} of a user in {set}", line[0]),
                        false => assert!(ours >= theirs, "{} of a user in {set}: {ours}, {theirs}", line[0]),
                    }
                    same += usize::from(ours == theirs);
                    more += usize::from(ours > theirs);
                }
            }
        }
    }
    // Both kinds are there, so the comparison is no empty one.
    assert!(same > 100_000 && more > 1_000, "{same} {more}");
}

/// `retention(c1, ..)`, of rows without NULLs: there ClickHouse drops the row, and here NULL is false.
#[test]
fn retention() {
    let users = Users::load();
    for line in table("clickhouse_retention.csv") {
        let conditions: Vec<String> = line[0].chars().map(|c| format!("m{c}")).collect();
        let known: Vec<String> = conditions.iter().map(|c| format!("{c} IS NOT NULL")).collect();
        let met: Vec<String> =
            (0..conditions.len()).map(|at| format!("CAST(r[{}] AS INT) * {}", at + 1, 1 << at)).collect();
        let sql = format!(
            "SELECT user_id, {} FROM (SELECT user_id, retention({}) AS r FROM {} WHERE {} GROUP BY user_id)",
            met.join(" + "),
            conditions.join(", "),
            events(),
            known.join(" AND ")
        );
        let got: BTreeMap<String, String> =
            users.asked.rows(&sql).into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
        for (theirs, user) in line[1].chars().zip(1..) {
            let ours = got.get(&user.to_string()).map_or("0", String::as_str);
            assert_eq!(ours, theirs.to_string(), "user {user}, retention of {}", line[0]);
        }
    }
}

/// `window_funnel(.., 'clickhouse, ..', ..)` in every combination of modes. Rows with NULL conditions are asked too.
#[test]
fn funnels() {
    let users = Users::load();
    let lines = table("clickhouse_funnels.csv");
    assert!(lines.len() > 200);
    let (mut same, mut less, mut more) = (0, 0, 0);
    for lines in lines.chunks(30) {
        let expressions: Vec<String> = lines
            .iter()
            .map(|line| {
                let (modes, steps) = (line[0].replace(' ', ", "), line[1].parse::<usize>().unwrap());
                // A window of zero is refused; half a tick is the same.
                let window = if line[2] == "0" { "0.0000005" } else { &line[2] };
                let conditions = (1..=steps).map(|s| format!("m{s}")).collect::<Vec<_>>().join(", ");
                format!("window_funnel(INTERVAL '{window} seconds', 'clickhouse, {modes}', ts, {conditions})")
            })
            .collect();
        for (line, answers) in lines.iter().zip(users.ask(&expressions, "true")) {
            let modes: Vec<&str> = line[0].split(' ').collect();
            let has = |mode| modes.contains(&mode);
            for ((theirs, ours), set) in line[3].chars().zip(answers).zip(&users.sets) {
                let (theirs, ours): (u32, u32) = (theirs.to_digit(10).unwrap(), ours.parse().unwrap());
                let loses_chains = has("strict_increase") && !has("strict_once") && set != "one_spread";
                let by_arrival = has("strict_once") && has("strict_deduplication") && set.ends_with("tied");
                if !loses_chains && !by_arrival {
                    assert_eq!(ours, theirs, "{line:?} of a user in {set}");
                }
                // A step that ClickHouse did not reach can only be repeated where repetition counts.
                assert!(ours >= theirs || (loses_chains && has("strict_deduplication")), "{line:?} of a user in {set}");
                same += usize::from(ours == theirs);
                less += usize::from(ours < theirs);
                more += usize::from(ours > theirs);
            }
        }
    }
    assert!(same > 100_000 && more > 1_000 && less < 10, "{same} {more} {less}");
}
