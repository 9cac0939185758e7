"""Serves five applications from Debian's packages over HTTPS and scans them: the work of scripts/real-apps.

Everything is kept in a temporary folder: no service of this machine is touched, and nothing is changed below /etc.
"""

import argparse
import base64
import glob
import hashlib
import http.client
import json
import os
import re
import secrets
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse

ROOT = os.geteuid() == 0
ALIKE = 0.98
PASSWORD = "correct-horse-" + secrets.token_hex(6)

MARIADB = """
CREATE DATABASE tea; USE tea;
CREATE TABLE kind (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(40) NOT NULL UNIQUE) ENGINE=InnoDB;
CREATE TABLE leaf (id INT PRIMARY KEY AUTO_INCREMENT, kind INT NOT NULL, name VARCHAR(80) NOT NULL, grams INT,
  picked DATE, note TEXT, KEY picked (picked), CONSTRAINT leaf_kind FOREIGN KEY (kind) REFERENCES kind (id)) ENGINE=InnoDB;
CREATE VIEW old_leaf AS SELECT * FROM leaf WHERE picked < '2020-01-01';
INSERT INTO kind (name) VALUES ('black'), ('green'), ('white');
INSERT INTO leaf (kind, name, grams, picked, note) SELECT 1 + seq % 3, concat('Leaf ', seq), seq * 10,
  '2019-01-01' + INTERVAL seq DAY, repeat('x', seq) FROM seq_1_to_60;
CREATE PROCEDURE weigh () SELECT sum(grams) FROM leaf;
CREATE TRIGGER tidy BEFORE UPDATE ON leaf FOR EACH ROW SET NEW.name = trim(NEW.name);
CREATE EVENT never ON SCHEDULE EVERY 1 YEAR DO DELETE FROM leaf WHERE false;
CREATE USER clerk@localhost IDENTIFIED BY '{password}';
GRANT ALL ON tea.* TO clerk@localhost;
ANALYZE TABLE kind, leaf;
"""


def run(*command, **more):
    """Runs a command; what it said is shown if it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **more)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command[:4]))} … failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def wait_for(what, true):
    until = time.monotonic() + 90
    while not true():
        if time.monotonic() > until:
            sys.exit(f"{what} does not start")
        time.sleep(0.1)


def get(port, host, path):
    """Asks for a page once; its status."""
    own = ssl.create_default_context()
    own.check_hostname, own.verify_mode = False, ssl.CERT_NONE
    asked = http.client.HTTPSConnection("127.0.0.1", port, timeout=120, context=own)
    asked.request("GET", path, headers={"Host": host})
    answer = asked.getresponse()
    answer.read()
    asked.close()
    return answer.status


def lend(path):
    """Gives a folder to the user that the servers run as."""
    if ROOT:
        run("chown", "-R", "www-data:www-data", path)


# What an application keeps, before and after, as {where: value}.


def sqlite_rows(path, prefix=""):
    rows = {}
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        database.text_factory = bytes
        tables = [name.decode() for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            cursor = database.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in cursor.description]
            for row in cursor:
                # The first column names the row in most tables, all of them do in the others.
                key = row[0] if names[0].endswith("id") or names[0].endswith("key") else hash_of(repr(row))
                for name, value in zip(names, row):
                    rows[f"{prefix}{table}.{name}[{key}]"] = repr(value)
    return rows


def hash_of(text):
    return hashlib.sha256(text if isinstance(text, bytes) else text.encode()).hexdigest()[:16]


def files(folder):
    kept = {}
    for at, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(at, name)
            with open(path, "rb") as file:
                kept[os.path.relpath(path, folder)] = hash_of(file.read())
    return kept


class App:
    """An application: how it is set up, how one logs in, and what may differ after it was looked at."""

    php = True
    start = "/"
    # Patterns of what may differ, each with its reason.
    may_differ = []
    # What the steps of a login send, and what the page after them sends by itself.
    login_sends = ["/"]
    # Budgets.
    pages_per_template, depth, actions = 3, 6, 15
    # Lines of [scope].
    scope = ""

    def __init__(self, work):
        self.work = work
        self.home = f"{work}/{self.name}"
        self.host = f"{self.name}.test"
        self.set_up()

    def url(self, path):
        return f"https://{self.host}{path}"

    def nginx(self, fpm):
        return f"""
    root {self.root()};
    index index.php;
    {self.denied()}
    location / {{ try_files $uri $uri/ /index.php?$query_string; }}
    location ~ [^/]\\.php(/|$) {{
      fastcgi_split_path_info ^(.+?\\.php)(/.*)$;
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
      fastcgi_param PATH_INFO $fastcgi_path_info;
      fastcgi_param HTTPS on;
      fastcgi_param PHP_ADMIN_VALUE "session.save_path={self.work}/sessions\\nmysqli.default_socket={self.work}/db/sock\\npdo_mysql.default_socket={self.work}/db/sock\\nerror_log={self.work}/php.log";
      {self.parameters()}
      fastcgi_read_timeout 120s;
      fastcgi_pass unix:{fpm};
    }}"""

    def root(self):
        return self.home

    def denied(self):
        return ""

    def parameters(self):
        return ""

    def start_logged_in(self):
        return self.start


class DokuWiki(App):
    """Keeps its pages in files."""

    name = "dokuwiki"
    login = """
