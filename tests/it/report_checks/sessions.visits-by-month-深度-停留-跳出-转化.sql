WITH marked AS (
  SELECT user_id, ts, event, page,
    CASE WHEN ts - lag(ts) OVER (PARTITION BY user_id ORDER BY ts) <= INTERVAL '30 minutes' THEN 0 ELSE 1 END AS begins
  FROM events
),
numbered AS (
  SELECT *, sum(begins) OVER (PARTITION BY user_id ORDER BY ts ROWS UNBOUNDED PRECEDING) AS number FROM marked
),
visits AS (
  SELECT user_id, number, min(ts) AS began, date_part('epoch', max(ts)) - date_part('epoch', min(ts)) AS seconds, count(page) AS views,
    max(CASE WHEN event = 'purchase' THEN 1 ELSE 0 END) AS bought
  FROM numbered GROUP BY 1, 2
)
SELECT CAST(date_trunc('month', began) AS DATE) AS month, count(*) AS visits, count(DISTINCT user_id) AS users,
  round(median(seconds), 4) AS median_seconds, avg(views) AS depth, avg(bought) AS conversion
FROM visits GROUP BY 1 ORDER BY 1
