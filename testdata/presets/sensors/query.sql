SELECT user_id, event, ts, is_first_day, city, app_version, track_id, properties FROM events ORDER BY ts
