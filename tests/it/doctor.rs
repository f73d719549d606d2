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
    assert_snapshot!(place.run(&["doctor", "-t", "bad=bad.csv", "--as-of", "2025-03-28"]), @"");
}

#[test]
fn sound_tables_have_nothing_wrong() {
    let shop = format!("{}/testdata/shop", env!("CARGO_MANIFEST_DIR"));
    assert_snapshot!(Place::new().run(&["doctor", "-w", &shop, "--as-of", "2025-06-30"]), @"");
    let place = Place::new();
    place.write("users.csv", "user_id,country\n1,DE\n1,FR\n2,US\n");
    place.write("odd.csv", "a,b\n1,2\n");
    place.write("number.csv", "user_id,time,event\n1,1700000000000,x\n");
    place.write("empty.csv", "user_id,ts,event\n");
    let tables = ["users=users.csv", "odd=odd.csv", "number=number.csv", "empty=empty.csv"];
    let args: Vec<&str> = tables.iter().flat_map(|t| ["-t", t]).collect();
    assert_snapshot!(place.run(&[&["doctor", "--as-of", "2025-06-30"], &args[..]].concat()), @"");
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
    assert_snapshot!(place.run(&["doctor"]), @"");
    assert_snapshot!(place.run(&["doctor", "x", "-t", "a=b.csv"]), @"");
    assert_snapshot!(place.run(&["doctor", "--verify"]), @"");
    place.write("t.csv", "user_id,ts,event\n1,2025-01-01,view\n");
    assert_snapshot!(place.run(&["doctor", "-t", "t=t.csv", "--as-of", "yesterday"]), @"");
    assert_snapshot!(place.run(&["doctor", "-t", "t=nothing.csv"]), @"");
}
