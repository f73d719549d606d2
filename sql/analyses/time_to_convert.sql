-- How long do people take from looking at an item to each later step?
--
-- Read off: half of those who get there do so within `median_minutes`, nine in ten within `p90_minutes`. A reminder before
-- the median annoys people who would have bought anyway; after the p90 hardly anybody is left to remind. A mean far above
-- the median says that a few come back days later.
SELECT
  step,
  name,
  users,
  round(median_seconds / 60, 1) AS median_minutes,
  round(mean_seconds / 60, 1) AS mean_minutes,
  round(p90_seconds / 60, 1) AS p90_minutes,
  round(step_median_seconds / 60, 1) AS minutes_from_step_before
FROM funnel(
  events,
  steps => ['view_item', 'add_to_cart', 'begin_checkout', 'purchase'],
  within => INTERVAL '14 days'
)
ORDER BY step;
