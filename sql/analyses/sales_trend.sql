-- Do orders, buyers and revenue grow, week by week?
--
-- Read off: `growth` is the change of revenue against the week before; one week says little, so look at `average`, the mean of the
-- last four. A week that is not over is left out: its fall is not one.
SELECT
  period AS week,
  events AS orders,
  users AS buyers,
  round(total, 2) AS revenue,
  round(total_growth, 3) AS growth,
  round(total_average, 2) AS average
FROM trend(events, active => 'purchase', unit => 'week', value => price, moving => 4)
WHERE complete
ORDER BY week;
