-- Week by week: how many users are alive, who is lost after 30 days of silence, and who is won back?
--
-- Read off: `alive` is that of the week before, plus `new` and `resurrected` (back after 30 days or more), minus `dormant` (silent for 30
-- days by the end of that week). Unlike months of the calendar this counts everybody's silence from their own last visit.
SELECT period AS week, alive, active, new, resurrected, dormant, round(quick_ratio, 2) AS quick_ratio
FROM lifecycle(events, unit => 'week', inactive_after => INTERVAL '30 days')
WHERE complete
ORDER BY week;
