//! `tenure demo`: a walk through funnels, retention, cohorts and churn, on data that comes with the program.
//!
//! Deals with: putting the data there, the questions. Does not deal with: answers; each is SQL that works on any table.

use std::path::Path;

use super::args::DemoArgs;
use super::session::{Session, Stop};
use super::terminal::Terminal;
use super::{generate, highlight, repl};
use crate::engine::{Engine, Settings};
use crate::error::{Error, Result};
use crate::output::Chart;
use crate::sample::{GenerateOptions, Order};
use tokio::runtime::Handle;

/// Every purchase of 2,357 customers; testdata/README.md tells where they come from.
const PURCHASES: &[u8] = include_bytes!("../../testdata/cdnow/events.parquet");

const EVENTS: u64 = 200_000;
const USERS: u64 = 5_000;

struct Question {
    text: &'static str,
    sql: &'static str,
    /// Whether the answer is drawn.
    picture: bool,
}

const SHOP: &[Question] = &[
    Question {
        text: "Who buys? From looking at an item to the purchase within a day, by country.",
        sql: "SELECT country, step, name, users, conversion, step_conversion
FROM funnel(events, steps => ['view_item', 'add_to_cart', 'purchase'], within => INTERVAL '1 day', by => country)
WHERE country IN ('DE', 'GB', 'JP', 'US')
ORDER BY country, step;",
        picture: true,
    },
    Question {
        text: "Who stays? The share of users who come back n weeks after signing up, with its 95 % interval.",
        sql: "SELECT * FROM retention_curve(events, start => 'signup', unit => 'week', periods => 8);",
        picture: true,
    },
    Question {
        text: "Do later cohorts stay longer? Monthly cohorts; a month that is not over yet stays empty.",
        sql: "SELECT * FROM retention_triangle(events, start => 'signup', unit => 'month', periods => 5);",
        picture: true,
    },
    Question {
        text: "Who is about to leave? The ten highest scores among users seen in the last 30 days, and why.",
        sql: "SELECT user_id, score, level, p_alive, features['recency_days'] AS days_away, reasons[1] AS first_reason
FROM churn_scores(events, horizon => INTERVAL '30 days')
WHERE features['recency_days'] < 30
ORDER BY score DESC, features['events_before'] DESC, user_id LIMIT 10;",
        picture: false,
    },
];

const CDNOW: &[Question] = &[
    Question {
        text: "How many customers come back for a second and a third purchase within 90 days?",
        sql: "SELECT step, users, conversion, step_conversion
FROM funnel(purchases, steps => ['purchase', 'purchase', 'purchase'], within => INTERVAL '90 days')
ORDER BY step;",
        picture: true,
    },
    Question {
        text: "How many buy again n months after their first purchase?",
        sql: "SELECT * FROM retention_curve(purchases, unit => 'month', periods => 12);",
        picture: true,
    },
    Question {
        text: "Which of the best customers are slipping away? P(alive) of a BG/NBD model fitted to these very purchases.",
        sql: "SELECT user_id, p_alive, score, features['repeats'] AS repeats, features['recency_days'] AS days_away
FROM churn_scores(purchases, horizon => INTERVAL '90 days')
WHERE features['repeats'] >= 5
ORDER BY p_alive, user_id LIMIT 10;",
        picture: false,
    },
];

pub(super) async fn run(args: DemoArgs, terminal: Terminal, queries: Handle) -> Result<(), Stop> {
    if args.repl && !terminal.interactive() {
        return Err(Error::usage("demo --repl needs a terminal").into());
    }
    let folder = tempfile::Builder::new()
        .prefix("tenure-demo-")
        .tempdir()
        .map_err(|e| Error::io("make a folder in", &std::env::temp_dir(), &e))?;
    let mut session = open(folder.path(), terminal, queries).await?;
    if !args.repl {
        chapter(&mut session, &format!("A made shop: {USERS} users, {EVENTS} events (tables events, users)"), SHOP)
            .await?;
        chapter(&mut session, "CDNOW: every purchase of 2,357 real customers in 18 months (table purchases)", CDNOW)
            .await?;
        return session.print(
            "\nGo on: `tenure demo --repl` asks your own questions of these tables, `tenure functions` lists what there is,\n\
             `tenure init shop` makes a folder to begin in, with reports,\n\
             and `tenure -t events=your_events.parquet` opens your own events (columns user_id, ts, event).\n",
        );
    }
    terminal.print_note("tables: events, users (a made shop), purchases (CDNOW); \\df lists functions");
    repl::run(&mut session).await
}

/// Puts the data into `folder` and opens it.
async fn open(folder: &Path, terminal: Terminal, queries: Handle) -> Result<Session> {
    let purchases = folder.join("purchases.parquet");
    std::fs::write(&purchases, PURCHASES).map_err(|e| Error::io("write", &purchases, &e))?;
    let mut options = GenerateOptions::new(EVENTS, USERS, folder.join("shop"));
    options.seed = 7;
    options.order = Order::User;
    // The shop brings its own workspace file; the one of the current folder has no say, so the demo answers the same anywhere.
    let shop = options.out_dir.clone();
    generate::on_a_thread(options, true).await?;
    let settings = Settings {
        workspace: Some(shop),
        tables: vec![("purchases".into(), purchases.display().to_string())],
        local_files: true,
        ..Settings::default()
    };
    // Interactive even while it walks: Ctrl-C stops it tidily, and the folder goes.
    Ok(Session::new(Engine::open(&settings).await?, terminal, queries, true))
}

async fn chapter(session: &mut Session, title: &str, questions: &[Question]) -> Result<(), Stop> {
    let color = session.terminal.color();
    let bold = |text: &str| match color {
        true => nu_ansi_term::Style::new().bold().paint(text).to_string(),
        false => text.to_string(),
    };
    session.print(&format!("\n{}\n{}\n", bold(title), "=".repeat(title.chars().count())))?;
    for question in questions {
        let sql = if color { highlight::ansi(question.sql) } else { question.sql.to_string() };
        session.print(&format!("\n{}\n\n{sql}\n\n", bold(question.text)))?;
        let statement = question.sql.trim_end_matches(';');
        session.chart = question.picture.then_some(Chart::Fitting);
        session.execute(statement).await?;
    }
    session.chart = None;
    Ok(())
}
