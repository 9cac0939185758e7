"""Scans documentation as Debian packages it, which nobody here wrote, with all checks on, and counts what is found by
check and confidence. Every finding was looked at by a person once: scripts/reviewed.tsv keeps the verdicts. One that it
does not hold is shown for review, and the end is a failure; so it is if a finding that is firm or better is false.

    scripts/review-pages [PAGES]

PAGES is how many pages are looked at of each package. The packages are served by nginx on names of their own."""

import argparse
import collections
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
REVIEWED = HERE / "reviewed.tsv"
# Name of the host, and where its pages are.
PACKAGES = {
    "apache": "/usr/share/doc/apache2-doc/manual",
    "asciidoctor": "/usr/share/doc/asciidoctor-doc/html",
    "boost": "/usr/share/doc/libboost1.81-doc/doc/html",
    "bootstrap": "/usr/share/doc/libjs-bootstrap5/examples/blog",
    "bootstrap-checkout": "/usr/share/doc/libjs-bootstrap5/examples/checkout",
    "bootstrap-login": "/usr/share/doc/libjs-bootstrap5/examples/sign-in",
    "django": "/usr/share/doc/python-django-doc/html",
    "doxygen": "/usr/share/doc/doxygen/html",
    "flask": "/usr/share/doc/python-flask-doc/html",
    "git": "/usr/share/doc/git-doc",
    "handbook": "/usr/share/doc/debian-handbook/html/en-US",
    "java": "/usr/share/doc/openjdk-17-jre-headless/api",
    "postfix": "/usr/share/doc/postfix/html",
    "postgresql": "/usr/share/doc/postgresql-doc-15/html",
    "python": "/usr/share/doc/python3.11/html",
    "requests": "/usr/share/doc/python-requests-doc/html",
    "sqlalchemy": "/usr/share/doc/python-sqlalchemy-doc/html",
    "sqlite": "/usr/share/doc/sqlite3",
}


