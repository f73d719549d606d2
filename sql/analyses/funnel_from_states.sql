-- How far did users come within seven days, from one stored row for each user and day?
--
-- Read off: what `window_funnel` answers over the events, chains across midnight included: a day's row keeps the times at which the user
-- took a step, in some ten to fifty bytes. `users` reached the step, `conversion` is their share of those who took the first.
--
-- The daily job: INSERT INTO daily_steps SELECT user_id, CAST(ts AS DATE) AS day, funnel_state(..) FROM events WHERE .. GROUP BY user_id, day
CREATE TABLE daily_steps AS
SELECT user_id, CAST(ts AS DATE) AS day,
       funnel_state(INTERVAL '7 days', ts, event = 'view_item', event = 'add_to_cart', event = 'purchase') AS steps
FROM events WHERE event IN ('view_item', 'add_to_cart', 'purchase') GROUP BY user_id, day;

WITH levels AS (SELECT user_id, funnel_level(funnel_merge(steps)) AS level FROM daily_steps GROUP BY user_id),
     steps AS (SELECT * FROM (VALUES (1, 'view_item'), (2, 'add_to_cart'), (3, 'purchase')) AS t(step, name))
SELECT step, name, count(*) AS users,
       round(CAST(count(*) AS DOUBLE) / first_value(count(*)) OVER (ORDER BY step), 3) AS conversion
FROM steps JOIN levels ON level >= step
GROUP BY step, name ORDER BY step;
