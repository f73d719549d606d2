SELECT user_id, event, ts, activity_id, asset, attributes FROM events ORDER BY ts
