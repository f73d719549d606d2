-- title: Life cycle 生命周期
-- description: Whether the shop grows because users come, because they come back, or because fewer leave.
-- param: start date = 2025-01-01 -- the first day
-- param: until date = 2025-07-01 -- the first day after the last

-- name: By month 每月
-- chart: lifecycle
-- note: A quick ratio above 1 is growth. The last month is left out while it is not over: whoever comes later in it looks dormant.
SELECT period, active, new, "returning", resurrected, dormant, quick_ratio
FROM lifecycle((SELECT user_id, ts, event FROM events WHERE ts >= $start AND ts < $until), unit => 'month')
WHERE complete
ORDER BY period;
