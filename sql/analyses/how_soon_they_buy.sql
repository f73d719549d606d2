-- How long does it take from the cart to the purchase, and where is it slow?
--
-- Read off: `median_seconds` is what half of the buyers need; a `p90_seconds` far above it says that a tenth of them goes
-- away and comes back. Countries with few intervals tell little.
SELECT country, intervals, users, round(median_seconds, 1) AS median_seconds, round(p90_seconds, 1) AS p90_seconds
FROM intervals(events, from => 'add_to_cart', to => 'purchase', within => INTERVAL '1 day', by => country)
WHERE intervals >= 20
ORDER BY median_seconds DESC, country;
