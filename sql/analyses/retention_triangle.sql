-- Of those who signed up in a month, which share came back in each of the months after it?
--
-- Read off: along a row, how a cohort melts away; down a column, whether newer cohorts stay better than older ones did at
-- the same age. Months that are not over yet are empty, not low. `m0` is a return within the month of the signup.
SELECT
  cohort,
  max(size) AS size,
  round(max(rate) FILTER (WHERE period = 0 AND complete), 3) AS m0,
  round(max(rate) FILTER (WHERE period = 1 AND complete), 3) AS m1,
  round(max(rate) FILTER (WHERE period = 2 AND complete), 3) AS m2,
  round(max(rate) FILTER (WHERE period = 3 AND complete), 3) AS m3,
  round(max(rate) FILTER (WHERE period = 4 AND complete), 3) AS m4,
  round(max(rate) FILTER (WHERE period = 5 AND complete), 3) AS m5
FROM retention(events, start => 'signup', unit => 'month', periods => 5)
GROUP BY cohort
ORDER BY cohort;
