WITH active AS (
  SELECT DISTINCT user_id, CAST((date_part('year', ts) - 2025) * 12 + date_part('month', ts) AS BIGINT) AS month FROM events
),
placed AS (
  SELECT user_id, month, lag(month) OVER (PARTITION BY user_id ORDER BY month) AS before,
    lead(month) OVER (PARTITION BY user_id ORDER BY month) AS next
  FROM active
),
came AS (
  SELECT month, count(*) AS active, count(*) FILTER (WHERE before IS NULL) AS new,
    count(*) FILTER (WHERE before = month - 1) AS "returning", count(*) FILTER (WHERE before < month - 1) AS resurrected
  FROM placed GROUP BY month
),
went AS (SELECT month + 1 AS month, count(*) AS dormant FROM placed WHERE next IS NULL OR next > month + 1 GROUP BY 1)
SELECT CAST(CAST('2025-01-01' AS TIMESTAMP) + (came.month - 1) * INTERVAL '1 month' AS DATE) AS period, active, new, "returning",
  resurrected, coalesce(dormant, 0) AS dormant, (new + resurrected) / CAST(dormant AS DOUBLE) AS quick_ratio
FROM came LEFT JOIN went ON went.month = came.month
WHERE came.month < 6 ORDER BY 1
