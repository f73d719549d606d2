SELECT user_id, event, ts, event_id, session_id, revenue, event_properties FROM events ORDER BY ts
