"""A headless Chromium for tests: opens a page from disk and tells what the browser saw, asked for and refused.

Debian and Ubuntu: ``apt-get install chromium chromium-driver``; the Python package selenium is in the extra ``dev``.
"""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Runs in every page before its own scripts; the DevTools protocol adds it past the page's policy.
WATCH = """
window.__refused = [];
window.__failures = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.__refused.push(event.violatedDirective + " " + event.blockedURI + " " + event.sample);
});
window.addEventListener("error", (event) => { window.__failures.push(String(event.message)); });
window.addEventListener("unhandledrejection", (event) => { window.__failures.push(String(event.reason)); });
"""

# Every element with text of its own whose computed colours contrast less than WCAG AA asks for.
CONTRAST = r"""
const parse = (text) => {
  const parts = text.match(/[\d.]+/g).map(Number);
  return parts.length < 4 ? [...parts, 1] : parts;
};
const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
const luminance = (colour) => {
  const linear = (v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const [r, g, b] = colour.slice(0, 3).map((v) => linear(v / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const known = new Map();
const ground = (element) => {
  if (!element) return matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18, 1] : [255, 255, 255, 1];
  if (!known.has(element)) {
    const own = parse(getComputedStyle(element).backgroundColor);
    known.set(element, over(own, ground(element.parentElement)));
  }
  return known.get(element);
};
const low = [];
for (const element of document.querySelectorAll("body *")) {
  const words = [...element.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join("");
  if (!words || !element.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
  const style = getComputedStyle(element);
  const box = element.getBoundingClientRect();
  if (box.right < 0 || box.width <= 1 || ["OPTION", "SCRIPT", "STYLE"].includes(element.tagName)) continue;
  if (element.matches(":disabled")) continue;
  const under = ground(element);
  const ink = over(parse(element instanceof SVGElement ? style.fill : style.color), under);
  const [a, b] = [luminance(ink), luminance(under)].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  const name = `${element.tagName}.${element.getAttribute("class")}: ${words.slice(0, 40)}`;
  if (ratio < (large ? 3 : 4.5)) low.push(`${ratio.toFixed(2)} ${name}`);
}
return low;
"""

# Elements that stick out of the window and do not lie in a box that scrolls or clips.
STICKING_OUT = """
const width = document.documentElement.clientWidth;
const contained = (element) => {
  for (let e = element; e && e !== document.body; e = e.parentElement)
    if (["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(e).overflowX)) return true;
  return false;
};
return [...document.querySelectorAll("body *")]
  .filter((e) => e.getBoundingClientRect().right > width + 1 && !contained(e))
  .map((e) => e.tagName + "." + e.getAttribute("class") + " " + e.getBoundingClientRect().right);
"""


