-- Times of New York: -4 hours in summer, -5 in winter. 02:30 on 10 March is not there and is read as 03:30 (07:30 UTC);
-- 01:30 on 3 November is there twice, and the earlier one is meant (05:30 UTC).
SELECT user_id, event, ts, lifecycle_stage, source, company, city FROM events ORDER BY ts, user_id, event
