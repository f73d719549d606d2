SELECT user_id, event, ts, visit_id, url, title, seconds, value, revenue, order_id, name, visit_count, country FROM events ORDER BY ts
