-- How many new users find something to look at, and then buy, without having to search for it first?
--
-- Read off: `without_search` are users who go from signing up to their first look at an item with no search on the way;
-- `all_users` may search. A small share at `view_item` says that the start page shows the wrong things; if those who found
-- something unaided buy as often as the others (`step_conversion` from there on), it is worth showing them more of it.
SELECT a.step, a.name, a.users AS all_users, b.users AS without_search,
  round(a.step_conversion, 3) AS step_conversion, round(b.step_conversion, 3) AS step_conversion_without_search
FROM funnel(
  events,
  steps => ['signup', 'view_item', 'add_to_cart', 'purchase'],
  within => INTERVAL '30 days'
) AS a
JOIN funnel(
  events,
  steps => ['signup', 'view_item', 'add_to_cart', 'purchase'],
  within => INTERVAL '30 days',
  exclude => {'when': 'search', 'after': 1, 'before': 2}
) AS b ON a.step = b.step
ORDER BY a.step;
