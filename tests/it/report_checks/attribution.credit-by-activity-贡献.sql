WITH orders AS (SELECT row_number() OVER (ORDER BY user_id, ts) AS number, user_id, ts, price FROM events WHERE event = 'purchase'),
touches AS (
  SELECT user_id, ts, event FROM events WHERE event IN ('page_view', 'search', 'share', 'login', 'support_ticket')
),
paths AS (
  SELECT o.number, o.user_id, o.price, coalesce(t.event, '(direct)') AS activity,
    row_number() OVER (PARTITION BY o.number ORDER BY t.ts, t.event) AS place,
    count(*) OVER (PARTITION BY o.number) AS of
  FROM orders AS o LEFT JOIN touches AS t
    ON t.user_id = o.user_id AND t.ts <= o.ts AND t.ts >= o.ts - INTERVAL '7 days'
),
credits AS (
  SELECT 'first' AS model, activity, price, CASE WHEN place = 1 THEN 1.0 ELSE 0.0 END AS credit FROM paths
  UNION ALL
  SELECT 'last', activity, price, CASE WHEN place = of THEN 1.0 ELSE 0.0 END FROM paths
  UNION ALL
  SELECT 'linear', activity, price, 1.0 / of FROM paths
)
SELECT model, activity, sum(credit) AS credit, sum(credit) / (SELECT count(*) FROM orders) AS share, sum(credit * price) AS value
FROM credits GROUP BY 1, 2 ORDER BY model, credit DESC, activity
