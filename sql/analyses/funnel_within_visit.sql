-- How many visits go from looking at an item to a purchase without a break, and how many get stuck at which step?
--
-- Read off: `visits` at a level stopped there. The event's visit is numbered with `sessionize`; grouping by user and visit
-- keeps a chain within one visit, so somebody who looks today and buys tomorrow counts as two visits here. What this
-- funnel loses against the one over a week are the visits that need time to decide.
SELECT level, count(*) AS visits, count(DISTINCT user_id) AS users
FROM (
  SELECT
    user_id,
    visit,
    window_funnel(INTERVAL '1 day', ts, event = 'view_item', event = 'add_to_cart', event = 'begin_checkout', event = 'purchase') AS level
  FROM (SELECT *, sessionize(ts, INTERVAL '30 minutes') OVER (PARTITION BY user_id ORDER BY ts) AS visit FROM events)
  GROUP BY user_id, visit
)
GROUP BY level
ORDER BY level;
