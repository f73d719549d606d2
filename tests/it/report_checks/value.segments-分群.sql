WITH buyers AS (
  SELECT user_id, count(*) AS f, sum(price) AS revenue, DATE '2025-07-01' - CAST(max(ts) AS DATE) AS r
  FROM events WHERE event = 'purchase' GROUP BY 1
),
n AS (SELECT count(*) AS n FROM buyers),
ranked_r AS (SELECT r, max(place) AS place FROM (SELECT r, row_number() OVER (ORDER BY r) AS place FROM buyers) GROUP BY r),
ranked_f AS (SELECT f, max(place) AS place FROM (SELECT f, row_number() OVER (ORDER BY f) AS place FROM buyers) GROUP BY f),
parts AS (SELECT value AS k FROM unnest([1, 2, 3, 4]) AS t(value)),
at_r AS (SELECT k, min(r) AS t FROM parts CROSS JOIN n JOIN ranked_r ON place * 5 >= k * n GROUP BY k),
at_f AS (SELECT k, min(f) AS t FROM parts CROSS JOIN n JOIN ranked_f ON place * 5 >= k * n GROUP BY k),
below_r AS (SELECT user_id, count(t) AS b FROM buyers LEFT JOIN at_r ON t < r GROUP BY 1),
below_f AS (SELECT user_id, count(t) AS b FROM buyers LEFT JOIN at_f ON t < f GROUP BY 1),
scored AS (
  SELECT revenue, 5 - below_r.b AS r, 1 + below_f.b AS f
  FROM buyers JOIN below_r ON below_r.user_id = buyers.user_id JOIN below_f ON below_f.user_id = buyers.user_id
)
SELECT CASE
    WHEN r = 5 AND f >= 4 THEN 'champions' WHEN r >= 3 AND f >= 4 THEN 'loyal' WHEN r >= 4 AND f >= 2 THEN 'potential loyal'
    WHEN r = 5 THEN 'new' WHEN r = 4 THEN 'promising' WHEN r = 3 AND f = 3 THEN 'need attention' WHEN r = 3 THEN 'about to sleep'
    WHEN f = 5 THEN 'cannot lose' WHEN f >= 3 THEN 'at risk' ELSE 'hibernating' END AS segment,
  count(*) AS buyers, sum(revenue) AS revenue
FROM scored GROUP BY 1 ORDER BY buyers DESC, segment
