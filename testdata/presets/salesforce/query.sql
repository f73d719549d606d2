SELECT user_id, event, ts, opportunity_id, stage, amount, lead_source FROM events ORDER BY ts, opportunity_id
