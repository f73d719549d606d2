WITH days AS (
  SELECT DISTINCT user_id, CAST(ts AS DATE) AS day FROM events WHERE ts < TIMESTAMP '2025-07-01 00:00:00'
),
active AS (
  SELECT user_id, DATE '2025-07-01' - max(day) AS silent, count(*) FILTER (WHERE day > DATE '2025-06-01') AS active_days
  FROM days GROUP BY 1
),
counts AS (
  SELECT user_id, count(*) FILTER (WHERE ts >= TIMESTAMP '2025-06-02 00:00:00') AS now,
    count(*) FILTER (WHERE ts < TIMESTAMP '2025-06-02 00:00:00' AND ts >= TIMESTAMP '2025-05-03 00:00:00') AS before, min(ts) AS first
  FROM events GROUP BY 1
),
points AS (
  SELECT
    CASE WHEN silent >= 60 THEN 60 WHEN silent >= 30 THEN 45 WHEN silent >= 15 THEN 30 WHEN silent >= 7 THEN 15 ELSE 0 END
    + CASE WHEN active_days < 2 THEN 20 WHEN active_days < 4 THEN 10 ELSE 0 END
    + CASE WHEN first >= TIMESTAMP '2025-06-02 00:00:00' THEN 0 WHEN before = 0 AND now = 0 THEN 20
        WHEN before = 0 THEN 0 WHEN now * 10 <= before * 4 THEN 20 WHEN now * 10 <= before * 7 THEN 10 ELSE 0 END AS points
  FROM active JOIN counts ON counts.user_id = active.user_id
)
SELECT CASE WHEN points >= 70 THEN 'high' WHEN points >= 40 THEN 'medium' ELSE 'low' END AS level, count(*) AS users,
  count(*) / CAST(sum(count(*)) OVER () AS DOUBLE) AS share
FROM points GROUP BY 1 ORDER BY 1
