-- How few customers bring most of the revenue?
--
-- Read off: class A brings 80 % of the revenue, A and B together 95 %. The smaller `items_rate` of class A is, the more
-- depends on few people; `at_least` is what it takes to be one of them.
SELECT class, items AS customers, round(items_rate, 3) AS customers_rate, round(value, 2) AS revenue, round(value_rate, 3) AS revenue_rate, at_least
FROM pareto(events, value => price, active => 'purchase');
