-- Does the shop grow because users come, because they come back, or only because fewer leave?
--
-- Read off: every month `active` is that of the month before, plus `new` and `resurrected` (away for a month or more), minus
-- `dormant` (there last month, not in this one). A `quick_ratio` above 1 is growth, below 1 shrinking: 0.5 means that for each
-- user won two went silent. The last month is left out while it is not over, since whoever comes later in it looks dormant.
SELECT
  period,
  active,
  new,
  "returning",
  resurrected,
  dormant,
  round(quick_ratio, 2) AS quick_ratio
FROM lifecycle(events, unit => 'month')
WHERE complete
ORDER BY period;