check = { url = "https://dokuwiki.test/doku.php?id=wiki:welcome", logged_in = "css:#dokuwiki__usertools .action.logout" }
steps = [
  { go = "https://dokuwiki.test/doku.php?id=wiki:welcome&do=login" },
  { fill = "css:#dw__login input[name=u]", with = "clerk" },
  { fill = "css:#dw__login input[name=p]", with_env = "REAL_APPS_PASSWORD" },
  { click = "css:#dw__login button[type=submit]" },
]"""
    start = "/doku.php?id=wiki:welcome"
    login_sends = ["/doku.php?id=wiki:welcome"]
    may_differ = [
        (r"^cache/", "cache of rendered pages"),
        (r"^locks/", "session: a page that is open in an editor is locked for the others"),
        (r"^tmp/", "cache of files in the making"),
        (r"^log/", "log of the server"),
    ]

    def set_up(self):
        shutil.copytree("/usr/share/dokuwiki", self.home, symlinks=False)
        os.remove(f"{self.home}/inc/preload.php")
        shutil.copytree("/etc/dokuwiki", f"{self.home}/conf")
        shutil.copytree("/var/lib/dokuwiki/data", f"{self.home}/data")
        shutil.rmtree(f"{self.home}/conf/farm", ignore_errors=True)
        hashed = run("php", "-r", "echo password_hash($argv[1], PASSWORD_BCRYPT);", PASSWORD)
        write(f"{self.home}/conf/users.auth.php", f"clerk:{hashed}:Clerk:clerk@dokuwiki.test:admin,user\n")
        write(f"{self.home}/conf/acl.auth.php", "* @ALL 1\n* @user 8\n")
        write(
            f"{self.home}/conf/local.php",
            f"""<?php
$conf['title'] = 'Tea'; $conf['useacl'] = 1; $conf['superuser'] = '@admin'; $conf['savedir'] = '{self.home}/data';
$conf['updatecheck'] = 0; $conf['plugin']['popularity']['autosubmit'] = 0;
""",
        )
        for number in range(1, 9):
            text = f"====== Leaf {number} ======\n\nSee [[leaf:number{number % 8 + 1}]] and [[wiki:syntax]].\n\n===== Taste =====\n\nFine.\n"
            write(f"{self.home}/data/pages/leaf/number{number}.txt", text)
        write(f"{self.home}/data/pages/start.txt", "====== Tea ======\n\n[[leaf:number1]] [[wiki:welcome]] [[wiki:syntax]]\n")
        lend(f"{self.home}/data")
        lend(f"{self.home}/conf")

    def denied(self):
        return "location ~ ^/(data|conf|bin|inc|vendor)/ { deny all; }"

    def warm_up(self):
        """Whoever views a page first makes DokuWiki keep its index and what it links to; nothing is to be new."""
        user = ["runuser", "-u", "www-data", "--"] if ROOT else []
        run(*user, "php", f"{self.home}/bin/indexer.php", "-q")
        pages = glob.glob(f"{self.home}/data/pages/**/*.txt", recursive=True)
        for page in [os.path.relpath(path, f"{self.home}/data/pages")[:-4].replace("/", ":") for path in pages]:
            for path in (f"/doku.php?id={page}", f"/doku.php?id={page}&do=login", f"/lib/exe/taskrunner.php?id={page}"):
                get(self.port, self.host, path)

    def kept(self):
        return files(f"{self.home}/data")


class Adminer(App):
    """Shows what is in MariaDB."""

    name = "adminer"
    login = """
