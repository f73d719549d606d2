-- title: Retention 留存
-- description: Of those who signed up, which share came back in each period after it.
-- param: start date = 2025-01-01 -- the first day
-- param: until date = 2025-07-01 -- the first day after the last

-- name: Triangle by month 月留存
-- chart: heatmap
-- note: Along a row, how a cohort melts away; down a column, whether newer cohorts stay better. Months that are not over are empty.
SELECT *
FROM retention_triangle(
  (SELECT user_id, ts, event FROM events WHERE ts >= $start AND ts < $until),
  start => 'signup',
  unit => 'month',
  periods => 5
)
ORDER BY cohort;

-- name: Curve by week 周留存曲线
-- chart: curve
-- note: Pooled over the cohorts for which the week has ended, with the 95 % interval.
SELECT period, eligible, retained, rate, low, high
FROM retention_curve(
  (SELECT user_id, ts, event FROM events WHERE ts >= $start AND ts < $until),
  start => 'signup',
  unit => 'week',
  periods => 16
)
ORDER BY period;
