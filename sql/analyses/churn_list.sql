-- Who is about to leave and has been worth keeping?
--
-- Read off: the users at medium or high risk who have spent most, with the reason first named. Work the list from the top:
-- it is sorted by what would be lost. Users who have been silent for two horizons are gone rather than leaving and are left
-- out; the win-back list (p_alive_list) is the place for them.
SELECT
  c.user_id,
  c.level,
  c.score,
  round(c.p_alive, 2) AS p_alive,
  s.orders,
  round(s.spent, 2) AS spent,
  c.reasons[1] AS reason
FROM churn_scores(events, horizon => INTERVAL '30 days') AS c
JOIN (
  SELECT user_id, count(*) AS orders, sum(price) AS spent FROM events WHERE event = 'purchase' GROUP BY user_id
) AS s ON s.user_id = c.user_id
WHERE c.level <> 'low' AND c.features.recency_days < 60
ORDER BY spent DESC, c.user_id
LIMIT 50;
