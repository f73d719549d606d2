WITH born AS (SELECT user_id, signup_at, date_trunc('week', signup_at) AS cohort FROM users),
n AS (SELECT value AS period FROM unnest(range(0, 17)) AS t(value)),
cells AS (
  SELECT born.user_id, period, cohort + period * INTERVAL '7 days' AS from_time
  FROM born CROSS JOIN n
),
over AS (SELECT * FROM cells WHERE from_time + INTERVAL '7 days' <= (SELECT max(ts) FROM events)),
eligible AS (SELECT period, count(*) AS eligible FROM over GROUP BY 1),
back AS (
  SELECT period, count(DISTINCT over.user_id) AS retained
  FROM over JOIN events AS e ON e.user_id = over.user_id AND e.event <> 'signup'
    AND e.ts >= from_time AND e.ts < from_time + INTERVAL '7 days'
  GROUP BY 1
)
SELECT eligible.period, eligible, retained, retained / CAST(eligible AS DOUBLE) AS rate
FROM eligible JOIN back ON back.period = eligible.period ORDER BY 1
