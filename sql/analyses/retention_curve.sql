-- What share of users comes back in each week after signing up?
--
-- Read off: pooled over all cohorts for which the week is over, with a 95 % interval. A curve that levels off has found
-- people for whom the shop has a use; one that goes on falling has not. `eligible` falls with age because young cohorts
-- have not lived through the later weeks yet.
SELECT period AS week, eligible, retained, round(rate, 3) AS rate, round(low, 3) AS low, round(high, 3) AS high
FROM retention_curve(events, start => 'signup', unit => 'week', periods => 16)
ORDER BY week;
