// Runs before any script of a document. It notes closed shadow roots, which nothing can find later; how long the page's
// own first timers will take, so that a page is captured when it is quiet and not after a fixed time; and the built-in
// functions that the capture relies on, to tell whether the page has put others in their place.
(() => {
  'use strict';
  const closed = new WeakMap();
  const attach = Element.prototype.attachShadow;
  Element.prototype.attachShadow = function attachShadow(options) {
    const root = attach.call(this, options);
    if (root && root.mode === 'closed') closed.set(this, root);
    if (root && window.__phantomRooted) window.__phantomRooted(this, root);
    return root;
  };
  let depth = 0;
  let from = 0;
  const timers = [];
  const later = window.setTimeout;
  // Timers set by timers are a page's heartbeat: they never end, so only the first two generations count. Those that
  // follow at once are rather one task in steps, as promises of libraries are, so more of them do.
  const counts = (level, delay) => level <= (delay <= 10 ? 8 : 2);
  window.setTimeout = function setTimeout(action, delay, ...rest) {
    if (typeof action !== 'function') return later.call(this, action, delay, ...rest);
    const level = depth + 1;
    const wait = Number(delay) || 0;
    const timer = { at: performance.now() + wait, ran: false };
    if (counts(level, wait) && timer.at < from + 5000 && timers.length < 1000) timers[timers.length] = timer;
    return later.call(this, function (...args) {
      timer.ran = true;
      const before = depth;
      depth = level;
      try { return action.apply(this, args); } finally { depth = before; }
    }, delay, ...rest);
  };
  // What is to be done when there is time has no time of its own; on a busy machine it takes a while.
  const idle = new Map();
  const whenIdle = window.requestIdleCallback, notIdle = window.cancelIdleCallback;
  if (whenIdle) {
    window.requestIdleCallback = function requestIdleCallback(action, ...rest) {
      if (typeof action !== 'function') return whenIdle.call(this, action, ...rest);
      const level = depth + 1;
      const id = whenIdle.call(this, function (...args) {
        idle.delete(id);
        const before = depth;
        depth = level;
        try { return action.apply(this, args); } finally { depth = before; }
      }, ...rest);
      if (level <= 4 && idle.size < 100) idle.set(id, performance.now());
      return id;
    };
    window.cancelIdleCallback = function cancelIdleCallback(id) { idle.delete(id); return notIdle.call(this, id); };
  }
  const waiting = () => {
    for (const since of idle.values()) if (performance.now() < since + 2000) return 25;
    return 0;
  };
  // A busy page runs its timers late. One that is long overdue was cleared.
  const due = () => {
    let most = 0;
    for (let index = 0; index < timers.length; index += 1) {
      const left = timers[index].at - performance.now();
      if (!timers[index].ran && left > -200) most = Math.max(most, left, 1);
    }
    return Math.max(most, faded(), waiting());
  };
  // What fades in is there at once, so that what it does at its end is seen: animations are brought to it. Those that
  // follow are a heartbeat, too.
  const met = new WeakSet();
  let rounds = 0;
  let finished = 0;
  const running = Document.prototype.getAnimations;
  const draw = window.requestAnimationFrame;
  const faded = () => {
    // Their ends are told before the next frame is drawn, which a busy machine does late.
    if (finished && performance.now() < finished + 1000) return 25;
    if (rounds >= 3 || document.readyState !== 'complete') return 0;
    const all = running.call(document);
    let ended = 0;
    for (let index = 0; index < all.length && index < 200; index += 1) {
      if (met.has(all[index])) continue;
      met.add(all[index]);
      // What never ends cannot be brought to its end.
      try { all[index].finish(); ended += 1; } catch (_) { }
    }
    if (!ended) return 0;
    rounds += 1;
    finished = performance.now();
    draw.call(window, () => { finished = 0; });
    return 40;
  };
  const hidden = (name, value) => Object.defineProperty(window, name, { value, enumerable: false });
  hidden('__phantomClosed', closed);
  hidden('__phantomDue', due);
  // From now on, what is done with the page sets timers of the first generation.
  hidden('__phantomRestart', () => { from = performance.now(); timers.length = 0; idle.clear(); });
  const describe = Object.getOwnPropertyDescriptor;
  const kept = [];
  const keep = (holder, names) => {
    for (let index = 0; index < names.length; index += 1) {
      const found = describe(holder, names[index]) || {};
      kept[kept.length] = { holder, name: names[index], value: found.value, get: found.get };
    }
  };
  keep(Array.prototype, ['toJSON', 'concat', 'filter', 'forEach', 'includes', 'map', 'push', 'slice', 'some', 'unshift', 'join', Symbol.iterator]);
  keep(String.prototype, ['toJSON', 'includes', 'lastIndexOf', 'matchAll', 'replace', 'slice', 'split', 'toLowerCase', 'trim']);
  keep(RegExp.prototype, ['exec', 'test', Symbol.matchAll, Symbol.replace, Symbol.split]);
  keep(Function.prototype, ['call']);
  keep(Object, ['getOwnPropertyDescriptor', 'keys']);
  keep(Object.prototype, ['toJSON', 'get', 'value']);
  keep(Array, ['from']);
  keep(JSON, ['stringify', 'parse']);
  keep(Set.prototype, ['add', 'has']);
  keep(window, ['String', 'Set', 'Array', 'Object', 'JSON', 'URL', 'DOMParser', 'decodeURIComponent']);
  keep(Document.prototype, ['querySelectorAll', 'createTreeWalker']);
  keep(DocumentFragment.prototype, ['querySelectorAll']);
  keep(Element.prototype, ['querySelectorAll', 'getAttribute', 'getAttributeNames', 'localName', 'shadowRoot', 'checkVisibility', 'getClientRects']);
  keep(Node.prototype, ['cloneNode', 'parentNode', 'textContent']);
  keep(HTMLFormElement.prototype, ['action', 'method', 'elements']);
  keep(HTMLInputElement.prototype, ['type', 'value', 'formAction', 'formMethod', 'form']);
  keep(HTMLButtonElement.prototype, ['type', 'formAction', 'formMethod']);
  hidden('__phantomChanged', () => {
    for (let index = 0; index < kept.length; index += 1) {
      const { holder, name, value, get } = kept[index];
      const now = describe(holder, name);
      if ((now && now.value) !== value || (now && now.get) !== get) return typeof name === 'string' ? name : 'a symbol';
    }
    return '';
  });
})();