check = { url = "https://adminer.test/?username=clerk", logged_in = "css:#logout" }
steps = [
  { go = "https://adminer.test/" },
  { fill = "css:input[name='auth[username]']", with = "clerk" },
  { fill = "css:input[name='auth[password]']", with_env = "REAL_APPS_PASSWORD" },
  { click = "css:input[type=submit]" },
]"""
    uses_mariadb = True

    def set_up(self):
        os.makedirs(self.home)
        shutil.copy("/usr/share/adminer/adminer.php", f"{self.home}/index.php")

    # What MariaDB says of itself is the same in each of some eighty tables.
    scope = 'exclude = ["**/?*db=information_schema*"]'

    def start_logged_in(self):
        return "/?username=clerk"

    def kept(self):
        return mariadb_dump(self.work)


class PhpMyAdmin(App):
    """The same, by others."""

    name = "phpmyadmin"
    login = """
check = { url = "https://phpmyadmin.test/index.php?route=/", logged_in = "css:#pma_navigation" }
steps = [
  { go = "https://phpmyadmin.test/" },
  { fill = "css:#input_username", with = "clerk" },
  { fill = "css:#input_password", with_env = "REAL_APPS_PASSWORD" },
  { click = "css:#input_go" },
]"""
    start = "/index.php"
    uses_mariadb = True
    login_sends = [f"/index.php?route={route}" for route in ("/", "/config/get", "/config/set", "/navigation&ajax_request=1")]
    # Its robots.txt forbids everything. What leads to other sites goes by one address of its own; with `server=1`, each
    # page is there once more, as there is one server.
    scope = 'robots = "ignore"\nexclude = ["/url.php?*", "/index.php?*server=1*"]'
    # Each of its pages is there for each database and table, each of which has few rows, and has hundreds of controls.
    pages_per_template, depth, actions = 2, 2, 5

    def set_up(self):
        shutil.copytree("/usr/share/phpmyadmin", self.home, symlinks=False, ignore=shutil.ignore_patterns("doc"))
        path = f"{self.home}/libraries/vendor_config.php"
        with open(path, encoding="utf-8") as file:
            text = file.read()
        text = text.replace("/etc/phpmyadmin/", f"{self.home}/").replace("/var/lib/phpmyadmin/tmp", f"{self.home}/tmp")
        write(path, text)
        write(
            f"{self.home}/config.inc.php",
            f"""<?php
