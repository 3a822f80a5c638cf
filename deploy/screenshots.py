#!/usr/bin/env python3
"""Pictures of a running and of a finished fork in Temporal's UI: `make screenshots`.

Starts the demo on the embedded stack, opens the page of its second fork in a headless Chromium while it runs and after its
end, and keeps what it sees in .dev/screenshots. Fails when phase, percent, rate or time left cannot be read on the page: then
operators cannot read them either.

Needs Chromium (Debian: `apt-get install chromium`), or its path in CHROMIUM. Set SYNCMUX to the program, and ENTITIES to how
many the demo's raw store is to have; with fewer a fork ends before the browser is there.
"""

import base64
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
DEV = Path(os.environ.get("SYNCMUX_DEV_DIR") or ROOT / ".dev").resolve()
SYNCMUX = os.environ.get("SYNCMUX") or str(ROOT / "target" / "debug" / "syncmux")
ENTITIES = os.environ.get("ENTITIES") or "20000"
PATIENCE = 600


def fail(text):
    """Ends the run with a sentence that says what to do."""
    sys.exit(f"screenshots: {text}")


def chromium():
    """The browser."""
    names = [os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"]
    found = next((path for path in map(shutil.which, filter(None, names)) if path), None)
    return found or fail("no Chromium here: `apt-get install chromium`, or set CHROMIUM to its path")


def stack():
    """Variables that point at the demo's servers, and the address of Temporal's UI."""
    told = json.loads(subprocess.check_output([SYNCMUX, "stack", "status", "--json"], text=True))
    address = told["temporal"]["address"]
    return (address, told["temporal_ui_url"]) if address and told.get("temporal_ui_url") else None


def temporal(address, *arguments):
    """What the `temporal` command prints, or nothing while it fails."""
    binary = os.environ.get("TEMPORAL_BIN") or str(DEV / "bin" / "temporal")
    done = subprocess.run([binary, "workflow", *arguments, "--address", address, "-o", "json"], capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 and done.stdout.strip() else None


def progress(address, workflow):
    """Where a fork is."""
    told = temporal(address, "query", "-w", workflow, "--type", "progress")
    return told["queryResult"][0] if told else {}


def until(what, look):
    """Waits until `look` gives something."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.3)
    fail(f"waited {PATIENCE} s in vain: {what}")


class Browser:
    """A headless Chromium, told what to do over a pipe by its DevTools protocol: JSON messages that end with a zero byte."""

    def __init__(self, profile):
        to_read, self.to_browser = os.pipe()
        self.from_browser, to_write = os.pipe()
        command = [chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1280,1000"]
        command += ["--remote-debugging-pipe", f"--user-data-dir={profile}"]
        # The browser reads from its descriptor 3 and writes to 4. Moved up first, lest one takes the other's place.
        wires = f"exec {' '.join(map(shlex.quote, command))} 3<&{to_read} 4>&{to_write}"
        self.process = subprocess.Popen(
            ["bash", "-c", wires], pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_read)
        os.close(to_write)
        self.calls, self.rest = 0, b""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        self.session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]

    def call(self, method, parameters, session=None):
        """Calls a method and waits for its answer; events are passed over."""
        self.calls += 1
        message = {"id": self.calls, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.rest:
                read = os.read(self.from_browser, 1 << 16)
                if not read:
                    fail("Chromium ended by itself")
                self.rest += read
            answer, self.rest = self.rest.split(b"\0", 1)
            answer = json.loads(answer)
            if answer.get("id") == self.calls:
                return answer["result"] if "result" in answer else fail(f"Chromium refused {method}: {answer['error']}")

    def text(self):
        """What can be read on the page and in its frames; texts of a workflow are shown in frames of their own."""
        snapshot = self.call("DOMSnapshot.captureSnapshot", {"computedStyles": []}, self.session)
        strings = snapshot["strings"]
        shown = (strings[text] for document in snapshot["documents"] for text in document["layout"]["text"] if text >= 0)
        return " ".join(" ".join(shown).split())

    def close(self):
        self.process.terminate()
        self.process.wait()


def picture(ui, workflow, run, name):
    """Keeps the page of a workflow as the browser shows it, once everything can be read there."""
    into = DEV / "screenshots"
    into.mkdir(parents=True, exist_ok=True)
    browser = Browser(into / "browser")
    try:
        url = f"{ui}/namespaces/default/workflows/{quote(workflow, safe='')}/{run}/user-metadata"
        browser.call("Page.navigate", {"url": url}, browser.session)
        deadline = time.monotonic() + 60
        while True:
            text = browser.text()
            missing = [what for what, pattern in READABLE.items() if not re.search(pattern, text)]
            if not missing:
                break
            if time.monotonic() > deadline:
                (into / f"{name}.txt").write_text(text, encoding="utf-8")
                fail(f"{' and '.join(missing)} cannot be read on the page; its text is in {into / name}.txt")
            time.sleep(0.3)
        image = browser.call("Page.captureScreenshot", {"format": "png"}, browser.session)["data"]
        (into / f"{name}.png").write_bytes(base64.b64decode(image))
    finally:
        browser.close()
        shutil.rmtree(into / "browser", ignore_errors=True)
    print(f"screenshots: {into / name}.png", flush=True)


READABLE = {"the phase": r"fork \w+", "percent": r"\d+ ?%", "the rate": r"/s", "the time left": r"(?i)time left|eta"}


def main():
    chromium()
    demo = subprocess.Popen([SYNCMUX, "demo", "--keep", "--entities", ENTITIES], stdout=subprocess.DEVNULL)
    try:
        address, ui = until("the demo's servers", stack)

        def running():
            query = "WorkflowType = 'ForkWorkflow' AND ExecutionStatus = 'Running'"
            for found in temporal(address, "list", "--query", query) or []:
                execution = found["execution"]
                shown = progress(address, execution["workflowId"])
                done, total = int(shown.get("entities_done", 0)), int(shown.get("entities_total", 0))
                if total and total / 10 < done < total * 0.7:
                    return execution
            return None

        fork = until("a fork in the middle of its replay", running)
        picture(ui, fork["workflowId"], fork["runId"], "running")
        until("its end", lambda: progress(address, fork["workflowId"]).get("phase") == "done")
        picture(ui, fork["workflowId"], fork["runId"], "finished")
        if demo.wait(PATIENCE) != 0:
            fail("the demo failed; what it said is above")
    finally:
        if demo.poll() is None:
            demo.terminate()
            demo.wait()
        subprocess.run([SYNCMUX, "stack", "down"], check=False)


if __name__ == "__main__":
    main()
