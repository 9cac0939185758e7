"""The foreign Jira of scripts/foreign-jira: `serve PORT`, `wait PORT`, `read PORT`.

Issues, labels, search, workflow, comments, files and history are jira820's own. Where it does otherwise than Jira Data
Center is documented to do, it is mended here, so that what is shown is our dialogue and not its gaps:

1. It knows issues by key only. Jira takes the id as well, which outlives moves, so we use that.
2. It searches by GET only. Jira takes POST too, which has no limit on the length of a query.
3. It has no entity properties.
4. Out of the box, its screen into done requires a work log and an assignee, but does not enforce it. Ours asks for
   the resolution alone, as Jira's default workflow does.

Left as it is: it knows days but no time of day, shows the newest comment first, asks for no credentials, answers any
project's key with its one project, and has neither permissions nor the fields of an issue type, so that
`phantom tickets check` has nothing to ask it.
"""

import collections
import datetime
import json
import sys
import time
import urllib.parse
import urllib.request

PROJECT = "SEC"
MENDED = collections.Counter()


def serve(port):
    import uvicorn
    from fastapi import Request
    from fastapi.responses import JSONResponse, Response
    from jira820 import server_read
    from jira820.config import Config
    from jira820.serialize import iid
    from jira820.server import make_app

    app = make_app(config=Config(
        project_key=PROJECT,
        # Its one day is over, so that what is closed was closed before the next scan begins.
        base_date=datetime.date.today() - datetime.timedelta(days=10),
        transition_screens={"Done": ["resolution"]},
    ))
    issues = app.state.store.issues
    properties = collections.defaultdict(dict)

    @app.get("/mended")
    def mended():
        return MENDED

    @app.put("/rest/api/2/issue/{key}/properties/{name}")
    async def put_property(key: str, name: str, request: Request):
        MENDED["entity properties"] += 1
        new = name not in properties[key]
        properties[key][name] = await request.json()
        return Response(status_code=201 if new else 200)

    @app.get("/rest/api/2/issue/{key}/properties/{name}")
    def get_property(key: str, name: str):
        MENDED["entity properties"] += 1
        if name not in properties[key]:
            return JSONResponse({"errorMessages": ["no such property"], "errors": {}}, status_code=404)
        return {"key": name, "value": properties[key][name]}

    @app.get("/rest/api/2/issue/{key}")
    def issue(key: str, request: Request, fields: str = "", expand: str = "", properties_: str = ""):
        answer = server_read.issue(key, request, fields, expand)
        wanted = request.query_params.get("properties", "").split(",")
        if isinstance(answer, dict):
            answer["properties"] = {name: value for name, value in properties[key].items() if name in wanted}
        return answer

    # Before jira820's own.
    app.router.routes.insert(0, app.router.routes.pop())

    async def front(scope, receive, send):
        if scope["type"] != "http":
            return await app(scope, receive, send)
        parts = scope["path"].split("/")
        if scope["path"].startswith("/rest/api/2/issue/") and parts[5].isdigit():
            MENDED["issues by id"] += 1
            parts[5] = next((key for key in issues if iid(key) == parts[5]), parts[5])
            path = "/".join(parts)
            scope = dict(scope, path=path, raw_path=path.encode())
        elif (scope["method"], scope["path"]) == ("POST", "/rest/api/2/search"):
            MENDED["searches by POST"] += 1
            body = b""
            while True:
                message = await receive()
                body += message.get("body", b"")
                if not message.get("more_body"):
                    break
            asked = json.loads(body)
            asked["fields"] = ",".join(asked.get("fields", []))
            query = urllib.parse.urlencode(asked).encode()
            scope = dict(scope, method="GET", query_string=query)
        return await app(scope, receive, send)

    uvicorn.run(front, host="127.0.0.1", port=port, log_level="info")


def ask(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return json.load(answer)


def wait(port):
    for _ in range(100):
        try:
            return ask(port, "/rest/api/2/serverInfo")
        except OSError:
            time.sleep(0.1)
    sys.exit("jira820 does not start; see target/foreign-jira/log")


def read(port):
    from jira import JIRA

    client = JIRA(server=f"http://127.0.0.1:{port}")
    found = client.search_issues(f'project = {PROJECT} AND labels = "phantom-gang"')
    print(f"\nread back with the PyPI client `jira`: {len(found)} ticket(s)")
    for one in found:
        fields = one.fields
        print(f"  {one.key}  {fields.summary}")
        print(f"    labels       {', '.join(fields.labels)}")
        print(f"    priority     {fields.priority.name}")
        print(f"    status       {fields.status.name}, resolution {fields.resolution}")
        for file in fields.attachment:
            print(f"    attachment   {file.filename}, {file.size} bytes, {len(file.get().splitlines())} lines")
        for comment in reversed(client.comments(one)):
            print(f"    comment      {comment.body.splitlines()[0]}")
        for change in client.issue(one.key, expand="changelog").changelog.histories:
            for item in change.items:
                print(f"    history      {item.field}: {item.fromString} -> {item.toString}")
        print(f"    description  {len(fields.description)} characters, begins {fields.description[:60]!r}")
    print(f"mended on the way: {ask(port, '/mended')}")


if __name__ == "__main__":
    {"serve": serve, "wait": wait, "read": read}[sys.argv[1]](int(sys.argv[2]))
