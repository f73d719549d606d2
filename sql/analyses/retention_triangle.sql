-- Of those who signed up in a month, which share came back in each of the months after it?
--
-- Read off: along a row, how a cohort melts away; down a column, whether newer cohorts stay better than older ones did at
-- the same age. Months that are not over yet are empty, not low. `period_0` is a return within the month of the signup.
SELECT * FROM retention_triangle(events, start => 'signup', unit => 'month', periods => 5);
