-- How often is an item that someone looked at the item that they buy, and how long do they think about it?
--
-- Read off: every way of one item from the first look counts (`completions`), so a user can be in it several times. The
-- difference to the same call without `hold` are baskets in which another item was bought than the one looked at.
-- `step_median_seconds` of `purchase` is the time an item lies in the cart.
SELECT step, name, completions, round(conversion, 3) AS conversion, dropped, median_seconds, step_median_seconds
FROM funnel(
  events,
  steps => ['view_item', 'add_to_cart', 'purchase'],
  within => INTERVAL '1 day',
  hold => item_id,
  entry => 'all'
);
