SELECT CAST(date_trunc('week', signup_at) AS DATE) AS week, channel, count(*) AS signups
FROM users GROUP BY 1, 2 ORDER BY 1, 2
