//! The page as a browser shows it: headless Chromium, where it is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::tests::{of_kinds, recorded, written};
use super::*;

/// Asks the browser what it sees, once the page's own script has run.
const CHECK: &str = r##"<script>
addEventListener("load", () => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const shown = (element) => element.getClientRects().length > 0;
  const runs = all(".run").filter(shown);
  const first = runs[0] && runs[0].querySelector(".j");
  if (first) first.focus();
  const plot = runs[0] && runs[0].querySelector(".plot svg");
  if (plot) {
    const box = plot.getBoundingClientRect();
    plot.dispatchEvent(new PointerEvent("pointermove", { clientX: box.left + box.width / 2, clientY: box.top + 20 }));
  }
  const cell = document.querySelector(".matrix td a");
  let arrowed = "";
  if (cell) {
    cell.focus();
    cell.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
    arrowed = document.activeElement.getAttribute("href");
  }
  const check = {
    error: document.documentElement.getAttribute("data-error"),
    cells: all(".matrix tbody td").length,
    links: all("a").length,
    dangling: all("a").filter((link) => !document.getElementById(link.getAttribute("href").slice(1))).length,
    current: all("[aria-current]").map((link) => link.getAttribute("href")),
    runs: runs.map((run) => run.id),
    promised: all(".run").map((run) => Number(run.dataset.arrows)),
    drawn: all(".run").map((run) => run.querySelectorAll("path.a").length),
    visible: all("path.a").filter((path) => shown(path)).length,
    detail: all(".detail").filter(shown).map((detail) => detail.textContent).join(),
    value: all(".plot output").map((output) => output.textContent).join(""),
    readout: all(".readout").map((line) => line.textContent).join(),
    arrowed,
    wide: document.documentElement.scrollWidth,
    room: innerWidth,
    faint: faint(),
  };
  document.documentElement.setAttribute("data-check", JSON.stringify(check));
});

