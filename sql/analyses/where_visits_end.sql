-- On which pages do visits begin, how long do people stay on them, and where do they leave?
--
-- Read off: a high `exit_rate` is right for the page that thanks for an order and wrong for the cart. A long median on a
-- page that should be passed quickly says that something there is hard to find.
SELECT
  page,
  views,
  users,
  round(median_dwell_seconds, 0) AS median_seconds,
  entries,
  exits,
  round(exit_rate, 3) AS exit_rate,
  bounces
FROM pages(events, page => page, gap => INTERVAL '30 minutes')
ORDER BY views DESC, page;
