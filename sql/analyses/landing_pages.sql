-- Which first pages of a visit lead to a purchase in the same visit, and on which do people turn round at once?
--
-- Read off: a page with many entries, a high bounce rate and a low conversion is where visits are lost first. Compare it
-- with the page of a similar purpose that does better, by channel: the promise of the link and the page may not fit.
SELECT
  entry,
  channel,
  count(*) AS visits,
  round(avg(CAST(bounce AS INT)), 3) AS bounce_rate,
  round(median(duration_seconds) / 60, 1) AS median_minutes,
  round(avg(CAST(converted AS INT)), 3) AS conversion
FROM sessions(events, gap => INTERVAL '30 minutes', page => page, conversion => 'purchase', by => channel)
GROUP BY entry, channel
HAVING count(*) >= 50
ORDER BY visits DESC, entry, channel;
