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
  SELECT channel, 1 AS step, count(DISTINCT user_id) AS users FROM p  GROUP BY 1
  UNION ALL
  SELECT channel, 2 AS step, count(DISTINCT user_id) AS users FROM p WHERE cart <= began + INTERVAL '7 days' GROUP BY 1
  UNION ALL
  SELECT channel, 3 AS step, count(DISTINCT user_id) AS users FROM p WHERE checkout <= began + INTERVAL '7 days' GROUP BY 1
  UNION ALL
  SELECT channel, 4 AS step, count(DISTINCT user_id) AS users FROM p WHERE ts <= began + INTERVAL '7 days' GROUP BY 1
)
SELECT * FROM reached ORDER BY 1, 2
