"""Holds vulnerable-library against real libraries.

Installs versions of libraries from npm, serves each file in three forms (with its own name, renamed without a version,
bundled and minified), scans them, and compares what is found with the ranges of the advisories, beside what the command
`retire` says of the same files. Started by scripts/npm-libraries.
"""

import argparse
import collections
import functools
import http.server
import json
import pathlib
import re
import subprocess
import sys
import tarfile
import threading

# npm package: name in the advisories, files in the package (the first that is there), what must be loaded before.
LIBRARIES = {
    "jquery": ("jquery", ["dist/jquery.js"], []),
    "jquery-migrate": ("jquery-migrate", ["dist/jquery-migrate.js"], ["jquery"]),
    "jquery-ui-dist": ("jquery-ui", ["jquery-ui.js"], ["jquery"]),
    "jquery-validation": ("jquery-validation", ["dist/jquery.validate.js"], ["jquery"]),
    "jquery.terminal": ("jquery.terminal", ["js/jquery.terminal.js"], ["jquery"]),
    "datatables.net": ("jquery.datatables", ["js/jquery.dataTables.js", "js/dataTables.js"], ["jquery"]),
    "blueimp-file-upload": ("blueimp-file-upload", ["js/jquery.fileupload.js"], ["jquery"]),
    "bootstrap": ("bootstrap", ["dist/js/bootstrap.js"], ["jquery"]),
    "bootstrap-select": ("bootstrap-select", ["dist/js/bootstrap-select.js"], ["jquery"]),
    "select2": ("select2", ["dist/js/select2.js"], ["jquery"]),
    "angular": ("angularjs", ["angular.js"], []),
    "lodash": ("lodash", ["lodash.js"], []),
    "underscore": ("underscore.js", ["underscore-umd.js", "underscore.js"], []),
    "backbone": ("backbone.js", ["backbone.js"], ["underscore", "jquery"]),
    "moment": ("moment.js", ["moment.js"], []),
    "handlebars": ("handlebars", ["dist/handlebars.js"], []),
    "mustache": ("mustache.js", ["mustache.js"], []),
    "knockout": ("knockout", ["build/output/knockout-latest.js"], []),
    "ember-source": ("ember", ["dist/ember.prod.js"], []),
    "react": ("react", ["umd/react.production.min.js", "dist/react.min.js"], []),
    "react-dom": ("react-dom", ["umd/react-dom.production.min.js", "dist/react-dom.min.js"], ["react"]),
    "vue": ("vue", ["dist/vue.global.js", "dist/vue.js"], []),
    "dompurify": ("DOMPurify", ["dist/purify.js"], []),
    "tinymce": ("tinyMCE", ["tinymce.js"], []),
    "ckeditor4": ("ckeditor", ["ckeditor.js"], []),
    "quill": ("quill", ["dist/quill.js"], []),
    "axios": ("axios", ["dist/axios.js"], []),
    "highcharts": ("highcharts", ["highcharts.js"], []),
    "chart.js": ("chart.js", ["dist/Chart.js", "dist/chart.umd.js", "dist/chart.js"], []),
    "c3": ("c3", ["c3.js"], []),
    "echarts": ("echarts", ["dist/echarts.js"], []),
    "@highlightjs/cdn-assets": ("highlightjs", ["highlight.js"], []),
    "video.js": ("video.js", ["dist/video.js"], []),
    "jszip": ("jszip", ["dist/jszip.js"], []),
    "marked": ("marked", ["marked.min.js", "lib/marked.umd.js", "lib/marked.js"], []),
    "markdown-it": ("markdown-it", ["dist/markdown-it.js"], []),
    "pdfjs-dist": ("pdf.js", ["build/pdf.js"], []),
    "plupload": ("plupload", ["js/plupload.full.min.js"], []),
    "swiper": ("swiper", ["swiper-bundle.js", "dist/js/swiper.js"], []),
    "three": ("threejs", ["build/three.js"], []),
    "ua-parser-js": ("ua-parser-js", ["src/ua-parser.js"], []),
    "froala-editor": ("froala", ["js/froala_editor.min.js"], []),
    "alasql": ("AlaSQL", ["dist/alasql.js"], []),
    "protobufjs": ("protobufjs", ["dist/protobuf.js"], []),
    "jplayer": ("jPlayer", ["dist/jplayer/jquery.jplayer.js"], ["jquery"]),
}
# What other libraries stand on, in a version without known vulnerabilities, and the name under which pages find it.
BELOW = {"jquery": ("3.7.1", "jQuery"), "underscore": ("1.13.8", "_"), "react": ("18.3.1", "React")}
FORMS = ["own name", "renamed", "bundled"]


def run(command, **more):
    return subprocess.run(command, check=True, text=True, capture_output=True, **more).stdout


