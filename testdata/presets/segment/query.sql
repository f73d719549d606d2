SELECT user_id, event, ts, event_id, order_id, revenue, previous_id, group_id, url, utm_source, traits FROM events ORDER BY ts
