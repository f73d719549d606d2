-- title: Attribution 归因
-- description: Which activities lead up to orders, by the first touch, the last one, and all in equal parts.
-- param: start date = 2025-01-01 -- the first day
-- param: until date = 2025-07-01 -- the first day after the last

-- name: Credit by activity 贡献
-- chart: none
-- note: Touches up to seven days before an order. (direct) are orders that nothing led up to within the week.
SELECT model, channel AS activity, credit, share, value, touches, users
FROM attribution(
  (SELECT user_id, ts, event, price FROM events WHERE ts >= $start AND ts < $until),
  conversion => 'purchase',
  touch => event IN ('page_view', 'search', 'share', 'login', 'support_ticket'),
  channel => event,
  value => price,
  model => ['first', 'last', 'linear'],
  lookback => INTERVAL '7 days'
)
ORDER BY model, credit DESC, activity;
