-- 10:00 of New York on 1 May is 14:00 UTC. 02:00 on 10 March (clocks go from 2 to 3) is read as 3:00 summer time, 07:00 UTC;
-- 01:30 on 3 November is there twice, and the earlier one, summer time, is meant: 05:30 UTC.
SELECT user_id, event, ts, city, properties FROM events ORDER BY user_id, ts