// Texts that do not stand out from what they stand on as WCAG 2.1 wants it (1.4.3).
function faint() {
  const parts = (color) => (color.match(/[\d.]+/g) || []).map(Number);
  const light = (color) => {
    const [r, g, b] = parts(color).map((c) => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (parts(color)[3] !== 0) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const found = [];
  for (const element of document.querySelectorAll("h1, h2, h3, p, dt, dd, li, th span, td a, .j text, .time, .note text")) {
    if (!element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const text = element instanceof SVGElement ? style.fill : style.color;
    const on = element.closest(".note") ? style.stroke : ground(element);
    const [a, b] = [light(text), light(on)].sort((a, b) => b - a);
    if ((a + 0.05) / (b + 0.05) < 4.5) found.push(`${element.className.baseVal ?? element.className} ${element.textContent.slice(0, 20)}: ${text} on ${on}`);
  }
  return [...new Set(found)].slice(0, 10);
}
</script>
</body>"##;

/// How wide a window is.
const WIDE: &str = "1440,1300";
const NARROW: &str = "400,1300";

struct Browser {
    program: &'static str,
    folder: tempfile::TempDir,
}

impl Browser {
    /// `None`, and a word, where there is none.
    fn find() -> Option<Self> {
        let programs = ["chromium", "chromium-browser", "google-chrome"];
        let there = |program: &&str| Command::new(program).arg("--version").output().is_ok();
        let Some(program) = programs.into_iter().find(there) else {
            println!("skipped: no Chromium");
            return None;
        };
        Some(Self { program, folder: tempfile::tempdir().unwrap() })
    }

    fn open(&self, page: &Path, at: &str, window: &str, dark: bool, more: &[&str]) -> Vec<u8> {
        let mut profile = std::ffi::OsString::from("--user-data-dir=");
        profile.push(self.folder.path().join("profile"));
        let output = Command::new(self.program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--virtual-time-budget=5000",
            ])
            .arg(profile)
            .arg(format!("--window-size={window}"))
            .arg(format!("--blink-settings=preferredColorScheme={}", u8::from(!dark)))
            .args(more)
            .arg(format!("file://{}{at}", page.display()))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn write(&self, html: &str) -> PathBuf {
        let path = self.folder.path().join("page.html");
        std::fs::write(&path, html.replace("</body>", CHECK)).unwrap();
        path
    }

    /// What the browser says of the page.
    fn check(&self, page: &Path, at: &str, window: &str, dark: bool) -> Value {
        let dom = String::from_utf8(self.open(page, at, window, dark, &["--dump-dom"])).unwrap();
        let check = dom.split("data-check=\"").nth(1).and_then(|rest| rest.split('"').next());
        let check = check
            .unwrap_or_else(|| panic!("the page's scripts did not run: {}", &dom[..dom.len().min(2000)]));
        serde_json::from_str(
            &check.replace("&quot;", "\"").replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"),
        )
        .unwrap()
    }

    /// A picture of it: width and height, and how many bytes it was compressed to.
    fn look(&self, page: &Path, at: &str, window: &str, dark: bool) -> (u32, u32, usize) {
        let file = self.folder.path().join("shot.png");
        self.open(page, at, window, dark, &[&format!("--screenshot={}", file.display())]);
        let png = std::fs::read(file).unwrap();
        assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
        let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
        (number(16), number(20), png.len())
    }
}

fn numbers(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|number| number.as_u64().unwrap()).collect()
}

#[test]
fn a_browser_shows_the_matrix_and_the_run_that_a_cell_leads_to() {
    let Some(browser) = Browser::find() else { return };
    let page = browser.write(&written(&of_kinds()));

    let check = browser.check(&page, "", WIDE, false);
    assert_eq!(check["error"], Value::Null);
    assert_eq!((&check["cells"], &check["dangling"]), (&144.into(), &0.into()));
    assert!(check["links"].as_u64() >= Some(144));
    assert_eq!(check["runs"], Value::Array(Vec::new()), "none is shown before one is asked for");
    assert_eq!(check["faint"], Value::Array(Vec::new()), "everything can be read");
    assert_eq!(check["arrowed"], "#run-1", "an arrow key goes on to the next cell");
    assert!(check["readout"].as_str().unwrap().contains("direct over UDP"), "{}", check["readout"]);

    let check = browser.check(&page, "", NARROW, false);
    assert!(
        check["wide"].as_u64() <= check["room"].as_u64(),
        "the page itself never scrolls sideways: {check}"
    );

    let check = browser.check(&page, "#run-3", WIDE, true);
    assert_eq!(check["error"], Value::Null);
    assert_eq!(
        (&check["runs"], &check["current"]),
        (&serde_json::json!(["run-3"]), &serde_json::json!(["#run-3"]))
    );
    let drawn = numbers(&check["drawn"]);
    assert_eq!((drawn.len(), &drawn), (144, &numbers(&check["promised"])));
    assert_eq!(check["visible"].as_u64(), Some(drawn[3]));
    assert!(drawn.iter().all(|arrows| *arrows > 10), "{drawn:?}");
    assert_eq!(check["faint"], Value::Array(Vec::new()), "in the dark too");
}

#[test]
fn a_browser_shows_a_run_with_all_its_arrows_its_details_and_its_values() {
    let Some(browser) = Browser::find() else { return };
    let page = Page {
        title: "A transfer".into(),
        runs: vec![("A transfer".into(), recorded(1, 400_000))],
        ..Page::default()
    };
    let page = browser.write(&written(&page));
    for (window, dark) in [(WIDE, false), (WIDE, true), (NARROW, false), (NARROW, true)] {
        let check = browser.check(&page, "", window, dark);
        assert_eq!((&check["error"], &check["runs"]), (&Value::Null, &serde_json::json!(["run-0"])));
        assert_eq!(check["drawn"], check["promised"]);
        assert!(check["visible"].as_u64() > Some(200), "{}", check["visible"]);
        assert!(check["detail"].as_str().unwrap().starts_with("hello"), "{}", check["detail"]);
        assert!(check["value"].as_str().unwrap().contains("Mbit/s"), "{}", check["value"]);
        assert!(
            check["wide"].as_u64() <= check["room"].as_u64(),
            "the page itself never scrolls sideways: {check}"
        );
        assert_eq!(check["faint"], Value::Array(Vec::new()));
    }
}

#[test]
fn a_picture_of_the_page_is_not_blank_narrow_or_wide_by_day_or_by_night() {
    let Some(browser) = Browser::find() else { return };
    let full = browser.write(&written(&of_kinds()));
    for (window, size) in [(WIDE, (1440, 1300)), (NARROW, (400, 1300))] {
        for dark in [false, true] {
            let (width, height, bytes) = browser.look(&full, "#run-0", window, dark);
            assert_eq!((width, height), size);
            // One colour compresses to some 10 kB of nothing.
            assert!(bytes > 40_000, "{bytes} bytes, {window}, dark: {dark}");
        }
    }
}
