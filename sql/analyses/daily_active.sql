-- How many users are active each day, in the last seven days and in the last thirty, and how often do they come?
--
-- Read off: `dau`, `wau` and `mau` count distinct users of the trailing 1, 7 and 30 local dates; `stickiness` is the share of a
-- month's days on which one of its users comes: 0.03 is once a month, 1 is daily use. The first 29 dates have a month that
-- reaches back before the data, so they have no stickiness and are left out; the last date is not over.
SELECT date, dau, wau, mau, round(stickiness, 3) AS stickiness
FROM engagement(events)
WHERE stickiness IS NOT NULL AND complete
ORDER BY date;
