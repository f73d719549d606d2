//! Daily states answer what the relations and aggregates answer over the events, on the sample shop.

use crate::ask::Asked;
use crate::program::Place;

fn rows(asked: &Asked, sql: &str) -> Vec<Vec<String>> {
    let mut rows = asked.rows(sql);
    rows.sort();
    rows
}

/// Both answer the same rows, and some.
fn same(asked: &Asked, states: &str, events: &str) {
    let (states, events) = (rows(asked, states), rows(asked, events));
    assert!(events.len() > 3, "{events:?}");
    assert_eq!(states, events);
}

fn shop() -> Asked {
    let asked = Asked::workspace("shop");
    let daily = "CREATE TABLE daily AS SELECT CAST(ts AS DATE) AS day, users_state(user_id) AS users,
         users_state(concat('u', user_id)) AS texts, distinct_theta_state(user_id) AS theta FROM events GROUP BY day";
    asked.batches(daily).unwrap();
    asked
}

#[test]
fn days_weeks_and_months_are_those_of_engagement() {
    let asked = shop();
    for column in ["users", "texts"] {
        let trailing = |days: u32, name: &str| {
            format!(
                "(SELECT d.day, users_count(users_merge(p.{column})) AS {name} FROM daily d JOIN daily p
                    ON p.day > d.day - INTERVAL '{days} days' AND p.day <= d.day GROUP BY d.day)"
            )
        };
        same(
            &asked,
            &format!(
                "SELECT CAST(d.day AS TEXT), dau, wau, mau FROM {} d JOIN {} w ON d.day = w.day JOIN {} m ON d.day = m.day",
                trailing(1, "dau"),
                trailing(7, "wau"),
                trailing(30, "mau")
            ),
            "SELECT CAST(date AS TEXT), dau, wau, mau FROM engagement(events) WHERE dau > 0",
        );
    }
    // The same by windows that slide.
    same(
        &asked,
        "SELECT CAST(day AS TEXT), users_count(users_merge(users) OVER (ORDER BY day RANGE BETWEEN INTERVAL '29 days' PRECEDING AND CURRENT ROW)) AS mau,
           users_count(users_merge(texts) OVER (ORDER BY day ROWS BETWEEN CURRENT ROW AND CURRENT ROW)) AS dau FROM daily",
        "SELECT CAST(date AS TEXT), mau, dau FROM engagement(events) WHERE dau > 0",
    );
    // Fewer users than a sketch has hashes: exact.
    same(
        &asked,
        "SELECT CAST(CAST(date_trunc('month', day) AS DATE) AS TEXT) AS month, CAST(distinct_theta_estimate(distinct_theta_merge(theta)) AS BIGINT) FROM daily GROUP BY month",
        "SELECT CAST(CAST(date_trunc('month', ts) AS DATE) AS TEXT) AS month, count(DISTINCT user_id) FROM events GROUP BY month",
    );
}

#[test]
fn monthly_retention_is_that_of_the_relation() {
    let asked = shop();
    let months = "(SELECT date_trunc('month', day) AS month, users_merge(users) AS users FROM daily GROUP BY month)";
    // All of one year.
    same(
        &asked,
        &format!(
            "SELECT CAST(CAST(a.month AS DATE) AS TEXT) AS cohort, users_count(a.users) AS size,
               CAST(date_part('month', b.month) - date_part('month', a.month) AS BIGINT) AS period, users_count(users_and(a.users, b.users)) AS retained
             FROM {months} a JOIN {months} b ON b.month > a.month"
        ),
        "SELECT CAST(cohort AS TEXT), size, period, retained FROM retention(events, unit => 'month', birth => 'recurring', periods => 12)
         WHERE period > 0 AND date_part('month', cohort) + period <= 6",
    );
}

#[test]
fn a_funnel_in_days_is_the_funnel_of_the_events() {
    let asked = Asked::workspace("shop");
    let steps = "event = 'view_item', event = 'add_to_cart', event = 'purchase'";
    for (window, modes) in [
        ("1 day", ""),
        ("7 days", ""),
        ("7 days", "increase"),
        ("30 days", "reuse"),
        ("30 days", "strict_steps"),
        ("3 days", "strict"),
        ("14 days", "dedup"),
        ("14 days", "dedup_first"),
        ("7 days", "any_order"),
    ] {
        let modes = if modes.is_empty() { String::new() } else { format!("'{modes}', ") };
        same(
            &asked,
            // The job of a day need not take every event in one piece either.
            &format!(
                "SELECT user_id, funnel_level(funnel_merge(s)) FROM (
                   SELECT user_id, CAST(ts AS DATE) AS day, country, funnel_state(INTERVAL '{window}', {modes}ts, {steps}) AS s
                   FROM events GROUP BY user_id, day, country) GROUP BY user_id"
            ),
            &format!("SELECT user_id, window_funnel(INTERVAL '{window}', {modes}ts, {steps}) FROM events GROUP BY user_id"),
        );
    }
}

