-- Which pages lead up to a purchase, on each platform?
--
-- Read off: within a platform, the pages with the largest `share` are where people are shortly before they buy. A page that is
-- high on one platform and low on another is harder to find, or less use, on the other.
SELECT platform, channel AS page, round(credit, 1) AS orders, round(share, 3) AS share, users
FROM attribution(
  events,
  conversion => 'purchase',
  touch => 'page_view',
  channel => page,
  model => 'linear',
  lookback => INTERVAL '1 day',
  by => platform
);
