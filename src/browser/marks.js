// Runs before any script of a document, after early.js. If the address ends in a mark, the page is loaded once more to
// see whether what stands in its address comes to where it is run. Each value of the query then gets a mark of its own,
// of which no server is told; and whatever takes text as markup or as code notes the marks that come to it.
(() => {
  'use strict';
  const found = /phmk([0-9a-f]{12})%3Cphmk\1f%3E$/.exec(location.hash);
  // No page can put words of its own here.
  const hidden = value => Object.defineProperty(window, '__phantomMarks', { value, enumerable: false });
  if (!found) return void hidden(undefined);
  const word = 'phmk' + found[1];
  const before = { f: location.hash.slice(1, found.index) };
  const names = [];
  try {
    const marked = new URLSearchParams();
    for (const [name, value] of new URLSearchParams(location.search)) {
      const mark = 'q' + names.length;
      marked.append(name, names.length < 20 ? value + '<' + word + mark + '>' : value);
      before[mark] = value;
      names.push(name);
    }
    if (names.length) history.replaceState(history.state, '', location.pathname + '?' + marked + location.hash);
  } catch (_) { }
  const marks = new RegExp('(<|%3C)' + word + '(f|q[0-9]+)', 'i');
  const places = /(?<!blob:)https?:\/\/[^\s)]+:\d+:\d+/g;
  // An address as others may be told of it.
  const plain = place => place.replace(/[?#].*(:\d+:\d+)$/, '$1');
  const query = Document.prototype.querySelector;
  // Whether the mark has become an element, next to where it was put.
  const isMade = (name, node) => [node, node && node.parentNode, document].some(place => {
    try {
      return !!place && (place.nodeType === 9 ? query.call(place, name) : place.querySelector(name)) !== null;
    } catch (_) { return false; }
  });
  const hits = [];
  const known = new Set();
  const told = value => typeof value === 'string' ? value
    : ['TrustedHTML', 'TrustedScript', 'TrustedScriptURL'].some(kind => window[kind] && value instanceof window[kind]) ? '' + value : '';
  const note = (sink, kind, value, node) => {
    const text = told(value);
    const mark = hits.length < 20 && marks.exec(text);
    if (!mark) return;
    const raw = mark[1] === '<';
    // Escaped, or within quotes, it is no markup. A frame reads its own later.
    if (kind === 'markup' && !(raw && (sink === 'srcdoc' || isMade(word + mark[2], node)))) return;
    // What a script's query says is not which script it is.
    if (kind === 'script' && text.slice(0, mark.index).includes('?')) return;
    const source = mark[2] === 'f' ? 'fragment' : 'query';
    const head = text.slice(0, source === 'fragment' ? Math.max(0, text.indexOf(word)) : mark.index).replace(/^#/, '');
    const hit = {
      sink, kind, source,
      name: source === 'query' ? names[+mark[2].slice(1)] || '' : '',
      // All of it stands in the address: who writes that chooses the rest, too.
      whole: head === (before[mark[2]] || ''),
      on: node && node.localName ? node.localName + (node.id && !node.id.includes(word) ? '#' + node.id : '') : '',
      scripts: ((new Error().stack || '').match(places) || []).slice(0, 8).map(plain),
    };
    const key = JSON.stringify(hit);
    if (known.has(key)) return;
    known.add(key);
    hits.push(hit);
  };
  // Libraries that clean markup do so in documents that are not shown.
  const isShown = node => {
    const page = node && (node.nodeType === 9 ? node : node.ownerDocument);
    return !!page && page.defaultView === window && node.localName !== 'template' && node.localName !== 'textarea';
  };
  const markup = (sink, value, node) => { if (isShown(node)) note(sink, 'markup', value, node); };
  // What is refused, by a policy of the page, comes to nothing. A mark may make bad code of good one; it was taken as code.
  const watch = (act, tell) => {
    let result;
    try { result = act(); } catch (error) {
      if (error instanceof SyntaxError) tell();
      throw error;
    }
    if (result !== 0) tell(result);
    return result;
  };
  const onSet = (holder, name, tell) => {
    const own = holder && Object.getOwnPropertyDescriptor(holder, name);
    if (!own || !own.set) return;
    Object.defineProperty(holder, name, { ...own, set(value) { watch(() => own.set.call(this, value), () => tell(value, this)); } });
  };
  const onCall = (holder, name, tell) => {
    const own = holder && holder[name];
    if (typeof own !== 'function') return;
    holder[name] = function (...given) { return watch(() => own.apply(this, given), made => tell(given, this, made)); };
  };
  for (const holder of [Element.prototype, ShadowRoot.prototype]) {
    onSet(holder, 'innerHTML', (value, node) => markup('innerHTML', value, node));
    onCall(holder, 'setHTMLUnsafe', ([value], node) => markup('setHTMLUnsafe', value, node));
  }
  onSet(Element.prototype, 'outerHTML', (value, node) => markup('outerHTML', value, node));
  onCall(Element.prototype, 'insertAdjacentHTML', ([, value], node) => markup('insertAdjacentHTML', value, node));
  onCall(Range.prototype, 'createContextualFragment', ([value], range, made) => {
    if (isShown(range.startContainer)) note('createContextualFragment', 'markup', value, made);
  });
  onCall(Document.prototype, 'write', (values, page) => markup('document.write', values.map(told).join(''), page));
  onCall(Document.prototype, 'writeln', (values, page) => markup('document.writeln', values.map(told).join(''), page));
  onSet(HTMLIFrameElement.prototype, 'srcdoc', (value, node) => markup('srcdoc', value, node));
  onSet(HTMLScriptElement.prototype, 'src', (value, node) => note('script src', 'script', value, node));
  for (const name of ['text', 'textContent', 'innerText']) {
    onSet(HTMLScriptElement.prototype, name, (value, node) => note('script text', 'code', value, node));
  }
  onCall(Element.prototype, 'setAttribute', ([name, value], node) => {
    const what = ('' + name).toLowerCase();
    if (what === 'src' && node.localName === 'script') note('script src', 'script', value, node);
    else if (what === 'srcdoc') markup('srcdoc', value, node);
    else if (/^on[a-z]+$/.test(what)) note('a handler', 'code', value, node);
  });
  for (const name of ['setTimeout', 'setInterval']) onCall(window, name, ([value]) => note(name, 'code', value));
  const listen = given => note('Function', 'code', given.map(told).join(','));
  window.Function = new Proxy(Function, {
    apply: (own, self, given) => watch(() => Reflect.apply(own, self, given), () => listen(given)),
    construct: (own, given, to) => watch(() => Reflect.construct(own, given, to), () => listen(given)),
  });
  hidden(() => hits);
})();
