-- Where do the users stand today: new, active, at risk, churned? And which platform holds them best?
--
-- Read off: `at_risk` are silent for one to three weeks, a message may bring them back; `churned` are silent for longer. `share` compares
-- platforms of different size.
SELECT platform, state, users, round(share, 3) AS share
FROM lifecycle_states(events, unit => 'week', churned_after => 4, by => platform);
