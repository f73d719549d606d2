SELECT user_id, event, ts, event_id, session_number, url, title, value, unstruct_event, contexts FROM events ORDER BY ts