$cfg['blowfish_secret'] = '{secrets.token_hex(16)}';
$cfg['Servers'][1] = ['auth_type' => 'cookie', 'host' => 'localhost', 'hide_db' => '^(information_schema)$'];
""",
        )
        os.makedirs(f"{self.home}/tmp", exist_ok=True)
        lend(f"{self.home}/tmp")
        lend(f"{self.home}/libraries/cache")

    def denied(self):
        return "location ~ ^/(libraries|templates|tmp|config)/ { deny all; }"

    def kept(self):
        return mariadb_dump(self.work)


class Django(App):
    """The admin of a project with nothing but Django's own applications, kept in SQLite."""

    name = "django"
    php = False
    login = """
check = { url = "https://django.test/admin/", logged_in = "css:#user-tools" }
steps = [
  { go = "https://django.test/admin/login/?next=/admin/" },
  { fill = "css:#id_username", with = "clerk" },
  { fill = "css:#id_password", with_env = "REAL_APPS_PASSWORD" },
  { click = "css:input[type=submit]" },
]"""
    start = "/admin/"
    login_sends = ["/admin/login/?next=/admin/"]
    may_differ = [
        (r"^django_session\.", "sessions"),
        (r"^auth_user\.last_login\[", "last login"),
    ]

    def set_up(self):
        apps = "admin admindocs auth contenttypes flatpages messages redirects sessions sites staticfiles".split()
        installed = [f"django.contrib.{app}" for app in apps]
        middle = [
            "django.middleware.security.SecurityMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "django.middleware.clickjacking.XFrameOptionsMiddleware",
            "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware",
            "django.contrib.redirects.middleware.RedirectFallbackMiddleware",
        ]
        context = ["django.contrib.auth.context_processors.auth", "django.contrib.messages.context_processors.messages",
                   "django.template.context_processors.request"]
        write(
            f"{self.home}/tea/settings.py",
            f"""
SECRET_KEY = {secrets.token_hex(25)!r}
ALLOWED_HOSTS = ["django.test"]
INSTALLED_APPS = {installed!r}
MIDDLEWARE = {middle!r}
ROOT_URLCONF = "tea.urls"
TEMPLATES = [{{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [{(self.home + "/templates")!r}],
              "APP_DIRS": True, "OPTIONS": {{"context_processors": {context!r}}}}}]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": {(self.home + "/data/db.sqlite3")!r},
             "OPTIONS": {{"timeout": 30}}}}}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
SITE_ID = 1
STATIC_URL = "/static/"
USE_TZ = True
""",
        )
        write(f"{self.home}/tea/__init__.py", "")
        write(
            f"{self.home}/tea/urls.py",
            """
from django.contrib import admin
from django.urls import include, path
urlpatterns = [path("admin/doc/", include("django.contrib.admindocs.urls")), path("admin/", admin.site.urls)]
""",
        )
        write(f"{self.home}/templates/flatpages/default.html", "<!doctype html><title>{{ flatpage.title }}</title>{{ flatpage.content }}")
        os.makedirs(f"{self.home}/data")
        fill = """
import django; django.setup()
from django.contrib.auth.models import Group, User
from django.contrib.flatpages.models import FlatPage
from django.contrib.redirects.models import Redirect
import os
User.objects.create_superuser("clerk", "clerk@django.test", os.environ["REAL_APPS_PASSWORD"])
for n in range(12):
    User.objects.create_user(f"taster{n}", f"taster{n}@django.test")
for name in ("pickers", "tasters"):
    Group.objects.create(name=name)
for n in range(5):
    FlatPage.objects.create(url=f"/leaf/{n}/", title=f"Leaf {n}", content="Fine.").sites.add(1)
Redirect.objects.create(site_id=1, old_path="/old/", new_path="/leaf/1/")
"""
        self.environment = dict(os.environ, DJANGO_SETTINGS_MODULE="tea.settings", PYTHONPATH=self.home,
                                REAL_APPS_PASSWORD=PASSWORD, PYTHONDONTWRITEBYTECODE="1")
        run("/usr/bin/python3", "-m", "django", "migrate", "--verbosity", "0", env=self.environment)
        run("/usr/bin/python3", "-c", fill, env=self.environment)
        write(f"{self.home}/tea/wsgi.py", "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n")
        lend(f"{self.home}/data")

    def serve(self):
        who = ["--user", "www-data", "--group", "www-data"] if ROOT else []
        return subprocess.Popen(
            ["gunicorn", "--workers", "3", "--bind", f"unix:{self.work}/django.sock", *who, "tea.wsgi"],
            cwd=self.home, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )

    def nginx(self, _):
        static = os.path.join(os.path.dirname(run("/usr/bin/python3", "-c", "import django; print(django.__file__)").strip()),
                              "contrib/admin/static/")
        return f"""
    location /static/ {{ alias {static}; }}
    location / {{
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-Proto https;
      proxy_read_timeout 120s;
      proxy_pass http://unix:{self.work}/django.sock;
    }}"""

    def kept(self):
        return sqlite_rows(f"{self.home}/data/db.sqlite3")


