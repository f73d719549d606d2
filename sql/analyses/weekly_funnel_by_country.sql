-- How does each country convert from looking at an item to buying it, week after week?
--
-- Read off: `conversion` is the share of those who looked at an item in that week and bought within seven days. Compare a
-- country with itself first: a week that falls in every country is about the shop, one that falls alone is about the country.
-- The last week has had less than seven days to convert: leave it out of comparisons.
SELECT country, week, looked, bought, round(bought / CAST(looked AS DOUBLE), 3) AS conversion
FROM (
  SELECT country, week, count(*) FILTER (WHERE level >= 1) AS looked, count(*) FILTER (WHERE level = 3) AS bought
  FROM (
    SELECT user_id, country, week,
      window_funnel(INTERVAL '7 days', ts, event = 'view_item' AND in_week, event = 'add_to_cart', event = 'purchase') AS level
    FROM (
      -- Each event is looked at in its own week and as a later step of the week before.
      SELECT user_id, country, ts, event, CAST(date_trunc('week', ts) AS DATE) AS week, true AS in_week
      FROM events WHERE event IN ('view_item', 'add_to_cart', 'purchase')
      UNION ALL
      SELECT user_id, country, ts, event, CAST(date_trunc('week', ts) - INTERVAL '7 days' AS DATE), false
      FROM events WHERE event IN ('add_to_cart', 'purchase')
    )
    GROUP BY user_id, country, week
  )
  GROUP BY country, week
)
WHERE looked > 0
ORDER BY country, week;
