-- Which ways lead to a purchase?
--
-- Read off: step 0 is the step into the first purchase of a session, -1 the one before, and so on; a chart draws each row as a
-- band from `source` to `target`. `(start)` close to the purchase are visitors who came to buy: they knew what they wanted.
SELECT step, source, target, events, users, round(share, 3) AS share
FROM paths(events, to => 'purchase', depth => 4, top => 5, collapse => true);
