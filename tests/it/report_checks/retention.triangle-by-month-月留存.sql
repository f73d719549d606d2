WITH born AS (SELECT user_id, date_trunc('month', signup_at) AS cohort FROM users),
months AS (
  SELECT user_id, (date_part('year', ts) - 2025) * 12 + date_part('month', ts) AS month, count(*) AS events
  FROM events GROUP BY 1, 2
),
cells AS (
  SELECT cohort, born.user_id, month - date_part('month', cohort) AS n,
    -- The signup itself is no return.
    events > CASE WHEN month = date_part('month', cohort) THEN 1 ELSE 0 END AS back
  FROM born JOIN months ON months.user_id = born.user_id
),
sizes AS (SELECT cohort, count(*) AS size FROM born GROUP BY 1),
rates AS (
  SELECT sizes.cohort, size, n, count(DISTINCT user_id) FILTER (WHERE back) / CAST(size AS DOUBLE) AS rate
  FROM sizes JOIN cells ON cells.cohort = sizes.cohort GROUP BY 1, 2, 3
),
-- June has not ended in the data.
over AS (SELECT cohort, size, n, CASE WHEN date_part('month', cohort) + n < 6 THEN rate END AS rate FROM rates)
SELECT CAST(cohort AS DATE) AS cohort, size,
  max(rate) FILTER (WHERE n = 0) AS period_0, max(rate) FILTER (WHERE n = 1) AS period_1,
  max(rate) FILTER (WHERE n = 2) AS period_2, max(rate) FILTER (WHERE n = 3) AS period_3,
  max(rate) FILTER (WHERE n = 4) AS period_4, max(rate) FILTER (WHERE n = 5) AS period_5
FROM over GROUP BY 1, 2 ORDER BY 1