class MediaWiki(App):
    """Keeps its pages in SQLite, and its caches and sessions in databases beside it."""

    name = "mediawiki"
    login = """
check = { url = "https://mediawiki.test/index.php?title=Main_Page", logged_in = "css:#pt-logout" }
steps = [
  { go = "https://mediawiki.test/index.php?title=Special:UserLogin" },
  { fill = "css:#wpName1", with = "Clerk" },
  { fill = "css:#wpPassword1", with_env = "REAL_APPS_PASSWORD" },
  { click = "css:#wpLoginAttempt" },
]"""
    start = "/index.php?title=Main_Page"
    # A link that leads to another page each time: with it, no two scans see the same.
    scope = 'exclude = ["/index.php?*title=Special*Random*"]'
    # Each page of a wiki has some ten others about it.
    pages_per_template, depth = 2, 4
    login_sends = ["/index.php?title=Special:UserLogin", "/index.php?title=Special:UserLogin&returnto=Main+Page"]
    may_differ = [
        (r"^user\.user_touched\[", "last login: when the account was last active"),
        (r"^(objectcache|module_deps|l10n_cache|querycache\w*|interwiki)\.", "cache"),
        (r"^searchindex_(segments|segdir|stat)", "cache of the search"),
    ]

    def set_up(self):
        os.makedirs(f"{self.home}/data")
        os.makedirs(f"{self.home}/cache")
        os.makedirs(f"{self.home}/images")
        run("php", "/usr/share/mediawiki/maintenance/install.php", "--confpath", self.home, "--dbtype", "sqlite", "--dbpath",
            f"{self.home}/data", "--dbname", "tea", "--scriptpath", "", "--server", "https://mediawiki.test", "--pass", PASSWORD,
            "Tea wiki", "Clerk")
        with open(f"{self.home}/LocalSettings.php", "a", encoding="utf-8") as file:
            file.write(f"""
$wgJobRunRate = 0;
$wgCacheDirectory = '{self.home}/cache';
$wgUploadDirectory = '{self.home}/images';
$wgResourceBasePath = '';
""")
        environment = dict(os.environ, MW_CONFIG_FILE=f"{self.home}/LocalSettings.php")
        for number in range(1, 7):
            text = f"A leaf. See [[Leaf {number % 6 + 1}]].\n\n== Taste ==\nFine.\n[[Category:Leaves]]\n"
            run("php", "/usr/share/mediawiki/maintenance/edit.php", "--user", "Clerk", f"Leaf {number}", input=text, env=environment)
        run("php", "/usr/share/mediawiki/maintenance/runJobs.php", env=environment)
        lend(self.home)

    def root(self):
        return "/usr/share/mediawiki"

    def denied(self):
        return "location ~ ^/(maintenance|mw-config|includes|vendor|languages)/ { deny all; }"

    def parameters(self):
        return f"fastcgi_param MW_CONFIG_FILE {self.home}/LocalSettings.php;"

    def kept(self):
        return sqlite_rows(f"{self.home}/data/tea.sqlite")


APPS = {app.name: app for app in (DokuWiki, Adminer, Django, PhpMyAdmin, MediaWiki)}


def mariadb_dump(work):
    text = run("mariadb-dump", "--no-defaults", "-S", f"{work}/db/sock", "-u", "root", "--all-databases", "--skip-dump-date", "--routines",
               "--events", "--triggers", "--order-by-primary", "--skip-extended-insert", "--flush-privileges")
    return {line: "" for line in text.splitlines()}