#[test]
fn retention_in_days_is_that_of_the_events() {
    let asked = Asked::workspace("shop");
    for (unit, zone, index) in [
        ("day", "UTC", "calendar"),
        ("week", "America/New_York", "calendar"),
        ("month", "Europe/Berlin", "calendar"),
        ("day", "UTC", "rolling"),
        ("month", "UTC", "rolling"),
    ] {
        for (start, back) in
            [("event = 'signup'", "true"), ("event = 'view_item'", "event IN ('view_item', 'purchase')")]
        {
            let call = format!("ts, {start}, {back}, '{unit}', '{zone}', 'sunday', '{index}'");
            same(
                &asked,
                &format!(
                    "SELECT user_id, CAST(r.cohort AS TEXT), CAST(r.periods AS TEXT) FROM (
                       SELECT user_id, retention_periods(retention_merge(s)) AS r FROM (
                         SELECT user_id, CAST(ts AS DATE) AS day, country, retention_state({call}) AS s FROM events GROUP BY user_id, day, country)
                       GROUP BY user_id)"
                ),
                &format!(
                    "SELECT user_id, CAST(r.cohort AS TEXT), CAST(r.periods AS TEXT) FROM (
                       SELECT user_id, user_retention({call}) AS r FROM events GROUP BY user_id)"
                ),
            );
        }
    }
}

#[test]
fn active_days_in_parts_are_those_of_the_events() {
    let asked = Asked::workspace("shop");
    for (unit, zone, start) in
        [("day", "UTC", "monday"), ("week", "Asia/Kolkata", "sunday"), ("month", "America/New_York", "monday")]
    {
        same(
            &asked,
            &format!(
                "SELECT user_id, activity_count(s), CAST(activity_periods(s) AS TEXT) FROM (
                   SELECT user_id, activity_merge(s) AS s FROM (
                     SELECT user_id, event, activity_state(ts, '{unit}', '{zone}', '{start}') AS s FROM events GROUP BY user_id, event)
                   GROUP BY user_id)"
            ),
            &format!(
                "SELECT user_id, count(*), CAST(array_agg(p ORDER BY p) AS TEXT) FROM (
                   SELECT DISTINCT user_id, period_date(ts, '{unit}', '{zone}', '{start}') AS p FROM events)
                 GROUP BY user_id"
            ),
        );
    }
}

/// The job of each day adds its rows to a managed table; what was stored answers as the events do.
#[test]
fn a_daily_job_fills_a_managed_table() {
    let place = Place::new();
    let shop = crate::ask::testdata("shop").join("events.parquet");
    let events = format!("events={}", shop.display());
    let job =
        "SELECT CAST(ts AS DATE) AS day, country, users_state(user_id) AS users, distinct_hll_state(user_id) AS hll,
                 funnel_state(INTERVAL '7 days', ts, event = 'view_item', event = 'purchase') AS funnel FROM events";
    let made = place.run(&[
        "-t",
        &events,
        "-c",
        &format!(
            "CREATE TABLE daily STORED AS DELTA LOCATION 'daily' AS
               {job} WHERE ts < TIMESTAMP '2025-05-01' GROUP BY 1, 2"
        ),
        "-c",
        &format!(
            "INSERT INTO daily {job} WHERE ts >= TIMESTAMP '2025-05-01' AND ts < TIMESTAMP '2025-06-01' GROUP BY 1, 2"
        ),
        "-c",
        &format!("INSERT INTO daily {job} WHERE ts >= TIMESTAMP '2025-06-01' GROUP BY 1, 2"),
    ]);
    assert!(made.starts_with("exit 0"), "{made}");
    let ask = |sql: &str| place.run(&["-t", &events, "-t", "daily=daily", "--format", "csv", "-c", sql]);
    let stored = ask(
        "SELECT country, users_count(users_merge(users)) AS users, round(distinct_hll_estimate(distinct_hll_merge(hll))) AS about,
           funnel_level(funnel_merge(funnel)) AS level FROM daily GROUP BY country ORDER BY country",
    );
    let asked = ask(
        "SELECT country, count(DISTINCT user_id) AS users, round(distinct_hll_estimate(distinct_hll_state(user_id))) AS about,
           window_funnel(INTERVAL '7 days', ts, event = 'view_item', event = 'purchase') AS level FROM events GROUP BY country ORDER BY country",
    );
    assert!(asked.lines().count() > 4, "{asked}");
    assert_eq!(stored, asked);
}
