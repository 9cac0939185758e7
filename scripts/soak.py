"""Serves four small sites, lets `phantom serve` scan them again and again, and watches what could grow: the work of
scripts/soak.

Everything is kept in a temporary folder, the browsers' profiles too, so that what is left behind is seen.
"""

import argparse
import http.server
import json
import os
import re
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time

PAGES = 24
SITES = ["alpha", "beta", "gamma", "delta"]
# What may be above the first quarter's median at the end: shares, and a floor below which nothing is minded.
MAY_GROW = {"ours_mb": (0.15, 15), "browsers_mb": (0.15, 60), "files": (0.10, 12), "folders": (0.0, 2)}

PAGE = """<!doctype html><html lang=en><meta charset=utf-8><title>{site} {number}</title>
<link rel=stylesheet href=/style.css><script src=/script.js></script><h1>{site}, page {number}</h1>
{paragraphs}<img src=/dot.svg alt=''><iframe src=/frame></iframe>
<form method=post action=/send><input name=mail type=email><input type=password name=p></form>
<div id=more></div><nav>{links}</nav>{more}</html>"""
SCRIPT = """document.addEventListener('DOMContentLoaded', () => {
  let rounds = 0;
  const more = document.getElementById('more');
  const grow = () => {
    for (let i = 0; i < 200; i++) more.appendChild(document.createElement('p')).textContent = 'line ' + i;
    if (++rounds < 3) setTimeout(grow, 40);
  };
  grow();
  fetch('/data.json').then(answer => answer.json()).then(data => { window.kept = new Array(data.size).fill('x'); });
});"""
# A page that hangs costs its browser, one that never ends costs its deadline.
HANGS = "<script>setTimeout(() => { for (;;); }, 300)</script>"
ENDLESS = "<script>setInterval(() => fetch('/data.json?' + Math.random()), 50)</script>"


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    looked_at = 0
    lock = threading.Lock()

    def handle_error(self, *_):
        """A browser that ends in the middle of an answer is no matter."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        site = self.headers.get("host", "").split(".")[0]
        path = self.path.split("?")[0]
        status, kind, body = 200, "text/html; charset=utf-8", ""
        if path == "/script.js":
            kind, body = "text/javascript", SCRIPT
        elif path == "/style.css":
            kind, body = "text/css", "body { font: 16px serif }"
        elif path == "/dot.svg":
            kind, body = "image/svg+xml", "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"
        elif path == "/data.json":
            kind, body = "application/json", json.dumps({"size": 20_000})
        elif path == "/frame":
            body = "<!doctype html><title>frame</title><p>frame"
        elif path == "/" or re.fullmatch(r"/page/\d{1,4}", path):
            number = int(path.rsplit("/", 1)[1] or 0) if path != "/" else 0
            if number < PAGES:
                with Server.lock:
                    Server.looked_at += 1
                body = page(site, number)
            else:
                status = 404
        else:
            status = 404
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_GET


def page(site, number):
    links = "".join(f"<a href=/page/{to}>{to}</a> " for to in range(PAGES))
    paragraphs = "".join(f"<p>{number} {line} " + "tea leaves and more tea " * 12 for line in range(30))
    more = {("delta", 5): HANGS, ("delta", 6): ENDLESS}.get((site, number), "")
    return PAGE.format(site=site, number=number, paragraphs=paragraphs, links=links, more=more)


def lay_out(folder, port, tabs):
    os.makedirs(f"{folder}/sitemaps")
    os.makedirs(f"{folder}/tmp")
    with open(f"{folder}/phantom.toml", "w", encoding="utf-8") as file:
        file.write(
            f'store = "sqlite:soak.db"\n[browser]\ntabs = {tabs}\npage_deadline = "15s"\n'
            f'resolve = {{ "*.test:80" = "127.0.0.1:{port}" }}\n'
            '[network]\nallow_private = ["127.0.0.0/8"]\n[evidence]\nkeep_scans = 2\nkeep_days = 1\n'
        )
    for site in SITES:
        with open(f"{folder}/sitemaps/{site}.toml", "w", encoding="utf-8") as file:
            file.write(
                f'id = "{site}"\nstart = ["http://{site}.test/"]\nsitemaps = []\n'
                'schedule = { cron = "* * * * *", timezone = "UTC" }\n[scope]\nallow_private = true\n'
                "[limits]\npages_per_s = 50\n"
                '[explore]\nmode = "safe"\nactions_per_page = 6\n'
            )


def status(pid, key):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return next((line.split()[1] for line in file if line.startswith(key + ":")), "0")


def below(root):
    """All processes that descend from one, by their parents' ids."""
    children = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            children.setdefault(int(status(name, "PPid")), []).append(int(name))
        except (OSError, ValueError):
            pass
    found, waiting = [], [root]
    while waiting:
        own = children.get(waiting.pop(), [])
        found += own
        waiting += own
    return found


