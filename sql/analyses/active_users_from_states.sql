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

SELECT d.day,
       users_count(users_merge(p.users) FILTER (WHERE p.day = d.day)) AS dau,
       users_count(users_merge(p.users) FILTER (WHERE p.day > d.day - INTERVAL '7 days')) AS wau,
       users_count(users_merge(p.users)) AS mau,
       users_count(users_and_not(users_merge(p.users) FILTER (WHERE p.day = d.day), users_merge(p.users) FILTER (WHERE p.day < d.day))) AS new_today
FROM daily_users d JOIN daily_users p ON p.day > d.day - INTERVAL '30 days' AND p.day <= d.day
WHERE d.day >= DATE '2025-06-01'
GROUP BY d.day ORDER BY d.day;
