SELECT user_id, event, ts, uuid, distinct_id, country, utm_source, properties FROM events ORDER BY user_id, ts, event