class Servers:
    """The servers, and the settings with which the scanner finds them."""

    def __init__(self, work, apps):
        self.work, self.apps, self.running = work, apps, []
        os.makedirs(f"{work}/sessions")
        os.makedirs(f"{work}/logs")
        lend(f"{work}/sessions")

    def start(self):
        if any(getattr(app, "uses_mariadb", False) for app in self.apps):
            self.mariadb()
        if any(app.php for app in self.apps):
            self.fpm()
        for app in self.apps:
            if not app.php:
                self.running.append(app.serve())
        self.nginx()

    def mariadb(self):
        os.makedirs(f"{self.work}/db")
        who = []
        if ROOT:
            run("chown", "mysql:mysql", f"{self.work}/db")
            who = ["--user=mysql"]
        run("mariadb-install-db", "--no-defaults", f"--datadir={self.work}/db/data", "--auth-root-authentication-method=normal", "--skip-test-db", *who)
        command = ["/usr/sbin/mariadbd", "--no-defaults", f"--datadir={self.work}/db/data", f"--socket={self.work}/db/sock",
                   f"--pid-file={self.work}/db/pid", "--skip-networking", *who]
        with open(f"{self.work}/logs/mariadb.log", "w", encoding="utf-8") as log:
            self.running.append(subprocess.Popen(command, stdout=log, stderr=log))
        ping = ["mariadb-admin", "--no-defaults", "-S", f"{self.work}/db/sock", "-u", "root", "ping"]
        wait_for("MariaDB", lambda: subprocess.run(ping, capture_output=True).returncode == 0)
        run("mariadb", "--no-defaults", "-S", f"{self.work}/db/sock", "-u", "root", input=MARIADB.replace("{password}", PASSWORD))

    def fpm(self):
        user = "user = www-data\ngroup = www-data\nlisten.owner = www-data\nlisten.mode = 0666" if ROOT else ""
        write(f"{self.work}/fpm.conf", f"""[global]
error_log = {self.work}/logs/fpm.log
daemonize = no
[www]
{user}
listen = {self.work}/php.sock
pm = static
pm.children = 1
pm.max_children = 8
""".replace("pm.children = 1\n", ""))
        program = sorted(glob.glob("/usr/sbin/php-fpm*"))[-1]
        self.running.append(subprocess.Popen([program, "-F", "-d", f"sys_temp_dir={self.work}/sessions", "-y", f"{self.work}/fpm.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        wait_for("PHP", lambda: os.path.exists(f"{self.work}/php.sock"))

    def nginx(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        for app in self.apps:
            app.port = self.port
        names = ",".join(f"DNS:{app.host}" for app in self.apps)
        at = self.work
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "7", "-subj", "/CN=Tea CA",
            "-keyout", f"{at}/ca.key", "-out", f"{at}/ca.pem")
        run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=apps.test", "-keyout", f"{at}/key.pem", "-out", f"{at}/csr.pem")
        write(f"{at}/ext", f"subjectAltName={names}\nextendedKeyUsage=serverAuth\n")
        run("openssl", "x509", "-req", "-in", f"{at}/csr.pem", "-CA", f"{at}/ca.pem", "-CAkey", f"{at}/ca.key", "-CAcreateserial", "-days", "7",
            "-extfile", f"{at}/ext", "-out", f"{at}/cert.pem")
        servers = "".join(f"""
  server {{
    listen 127.0.0.1:{self.port} ssl;
    server_name {app.host};
    access_log {at}/logs/{app.name}.log asked;
    {app.nginx(f"{at}/php.sock")}
  }}""" for app in self.apps)
        write(f"{at}/nginx.conf", f"""
{"user www-data;" if ROOT else ""}
daemon off;
pid {at}/nginx.pid;
error_log {at}/logs/nginx.log;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  log_format asked '$request_method $status $request_uri';
  client_body_temp_path {at}/nginx-body; proxy_temp_path {at}/nginx-proxy; fastcgi_temp_path {at}/nginx-fastcgi;
  uwsgi_temp_path {at}/nginx-uwsgi; scgi_temp_path {at}/nginx-scgi;
  ssl_certificate {at}/cert.pem;
  ssl_certificate_key {at}/key.pem;{servers}
}}
""")
        run("/usr/sbin/nginx", "-t", "-c", f"{at}/nginx.conf", "-e", f"{at}/logs/nginx.log")
        self.running.append(subprocess.Popen(["/usr/sbin/nginx", "-c", f"{at}/nginx.conf", "-e", f"{at}/logs/nginx.log"]))

        def answers():
            with socket.socket() as asked:
                return asked.connect_ex(("127.0.0.1", self.port)) == 0

        wait_for("nginx", answers)
        for app in self.apps:
            wait_for(app.name, lambda app=app: get(self.port, app.host, app.start) < 500)
        key = run("openssl", "x509", "-in", f"{at}/cert.pem", "-pubkey", "-noout")
        der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=key.encode(), capture_output=True, check=True).stdout
        pin = base64.b64encode(hashlib.sha256(der).digest()).decode()
        write(f"{at}/phantom.toml", f"""
[browser]
resolve = {{ "*.test:443" = "127.0.0.1:{self.port}" }}
trust_spki = ["{pin}"]
page_deadline = "3m"
""")

    def stop(self):
        for server in reversed(self.running):
            server.terminate()
        for server in self.running:
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()


def site_file(app, logged_in, pages, tabs):
    start = app.start_logged_in() if logged_in else app.start
    path = f"{app.work}/{app.name}-{'in' if logged_in else 'out'}.toml"
    login = f"[login]\naccount = \"{app.name}\"{app.login}\n" if logged_in else ""
    write(path, f"""
id = "{app.name}-{'in' if logged_in else 'out'}"
start = ["{app.url(start)}"]
[scope]
include = ["https://{app.host}/**"]
{app.scope}
[limits]
pages = {pages}
pages_per_template = {app.pages_per_template}
depth = {app.depth}
duration = "2h"
pages_per_s = 50
concurrency = {tabs}
[explore]
mode = "safe"
actions_per_page = {app.actions}
{login}""")
    return path


def look(store, site, asked):
    """What a scan reached, from its store."""
    database = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    scan, = database.execute("SELECT max(seq) FROM scans WHERE site = ?", (site,)).fetchone()
    pages = dict(database.execute("SELECT url, coalesce(template, url) FROM pages WHERE scan = ? AND state = 'done' AND redirected_to IS NULL", (scan,)))
    forms, endpoints, actions, acted = set(), set(), 0, 0
    shape = lambda url: re.sub(r"\d+", "{n}", urllib.parse.urlsplit(url)._replace(query="", fragment="").geturl())
    names = lambda url: ",".join(sorted({re.sub(r"\d+", "{n}", name) for name, _ in urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query, True)}))
    for (packed,) in database.execute("SELECT e.data FROM evidence e WHERE e.scan = ?", (scan,)):
        evidence = json.loads(subprocess.run(["zstd", "-dcq"], input=packed, capture_output=True, check=True).stdout)
        explored = evidence.get("explored") or {}
        actions += explored.get("actions", 0)
        acted += explored.get("took_ms", 0)
        for form in evidence.get("forms", []):
            fields = ",".join(sorted({re.sub(r"\d+", "{n}", field["name"]) for field in form.get("fields", [])}))
            forms.add((str(form.get("method")), shape(form.get("action", "")), names(form.get("action", "")), fields))
        for request in evidence.get("requests", []):
            if request.get("kind") in ("fetch", "xhr", "ping", "document", "other", "event-source") or request["method"] != "GET":
                endpoints.add((request["method"], shape(request["url"]), names(request["url"])))
    unsafe = [line for line in asked if line.split()[0] not in ("GET", "HEAD", "OPTIONS")]
    return {"pages": set(pages), "templates": len(set(pages.values())), "forms": len(forms), "endpoints": len(endpoints | {form[:3] for form in forms}),
            "requests": len(asked), "unsafe": unsafe, "actions": actions, "acted": acted}


def scan(phantom, app, logged_in, pages, nth, tabs):
    site = site_file(app, logged_in, pages, tabs)
    report = site.replace(".toml", f"-{nth}.json")
    log = f"{app.work}/logs/{app.name}.log"
    before = os.path.getsize(log) if os.path.exists(log) else 0
    # A store of its own: where findings are known, the pages on which they were are looked at first.
    store = site.replace(".toml", f"-{nth}.db")
    began = time.monotonic()
    done = subprocess.run([phantom, "scan", site, "--config", f"{app.work}/phantom.toml", "--store", f"sqlite:{store}", "--tickets", "off", "--tabs", str(tabs), "--report", f"json={report}"],
                          capture_output=True, text=True, env=dict(os.environ, REAL_APPS_PASSWORD=PASSWORD))
    took = time.monotonic() - began
    write(report.replace(".json", ".txt"), done.stdout + done.stderr)
    if not os.path.exists(report):
        sys.exit(f"the scan of {site} failed:\n{done.stderr[-3000:]}")
    with open(report, encoding="utf-8") as file:
        told = json.load(file)
    with open(log, encoding="utf-8") as file:
        file.seek(before)
        asked = file.read().splitlines()
    seen = look(store, os.path.basename(site)[:-5], asked)
    seen.update(took=took, state=told["scan"]["state"], remarks=told["scan"]["remarks"], counts=told["scan"]["pages"], report=told)
    return seen


def differences(app, before, after):
    named, unnamed = {}, []
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) == after.get(key):
            continue
        reason = next((why for pattern, why in app.may_differ if re.search(pattern, key)), None)
        if reason:
            named[reason] = named.get(reason, 0) + 1
        else:
            unnamed.append(f"{key}: {before.get(key, '(none)')} → {after.get(key, '(none)')}"[:300])
    return named, unnamed


