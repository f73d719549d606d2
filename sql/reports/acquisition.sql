-- title: Acquisition and activation 获客与激活
-- description: Who signed up, from where, and how many of them looked at an item within their first week.
-- param: start date = 2025-01-01 -- the first day of signups
-- param: until date = 2025-07-01 -- the first day after them

-- name: Signups by week 每周注册
-- chart: line
-- note: The first and the last week may be cut by the dates above.
SELECT CAST(date_trunc('week', ts) AS DATE) AS week, channel, count(DISTINCT user_id) AS signups
FROM events
WHERE event = 'signup' AND ts >= $start AND ts < $until
GROUP BY 1, 2
ORDER BY 1, 2;

-- name: Activation by channel 渠道激活
-- chart: funnel
-- note: Activated is whoever looked at an item within seven days of the signup. A channel that brings many and activates few
--   is worth less than it looks.
SELECT channel, step, name, users, conversion, step_conversion, dropped
FROM funnel(
  (SELECT user_id, ts, event, channel FROM events WHERE ts >= $start AND ts < $until),
  steps => ['signup', 'view_item'],
  within => INTERVAL '7 days',
  by => channel
)
ORDER BY channel, step;
