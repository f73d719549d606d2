-- How many users are active each day, in the last seven days and in the last thirty?
--
-- Read off: `dau`, `wau` and `mau` count distinct users in the trailing 1, 7 and 30 days; `stickiness` (dau / mau) is the
-- share of a month's users who are there on one day: 0.03 is once a month, 1 is daily use. The first 29 days have a window
-- that is not full, so they are left out.
WITH active AS (
  SELECT DISTINCT user_id, CAST(ts AS DATE) AS day FROM events
),
days AS (
  SELECT DISTINCT day FROM active
),
counted AS (
  SELECT
    d.day,
    count(DISTINCT CASE WHEN a.day = d.day THEN a.user_id END) AS dau,
    count(DISTINCT CASE WHEN a.day > d.day - INTERVAL '7 days' THEN a.user_id END) AS wau,
    count(DISTINCT a.user_id) AS mau
  FROM days AS d JOIN active AS a ON a.day <= d.day AND a.day > d.day - INTERVAL '30 days'
  GROUP BY d.day
)
SELECT day, dau, wau, mau, round(dau / CAST(mau AS DOUBLE), 3) AS stickiness
FROM counted
WHERE day >= (SELECT min(day) FROM active) + INTERVAL '29 days'
ORDER BY day;
