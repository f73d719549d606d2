-- Of everybody who bought in a month, new or old, which share bought again in each of the months after it?
--
-- Read off: the first column after `size` is the share with a second purchase in the same month; a row that stays high is a month
-- whose buyers came to stay. Unlike cohorts of first purchases, each month has all of its buyers, so the last rows tell how loyal the
-- customers of today are, not those of two years ago.
SELECT *
FROM retention_triangle(events, start => 'purchase', return => 'purchase', birth => 'recurring', unit => 'month', periods => 4);
