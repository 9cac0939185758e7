"""Scans applications from Debian's packages, logged out and logged in, with all checks on, and counts what is found by
check and confidence. Every finding was looked at by a person once: scripts/reviewed-apps.tsv keeps the verdicts. One
that it does not hold is shown for review, and the end is a failure; so it is if a finding that is firm or better is
false. The work of `scripts/real-apps --review`."""

import argparse
import json
import os
import pathlib
import shutil
import sys
import tempfile

import real_apps
from review_pages import judge

REVIEWED = pathlib.Path(__file__).resolve().parent / "reviewed-apps.tsv"
# They are set up in seconds.
APPS = ["django", "dokuwiki", "adminer"]


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--phantom", required=True, help="the program")
    arguments.add_argument("--pages", type=int, default=60, help="pages of each application, logged out and logged in")
    arguments.add_argument("--keep", type=pathlib.Path, help="a folder for the reports")
    arguments.add_argument("--judge", type=pathlib.Path, help="such a folder: its reports are judged, nothing is scanned")
    arguments.add_argument("apps", nargs="*", choices=[*real_apps.APPS, []], metavar="APP")
    given = arguments.parse_args()
    if given.judge:
        kept = sorted(given.judge.glob("*.json"))
        return judge({file.stem: json.loads(file.read_text()) for file in kept}, REVIEWED)
    phantom, reports, servers = os.path.abspath(given.phantom), {}, None
    work = tempfile.mkdtemp(prefix="review-apps-")
    # The servers run as another user.
    os.chmod(work, 0o755)
    try:
        apps = [real_apps.APPS[name](work) for name in given.apps or APPS]
        servers = real_apps.Servers(work, apps)
        servers.start()
        for app in apps:
            for logged_in in (False, True):
                name = f"{app.name}-{'in' if logged_in else 'out'}"
                seen = real_apps.scan(phantom, app, logged_in, given.pages, nth=1, tabs=1)
                reports[name] = seen["report"]
                if given.keep:
                    given.keep.mkdir(parents=True, exist_ok=True)
                    (given.keep / f"{name}.json").write_text(json.dumps(seen["report"]))
                found = len(seen["report"]["findings"])
                print(f"{name}: {seen['state']}, {len(seen['pages'])} pages, {found} findings", flush=True)
    finally:
        if servers:
            servers.stop()
        shutil.rmtree(work, ignore_errors=True)
    return judge(reports, REVIEWED)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
