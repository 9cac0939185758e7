"""Django with its CSRF middleware, or without. The view of /hook is exempt, as webhooks are."""

import os
import sys

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.middleware.csrf import get_token
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

GUARDED = os.environ["GUARDED"] == "1"
settings.configure(
    SECRET_KEY="only for this show", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SESSION_COOKIE_SECURE=True,
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"]
    + (["django.middleware.csrf.CsrfViewMiddleware"] if GUARDED else []))
sys.path.insert(0, os.path.dirname(__file__))
from pages import page  # noqa: E402


def show(request, name=""):
    request.session["visitor"] = 7
    if request.method == "POST":
        return HttpResponse("done")
    field = f'<input type="hidden" name="csrfmiddlewaretoken" value="{get_token(request)}">' if GUARDED else ""
    return HttpResponse(page(request.path, field, f"'X-CSRFToken': '{get_token(request)}'" if GUARDED else ""))


urlpatterns = [path("hook", csrf_exempt(show)), path("", show), path("<slug:name>", show)]

if __name__ == "__main__":
    from wsgiref.simple_server import make_server
    make_server("127.0.0.1", int(os.environ["PORT"]), get_wsgi_application()).serve_forever()
