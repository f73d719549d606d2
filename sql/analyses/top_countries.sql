-- Which countries have most users on each platform?
--
-- Read off: the three countries with most users of each platform, with their share of the platform's users and events. A share of
-- events well above that of users is a country that uses the shop more.
SELECT platform, rank, country, users, round(rate, 3) AS users_share, round(events_rate, 3) AS events_share
FROM top(events, property => country, n => 3, by => platform)
ORDER BY platform, rank;