def numbers(version):
    """A version as something that compares; pre-releases come before their release."""
    release, _, extra = version.partition("-")
    parts = [int(part) if part.isdigit() else 0 for part in re.split(r"[.]", release)]
    return (parts + [0] * 4)[:4], 0 if extra else 1, extra


def is_vulnerable(component, version):
    """Whether an advisory names the version; that a line has ended is no vulnerability."""
    at = numbers(version)
    for advisory in component.get("vulnerabilities", []):
        if "CWE-1104" in advisory.get("cwe", []) or version in advisory.get("excludes", []):
            continue
        for bounds in advisory.get("ranges", [advisory]):
            low, below, to = bounds.get("atOrAbove"), bounds.get("below"), bounds.get("atOrBelow")
            above = low is None or numbers(low) <= at
            under = (below is None or at < numbers(below)) and (to is None or at <= numbers(to))
            if above and under:
                return True
    return False


def choose(package, component, count):
    """Some versions, from old to new, of both kinds where there are both."""
    listed = json.loads(run(["npm", "view", package, "versions", "--json"]))
    stable = [version for version in listed if re.fullmatch(r"\d+\.\d+\.\d+", version)]
    stable.sort(key=numbers)
    kinds = [[v for v in stable if is_vulnerable(component, v) == kind] for kind in (True, False)]
    chosen = []
    for kind, share in zip(kinds, (count - count // 3, count // 3)):
        step = max(1, len(kind) // max(1, share))
        chosen += kind[::-1][::step][:share]
    return chosen


def install(work, advisories, count):
    """The versions, without what they depend on. Returns (package, version, folder)."""
    wanted = [(name, version) for name, (version, _) in BELOW.items()]
    wanted += [(package, version) for package, (name, _, _) in LIBRARIES.items()
               for version in choose(package, advisories[name], count)]
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    packed, tools = work / "packed", work / "tools"
    packed.mkdir(exist_ok=True)
    for at in range(0, len(wanted), 20):
        some = [f"{package}@{version}" for package, version in wanted[at:at + 20]]
        for pack in json.loads(run(["npm", "pack", "--json", *quiet, *some], cwd=packed)):
            folder = packed / pack["id"].replace("/", "-")
            folder.mkdir(exist_ok=True)
            with tarfile.open(packed / pack["filename"].replace("@", "").replace("/", "-")) as tar:
                tar.extractall(folder, filter="data")
    tools.mkdir(exist_ok=True)
    (tools / "package.json").write_text(json.dumps({"private": True}))
    run(["npm", "install", *quiet, "esbuild", "retire"], cwd=tools)

    def folder_of(package, version):
        # What is in a package stands in one folder, which is nearly always called so.
        folder = packed / f"{package}@{version}".replace("/", "-")
        return next(inner for inner in folder.iterdir() if inner.is_dir())

    found = [(package, version, folder_of(package, version)) for package, version in wanted]
    return found[:len(BELOW)], found[len(BELOW):]


def lay_out(work, below, wanted):
    """Writes the three forms of each file and a page for each. Returns {path of the page: (form, package, version, file)}."""
    site, pages = work / "site", {}
    (site / "below").mkdir(parents=True, exist_ok=True)
    shims = work / "shims"
    shims.mkdir(exist_ok=True)
    for name, _, folder in below:
        file = next(folder / f for f in LIBRARIES[name][1] if (folder / f).is_file())
        (site / "below" / f"{name}.js").write_bytes(file.read_bytes())
        (shims / f"{name}.js").write_text(f"module.exports = window.{BELOW[name][1]};\n")
    for number, (package, version, folder) in enumerate(wanted):
        name, files, first = LIBRARIES[package]
        file = next((folder / f for f in files if (folder / f).is_file()), None)
        if file is None:
            continue
        stem = file.name.removesuffix(".js").removesuffix(".min")
        entry = work / "entry.js"
        entry.write_text(f"import * as lib from {json.dumps(str(file))};\nwindow.used{number} = Object.keys(lib).length;\n")
        bundle = site / "bundled" / str(number) / "app.js"
        aliases = [f"--alias:{name}={shims / (name + '.js')}" for name in BELOW if name != package]
        made = subprocess.run(
            ["tools/node_modules/.bin/esbuild", str(entry), "--bundle", "--minify", "--log-level=error", "--external:*.css",
             "--platform=browser", "--define:global=window", f"--outfile={bundle}", *aliases],
            cwd=work, text=True, capture_output=True)
        forms = {"own name": f"own/{number}/{stem}-{version}.js", "renamed": f"renamed/{number}/vendor.js"}
        if made.returncode == 0:
            forms["bundled"] = f"bundled/{number}/app.js"
        for form, path in forms.items():
            target = site / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if form != "bundled":
                target.write_bytes(file.read_bytes())
            before = "".join(f'<script src="/below/{one}.js"></script>' for one in first)
            page = pathlib.Path(path).parent / "index.html"
            (site / page).write_text(
                f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{number}</title>'
                f'<link rel="icon" href="data:,">{before}<script src="/{path}"></script><h1>{package} {version}, {form}</h1>')
            pages["/" + str(page.parent) + "/"] = (form, package, version, target)
    links = "".join(f'<a href="{path}">{path}</a>\n' for path in pages)
    (site / "index.html").write_text(f"<!doctype html><title>Libraries</title>{links}")
    return site, pages


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def scan(work, site, phantom):
    """What the check says of each page: {path: {library}}."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = f"http://127.0.0.1:{server.server_port}"
    (work / "phantom.toml").write_text('[network]\nallow_private = ["127.0.0.0/8"]\n')
    (work / "libraries.toml").write_text(
        f'id = "libraries"\nstart = ["{root}/"]\nsitemaps = []\n[scope]\ninclude = ["{root}/**"]\nrobots = "ignore"\n'
        "allow_private = true\n[limits]\npages = 5000\npages_per_template = 5000\npages_per_s = 1000\nconcurrency = 8\n")
    store = ["--store", f"sqlite:{work / 'libraries.db'}"]
    done = subprocess.run([phantom, "scan", "libraries.toml", *store, "--tickets", "off", "-q"], cwd=work)
    if done.returncode not in (0, 1):
        sys.exit(f"the scan ended with {done.returncode}")
    told = json.loads(run([phantom, "checks", "run", "--over", "last", "--check", "vulnerable-library", "--json", *store],
                          cwd=work))
    found = collections.defaultdict(set)
    for finding in told["findings"]:
        for page in finding["pages"]:
            found[page.removeprefix(root)].add(finding["title"].split(" ")[0])
    server.shutdown()
    return found


def ask_retire(work, site, advisories_file):
    """What `retire` says of each file: {file: {library}}."""
    output = work / "retire.json"
    subprocess.run(
        ["tools/node_modules/.bin/retire", "--jspath", str(site), "--jsrepo", str(advisories_file), "--outputformat", "json",
         "--outputpath", str(output)], cwd=work, capture_output=True)
    found = collections.defaultdict(set)
    for entry in json.loads(output.read_text()).get("data", []):
        for result in entry["results"]:
            ended = lambda one: "CWE-1104" in one.get("cwe", [])
            if any(not ended(one) for one in result.get("vulnerabilities", [])):
                found[pathlib.Path(entry["file"]).resolve()].add(result["component"])
    return found


def tally(pages, advisories, said):
    """Per form: files, vulnerable files, found, missed, false alarms."""
    rows, wrong = {form: [0] * 5 for form in FORMS}, []
    for path, (form, package, version, file) in pages.items():
        name = LIBRARIES[package][0]
        expected, found = is_vulnerable(advisories[name], version), said(path, file)
        row = rows[form]
        row[0] += 1
        row[1] += expected
        row[2] += expected and name in found
        row[3] += expected and name not in found
        row[4] += (name in found) and not expected
        if (name in found) != expected:
            wrong.append(f"{form}: {package} {version}: {'missed' if expected else 'false alarm'} (said {sorted(found)})")
    return rows, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--advisories", type=pathlib.Path, required=True, help="retire.js's repository, format 5")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="a folder for what is installed and made")
    parser.add_argument("--phantom", default="phantom", help="the program")
    parser.add_argument("--versions", type=int, default=5, help="versions of each library")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    advisories_file = arguments.advisories.resolve()
    advisories = json.loads(advisories_file.read_text())
    below, wanted = install(work, advisories, arguments.versions)
    site, pages = lay_out(work, below, wanted)
    served = {(package, version) for _, package, version, _ in pages.values()}
    print(f"{len(served)} versions of {len({package for package, _ in served})} libraries, {len(pages)} files")
    ours = scan(work, site, arguments.phantom)
    theirs = ask_retire(work, site, advisories_file)
    print(f"{'':<10} {'form':<9} {'files':>5} {'vulnerable':>10} {'found':>5} {'missed':>6} {'false':>5} {'precision':>9} {'recall':>6}")
    for who, said in [("phantom", lambda path, _: ours[path]), ("retire", lambda _, file: theirs[file.resolve()])]:
        rows, wrong = tally(pages, advisories, said)
        for form, (files, vulnerable, found, missed, false) in rows.items():
            precision = found / (found + false) if found + false else 1
            recall = found / vulnerable if vulnerable else 1
            print(f"{who:<10} {form:<9} {files:>5} {vulnerable:>10} {found:>5} {missed:>6} {false:>5} {precision:>9.3f} {recall:>6.3f}")
        (work / f"{who}-wrong.txt").write_text("\n".join(wrong) + "\n")
    print(f"each difference: {work}/phantom-wrong.txt, {work}/retire-wrong.txt")


if __name__ == "__main__":
    main()
