-- Which buyers are worth most, and which of them are slipping away?
--
-- Read off: each value tier with its buyers, what they spent in all and each, and how long ago they last bought. `key` tiers spend
-- above the mean: `key value` is to be kept, `key retention` used to come often and has stopped (call them), `key growth` came
-- lately and seldom (win the second order), `key win-back` spent much, once, long ago.
SELECT
  value_tier,
  count(*) AS buyers,
  round(sum(revenue), 2) AS revenue,
  round(avg(revenue), 2) AS revenue_each,
  round(avg(recency_days), 1) AS days_since_order
FROM rfm(events, amount => price)
GROUP BY value_tier
ORDER BY revenue DESC, value_tier;
