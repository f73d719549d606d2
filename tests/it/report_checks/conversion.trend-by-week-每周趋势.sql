WITH v AS (SELECT user_id, ts, CAST(date_trunc('week', ts) AS DATE) AS week FROM events WHERE event = 'view_item'),
each_user AS (
  SELECT v.week, v.user_id, max(v.ts) AS entered, max(CASE WHEN p.ts IS NULL THEN 0 ELSE 1 END) AS bought
  FROM v LEFT JOIN events AS p
    ON p.user_id = v.user_id AND p.event = 'purchase' AND p.ts >= v.ts AND p.ts <= v.ts + INTERVAL '7 days'
  GROUP BY 1, 2
)
SELECT week, sum(bought) / CAST(count(*) AS DOUBLE) AS conversion
FROM each_user
GROUP BY week HAVING max(entered) + INTERVAL '7 days' <= (SELECT max(ts) FROM events) ORDER BY week
