-- Of the money that a month's new buyers spent in their first month, how much comes in again in each month after it?
--
-- Read off: `nrr` (net revenue retention) is all that the cohorts spend in that month of life over what they spent in month 0, so
-- growing customers can make up for lost ones; `grr` (gross) caps each buyer at their own month 0, so it shows the loss alone. The
-- gap between the two is growth. Pooled over cohorts whose month is over.
SELECT period, eligible AS buyers, round(amount, 2) AS amount, round(amount_per_user, 2) AS per_buyer, round(nrr, 3) AS nrr, round(grr, 3) AS grr
FROM retention_curve(events, start => 'purchase', return => 'purchase', unit => 'month', periods => 3, value => price);
