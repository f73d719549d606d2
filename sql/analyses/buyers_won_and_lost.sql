-- In which countries do buyers of one month buy again in the next, and where do they go silent?
--
-- Read off: `kept` is the share of a month's buyers who bought in the month before; `lost` how many of the month before did
-- not buy again. A country with many `new` buyers and a low `kept` pays for its growth anew every month. Only months that are
-- over are compared; the first month has nobody to keep.
SELECT
  country,
  period,
  active AS buyers,
  new,
  round("returning" / CAST(NULLIF(active, 0) AS DOUBLE), 2) AS kept,
  dormant AS lost
FROM lifecycle(events, active => 'purchase', unit => 'month', by => country)
WHERE complete
ORDER BY country, period;
