WITH c AS (
  SELECT v.user_id, v.channel, v.ts AS began, min(e.ts) AS ts FROM events AS v LEFT JOIN events AS e
    ON e.user_id = v.user_id AND e.event = 'add_to_cart' AND e.ts >= v.ts WHERE v.event = 'view_item' GROUP BY 1, 2, 3
),
b AS (
  SELECT c.user_id, c.channel, began, c.ts AS cart, min(e.ts) AS ts FROM c LEFT JOIN events AS e
    ON e.user_id = c.user_id AND e.event = 'begin_checkout' AND e.ts >= c.ts GROUP BY 1, 2, 3, 4
),
p AS (
  SELECT b.user_id, b.channel, began, cart, b.ts AS checkout, min(e.ts) AS ts FROM b LEFT JOIN events AS e
    ON e.user_id = b.user_id AND e.event = 'purchase' AND e.ts >= b.ts GROUP BY 1, 2, 3, 4, 5
),
reached AS (
  SELECT 1 AS step, count(DISTINCT user_id) AS users FROM p
  UNION ALL
  SELECT 2 AS step, count(DISTINCT user_id) AS users FROM p WHERE cart <= began + INTERVAL '7 days'
  UNION ALL
  SELECT 3 AS step, count(DISTINCT user_id) AS users FROM p WHERE checkout <= began + INTERVAL '7 days'
  UNION ALL
  SELECT 4 AS step, count(DISTINCT user_id) AS users FROM p WHERE ts <= began + INTERVAL '7 days'
)
SELECT step, users, users / CAST(first_value(users) OVER (ORDER BY step) AS DOUBLE) AS conversion,
  users / CAST(coalesce(lag(users) OVER (ORDER BY step), users) AS DOUBLE) AS step_conversion
FROM reached ORDER BY step
