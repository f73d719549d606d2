-- In which channels and on which platforms are users leaving?
--
-- Read off: `at_risk` is the share of users scored medium or high. Users who signed up less than a horizon ago are left
-- out: they have had no time to become silent. Look at segments with enough users first.
SELECT
  u.channel,
  u.platform,
  count(*) AS users,
  round(avg(CASE WHEN c.level = 'high' THEN 1.0 ELSE 0.0 END), 3) AS high_risk,
  round(avg(CASE WHEN c.level <> 'low' THEN 1.0 ELSE 0.0 END), 3) AS at_risk,
  round(avg(c.score), 3) AS mean_score
FROM churn_scores(events, horizon => INTERVAL '30 days') AS c
JOIN users AS u ON u.user_id = c.user_id
WHERE c.features.tenure_days >= 30
GROUP BY u.channel, u.platform
ORDER BY at_risk DESC, users DESC, u.channel, u.platform;
