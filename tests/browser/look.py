#!/usr/bin/env python3
"""Opens pages in Chromium as somebody would look at them, and says what is wrong with them.

    look.py CHROMIUM SCREENSHOTS PAGE…

Each page is shown at two widths, with a screenshot of each in the directory SCREENSHOTS. Wrong is: an error that the page reports, a
request for anything but the page itself, something that is wider than the window, an image that is not shown, a search that does
not hide what it does not find, a part of a bar that does not look as its legend. Prints a line of JSON for each page and width; ends with 1 if anything is wrong.

Needs nothing but Chromium: it is spoken to by its DevTools protocol, through pipes.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

WIDTHS = {1280: 800, 400: 800}
# What is taller is cut.
MAX_SCREENSHOT_HEIGHT_PX = 8_000

# What is wider than the window, unless something around it scrolls or cuts it.
TOO_WIDE = """(() => {
  const width = document.documentElement.clientWidth;
  const isCut = (element) => {
    for (let at = element.parentElement; at && at !== document.body; at = at.parentElement)
      if (getComputedStyle(at).overflowX !== "visible") return true;
    return false;
  };
  const wide = [...document.body.querySelectorAll("*")]
    .filter((it) => it.getBoundingClientRect().right > width + 1 && it.getClientRects().length && !isCut(it))
    .map((it) => `${it.tagName} ${it.className}`.trim());
  if (document.documentElement.scrollWidth > width) wide.push(`page of ${document.documentElement.scrollWidth} px`);
  return wide;
})()"""
BROKEN_IMAGES = "[...document.images].filter((it) => !it.complete || !it.naturalWidth).length"
# The parts of bars look as their legend says, and no two of them alike.
FLOW = """(() => {
  const look = (it) => ["backgroundColor", "backgroundImage"].map((name) => getComputedStyle(it)[name]).join();
  const key = new Map([...document.querySelectorAll("#flow b")].map((it) => [it.textContent.trim(), look(it.firstChild)]));
  const parts = [...document.querySelectorAll(".stack > div")];
  const wrong = parts.filter((it) => key.get(it.title.split(":")[0]) !== look(it)).map((it) => `not as in the legend: ${it.title}`);
  if (new Set(key.values()).size !== key.size) wrong.push(`parts that look alike: ${[...key.keys()]}`);
  return wrong;
})()"""
# Nothing has such a text; then everything is shown again.
SEARCH = """(() => {
  const search = document.getElementById("search");
  if (!search) return ["no search"];
  const shown = () => [...document.querySelectorAll(".sample, .reject")].filter((it) => it.getClientRects().length).length;
  const all = shown(), wrong = [];
  const type = (text) => { search.value = text; search.dispatchEvent(new Event("input")); };
  type("nothing has this in it");
  if (shown()) wrong.push(`${shown()} are found by a text that none has`);
  const first = document.querySelector(".sample code");
  if (first) { type(first.textContent); if (!shown()) wrong.push("a sample is not found by its id"); }
  type("");
  if (shown() !== all) wrong.push("an empty search hides samples");
  return wrong;
})()"""


class Browser:
    """Chromium without a window."""

    def __init__(self, program, profile):
        to_browser, from_browser = os.pipe(), os.pipe()
        # It reads descriptor 3, and writes to 4.
        shell = f'exec "$@" 3<&{to_browser[0]} 4>&{from_browser[1]}'
        flags = ["--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--hide-scrollbars"]
        flags += ["--disable-background-networking", "--disable-dev-shm-usage", f"--user-data-dir={profile}"]
        # Its sandbox needs rights that root in a container lacks; the pages are our own.
        flags += ["--no-sandbox"] if os.geteuid() == 0 else []
        self.process = subprocess.Popen(
            ["sh", "-c", shell, "sh", program, *flags, "about:blank"],
            pass_fds=(to_browser[0], from_browser[1]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        os.close(to_browser[0])
        os.close(from_browser[1])
        self.to_browser, self.from_browser = os.fdopen(to_browser[1], "wb"), os.fdopen(from_browser[0], "rb")
        self.buffer, self.number, self.events = b"", 0, []

    def receive(self):
        while b"\0" not in self.buffer:
            part = os.read(self.from_browser.fileno(), 1 << 20)
            if not part:
                raise RuntimeError(f"Chromium ended: {self.process.stderr.read().decode(errors='replace')[-2000:]}")
            self.buffer += part
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def ask(self, method, session=None, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self.to_browser.write(json.dumps(message).encode() + b"\0")
        self.to_browser.flush()
        while (answer := self.receive()).get("id") != self.number:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def wait_for(self, method):
        while not any(event["method"] == method for event in self.events):
            self.events.append(self.receive())


def look_at(browser, page, width, screenshots):
    """What is wrong with a page at a width."""
    url = page.resolve().as_uri()
    target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
    session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ["Page", "Runtime", "Log", "Network"]:
        browser.ask(f"{domain}.enable", session)
    metrics = {"width": width, "height": WIDTHS[width], "deviceScaleFactor": 1, "mobile": width < 600}
    browser.ask("Emulation.setDeviceMetricsOverride", session, **metrics)
    browser.events = []
    browser.ask("Page.navigate", session, url=url)
    browser.wait_for("Page.loadEventFired")

    def value(expression):
        answer = browser.ask("Runtime.evaluate", session, expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{page}: {answer['exceptionDetails']}")
        return answer["result"]["value"]

    wrong = [f"wider than {width} px: {it}" for it in value(TOO_WIDE)] + value(SEARCH) + value(FLOW)
    if broken := value(BROKEN_IMAGES):
        wrong.append(f"{broken} images are not shown")
    height = min(value("document.documentElement.scrollHeight"), MAX_SCREENSHOT_HEIGHT_PX)
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    shot = browser.ask("Page.captureScreenshot", session, clip=clip, captureBeyondViewport=True)["data"]
    file = screenshots / f"{page.stem}-{width}.png"
    file.write_bytes(base64.b64decode(shot))
    for event in browser.events:
        details = event.get("params", {})
        if event["method"] == "Runtime.exceptionThrown":
            wrong.append(f"exception: {details['exceptionDetails'].get('text')}")
        elif event["method"] == "Log.entryAdded" and details["entry"]["level"] == "error":
            wrong.append(f"error: {details['entry']['text']}")
        elif event["method"] == "Runtime.consoleAPICalled" and details["type"] in ("error", "assert"):
            wrong.append(f"console: {details['args']}")
        elif event["method"] == "Network.requestWillBeSent":
            requested = details["request"]["url"]
            if requested != url and not requested.startswith("data:"):
                wrong.append(f"request: {requested}")
    images = value("document.images.length")
    browser.ask("Target.closeTarget", targetId=target)
    print(json.dumps({"page": page.name, "width_px": width, "height_px": height, "images": images, "wrong": wrong}))
    return wrong


def main():
    program, screenshots, *pages = sys.argv[1:]
    screenshots = Path(screenshots)
    screenshots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, profile)
        try:
            wrong = [look_at(browser, Path(page), width, screenshots) for page in pages for width in WIDTHS]
        finally:
            browser.process.kill()
            browser.process.wait()
    sys.exit(1 if any(wrong) else 0)


main()
