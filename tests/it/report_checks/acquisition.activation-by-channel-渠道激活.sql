WITH each_user AS (
  SELECT u.channel, u.user_id,
    max(CASE WHEN e.ts BETWEEN u.signup_at AND u.signup_at + INTERVAL '7 days' THEN 1 ELSE 0 END) AS activated
  FROM users AS u LEFT JOIN events AS e ON e.user_id = u.user_id AND e.event = 'view_item'
  GROUP BY 1, 2
), steps AS (
  SELECT channel, count(*) AS came, sum(activated) AS activated FROM each_user GROUP BY channel
)
SELECT channel, 1 AS step, 'signup' AS name, came AS users, 1.0 AS conversion, 1.0 AS step_conversion FROM steps
UNION ALL
SELECT channel, 2, 'view_item', activated, activated / CAST(came AS DOUBLE), activated / CAST(came AS DOUBLE) FROM steps
ORDER BY 1, 2
