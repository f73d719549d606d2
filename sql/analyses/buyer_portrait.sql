-- What tells buyers from all users: which countries, platforms and channels?
--
-- Read off: `tgi` 120 means that the value is 1.2 times as frequent among buyers as among all users. Trust it where `p_value` is
-- small; of twenty values that mean nothing, one is below 0.05 by chance.
SELECT attribute, value, users, round(rate, 3) AS rate, round(base_rate, 3) AS base_rate, round(tgi) AS tgi, round(p_value, 3) AS p_value
FROM portrait(
  (SELECT user_id, country, platform, channel, event = 'purchase' AS bought FROM events),
  segment => bought,
  attributes => [country, platform, channel]
)
ORDER BY attribute, tgi DESC, value;
