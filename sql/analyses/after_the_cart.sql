-- What do people do right after they put something into the cart for the first time?
--
-- Read off: the event that follows, and how many users go that way. A large share that goes back to looking at items has
-- not decided yet; `(nothing)` left the shop with a full cart, and is the list for a reminder.
SELECT
  coalesce(next, '(nothing)') AS next,
  count(*) AS users,
  round(count(*) / CAST(sum(count(*)) OVER () AS DOUBLE), 3) AS share
FROM (
  SELECT user_id, sequence_next_event(event, ts, 'first_match', 'forward', event = 'add_to_cart') AS next
  FROM events
  GROUP BY user_id
  HAVING bool_or(event = 'add_to_cart')
)
GROUP BY next
ORDER BY users DESC;