class Browser:
    """One Chromium and its current page."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.command("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        self.command("Network.enable")

    def command(self, name: str, **arguments: Any) -> Any:
        """A command of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(name, arguments)

    def run(self, script: str, *arguments: Any) -> Any:
        """What ``script`` returns in the page."""
        return self.driver.execute_script(script, *arguments)

    def open(
        self, path: Path, width: int = 1280, height: int = 900, *, dark: bool = False, scripts: bool = True
    ) -> None:
        """Load a file; everything that the browser noted about earlier pages is forgotten."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        self.colours(dark=dark)
        self.command("Emulation.setScriptExecutionDisabled", value=not scripts)
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)
        self.run("window.__left = true")
        self.driver.get(path.resolve().as_uri())
        self._wait("!window.__left && document.readyState === 'complete'")

    def _wait(self, condition: str, seconds: float = 60.0) -> None:
        """Until a condition of the page holds: on a busy machine the driver's own wait can end with the page before."""
        end = time.monotonic() + seconds
        while not self.run(f"return {condition}"):
            if time.monotonic() > end:
                raise AssertionError(f"not after {seconds:g} s: {condition}")
            time.sleep(0.01)

    def colours(self, *, dark: bool) -> None:
        """What the reader's system prefers."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.command("Emulation.setEmulatedMedia", media="", features=scheme)

    def console(self) -> list[str]:
        """Messages of the console since the page was opened (errors, warnings and refusals of the policy)."""
        return [f"{entry['level']}: {entry['message']}" for entry in self.driver.get_log("browser")]

    def requested(self) -> list[str]:
        """Addresses asked for since the page was opened, without those that carry their content (``data:``)."""
        found = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
                parameters = message["params"]
                found.append(parameters.get("url") or parameters["request"]["url"])
        return [address for address in found if not address.startswith("data:")]

    def refused(self) -> list[str]:
        """What the content security policy blocked."""
        return self.run("return window.__refused")

    def failures(self) -> list[str]:
        """Errors that no script caught."""
        return self.run("return window.__failures")

    def low_contrast(self) -> list[str]:
        """Visible texts below the contrast of WCAG 2.1 AA (4.5, or 3 for large text)."""
        return self.run(CONTRAST)

    def sticking_out(self) -> list[str]:
        """Elements wider than the window."""
        return self.run(STICKING_OUT)

    def broken_pictures(self) -> int:
        """How many images cannot be shown, once the browser has tried all."""
        return self.driver.execute_async_script(
            "const done = arguments[0], all = [...document.images].filter((i) => i.checkVisibility());"
            "Promise.all(all.map((i) => i.decode().then(() => 0, () => 1)))"
            ".then((failed) => done(failed.reduce((a, b) => a + b, 0)));"
        )

    def press(self, key: str, *, shift: bool = False) -> None:
        """One key by its DOM name, to the element in focus."""
        text = {"Enter": "\r", " ": " "}.get(key, "")
        code = {
            "Enter": 13,
            "Tab": 9,
            " ": 32,
            "Escape": 27,
            "End": 35,
            "Home": 36,
            "ArrowLeft": 37,
            "ArrowUp": 38,
            "ArrowRight": 39,
            "ArrowDown": 40,
        }[key]
        shared = {
            "key": key,
            "code": key if key != " " else "Space",
            "windowsVirtualKeyCode": code,
            "modifiers": 8 * shift,
        }
        self.command("Input.dispatchKeyEvent", type="keyDown", text=text, **shared)
        self.command("Input.dispatchKeyEvent", type="keyUp", **shared)

    def tab_to(self, selector: str, most: int = 400) -> int:
        """Press Tab until an element that fits has the focus; returns how often, or raises AssertionError."""
        for count in range(1, most + 1):
            self.press("Tab")
            if self.run("return document.activeElement.matches(arguments[0])", selector):
                return count
        raise AssertionError(f"{most} times Tab did not reach {selector}")

    def screenshot(self, path: Path, *, whole: bool = True) -> Path:
        """The page, or the window on it, as a PNG file."""
        image = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(image["data"]))
        return path

    def pdf(self) -> bytes:
        """The page as printed on A4."""
        printed = self.command("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=True)
        return base64.b64decode(printed["data"])


def missing() -> str:
    """Why there is no browser here, or an empty text."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "no selenium: pip install tamis[dev]"
    if not _chromium():
        return "no Chromium: install the Debian packages chromium and chromium-driver"
    if not shutil.which("chromedriver"):
        return "no chromedriver: install the Debian package chromium-driver"
    return ""


def _chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextlib.contextmanager
def chromium(downloads: Path) -> Iterator[Browser]:
    """A headless browser that ends with the block; files that pages offer go to ``downloads``."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = _chromium()
    # No sandbox, because continuous integration runs as root in a container; the pages are our own.
    for flag in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-dev-shm-usage",
        "hide-scrollbars",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        driver.set_script_timeout(300)  # a busy machine draws slowly
        driver.execute_cdp_cmd(
            "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads), "eventsEnabled": True}
        )
        yield Browser(driver)
    finally:
        driver.quit()
