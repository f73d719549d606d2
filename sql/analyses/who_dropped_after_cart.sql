-- Who put something into the cart and did not buy within a week, and what was it?
--
-- Read off: a list to act on, the most valuable carts first. `carted_at` says how fresh the wish is; `item_id` and `price` are
-- those of the event that filled the cart. The number of rows is what `funnel` calls `dropped` at the step `purchase`.
SELECT user_id, step_2_at AS carted_at, item_id, price
FROM funnel_users(
  events,
  steps => ['view_item', 'add_to_cart', 'purchase'],
  within => INTERVAL '7 days',
  dropped_after => 2,
  columns => [item_id, price]
)
ORDER BY price DESC NULLS LAST, carted_at DESC, user_id
LIMIT 50;
