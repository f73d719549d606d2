-- Do people visit more often, stay longer and buy more per visit than in the months before?
--
-- Read off: `visits_per_user` is how often people come, `median_minutes` how long they stay, `conversion` how many visits
-- end in an order. More visits with a falling conversion bring people who only look; compare the platforms before you
-- blame the offer.
SELECT
  platform,
  period AS month,
  sessions AS visits,
  users,
  round(sessions / CAST(users AS DOUBLE), 2) AS visits_per_user,
  round(bounce_rate, 3) AS bounce_rate,
  round(median_seconds / 60, 1) AS median_minutes,
  round(views_per_session, 2) AS views_per_visit,
  round(conversion, 3) AS conversion
FROM session_summary(
  events,
  gap => INTERVAL '30 minutes',
  page => page,
  conversion => 'purchase',
  by => platform,
  period => 'month'
)
ORDER BY platform, month;
