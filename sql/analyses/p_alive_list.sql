-- Which customers with repeat orders have probably gone, and how much are the others expected to buy in the next 90 days?
--
-- Read off: `p_alive` is the probability that a customer still buys at all, given how often and how lately (BG/NBD, fitted
-- here on all customers; days with orders count once). `expected_orders` already takes it into account. Low `p_alive` with
-- many orders: a good customer lost, worth a win-back; high `p_alive`: leave alone.
WITH customers AS (
  SELECT
    user_id,
    count(DISTINCT CAST(ts AS DATE)) - 1 AS repeats,
    CAST(CAST(max(CAST(ts AS DATE)) AS INT) - CAST(min(CAST(ts AS DATE)) AS INT) AS DOUBLE) AS recency,
    CAST(CAST((SELECT CAST(max(ts) AS DATE) FROM events) AS INT) - CAST(min(CAST(ts AS DATE)) AS INT) AS DOUBLE) AS age
  FROM events
  WHERE event = 'purchase'
  GROUP BY user_id
),
model AS (
  SELECT bg_nbd_fit(repeats, recency, age) AS m FROM customers
)
SELECT
  user_id,
  repeats + 1 AS orders,
  CAST(age - recency AS BIGINT) AS days_since_last,
  round(p_alive(m, repeats, recency, age), 3) AS p_alive,
  round(expected_purchases(m, 90, repeats, recency, age), 2) AS expected_orders
FROM customers CROSS JOIN model
WHERE repeats >= 1
ORDER BY p_alive, orders DESC, user_id
LIMIT 50;
