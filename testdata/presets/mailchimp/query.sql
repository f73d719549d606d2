SELECT event, count(*) AS events, count(DISTINCT user_id) AS members, min(ts) AS first, max(ts) AS last, max(url) AS url, max(bounce) AS bounce
FROM events GROUP BY event ORDER BY event
