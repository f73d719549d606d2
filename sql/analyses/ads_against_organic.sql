-- Are users from ads worth as much as those who came by themselves?
--
-- Read off: `segment` are users whose sign-up came from ads, `other` those who came without. Where `low` and `high` have the same sign, or `p_value` is
-- small, chance alone hardly explains the difference; of twenty measures that differ by nothing, one has a p-value below 0.05.
SELECT measure, round(segment, 3) AS ads, round(other, 3) AS organic, round(difference, 3) AS difference, round(low, 3) AS low, round(high, 3) AS high, round(p_value, 4) AS p_value
FROM compare(
  events,
  segment => (SELECT user_id FROM users WHERE channel = 'ads'),
  with => (SELECT user_id FROM users WHERE channel = 'organic'),
  measures => {
    'looked at an item': 'view_item',
    'filled the cart': 'add_to_cart',
    'bought': 'purchase',
    'asked for help': 'support_ticket',
    'events per user': count(*),
    'active days': count(DISTINCT CAST(ts AS DATE)),
    'orders per user': count(*) FILTER (WHERE event = 'purchase'),
    'revenue per user': sum(price) FILTER (WHERE event = 'purchase')
  }
);
