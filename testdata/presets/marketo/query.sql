SELECT user_id, event, ts, event_id, asset, attributes FROM events ORDER BY ts