def serve(folder, sites):
    """Starts nginx on loopback; returns it, its port, and the hash of its key."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    names = ",".join(f"DNS:{name}.test" for name in sites)
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=docs.test", "-addext", f"subjectAltName={names}", "-keyout", key, "-out", cert])
    public = run(["openssl", "x509", "-in", cert, "-pubkey", "-noout"])
    der = run(["openssl", "pkey", "-pubin", "-outform", "der"], public)
    spki = run(["openssl", "base64", "-A"], run(["openssl", "dgst", "-sha256", "-binary"], der)).decode().strip()
    port = free_port()
    servers = "".join(
        f"server {{ listen 127.0.0.1:{port} ssl http2; server_name {name}.test; {where(at)}"
        f" ssl_certificate {cert}; ssl_certificate_key {key}; }}\n" for name, at in sites.items())
    parts = "".join(f"{part}_temp_path {folder}/{part};" for part in
                    ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{ worker_connections 256; }}\nhttp {{ include /etc/nginx/mime.types; access_log off; {parts}\n"
        f"{servers} }}\n")
    nginx = subprocess.Popen(["nginx", "-p", folder, "-c", folder / "nginx.conf"], stderr=subprocess.DEVNULL,
                             env={**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    wait_for(port, nginx)
    return nginx, port, spki


def where(at):
    """A folder of pages, or an application that is spoken to over HTTP."""
    if not at.startswith("http://"):
        return f"root {at}; index index.html;"
    return f"location / {{ proxy_pass {at}; proxy_set_header Host $host; proxy_set_header X-Forwarded-Proto https; }}"


def run(command, given=None):
    return subprocess.run(command, input=given, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(port, nginx):
    for _ in range(300):
        if nginx.poll() is not None:
            sys.exit("nginx ended")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit("nginx does not listen")


def scan(phantom, folder, name, pages):
    """One site's report."""
    site = folder / f"{name}.toml"
    site.write_text(f'id = "{name}"\nstart = ["https://{name}.test/"]\nsitemaps = []\n'
                    "[limits]\npages_per_s = 50\nconcurrency = 2\n")
    report = folder / f"{name}.json"
    ran = subprocess.run([phantom, "scan", site, "-q", "--tickets", "off", "--max-pages", str(pages),
                          "--report", f"json={report}"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if not report.exists():
        sys.exit(ran.stdout.decode(errors="replace"))
    return json.loads(report.read_text())


def findings(report):
    """(check, confidence, cause as text, severity, title, a page) of each finding."""
    for one in report["findings"]:
        cause = "; ".join(f"{key}={value}" for key, value in sorted(one["cause"]["parts"].items()))
        page = one["pages"][0]["url"] if one["pages"] else ""
        yield one["check"], one["confidence"], cause, one["severity"], one["title"], page


def reviewed(file):
    """What people said: (site, check, cause) to (true or false, why)."""
    verdicts = {}
    if file.exists():
        for line in file.read_text().splitlines():
            if line and not line.startswith("#"):
                site, check, cause, verdict, why = line.split("\t")
                verdicts[site, check, cause] = verdict, why
    return verdicts


def judge(reports, file=REVIEWED):
    """Prints the table and what is not reviewed; the number of troubles."""
    verdicts, table, unknown = reviewed(file), collections.Counter(), []
    for name, report in reports.items():
        for check, confidence, cause, severity, title, page in findings(report):
            known = (verdicts.get((site, check, what)) for site in (name, "*") for what in (cause, "*"))
            verdict, _ = next(filter(None, known), ("unreviewed", ""))
            table[check, confidence, verdict] += 1
            if verdict == "unreviewed":
                unknown.append((name, check, confidence, severity, cause, title, page))
    rows = sorted({(check, confidence) for check, confidence, _ in table})
    print(f"\n{'check':30} {'confidence':12} {'true':>6} {'false':>6} {'unreviewed':>11}")
    for row in rows:
        print(f"{row[0]:30} {row[1]:12} {table[*row, 'true']:6} {table[*row, 'false']:6} {table[*row, 'unreviewed']:11}")
    for one in unknown:
        print("\t".join(one))
    wrong = sum(count for (_, confidence, verdict), count in table.items()
                if verdict == "false" and confidence in ("firm", "certain"))
    print(f"\n{sum(table.values())} findings, {wrong} of them false though firm or better, {len(unknown)} unreviewed")
    return wrong + len(unknown)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("phantom", help="the program")
    arguments.add_argument("pages", type=int, help="pages of each package")
    arguments.add_argument("--only", help="names of sites, with commas between")
    arguments.add_argument("--keep", help="a folder for the reports")
    arguments.add_argument("--judge", help="such a folder: its reports are judged, nothing is scanned")
    given = arguments.parse_args()
    if given.judge:
        kept = sorted(pathlib.Path(given.judge).glob("*.json"))
        return judge({file.stem: json.loads(file.read_text()) for file in kept})
    phantom = pathlib.Path(given.phantom).resolve()
    only = given.only.split(",") if given.only else PACKAGES
    sites = {name: root for name, root in PACKAGES.items() if name in only and pathlib.Path(root).is_dir()}
    with tempfile.TemporaryDirectory() as made:
        folder = pathlib.Path(given.keep or made).resolve()
        folder.mkdir(exist_ok=True)
        nginx, port, spki = serve(folder, sites)
        try:
            (folder / "phantom.toml").write_text(
                f'store = "sqlite:scans.db"\n[browser]\nresolve = {{ "*.test:443" = "127.0.0.1:{port}" }}\n'
                f'trust_spki = ["{spki}"]\n')
            reports, pages = {}, 0
            for name in sites:
                reports[name] = scan(phantom, folder, name, given.pages)
                counts = reports[name]["scan"]["pages"]
                pages += counts["done"]
                print(f"{name}: {counts['done']} pages, {len(reports[name]['findings'])} findings", flush=True)
            print(f"{pages} pages of {len(reports)} packages")
            return judge(reports)
        finally:
            nginx.send_signal(signal.SIGTERM)
            nginx.wait()


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
