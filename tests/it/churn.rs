//! Churn scores against what is known: the users of the made shop that really left, and the published model of CDNOW.

use tenure::engine::Settings;

use crate::ask::{Asked, settings};

/// The share of pairs (left, stayed) in which the one that left has the higher number; ties count half.
fn auc(left: &[f64], stayed: &[f64]) -> f64 {
    let mut wins = 0.0;
    for l in left {
        for s in stayed {
            wins += if l > s {
                1.0
            } else if l == s {
                0.5
            } else {
                0.0
            };
        }
    }
    wins / (left.len() * stayed.len()) as f64
}

/// Of the users who signed up before `as_of`, two numbers each for those that had left by then and those that had not.
fn split(asked: &Asked, as_of: &str, number: &str) -> (Vec<f64>, Vec<f64>) {
    let sql = format!(
        "SELECT u.churned_at IS NOT NULL AND u.churned_at <= TIMESTAMP '{as_of}' AS gone, CAST({number} AS DOUBLE)
         FROM churn_scores(events, as_of => TIMESTAMP '{as_of}', transaction => 'view_item') AS c JOIN users AS u ON u.user_id = c.user_id
         WHERE {number} IS NOT NULL"
    );
    let rows = asked.rows(&sql);
    let of = |gone: &str| rows.iter().filter(|r| r[0] == gone).map(|r| r[1].parse().unwrap()).collect();
    (of("true"), of("false"))
}

/// Measured on this shop: the score 0.84, 0.86, 0.91, 0.92; P(alive) of users with a repeat visit 0.92, 0.89, 0.92, 0.89.
/// A user who left right after signing up looks like one who has only just come, so early scores are the hardest.
#[test]
fn scores_tell_those_who_left_from_those_who_stay() {
    let folder = tempfile::tempdir().unwrap();
    let options = tenure::sample::GenerateOptions {
        seed: 11,
        ..tenure::sample::GenerateOptions::new(80_000, 2_000, folder.path().join("shop"))
    };
    tenure::sample::generate(&options, &mut |_, _| {}).unwrap();
    let asked = Asked::open(&Settings { workspace: Some(options.out_dir), ..settings(2) });
    for as_of in ["2025-03-15 00:00:00", "2025-04-15 00:00:00", "2025-05-15 00:00:00", "2025-06-15 00:00:00"] {
        let (left, stayed) = split(&asked, as_of, "c.score");
        assert!(left.len() > 200 && stayed.len() > 100, "{as_of}: {} left, {} stayed", left.len(), stayed.len());
        let by_score = auc(&left, &stayed);
        let (left, stayed) = split(&asked, as_of, "CASE WHEN c.features.repeats > 0 THEN 1 - c.p_alive END");
        let by_model = auc(&left, &stayed);
        assert!(by_score > 0.80, "{as_of}: {by_score}");
        assert!(by_model > 0.85, "{as_of}: {by_model} of {} and {}", left.len(), stayed.len());
    }
}

/// Scores as of a moment from all data are those from the data up to that moment.
#[test]
fn later_events_change_nothing() {
    let asked = Asked::workspace("shop");
    for as_of in ["2025-03-01 00:00:00", "2025-04-10 13:30:00"] {
        for arguments in ["", ", horizon => INTERVAL '14 days'", ", tz => 'Asia/Tokyo'", ", transaction => 'view_item'"]
        {
            let from = |table: &str| {
                asked.rows(&format!("SELECT * FROM churn_scores({table}, as_of => TIMESTAMP '{as_of}'{arguments})"))
            };
            let all = from("events");
            assert!(all.len() > 300);
            assert_eq!(
                all,
                from(&format!("(SELECT * FROM events WHERE ts <= TIMESTAMP '{as_of}')")),
                "{as_of}{arguments}"
            );
        }
    }
    // The moment itself matters, or the comparison above says nothing.
    let recency =
        |as_of| asked.one(&format!("SELECT sum(features.recency_days) FROM churn_scores(events, as_of => {as_of})"));
    assert_ne!(recency("DATE '2025-03-01'"), recency("DATE '2025-03-05'"));
}

/// Fader, Hardie and Lee (2005), table 2, and their example customer.
#[test]
fn the_published_model_of_cdnow() {
    let asked = Asked::workspace("cdnow");
    let rows = asked.rows(
        "SELECT m.customers, round(m.r, 3), round(m.alpha, 3), round(m.a, 3), round(m.b, 3), round(m.log_likelihood, 1)
         FROM (
           SELECT bg_nbd_fit(days - 1, (last - first) / 7.0, (CAST(DATE '1997-09-30' AS INT) - first) / 7.0) AS m
           FROM (
             SELECT user_id, count(DISTINCT day) AS days, min(day) AS first, max(day) AS last
             FROM (SELECT user_id, CAST(CAST(ts AS DATE) AS INT) AS day FROM events WHERE ts <= TIMESTAMP '1997-09-30 00:00:00')
             GROUP BY user_id
           )
         )",
    );
    assert_eq!(rows, [["2357", "0.243", "4.414", "0.793", "2.426", "-9582.4"]]);
    // The relation fits the same model in days: P(alive) does not depend on the unit of time.
    let p = asked.one(
        "SELECT round(p_alive, 3) FROM churn_scores(events, as_of => TIMESTAMP '1997-09-30 00:00:00') WHERE user_id = 1",
    );
    assert_eq!(p, "0.727");
}
