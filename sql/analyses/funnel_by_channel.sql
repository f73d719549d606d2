-- From visits of which channel do users go all the way to a purchase, and where does each channel lose them?
--
-- Read off: `conversion` on the last step compares the channels; the step with the lowest `step_conversion` is where a
-- channel loses most. A channel that is behind at the first steps brings the wrong people; one that is behind at the last
-- brings people who do not trust the price or the shop. Who looked in visits of several channels counts under each; with
-- `by_entry => 'first'` everybody counts once, under the channel of their first look.
SELECT channel, step, name, users, round(conversion, 3) AS conversion, round(step_conversion, 3) AS step_conversion, dropped
FROM funnel(
  events,
  steps => ['view_item', 'add_to_cart', 'begin_checkout', 'purchase'],
  within => INTERVAL '7 days',
  by => channel
)
ORDER BY channel, step;