def memory(pid):
    """Proportional: what processes share counts once."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("Pss:")), 0) / 1024
    except (OSError, ValueError):
        return 0


def sample(pid, folder):
    browsers = below(pid)
    return {
        "ours_mb": memory(pid),
        "browsers_mb": sum(map(memory, browsers)),
        "processes": len(browsers),
        "threads": int(status(pid, "Threads")),
        "files": len(os.listdir(f"/proc/{pid}/fd")),
        "folders": len(os.listdir(f"{folder}/tmp")),
        "store_mb": sum(os.path.getsize(f"{folder}/{name}") for name in os.listdir(folder) if "soak.db" in name) / 1e6,
        "pages": Server.looked_at,
    }


def watch(process, folder, minutes, every, log):
    samples, began = [], time.monotonic()
    while time.monotonic() - began < minutes * 60:
        time.sleep(every)
        if process.poll() is not None:
            sys.exit(f"phantom serve ended by itself with {process.returncode}; see {folder}")
        taken = sample(process.pid, folder) | {"at": time.monotonic() - began}
        samples.append(taken)
        print(json.dumps({key: round(value, 1) for key, value in taken.items()}), file=log, flush=True)
    return samples


def table(samples, parts=8):
    print(f"{'minutes':>9} {'pages/min':>9} {'ours MB':>8} {'browsers MB':>11} {'browsers':>8} {'threads':>7} "
          f"{'files':>6} {'folders':>7} {'store MB':>8}")
    size = max(1, len(samples) // parts)
    for first in range(0, len(samples), size):
        part = samples[first : first + size]
        before = samples[first - 1] if first else {"pages": 0, "at": 0}
        rate = (part[-1]["pages"] - before["pages"]) / max(part[-1]["at"] - before["at"], 1) * 60
        mid = {key: statistics.median(one[key] for one in part) for key in part[0]}
        print(f"{before['at'] / 60:4.0f}-{part[-1]['at'] / 60:4.0f} {rate:9.0f} {mid['ours_mb']:8.0f} "
              f"{mid['browsers_mb']:11.0f} {mid['processes']:8.0f} {mid['threads']:7.0f} {mid['files']:6.0f} "
              f"{mid['folders']:7.0f} {part[-1]['store_mb']:8.1f}")


def grown(samples):
    """What is higher in the last quarter than in the first, the first tenth left out: then all is still beginning."""
    samples = samples[len(samples) // 10 :]
    quarter = max(1, len(samples) // 4)
    for key, (share, floor) in MAY_GROW.items():
        first = statistics.median(one[key] for one in samples[:quarter])
        last = statistics.median(one[key] for one in samples[-quarter:])
        grew = last - first > max(first * share, floor)
        print(f"{key}: {first:.0f} -> {last:.0f}, {'GREW' if grew else 'no growth'}")
        if grew:
            yield key


def scans(folder):
    with sqlite3.connect(f"file:{folder}/soak.db?mode=ro", uri=True) as store:
        return dict(store.execute("select state, count(*) from scans group by state").fetchall())


def main():
    parser = argparse.ArgumentParser(prog="scripts/soak")
    parser.add_argument("phantom")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--tabs", type=int, default=2)
    parser.add_argument("--every", type=float, default=15, help="seconds between looks")
    parser.add_argument("--samples", help="keep each look here, as a line of JSON")
    asked = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="phantom-soak-")
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    lay_out(folder, server.server_address[1], asked.tabs)
    program = os.path.abspath(asked.phantom)
    with open(f"{folder}/out", "w", encoding="utf-8") as out, open(asked.samples or os.devnull, "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [program, "serve", "--tabs", str(asked.tabs)],
            cwd=folder, stdout=out, stderr=out, env=os.environ | {"TMPDIR": f"{folder}/tmp"},
        )
        try:
            samples = watch(process, folder, asked.minutes, asked.every, log)
        finally:
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            process.wait(timeout=60)
    ended = time.monotonic() - began
    table(samples)
    bad = list(grown(samples))
    left = os.listdir(f"{folder}/tmp")
    print(f"{samples[-1]['pages']} pages served; scans: {scans(folder)}; "
          f"ended {ended:.1f} s after SIGTERM with {process.returncode}; left behind: {left or 'nothing'}")
    if bad or left or process.returncode != 0:
        sys.exit(f"WRONG: {', '.join(bad) or 'left behind or a bad end'}; all is kept in {folder}")
    shutil.rmtree(folder)
    print("nothing grew")


if __name__ == "__main__":
    main()
