// Runs before any script of a document or a worker. Each realm has built-in functions of its own and is given this
// script, so there is no other realm to borrow them from.
//
// What is written to a WebSocket stays here: only hosts that may be changed get it. The handshake is left alone, as it is
// a GET.
//
// Where `methods` are given, requests by others that may change state are not made at all. Elsewhere they wait for a word
// of ours; but those of a worker or a frame that ends go out while they wait, if it had a session of its own.
((hosts, methods) => {
  'use strict';
  const scope = globalThis;
  const { call } = Function.prototype;
  const { defineProperty: define, getOwnPropertyDescriptor: describe } = Object;
  const free = (method) => call.bind(method);
  const report = scope.__phantomHeld;
  delete scope.__phantomHeld;
  // Workers have two sessions that give them this script, and a frame may keep its window for the next document.
  if (scope.__phantomHolds === true) return;
  define(scope, '__phantomHolds', { value: true });
  const held = (what) => {
    // Some of a page's messages are enough to know that it sends.
    try { if (report) report(what); } catch { /* The page is left. */ }
  };

  const requests = () => {
    const upper = free(String.prototype.toUpperCase);
    const write = JSON.stringify;
    const { Request: Asked, Promise: Later, TypeError: Wrong, URLSearchParams: Pairs, ProgressEvent: Progress } = scope;
    const pairs = free(Pairs.prototype.toString);
    const isBefore = free(Object.prototype.isPrototypeOf);
    const rejected = free(Later.reject);
    const isOpen = (method) => {
      for (let index = 0; index < methods.length; index += 1) if (methods[index] === method) return true;
      return false;
    };
    const text = (body) => {
      if (typeof body === 'string') return body.length < 65536 ? body : '';
      try { return isBefore(Pairs.prototype, body) ? pairs(body) : ''; } catch { return ''; }
    };
    const hold = (method, url, type, body) => held(write({ method, url, type, body: text(body), toJSON: undefined }));
    const whole = (url) => `${new scope.URL(url, scope.document ? scope.document.baseURI : scope.location.href)}`;
    const put = (holder, name, value) => define(holder, name, { value, writable: true, enumerable: true, configurable: true });

    const methodOf = free(describe(Asked.prototype, 'method').get);
    const urlOf = free(describe(Asked.prototype, 'url').get);
    const headersOf = free(describe(Asked.prototype, 'headers').get);
    const header = free(scope.Headers.prototype.get);
    const fetch = free(scope.fetch);
    const { fetch: fetchInstead } = {
      fetch(...all) {
        if (all.length === 0) return fetch(scope);
        let asked;
        let body;
        try {
          asked = new Asked(all[0], all[1]);
          body = all[1] && all[1].body;
        } catch (error) {
          return rejected(Later, error);
        }
        if (isOpen(upper(methodOf(asked)))) return fetch(scope, asked);
        hold(methodOf(asked), urlOf(asked), header(headersOf(asked), 'content-type'), body);
        return rejected(Later, new Wrong('Failed to fetch'));
      },
    };
    put(scope, 'fetch', fetchInstead);

    if (typeof scope.navigator.sendBeacon === 'function' && !isOpen('POST')) {
      const { sendBeacon } = {
        sendBeacon(url, body) {
          hold('POST', whole(url), '', body);
          return true;
        },
      };
      put(scope.Navigator.prototype, 'sendBeacon', sendBeacon);
    }

    if (typeof scope.XMLHttpRequest !== 'function') return;
    const xhr = scope.XMLHttpRequest.prototype;
    const open = free(xhr.open);
    const send = free(xhr.send);
    const dispatch = free(scope.EventTarget.prototype.dispatchEvent);
    const known = new WeakMap();
    const [get, set] = [free(WeakMap.prototype.get), free(WeakMap.prototype.set)];
    const instead = {
      open(method, url, ...more) {
        const [name, to] = [`${method}`, `${url}`];
        open(this, name, to, ...more);
        set(known, this, { method: upper(name), to, waits: more.length > 0 && !more[0] });
      },
      send(body) {
        const asked = get(known, this);
        if (!asked || isOpen(asked.method)) return send(this, body);
        hold(asked.method, whole(asked.to), '', body);
        if (asked.waits) throw new scope.DOMException('Failed to load', 'NetworkError');
        dispatch(this, new Progress('error'));
        dispatch(this, new Progress('loadend'));
        return undefined;
      },
    };
    put(xhr, 'open', instead.open);
    put(xhr, 'send', instead.send);
  };
  if (methods) requests();

  if (typeof scope.WebSocket !== 'function') return;
  const at = free(String.prototype.charAt);
  const getHost = free(describe(scope.URL.prototype, 'hostname').get);
  const Address = scope.URL;
  const matches = (pattern, text, from = 0, to = 0) => {
    if (from === pattern.length) return to === text.length;
    if (at(pattern, from) !== '*') return at(pattern, from) === at(text, to) && to < text.length && matches(pattern, text, from + 1, to + 1);
    for (let end = to; end <= text.length; end += 1) if (matches(pattern, text, from + 1, end)) return true;
    return false;
  };
  const isOpen = (url) => {
    const host = getHost(new Address(url));
    for (let index = 0; index < hosts.length; index += 1) if (matches(hosts[index], host)) return true;
    return false;
  };
  const socket = scope.WebSocket.prototype;
  const urlOf = free(describe(socket, 'url').get);
  const stateOf = free(describe(socket, 'readyState').get);
  const send = free(socket.send);
  const { send: instead } = {
    send(data) {
      const url = urlOf(this);
      // Before it is open the browser's own says what is wrong, and sends nothing.
      if (arguments.length === 0 || stateOf(this) === 0 || isOpen(url)) return send(this, ...arguments);
      held(url);
      return undefined;
    },
  };
  define(socket, 'send', { value: instead, writable: true, enumerable: true, configurable: true });

  if (typeof scope.WebSocketStream !== 'function') return;
  const stream = scope.WebSocketStream.prototype;
  const opened = describe(stream, 'opened');
  const openedOf = free(opened.get);
  const streamUrl = free(describe(stream, 'url').get);
  const then = free(Promise.prototype.then);
  const Sink = scope.WritableStream;
  const known = new WeakMap();
  const [get, set] = [free(WeakMap.prototype.get), free(WeakMap.prototype.set)];
  const { get: openedInstead } = describe({
    get opened() {
      const url = streamUrl(this);
      if (isOpen(url)) return openedOf(this);
      let promise = get(known, this);
      if (!promise) {
        promise = then(openedOf(this), (all) => ({ ...all, writable: new Sink({ write: () => held(url) }) }));
        set(known, this, promise);
      }
      return promise;
    },
  }, 'opened');
  define(stream, 'opened', { ...opened, get: openedInstead });
})
