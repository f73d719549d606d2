-- What do new users do in the five steps after signing up, and on which channel do they stop?
--
-- Read off: follow the widest rows of a channel from step to step; `(end)` shows how many stop there for that session.
-- Channels whose users leave at step 1 bring people who wanted the account, not the shop.
SELECT channel, step, source, target, events, users
FROM paths(events, from => 'signup', depth => 5, top => 3, collapse => true, by => channel)
ORDER BY channel, step, events DESC, source, target;