def one_order(url):
    """A page is the same one whatever the order of its parameters, for the scanner, too."""
    parts = urllib.parse.urlsplit(url)
    return parts._replace(query="&".join(sorted(parts.query.split("&")))).geturl()


def show(app, phantom, pages, ways, tabs):
    """Scans one application; the rows of the table, and what was missed."""
    rows, missed = [], []
    if hasattr(app, "warm_up"):
        app.warm_up()
    for logged_in in ways:
        what = f"{app.name} {'in' if logged_in else 'out'}"
        before = app.kept()
        first, again = (scan(phantom, app, logged_in, pages, nth, at_once) for nth, at_once in ((1, 1), (2, tabs)))
        named, unnamed = differences(app, before, app.kept())
        one, two = ({one_order(url) for url in seen["pages"]} for seen in (first, again))
        alike = len(one & two) / max(1, len(one | two))
        rows.append((what, first["state"], len(one), first["templates"], first["forms"], first["endpoints"], first["took"], first["requests"],
                     len(first["unsafe"]), alike, sum(named.values()), len(unnamed)))
        print(f"{what}: {len(one)} and {len(two)} pages, {first['took']:.0f} s and {again['took']:.0f} s", flush=True)
        for seen in (first, again):
            for remark in seen["remarks"]:
                print(f"    {remark}")
            if seen["state"] != "complete":
                missed.append(f"{what}: the scan is {seen['state']}")
            sent = [line for line in seen["unsafe"] if not logged_in or line.split()[2] not in app.login_sends]
            missed.extend(f"{what}: a request that could change something: {line}" for line in sent[:5])
            if len(seen["unsafe"]) > 12:
                missed.append(f"{what}: {len(seen['unsafe'])} requests to log in")
        print(f"    {first['actions']} actions, {first['acted'] / max(1, first['actions']):.0f} ms each")
        if logged_in:
            print(f"    sent to log in: {first['unsafe']}")
        for reason, count in named.items():
            print(f"    differs, as it may: {reason} ({count})")
        for line in unnamed[:20]:
            print(f"    DIFFERS: {line}")
        if unnamed:
            missed.append(f"{what}: {len(unnamed)} things that the application keeps differ")
        if alike < ALIKE:
            missed.append(f"{what}: the second run saw other pages, {alike:.1%} alike")
            for url in sorted(one ^ two)[:20]:
                print(f"    only {'first' if url in one else 'second'}: {url}")
        for finding in first["report"]["findings"]:
            print(f"    {finding['severity']}/{finding['confidence']} {finding['check']}: {finding['title']} ({finding['pages_total']} pages, {finding['pages'][0]['url']})")
    return rows, missed


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--phantom", required=True)
    arguments.add_argument("--pages", type=int, default=400)
    arguments.add_argument("--only", choices=("in", "out"), help="logged in, or logged out")
    arguments.add_argument("--tabs", type=int, default=1, help="pages that the second scan takes at once, where the first takes one")
    arguments.add_argument("--keep", action="store_true", help="leave the folder with stores, reports and logs")
    arguments.add_argument("apps", nargs="*", choices=[*APPS, []], metavar="APP")
    given = arguments.parse_args()
    work = tempfile.mkdtemp(prefix="real-apps-")
    os.chmod(work, 0o755)
    print(f"working in {work}", flush=True)
    servers, rows, missed = None, [], []
    ways = [logged_in for logged_in in (False, True) if given.only in (None, "in" if logged_in else "out")]
    try:
        apps = [APPS[name](work) for name in given.apps or APPS]
        servers = Servers(work, apps)
        servers.start()
        for app in apps:
            more, short = show(app, os.path.abspath(given.phantom), given.pages, ways, given.tabs)
            rows += more
            missed += short
    finally:
        if servers:
            servers.stop()
        if not given.keep:
            shutil.rmtree(work, ignore_errors=True)
    head = ("application", "state", "pages", "templates", "forms", "endpoints", "time", "requests", "unsafe", "alike", "named", "DIFFERS")
    print("\n" + "  ".join(f"{name:>{16 if name == 'application' else 10}}" for name in head))
    for row in rows:
        cells = [f"{row[0]:>16}", *(f"{cell:>10}" for cell in row[1:6]), f"{row[6]:>8.0f} s", *(f"{cell:>10}" for cell in row[7:9]),
                 f"{row[9]:>10.1%}", *(f"{cell:>10}" for cell in row[10:])]
        print("  ".join(cells))
    for line in missed:
        print(f"MISSED  {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
