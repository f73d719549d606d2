SELECT user_id, count(*) AS events, count(*) FILTER (WHERE event = 'purchase') AS purchases, sum(value_usd) AS usd,
       min(ts) AS first, max(ts) AS last, max(session_id) AS session, max(source) AS source, max(page) AS page, max(params) AS params
FROM events GROUP BY user_id ORDER BY user_id
