//! What `tenure doctor` finds in the data of tables. Damage of managed tables is in `damage`.

use insta::assert_snapshot;

use crate::program::Place;

/// Events with one of each fault.
fn bad(place: &Place) {
    let mut rows = vec!["user_id,ts,event,price,note".to_string()];
    for day in 1..28 {
        let events = match day {
            9 | 10 | 17 => 0,
            20 => 3,
            _ => 40,
        };
        for n in 0..events {
            let event = ["view", "view", "Purchase", "purchase", "add_to_cart", "Add to cart"][(n + day) % 6];
            rows.push(format!("{},2025-03-{day:02}T{:02}:00:{n:02}Z,{event},,", n * 7 % 50 + 1, n % 24));
        }
    }
    rows.extend_from_within(5..9);
    rows.extend((0..60).map(|n| format!("undefined,2025-03-05T00:00:{n:02}Z,view,,")));
    for odd in [",2025-03-05T00:00:00Z", "7,1970-01-01T00:00:00Z", "7,2031-01-01T00:00:00Z"] {
        rows.push(format!("{odd},view,3.5,"));
    }
    place.write("bad.csv", &(rows.join("\n") + "\n"));
}

#[test]
fn each_fault_is_found_and_says_what_to_do() {
    let place = Place::new();
    bad(&place);
    assert_snapshot!(place.run(&["doctor", "-t", "bad=bad.csv", "--as-of", "2025-03-28"]), @r#"
    exit 1
    -- stdout
    bad: 990 rows, 1970-01-01 00:00:00Z to 2031-01-01 00:00:00Z
      problem  rows without a user ('user_id' is NULL): 1 (0.1 %)
               → they take no part in any answer: give visitors an id (of the device, a cookie) before the load
      problem  events in the future: 1, the last at 2031-01-01 00:00:00Z (it is 2025-03-28)
               → clocks of devices, or a wrong unit: leave them out (WHERE), or load the time at which the server got them
      problem  events before 1990: 1, the first at 1970-01-01 00:00:00Z
               → a time of 0, or seconds read as milliseconds: --time-unit at the load
      problem  days without an event: 3 (2 after 2025-03-08, 1 after 2025-03-16)
               → load those days again; users seem to leave and come back there
      problem  rows that repeat another one in every column: 4
               → a load that ran twice, or a client that sends again: tenure ingest --dedup-key ID keeps one of each
      problem  event names that differ by case or separators alone: 'add_to_cart' (155), 'Add to cart' (153)
               → one of them for all, at the load or in a view: CASE event WHEN '..' THEN '..' ELSE event END
      problem  event names that differ by case or separators alone: 'Purchase' (156), 'purchase' (156)
               → one of them for all, at the load or in a view: CASE event WHEN '..' THEN '..' ELSE event END
      problem  ids that stand for nobody count as a user: 'undefined' (60)
               → make them NULL at the load (null = [".."] in the mapping file), so that they take no part
      note     nothing but NULL in note
               → see whether the source calls the field otherwise, else leave it out
      note     mostly NULL: price (99.7 %)
               → as it should be where only some events have it
      note     days with less than a tenth of the usual 40 events: 2025-03-20 (3)
               → see whether the load of those days was whole
    -- stderr
    8 problems, 3 notes
    error: doctor: 8 problems
    "#);
}

#[test]
fn sound_tables_have_nothing_wrong() {
    let shop = format!("{}/testdata/shop", env!("CARGO_MANIFEST_DIR"));
    assert_snapshot!(Place::new().run(&["doctor", "-w", &shop, "--as-of", "2025-06-30"]), @r#"
    exit 0
    -- stdout
    events: 40,000 rows, 2025-01-01 05:27:07 to 2025-06-29 22:10:10
      note     mostly NULL: campaign (93.5 %), item_id (80.2 %), price (81.4 %), order_id (99.3 %)
               → as it should be where only some events have it
      note     times have no zone, and days begin at midnight UTC
               → [options] "tenure.time_zone" = "Europe/Berlin" in tenure.toml, or tz => '..' in a call, where days are local ones
      note     user '652' has 18.0 % of all events (7,190)
               → a robot, a test, or many people under one id: leave it out where averages matter
    users: 2,000 rows
      nothing found
    -- stderr
    0 problems, 3 notes
    "#);
    let place = Place::new();
    place.write("users.csv", "user_id,country\n1,DE\n1,FR\n2,US\n");
    place.write("odd.csv", "a,b\n1,2\n");
    place.write("number.csv", "user_id,time,event\n1,1700000000000,x\n");
    place.write("empty.csv", "user_id,ts,event\n");
    let tables = ["users=users.csv", "odd=odd.csv", "number=number.csv", "empty=empty.csv"];
    let args: Vec<&str> = tables.iter().flat_map(|t| ["-t", t]).collect();
    assert_snapshot!(place.run(&[&["doctor", "--as-of", "2025-06-30"], &args[..]].concat()), @r#"
    exit 0
    -- stdout
    empty: 0 rows
      note     the time column 'ts' is VARCHAR, not a time: clocks and days were not looked at
               → tenure ingest makes times of it (--time-unit), or time_unit => 'ms' in each call
      note     the table is empty
               → see whether the location is right, and the load has run
    number: 1 row
      note     the time column 'time' is BIGINT, not a time: clocks and days were not looked at
               → tenure ingest makes times of it (--time-unit), or time_unit => 'ms' in each call
    odd: 1 row
      note     no column has a role: user, time and event are unknown among a, b
               → [tables.NAME] user = "..", time = "..", event = ".." in tenure.toml, or user => .. in each call
    users: 3 rows
      note     users with several rows: 1 rows more than users
               → a join with it gives an event several times; join with SELECT DISTINCT ON (user) .., or one row each
    -- stderr
    0 problems, 5 notes
    "#);
}

/// A name from the data cannot drive the terminal, and a table may be called anything.
#[test]
fn hostile_names_stay_text() {
    let place = Place::new();
    place.write("t.csv", "user_id,ts,event\n1,2025-01-01,\"\x1b[2Jview\"\n1,2025-01-02,\"\x1b[2JVIEW\"\n");
    let told = place.run(&["doctor", "-t", "select \"x\"=t.csv", "--as-of", "2025-01-02"]);
    assert!(told.contains("'\\x1b[2JVIEW' (1), '\\x1b[2Jview' (1)"), "{told}");
    assert!(!told.contains('\x1b'), "{told}");
}

#[test]
fn what_it_cannot_look_at() {
    let place = Place::new();
    assert_snapshot!(place.run(&["doctor"]), @r"
    exit 2
    -- stderr
    error: doctor: there are no tables here
    hint: -t events=FILE names one, -w DIR a folder with a tenure.toml
    ");
    assert_snapshot!(place.run(&["doctor", "x", "-t", "a=b.csv"]), @r"
    exit 2
    -- stderr
    error: doctor looks for damage in a managed table's folder, or at what tables hold (-w, -t), not both
    hint: tenure doctor data/events, tenure doctor -t events=data/events
    ");
    assert_snapshot!(place.run(&["doctor", "--verify"]), @r"
    exit 2
    -- stderr
    error: --verify reads the files of a managed table: name its folder
    ");
    place.write("t.csv", "user_id,ts,event\n1,2025-01-01,view\n");
    assert_snapshot!(place.run(&["doctor", "-t", "t=t.csv", "--as-of", "yesterday"]), @r"
    exit 2
    -- stderr
    error: --as-of 'yesterday': a time is written 2025-07-01 or 2025-07-01T12:00:00
    ");
    assert_snapshot!(place.run(&["doctor", "-t", "t=nothing.csv"]), @r"
    exit 1
    -- stderr
    error: table 't': 'nothing.csv' does not exist
    ");
}
