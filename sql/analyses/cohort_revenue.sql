-- How much has a user of each monthly cohort spent by the end of each month of life?
--
-- Read off: `revenue_per_user` is cumulative and over all users of the cohort, buyers or not, refunds taken off. Set it
-- against what it costs to win a user: the month in which it passes that cost is when a cohort has paid for itself. Month 0
-- is the calendar month of the signup, so cohorts had between one and 31 days in it; the last month may not be over.
WITH born AS (
  SELECT user_id, date_trunc('month', min(ts)) AS cohort FROM events GROUP BY user_id
),
numbered AS (
  -- Months since year 0, so that ages are differences.
  SELECT cohort, user_id, CAST(date_part('year', cohort) * 12 + date_part('month', cohort) AS BIGINT) AS born_in FROM born
),
revenue AS (
  SELECT
    cohort,
    CAST(date_part('year', ts) * 12 + date_part('month', ts) AS BIGINT) - born_in AS month,
    sum(CASE event WHEN 'purchase' THEN price ELSE -price END) AS amount
  FROM events JOIN numbered USING (user_id)
  WHERE event IN ('purchase', 'refund')
  GROUP BY 1, 2
),
months AS (
  -- A row for every month that a cohort has lived, so that a month without revenue does not vanish.
  SELECT cohort, size, month
  FROM (SELECT cohort, born_in, count(*) AS size FROM numbered GROUP BY cohort, born_in)
  CROSS JOIN (SELECT DISTINCT month FROM revenue)
  WHERE born_in + month <= (SELECT CAST(date_part('year', max(ts)) * 12 + date_part('month', max(ts)) AS BIGINT) FROM events)
)
SELECT
  CAST(m.cohort AS DATE) AS cohort,
  m.size,
  m.month,
  round(coalesce(r.amount, 0), 2) AS revenue,
  round(sum(coalesce(r.amount, 0)) OVER (PARTITION BY m.cohort ORDER BY m.month) / m.size, 2) AS revenue_per_user
FROM months AS m LEFT JOIN revenue AS r ON r.cohort = m.cohort AND r.month = m.month
ORDER BY cohort, month;
