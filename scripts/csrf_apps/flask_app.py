"""Flask with Flask-WTF's CSRFProtect, or without. The view of /hook is exempt."""

import os
import sys

from flask import Flask, request, session
from flask_wtf.csrf import CSRFProtect, generate_csrf

sys.path.insert(0, os.path.dirname(__file__))
from pages import page  # noqa: E402

GUARDED = os.environ["GUARDED"] == "1"
app = Flask(__name__)
app.config.update(SECRET_KEY="only for this show", SESSION_COOKIE_SECURE=True, WTF_CSRF_SSL_STRICT=False)
protect = CSRFProtect(app) if GUARDED else None


def show(name=""):
    session["visitor"] = 7
    if request.method == "POST":
        return "done"
    field = f'<input type="hidden" name="csrf_token" value="{generate_csrf()}">' if GUARDED else ""
    return page(request.path, field, f"'X-CSRFToken': '{generate_csrf()}'" if GUARDED else "")


def hook():
    return show()


app.add_url_rule("/hook", view_func=protect.exempt(hook) if protect else hook, methods=["GET", "POST"])
app.add_url_rule("/", view_func=show)
app.add_url_rule("/<name>", view_func=show, methods=["GET", "POST"])

if __name__ == "__main__":
    app.run("127.0.0.1", int(os.environ["PORT"]))
