SELECT user_id, event, ts, event_id, distinct_id, country, utm_source, properties FROM events ORDER BY user_id, ts, event
