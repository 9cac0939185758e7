// What a page that seems quiet is waiting for: its own first timers, in milliseconds, and whether it has listeners for the
// moment in which it is left. `getEventListeners` is what the browser gives to those who inspect a page.
(() => {
  const ends = ['beforeunload', 'freeze', 'pagehide', 'unload', 'visibilitychange'];
  const awaitsEnd = (view, depth) => {
    for (const target of [view, view.document]) {
      const listeners = getEventListeners(target);
      for (const end of ends) if (listeners[end]) return true;
    }
    if (depth > 5 || view.length > 50) return true;
    for (let index = 0; index < view.length; index += 1) if (awaitsEnd(view[index], depth + 1)) return true;
    return false;
  };
  let end = true;
  // Frames of other origins do not let themselves be asked.
  try { end = awaitsEnd(window, 0); } catch { /* It may. */ }
  return { due: window.__phantomDue ? window.__phantomDue() : 0, end };
})()
