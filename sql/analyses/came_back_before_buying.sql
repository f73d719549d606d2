-- Do people who come back for a second look end up buying?
--
-- Read off: `second_look` are those who looked at an item again an hour to three days after a look, without buying in
-- between. If their `share` of buyers is well above that of the others, a reminder that brings people back once more is
-- worth its cost.
SELECT
  second_look,
  count(*) AS users,
  count(*) FILTER (WHERE bought) AS buyers,
  round(avg(CAST(bought AS INT)), 3) AS share
FROM (
  SELECT
    user_id,
    sequence_match('(?1)[^2]*(?t>=1 hour)(?t<=3 days)(?1)', ts, event = 'view_item', event = 'purchase') AS second_look,
    bool_or(event = 'purchase') AS bought
  FROM events
  GROUP BY user_id
)
GROUP BY second_look
ORDER BY second_look;
