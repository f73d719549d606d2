-- What do visitors do next, and where do they leave?
--
-- Read off: `share` is how many of those at `source` go to `target`; the rows to `(end)` are exit rates. A high exit rate
-- where something should follow (cart, checkout) is a leak; a long `median_seconds` before a step is hesitation. The ten most
-- frequent events have names, the rest is `(other)`.
SELECT source, target, events, users, round(share, 3) AS share, median_seconds
FROM transitions(events, collapse => true, top => 10)
WHERE source <> '(start)'
ORDER BY events DESC, source, target
LIMIT 20;
