// What declared checks ask a document. Only reads: no getter of the page's is called, and what is asked is data.
function () {
  const asks = [/* ASKS */];
  const answers = [];
  const say = (answer) => { if (answers.length < 200) answers.push(answer); };
  const plain = (value) => typeof value === 'string' ? value.slice(0, 300) : value;
  const property = (holder, name) => {
    for (let at = holder, up = 0; (typeof at === 'object' || typeof at === 'function') && at !== null && up < 10; at = Object.getPrototypeOf(at), up += 1) {
      const own = Object.getOwnPropertyDescriptor(at, name);
      if (own) return own.value;
    }
    return undefined;
  };
  for (const ask of asks) {
    try {
      if (ask.read) {
        const value = ask.read.reduce(property, window);
        if (['string', 'number', 'boolean'].includes(typeof value)) say({ ask: ask.name, value: plain(value) });
        continue;
      }
      const found = document.querySelectorAll(ask.select);
      for (let index = 0; index < found.length && index < 50; index += 1) {
        const element = found[index];
        const attributes = {};
        for (const name of ask.attributes) {
          const value = element.getAttribute(name);
          if (value !== null) attributes[name] = plain(value);
        }
        const text = element.matches('input, textarea, select, option, script, style') ? '' : element.textContent;
        say({ ask: ask.name, value: plain(text.replace(/\s+/g, ' ').trim()), attributes });
      }
    } catch { /* The page, or the selector, is odd: there is nothing to say. */ }
  }
  return answers;
}
