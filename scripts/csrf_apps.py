"""Holds missing-csrf-token against applications of real frameworks, each with its protection and without: the verdict
about every form, and about a call of a script (/settings), beside what the application does without a token.

    scripts/csrf-apps

Started by it, with the program and a folder in which the frameworks are installed from PyPI and npm."""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from review_pages import free_port, scan, serve, wait_for

HERE = pathlib.Path(__file__).resolve().parent / "csrf_apps"
# Missed, and said to be under the check's known limits: what a cookie for double submission may protect.
KNOWN = {("django-on", "/hook")}
FORMS = ["/transfer", "/comment", "/hook", "/settings", "/search"]


def install(work):
    """Python's frameworks into an environment of their own, Express beside it."""
    python = work / "venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", work / "venv"], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "Django", "Flask", "Flask-WTF"], check=True)
    subprocess.run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", "express",
                    "express-session", "csrf-sync"], cwd=work, check=True)
    # Node looks for modules beside the script.
    shutil.copy(HERE / "express_app.js", work)
    return {
        "django": [python, HERE / "django_app.py"],
        "flask": [python, HERE / "flask_app.py"],
        "express": ["node", work / "express_app.js"],
        "php": ["php", "-S", "127.0.0.1:{port}", HERE / "php_app.php"],
    }


def start(command, guarded):
    port = free_port()
    command = [str(part).replace("{port}", str(port)) for part in command]
    app = subprocess.Popen(command, env={**os.environ, "PORT": str(port), "GUARDED": str(int(guarded))},
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(port, app)
    return app, port


def accepts(https_port, name, path):
    """Whether the application does what a form of another site asks, in a session of its own and without a token."""
    # Names are resolved by hand: curl knows how, and keeps the session's cookies.
    with tempfile.NamedTemporaryFile() as cookies:
        curl = ["curl", "-s", "-k", "-o", "/dev/null", "-w", "%{http_code}", "--resolve",
                f"{name}.test:{https_port}:127.0.0.1", "-b", cookies.name, "-c", cookies.name]
        at = f"https://{name}.test:{https_port}{path}"
        subprocess.run([*curl, at], check=True, stdout=subprocess.DEVNULL)
        sent = subprocess.run([*curl, "-d", "amount=1&to=eve&text=x&event=x&nick=x", at], check=True, stdout=subprocess.PIPE)
    return int(sent.stdout) < 400


def judge(name, report, https_port):
    """Rows: (form, accepted without a token, what was found)."""
    found = {}
    for one in report["findings"]:
        if one["check"] == "missing-csrf-token":
            action = one["cause"]["parts"]["action"]
            found["/" + action.split("/", 1)[1]] = f"{one['severity']}, {one['confidence']}"
    for path in FORMS:
        # A search changes nothing, whoever asks for it.
        is_open = path != "/search" and accepts(https_port, name, path)
        yield path, is_open, found.pop(path, None)
    for path, said in found.items():
        yield path, False, said


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("phantom", help="the program")
    arguments.add_argument("work", type=pathlib.Path, help="a folder for what is installed")
    given = arguments.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    commands = install(given.work.resolve())
    apps, wrong = {}, 0
    with tempfile.TemporaryDirectory() as made:
        folder = pathlib.Path(made)
        try:
            for framework, command in commands.items():
                for guarded in (True, False):
                    apps[f"{framework}-{'on' if guarded else 'off'}"] = start(command, guarded)
            sites = {name: f"http://127.0.0.1:{port}" for name, (_, port) in apps.items()}
            nginx, port, spki = serve(folder, sites)
            apps["nginx"] = nginx, port
            (folder / "phantom.toml").write_text(
                f'store = "sqlite:scans.db"\n[browser]\nresolve = {{ "*.test:443" = "127.0.0.1:{port}" }}\n'
                f'trust_spki = ["{spki}"]\n')
            print(f"{'application':14} {'form':10} {'without a token':16} {'found':20}")
            for name in sites:
                report = scan(pathlib.Path(given.phantom).resolve(), folder, name, 50)
                for path, is_open, said in judge(name, report, port):
                    right = is_open == (said is not None)
                    known = not right and (name, path) in KNOWN
                    wrong += not right and not known
                    print(f"{name:14} {path:10} {'accepted' if is_open else 'refused or GET':16} {said or '-':20}"
                          f"{'' if right else ' missed, a known limit' if known else ' WRONG'}")
        finally:
            for app, _ in apps.values():
                app.terminate()
                app.wait()
    print(f"\n{wrong} wrong")
    return wrong


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
