-- China is 8 hours ahead of UTC.
SELECT user_id, event, ts, question, answer, score FROM events ORDER BY user_id, event DESC, question
