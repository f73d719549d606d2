-- How many users were active on a day, in its week and in its month, from one stored row a day?
--
-- Read off: what `engagement(events)` counts, without the events: each day's users are a set of some hundred bytes, and the users of
-- 7 or 30 days are the union of as many sets. `new_today` came on none of the 29 days before.
--
-- The job of a night adds the row of the day, to a managed table made once (`STORED AS DELTA LOCATION 'daily_users'` behind its
-- name); here the first statement stands for the past, the second for the last night.
CREATE TABLE daily_users AS
SELECT CAST(ts AS DATE) AS day, users_state(user_id) AS users
FROM events WHERE ts < TIMESTAMP '2025-06-29' GROUP BY day;

INSERT INTO daily_users
SELECT CAST(ts AS DATE) AS day, users_state(user_id) AS users
FROM events WHERE ts >= TIMESTAMP '2025-06-29' AND ts < TIMESTAMP '2025-06-30' GROUP BY day;

SELECT * FROM (
  SELECT day,
         users_count(users) AS dau,
         users_count(users_merge(users) OVER (ORDER BY day RANGE BETWEEN INTERVAL '6 days' PRECEDING AND CURRENT ROW)) AS wau,
         users_count(users_merge(users) OVER (ORDER BY day RANGE BETWEEN INTERVAL '29 days' PRECEDING AND CURRENT ROW)) AS mau,
         users_count(users_and_not(users, users_merge(users) OVER (ORDER BY day RANGE BETWEEN INTERVAL '29 days' PRECEDING AND INTERVAL '1 day' PRECEDING))) AS new_today
  FROM daily_users)
WHERE day >= DATE '2025-06-01'
ORDER BY day;
