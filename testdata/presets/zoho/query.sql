-- India is 5:30 hours ahead of UTC.
SELECT user_id, event, ts, deal_id, stage, amount, probability FROM events ORDER BY ts
