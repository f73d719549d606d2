-- Los Angeles: -7 hours in summer. 01:30 and 01:45 on 3 November are there twice, and the earlier ones, still summer, are meant.
SELECT user_id, event, ts, question, answer FROM events ORDER BY user_id, ts, event DESC, question
