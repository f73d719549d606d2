-- Who is user 42: what do they do, when, and what are they worth?
--
-- Read off: `days_since_last` and `state` say whether they are still here, `hours` and `weekdays` when to reach them (local time), `orders` what they
-- bought. Of a table ordered by user, only the parts of the files that may hold this user are read.
SELECT section, name, value
FROM profile(
  events,
  id => 42,
  value => price,
  by => [country, platform, channel, campaign],
  as_of => DATE '2025-06-30',
  tz => 'Europe/Berlin'
);
