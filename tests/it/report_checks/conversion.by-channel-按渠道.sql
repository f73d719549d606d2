WITH v AS (SELECT user_id, ts, channel FROM events WHERE event = 'view_item'),
c AS (SELECT user_id, ts FROM events WHERE event = 'add_to_cart'),
b AS (SELECT user_id, ts FROM events WHERE event = 'begin_checkout'),
p AS (SELECT user_id, ts FROM events WHERE event = 'purchase')
SELECT channel, 1 AS step, count(DISTINCT user_id) AS users FROM v GROUP BY 1
UNION ALL
SELECT v.channel, 2, count(DISTINCT v.user_id) FROM v JOIN c ON c.user_id = v.user_id AND c.ts >= v.ts AND c.ts <= v.ts + INTERVAL '7 days' GROUP BY 1
UNION ALL
SELECT v.channel, 3, count(DISTINCT v.user_id) FROM v JOIN c ON c.user_id = v.user_id AND c.ts >= v.ts
  JOIN b ON b.user_id = v.user_id AND b.ts >= c.ts AND b.ts <= v.ts + INTERVAL '7 days' GROUP BY 1
UNION ALL
SELECT v.channel, 4, count(DISTINCT v.user_id) FROM v JOIN c ON c.user_id = v.user_id AND c.ts >= v.ts
  JOIN b ON b.user_id = v.user_id AND b.ts >= c.ts
  JOIN p ON p.user_id = v.user_id AND p.ts >= b.ts AND p.ts <= v.ts + INTERVAL '7 days' GROUP BY 1
ORDER BY 1, 2
