//! Pages in headless Chromium: what a reader's browser makes of them.

use std::path::Path;
use std::process::Command;

use crate::program::Place;

/// Chromium, where this machine has one.
fn browser() -> Option<&'static str> {
    let paths = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    paths.into_iter().find(|path| Path::new(path).exists())
}

fn run(browser: &str, place: &Place, page: &Path, args: &[&str]) -> String {
    let profile = format!("--user-data-dir={}", place.path("profile").display());
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1000,1400", &profile])
        .args(args)
        .arg(page)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What an expression in JavaScript is in the page; `None`, with a word, where there is no browser.
pub fn asked(place: &Place, html: &str, expression: &str) -> Option<String> {
    let Some(browser) = browser() else {
        eprintln!("left out: no Chromium on this machine");
        return None;
    };
    let page = place.path("asked.html");
    let script = format!(
        "<script>addEventListener('load', () => {{ document.title = 'answer: ' + ({expression}) }})</script></body>"
    );
    assert!(html.contains("</body>"));
    std::fs::write(&page, html.replacen("</body>", &script, 1)).unwrap();
    let dom = run(browser, place, &page, &["--dump-dom", "--virtual-time-budget=2000"]);
    let title = dom.split("<title>answer: ").nth(1).and_then(|rest| rest.split("</title>").next());
    Some(title.unwrap_or_else(|| panic!("the page does not answer: {dom}")).to_string())
}

/// The page as printed; `None` where there is no browser.
pub fn printed(place: &Place, page: &Path) -> Option<Vec<u8>> {
    let browser = browser()?;
    let pdf = place.path("printed.pdf");
    run(browser, place, page, &["--no-pdf-header-footer", &format!("--print-to-pdf={}", pdf.display())]);
    Some(std::fs::read(pdf).unwrap())
}

/// In JavaScript: whether the keyboard reaches every mark of every picture.
pub const EVERY_MARK_HAS_A_FOCUS: &str =
    "[...document.querySelectorAll('.mark')].every(m => { m.focus(); return document.activeElement === m })";
