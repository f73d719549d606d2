-- Is the shop a habit: in how many of the last eight weeks does a user come?
--
-- Read off: `users` came in at least so many of the eight weeks, `rate` is their share of all who came at all. A curve that
-- falls at once and stays flat has a core of regulars; one that falls to the end has none. By platform: the app should hold
-- its users longer than the web.
SELECT platform, active_periods AS weeks, users, round(rate, 3) AS rate
FROM stickiness(events, unit => 'week', periods => 8, cumulative => true, by => platform)
ORDER BY platform, weeks;
