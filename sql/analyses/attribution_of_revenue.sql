-- What do people do in the week before they buy, and which of it can the revenue be put down to?
--
-- Read off: compare the models. What has much credit by `last` but little by `first` closes sales and does not start them.
-- `markov` tells how much would be lost without an activity; where it is far above `linear`, the activity is one that few
-- paths can do without. `(direct)` are purchases that nothing led up to within the week.
SELECT
  model,
  channel AS activity,
  round(credit, 1) AS orders,
  round(value, 2) AS revenue,
  round(share, 3) AS share,
  touches,
  users
FROM attribution(
  events,
  conversion => 'purchase',
  touch => event IN ('page_view', 'search', 'share', 'login', 'support_ticket'),
  channel => event,
  value => price,
  model => ['first', 'last', 'position', 'time_decay', 'linear', 'markov', 'shapley'],
  lookback => INTERVAL '7 days',
  half_life => INTERVAL '1 day',
  reset => true
);
