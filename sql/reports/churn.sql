-- title: Churn watch 流失预警
-- description: Who is about to leave and has been worth keeping.
-- param: as_of date = 2025-07-01 -- the day with whose beginning the score looks back
-- param: most double = 0.9 -- a larger share of users at high risk raises an alert

-- name: Levels 风险等级
-- chart: bars
-- alert: level = 'high' AND share > $most
SELECT level, count(*) AS users, count(*) / CAST(sum(count(*)) OVER () AS DOUBLE) AS share
FROM churn_scores(events, horizon => INTERVAL '30 days', as_of => $as_of)
GROUP BY level
ORDER BY level;

-- name: Watch list 名单
-- chart: none
-- rows: 50
-- note: Those at medium or high risk, the largest spenders first, without those who have been silent for two horizons.
SELECT c.user_id, c.level, c.score, s.orders, s.spent, c.reasons[1] AS reason
FROM churn_scores(events, horizon => INTERVAL '30 days', as_of => $as_of) AS c
JOIN (
  SELECT user_id, count(*) AS orders, sum(CAST(price AS DECIMAL(18, 2))) AS spent
  FROM events WHERE event = 'purchase' AND ts < $as_of GROUP BY user_id
) AS s ON s.user_id = c.user_id
WHERE c.level <> 'low' AND c.features.recency_days < 60
ORDER BY s.spent DESC, c.user_id;
