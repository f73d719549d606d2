-- Across all visits of a user, how long does it take from one event to the next?
--
-- Read off: `within => 'user'` looks over the ends of sessions, so hours and days appear: the pairs with the longest
-- `median_seconds` are those between which users go away and come back.
SELECT source, target, events, users, round(median_seconds / 3600, 2) AS median_hours, round(mean_seconds / 3600, 2) AS mean_hours
FROM transitions(events, within => 'user', collapse => true, top => 6)
WHERE median_seconds IS NOT NULL
ORDER BY median_hours DESC, source, target;
