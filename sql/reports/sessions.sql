-- title: Sessions and pages 会话与页面
-- description: Depth, length, bounces and conversion of visits, and where they end. A visit ends after 30 minutes without an event.
-- param: start date = 2025-01-01 -- the first day
-- param: until date = 2025-07-01 -- the first day after the last
-- param: platform text = all -- all, or one of web, ios, android

-- name: Visits by month 深度 停留 跳出 转化
-- chart: none
SELECT period AS month, sessions AS visits, users, bounce_rate, median_seconds, views_per_session AS depth, conversion
FROM session_summary(
  (SELECT user_id, ts, event, page FROM events
   WHERE ts >= $start AND ts < $until AND ($platform = 'all' OR platform = $platform)),
  gap => INTERVAL '30 minutes',
  page => page,
  conversion => 'purchase',
  period => 'month'
)
ORDER BY month;

-- name: Pages 页面
-- chart: bars
-- note: A page with many exits is only bad where nobody should leave.
SELECT page, views, users, median_dwell_seconds, entries, exits, exit_rate, bounces
FROM pages(
  (SELECT user_id, ts, event, page FROM events
   WHERE ts >= $start AND ts < $until AND ($platform = 'all' OR platform = $platform)),
  page => page,
  gap => INTERVAL '30 minutes'
)
ORDER BY views DESC, page;
