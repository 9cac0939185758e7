// Runs before any script of a document. It notes closed shadow roots, which nothing can find later, and how long the
// page's own first timers will take, so that a page is captured when it is quiet and not after a fixed time.
(() => {
  'use strict';
  const closed = new WeakMap();
  const attach = Element.prototype.attachShadow;
  Element.prototype.attachShadow = function attachShadow(options) {
    const root = attach.call(this, options);
    if (root && root.mode === 'closed') closed.set(this, root);
    return root;
  };
  let depth = 0;
  const timers = [];
  const later = window.setTimeout;
  // Timers set by timers are a page's heartbeat: they never end, so only the first two generations count.
  window.setTimeout = function setTimeout(action, delay, ...rest) {
    if (typeof action !== 'function') return later.call(this, action, delay, ...rest);
    const level = depth + 1;
    const timer = { at: performance.now() + (Number(delay) || 0), ran: false };
    if (level <= 2 && timer.at < 5000 && timers.length < 1000) timers[timers.length] = timer;
    return later.call(this, function (...args) {
      timer.ran = true;
      const before = depth;
      depth = level;
      try { return action.apply(this, args); } finally { depth = before; }
    }, delay, ...rest);
  };
  // A busy page runs its timers late. One that is long overdue was cleared.
  const due = () => {
    let most = 0;
    for (let index = 0; index < timers.length; index += 1) {
      const left = timers[index].at - performance.now();
      if (!timers[index].ran && left > -200) most = Math.max(most, left, 1);
    }
    return most;
  };
  const hidden = (name, value) => Object.defineProperty(window, name, { value, enumerable: false });
  hidden('__phantomClosed', closed);
  hidden('__phantomDue', due);
})();
