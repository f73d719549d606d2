WITH v AS (SELECT user_id, ts FROM events WHERE event = 'view_item'),
c AS (SELECT user_id, ts FROM events WHERE event = 'add_to_cart'),
b AS (SELECT user_id, ts FROM events WHERE event = 'begin_checkout'),
p AS (SELECT user_id, ts FROM events WHERE event = 'purchase'),
reached AS (
  SELECT 1 AS step, count(DISTINCT user_id) AS users FROM v
  UNION ALL
  SELECT 2, count(DISTINCT v.user_id) FROM v JOIN c ON c.user_id = v.user_id AND c.ts >= v.ts AND c.ts <= v.ts + INTERVAL '7 days'
  UNION ALL
  SELECT 3, count(DISTINCT v.user_id) FROM v JOIN c ON c.user_id = v.user_id AND c.ts >= v.ts
    JOIN b ON b.user_id = v.user_id AND b.ts >= c.ts AND b.ts <= v.ts + INTERVAL '7 days'
  UNION ALL
  SELECT 4, count(DISTINCT v.user_id) FROM v JOIN c ON c.user_id = v.user_id AND c.ts >= v.ts
    JOIN b ON b.user_id = v.user_id AND b.ts >= c.ts
    JOIN p ON p.user_id = v.user_id AND p.ts >= b.ts AND p.ts <= v.ts + INTERVAL '7 days'
)
SELECT step, users, users / CAST(first_value(users) OVER (ORDER BY step) AS DOUBLE) AS conversion,
  users / CAST(coalesce(lag(users) OVER (ORDER BY step), users) AS DOUBLE) AS step_conversion
FROM reached ORDER BY step
