-- Of the users of a month, how many came back in each of the months after it, from one stored row a day?
--
-- Read off: what `retention(events, unit => 'month', birth => 'recurring')` counts, without the events. A month's users are the union of
-- its days' sets, those who came back the intersection of two months. The last month is not over.
--
-- The daily job: INSERT INTO daily_visitors SELECT CAST(ts AS DATE) AS day, users_state(user_id) AS users FROM events WHERE .. GROUP BY day
CREATE TABLE daily_visitors AS
SELECT CAST(ts AS DATE) AS day, users_state(user_id) AS users FROM events GROUP BY day;

WITH months AS (
  SELECT CAST(date_trunc('month', day) AS DATE) AS month, users_merge(users) AS users FROM daily_visitors GROUP BY month
)
SELECT a.month AS cohort, users_count(a.users) AS size, b.month AS came_back_in,
       users_count(users_and(a.users, b.users)) AS retained,
       round(CAST(users_count(users_and(a.users, b.users)) AS DOUBLE) / users_count(a.users), 3) AS rate
FROM months a JOIN months b ON b.month > a.month
ORDER BY cohort, came_back_in;
