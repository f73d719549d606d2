-- title: Value tiers 价值分层
-- description: Which buyers are worth most, and which of them are slipping away.
-- param: start date = 2025-01-01 -- the first day of orders
-- param: until date = 2025-07-01 -- one looks back from the midnight with which it begins

-- name: Tiers 分层
-- chart: bars
-- note: Key tiers spend above the mean: keep key value, call key retention, win the second order of key growth.
SELECT value_tier, count(*) AS buyers, sum(CAST(revenue AS DECIMAL(18, 2))) AS revenue, avg(recency_days) AS days_since_order
FROM rfm((SELECT user_id, ts, event, price FROM events WHERE ts >= $start AND ts < $until), amount => price, as_of => $until)
GROUP BY value_tier
ORDER BY buyers DESC, value_tier;

-- name: Segments 分群
-- chart: bars
SELECT segment, count(*) AS buyers, sum(CAST(revenue AS DECIMAL(18, 2))) AS revenue
FROM rfm((SELECT user_id, ts, event, price FROM events WHERE ts >= $start AND ts < $until), amount => price, as_of => $until)
GROUP BY segment
ORDER BY buyers DESC, segment;
