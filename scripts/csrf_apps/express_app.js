// Express with express-session and csrf-sync, or without the latter. /hook stands before the guard.
const express = require("express");
const session = require("express-session");
const { csrfSync } = require("csrf-sync");

const guarded = process.env.GUARDED === "1";
const app = express();
app.set("trust proxy", 1);
app.use(express.urlencoded({ extended: false }));
app.use(session({ secret: "only for this show", resave: false, saveUninitialized: true, cookie: { secure: true } }));
const { csrfSynchronisedProtection, generateToken } = csrfSync({ getTokenFromRequest: (request) => request.body?._csrf ?? request.get("X-CSRF-Token") });

const forms = {
  "/transfer": '<input name="amount" value="10"><input name="to" value="ann">',
  "/comment": '<textarea name="text">Hello</textarea>',
  "/hook": '<input name="event" value="ping">',
};

function show(request, response) {
  request.session.visitor = 7;
  if (request.method === "POST") return response.send("done");
  const links = [...Object.keys(forms), "/settings", "/search"].map((at) => `<a href="${at}">${at}</a> `).join("");
  let body = "";
  if (request.path in forms) {
    const token = guarded && request.path !== "/hook"
      ? `<input type="hidden" name="_csrf" value="${generateToken(request)}">` : "";
    body = `<form method="post" action="${request.path}">${forms[request.path]}${token}<button>Send</button></form>`;
  }
  if (request.path === "/settings") {
    const headers = guarded ? `'X-CSRF-Token': '${generateToken(request)}'` : "";
    body = `<script>fetch('/settings', { method: 'POST', headers: { ${headers} }, body: new URLSearchParams({ nick: 'ann' }) }).catch(() => {});</script>`;
  }
  if (request.path === "/search") body = '<form action="/search"><input name="q"><button>Search</button></form>';
  response.send(`<!doctype html><html lang="en"><title>${request.path}</title><link rel="icon" href="data:,">${links}${body}`);
}

app.all("/hook", show);
if (guarded) app.use(csrfSynchronisedProtection);
app.use(show);
app.listen(Number(process.env.PORT), "127.0.0.1");
