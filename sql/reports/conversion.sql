-- title: Conversion 转化
-- description: From looking at an item to buying it: in all, week by week, and by where people come from.
-- param: start date = 2025-01-01 -- the first day
-- param: until date = 2025-07-01 -- the first day after the last
-- param: floor double = 0.01 -- a share of buyers below this raises an alert

-- name: Funnel 漏斗
-- chart: funnel
-- note: Within seven days of looking at an item.
-- alert: step = 4 AND conversion < $floor
SELECT step, name, users, conversion, step_conversion, dropped
FROM funnel(
  (SELECT user_id, ts, event FROM events WHERE ts >= $start AND ts < $until),
  steps => ['view_item', 'add_to_cart', 'begin_checkout', 'purchase'],
  within => INTERVAL '7 days'
)
ORDER BY step;

-- name: Trend by week 每周趋势
-- chart: line
-- note: The share of those who began in that week and bought within seven days. Weeks whose window is still open are left out.
SELECT period AS week, conversion AS conversion
FROM funnel(
  (SELECT user_id, ts, event FROM events WHERE ts >= $start AND ts < $until),
  steps => ['view_item', 'purchase'],
  within => INTERVAL '7 days',
  period => 'week'
)
WHERE step = 2 AND complete
ORDER BY week;

-- name: By channel 按渠道
-- chart: funnel
SELECT channel, step, name, users, conversion, step_conversion, dropped
FROM funnel(
  (SELECT user_id, ts, event, channel FROM events WHERE ts >= $start AND ts < $until),
  steps => ['view_item', 'add_to_cart', 'begin_checkout', 'purchase'],
  within => INTERVAL '7 days',
  by => channel
)
ORDER BY channel, step;
