-- Do users from one acquisition channel stay longer than those from another?
--
-- Read off: the share that is still around in week n or later, by channel. Where the intervals of two channels do not
-- touch, the difference is hardly chance. A cheap channel whose curve falls faster may be the dearer one.
SELECT channel, period AS week, eligible, round(rate, 3) AS still_here, round(low, 3) AS low, round(high, 3) AS high
FROM retention_curve(events, start => 'signup', unit => 'week', periods => 12, type => 'on_or_after', by => channel)
ORDER BY channel, week;
