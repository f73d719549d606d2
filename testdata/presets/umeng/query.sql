SELECT user_id, event, ts, server_ts, channel, city, params FROM events ORDER BY ts
