WITH marked AS (
  SELECT user_id, ts, page,
    CASE WHEN ts - lag(ts) OVER (PARTITION BY user_id ORDER BY ts) <= INTERVAL '30 minutes' THEN 0 ELSE 1 END AS begins
  FROM events
),
numbered AS (
  SELECT *, sum(begins) OVER (PARTITION BY user_id ORDER BY ts ROWS UNBOUNDED PRECEDING) AS number FROM marked
),
views AS (
  SELECT user_id, page, lag(page) OVER w AS before, lead(page) OVER w AS next,
    date_part('epoch', lead(ts) OVER w) - date_part('epoch', ts) AS dwell
  FROM numbered WHERE page IS NOT NULL WINDOW w AS (PARTITION BY user_id, number ORDER BY ts)
)
SELECT page, count(*) AS views, count(DISTINCT user_id) AS users, round(median(dwell), 4) AS median_dwell_seconds,
  count(*) FILTER (WHERE before IS NULL) AS entries, count(*) FILTER (WHERE next IS NULL) AS exits,
  count(*) FILTER (WHERE next IS NULL) / CAST(count(*) AS DOUBLE) AS exit_rate
FROM views GROUP BY page ORDER BY views DESC, page
