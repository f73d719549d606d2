-- Is the way from looking at an item to buying it getting better or worse, week after week?
--
-- Read off: `conversion` of `purchase` is the share of those who began in that week and bought within seven days, in whichever
-- week they bought. `lost_in_cart` says which half of the way moved: from looking to the cart, or from there to buying. Who
-- looked in a week that is not `complete` has had less than seven days to convert: leave it out of comparisons.
SELECT period AS week,
  sum(users) FILTER (WHERE step = 1) AS looked,
  sum(users) FILTER (WHERE step = 3) AS bought,
  round(max(conversion) FILTER (WHERE step = 3), 3) AS conversion,
  round(1 - max(step_conversion) FILTER (WHERE step = 3), 3) AS lost_in_cart,
  bool_and(complete) AS complete
FROM funnel(
  events,
  steps => ['view_item', 'add_to_cart', 'purchase'],
  within => INTERVAL '7 days',
  period => 'week'
)
GROUP BY period
ORDER BY period;
