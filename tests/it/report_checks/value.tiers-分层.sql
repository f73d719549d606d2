WITH buyers AS (
  SELECT user_id, count(*) AS orders, sum(price) AS revenue, DATE '2025-07-01' - CAST(max(ts) AS DATE) AS recency
  FROM events WHERE event = 'purchase' GROUP BY 1
),
days AS (SELECT user_id, orders, revenue, CAST(recency AS DOUBLE) AS recency FROM buyers),
means AS (SELECT *, avg(recency) OVER () AS r, avg(orders) OVER () AS f, avg(revenue) OVER () AS m FROM days),
named AS (
  SELECT recency, revenue, CASE WHEN revenue > m THEN 'key ' ELSE 'general ' END || CASE
    WHEN recency < r AND orders > f THEN 'value' WHEN recency < r THEN 'growth' WHEN orders > f THEN 'retention'
    ELSE 'win-back' END AS value_tier
  FROM means
)
SELECT value_tier, count(*) AS buyers, sum(revenue) AS revenue, avg(recency) AS days_since_order
FROM named GROUP BY 1 ORDER BY buyers DESC, value_tier
