"""The pages that all of these applications show, around what a framework puts into its forms."""

FORMS = {
    "/transfer": '<input name="amount" value="10"><input name="to" value="ann">',
    "/comment": '<textarea name="text">Hello</textarea>',
    "/hook": '<input name="event" value="ping">',
}


def page(path, field, headers=""):
    """`headers`: what a framework wants along with the call of a script, as the inside of an object of JavaScript."""
    links = "".join(f'<a href="{at}">{at}</a> ' for at in [*FORMS, "/settings", "/search"])
    body = ""
    if path in FORMS:
        # What is exempt has no token either.
        inside = FORMS[path] + (field if path != "/hook" else "")
        body = f'<form method="post" action="{path}">{inside}<button>Send</button></form>'
    if path == "/settings":
        body = ("<script>fetch('/settings', { method: 'POST', headers: { " + headers
                + " }, body: new URLSearchParams({ nick: 'ann' }) }).catch(() => {});</script>")
    if path == "/search":
        body = '<form action="/search"><input name="q"><button>Search</button></form>'
    return f'<!doctype html><html lang="en"><title>{path}</title><link rel="icon" href="data:,">{links}{body}'
