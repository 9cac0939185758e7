// Runs once in each frame's main world when the page has settled, and only reads. The page is hostile: its own
// properties and form controls may shadow the DOM's, so everything goes through the prototypes' own getters, and
// whatever throws is left out. Everything has a cap.
(function (only, probes) {
  'use strict';
  const getter = (proto, name) => {
    const found = Object.getOwnPropertyDescriptor(proto, name);
    return found && found.get ? (object) => found.get.call(object) : () => undefined;
  };
  const attempt = (action, fallback) => { try { return action(); } catch (_) { return fallback; } };
  const text = (value, most) => (typeof value === 'string' ? value : value == null ? '' : attempt(() => String(value), '')).slice(0, most);
  const tidy = (value, most) => text(value, most * 4).replace(/\s+/g, ' ').trim().slice(0, most);
  const attribute = (element, name) => attempt(() => Element.prototype.getAttribute.call(element, name), null);
  const has = (element, name) => attribute(element, name) !== null;
  const tagOf = getter(Element.prototype, 'localName');
  const rootOf = getter(Element.prototype, 'shadowRoot');
  const actionOf = getter(HTMLFormElement.prototype, 'action');
  const methodOf = getter(HTMLFormElement.prototype, 'method');
  const elementsOf = getter(HTMLFormElement.prototype, 'elements');
  const parentOf = getter(Node.prototype, 'parentNode');
  const base = attempt(() => document.baseURI, location.href);
  const absolute = (url) => attempt(() => new URL(url, base).href, '');
  const all = (root, selector) => attempt(() => {
    const found = Array.from((root.nodeType === 9 ? Document : root.nodeType === 11 ? DocumentFragment : Element).prototype.querySelectorAll.call(root, selector));
    if (root.nodeType === 1 && Element.prototype.matches.call(root, selector)) found.unshift(root);
    return found;
  }, []);

  // The document and every shadow root in it. Closed roots were noted when scripts made them.
  const roots = [];
  let elements = 0;
  const visit = (root) => {
    if (roots.length >= 500) return;
    roots.push(root);
    const found = all(root, '*');
    elements += found.length;
    for (const element of found) {
      const shadow = rootOf(element) || (window.__phantomClosed && window.__phantomClosed.get(element));
      if (shadow) visit(shadow);
    }
  };
  // What an exploration has brought is looked at alone.
  for (const root of only || [document]) attempt(() => visit(root), null);

  // Only attributes that say what the element does are shown; any other may hold a token.
  const shown = new Set(('accept-charset action async autocomplete class crossorigin defer enctype form id integrity ' +
    'method name nomodule novalidate referrerpolicy rel role src target type').split(' '));
  const snippet = (element) => attempt(() => {
    const clone = Node.prototype.cloneNode.call(element, false);
    for (const name of Element.prototype.getAttributeNames.call(clone)) {
      if (!shown.has(name)) Element.prototype.setAttribute.call(clone, name, '…');
    }
    if (tagOf(clone) === 'script' || tagOf(clone) === 'form') clone.textContent = '';
    const outer = clone.outerHTML;
    const end = outer.lastIndexOf('</');
    return (end > 0 ? outer.slice(0, end) : outer).slice(0, 500);
  }, '');

  const selector = (element) => attempt(() => {
    const parts = [];
    for (let at = element; at && at.nodeType === 1 && parts.length < 12; at = parentOf(at)) {
      const id = attribute(at, 'id');
      if (id && /^[A-Za-z][\w-]{0,60}$/.test(id)) { parts.unshift('#' + id); break; }
      const tag = tagOf(at);
      let index = 1;
      for (let other = at.previousElementSibling; other; other = other.previousElementSibling) {
        if (tagOf(other) === tag) index += 1;
      }
      parts.unshift(tag + ':nth-of-type(' + index + ')');
    }
    return parts.join(' > ');
  }, '');

  const visible = (element) => attempt(
    () => Element.prototype.checkVisibility.call(element, { visibilityProperty: true, opacityProperty: true }) &&
      Element.prototype.getClientRects.call(element).length > 0, false);

  const labelOf = (element) => attempt(() => {
    const labels = element.labels;
    return tidy((labels && labels[0] && labels[0].textContent) || attribute(element, 'aria-label') || attribute(element, 'placeholder'), 100);
  }, '');

  const fieldOf = (element) => {
    const tag = tagOf(element);
    const kind = tag === 'input' ? text(getter(HTMLInputElement.prototype, 'type')(element), 30) : tag;
    const field = {
      name: text(attribute(element, 'name'), 200),
      kind,
      id: text(attribute(element, 'id'), 200),
      autocomplete: text(attribute(element, 'autocomplete'), 100).toLowerCase(),
      label: labelOf(element),
      visible: kind !== 'hidden' && visible(element),
      disabled: attempt(() => element.matches(':disabled'), false),
    };
    if (kind === 'hidden') field.value = text(getter(HTMLInputElement.prototype, 'value')(element), 4000);
    return field;
  };

  const submitterKind = (element) => {
    const tag = tagOf(element);
    if (tag === 'button') return attempt(() => getter(HTMLButtonElement.prototype, 'type')(element), '') === 'submit';
    const type = tag === 'input' ? getter(HTMLInputElement.prototype, 'type')(element) : '';
    return type === 'submit' || type === 'image';
  };

  const submitterOf = (element) => {
    const proto = tagOf(element) === 'button' ? HTMLButtonElement.prototype : HTMLInputElement.prototype;
    const submitter = {
      text: tidy(tagOf(element) === 'button' ? element.textContent : attribute(element, 'value') || attribute(element, 'alt'), 100),
      name: text(attribute(element, 'name'), 200),
    };
    if (has(element, 'formaction')) submitter.action = text(getter(proto, 'formAction')(element), 4000);
    if (has(element, 'formmethod')) submitter.method = text(getter(proto, 'formMethod')(element), 10);
    return submitter;
  };

  // Of very many controls those at both ends, where tokens and buttons are, and some of what is hidden between them.
  const within = (controls) => {
    if (controls.length <= 300) return controls;
    const between = controls.slice(150, -100).filter((control) => tagOf(control) === 'input' && getter(HTMLInputElement.prototype, 'type')(control) === 'hidden');
    return controls.slice(0, 150).concat(between.slice(0, 50), controls.slice(-100));
  };

  const formOf = (form, root) => {
    // Image buttons are not among a form's elements.
    const images = all(root, 'input[type=image i]').filter((image) => attempt(() => image.form === form, false));
    const controls = within(attempt(() => Array.from(elementsOf(form)), []).concat(images));
    return {
      selector: selector(form),
      snippet: snippet(form),
      has_action: !!text(attribute(form, 'action'), 1).trim(),
      action: text(actionOf(form), 4000),
      method: text(methodOf(form), 10),
      enctype: text(attribute(form, 'enctype'), 60).toLowerCase(),
      visible: visible(form) || controls.some(visible),
      in_shadow_root: attempt(() => root.getRootNode().nodeType === 11, false),
      fields: controls.filter((control) => !submitterKind(control) && !['button', 'fieldset', 'output', 'object'].includes(tagOf(control))).map(fieldOf),
      submitters: controls.filter(submitterKind).map(submitterOf),
    };
  };

  const forms = [], links = [], scripts = [], metas = [], manifests = [];
  let inlineBytes = 0, leftOut = 0;
  const first = (most, elements) => {
    leftOut += Math.max(0, elements.length - most);
    return elements.slice(0, most);
  };
  const seen = new Set();
  // A fragment that is a route names a page of its own; any other names a place on one.
  const address = (url) => {
    const [whole, fragment] = absolute(url).split(/#(.*)/s);
    return /^[!/]/.test(fragment || '') ? whole + '#' + fragment : whole;
  };
  const link = (url, source, rel) => {
    const target = address(url);
    if (!/^https?:/.test(target) || target.length > 4000 || seen.has(source + target)) return;
    if (links.length >= 5000) { leftOut += 1; return; }
    seen.add(source + target);
    links.push({ url: target, source, rel: text(rel, 100).toLowerCase() });
  };
  // Strings that look like the address of a page. What may be built up from parts, and what an API answers, does not.
  let hints = 0;
  const hint = (url, source) => {
    if (hints >= 300 || !url || /[\s{}<>*|^`\\()\[\]]|\$|\/(?:api|rest|rpc|graphql|ajax|v\d+)(?:[/?]|$)/i.test(url)) return;
    hints += 1;
    link(url, source, '');
  };
  // What a request is sent to is no page, and what it does on the server nobody knows.
  const requested = (code, found) => {
    const before = code.slice(Math.max(0, found.index - 60), found.index);
    const after = code.slice(found.index + found[0].length, found.index + found[0].length + 80);
    return /(?:\bfetch|\bajax|\baxios|\bsendBeacon|\bRequest|\bWebSocket|\bEventSource|\bWorker|\bimport(?:Scripts)?|\.(?:get|post|put|patch|del|delete|head|request|load|getJSON))\s*\(\s*$|\bopen\s*\([^()]*,\s*$|\b(?:url|endpoint|action)["']?\s*:\s*$/i.test(before) ||
      /^\s*,\s*\{[^}]*\bmethod\b/i.test(after);
  };
  const targets = (code, source, data) => {
    const plain = code.replace(/\\u002f|\\\//gi, '/');
    for (const found of plain.matchAll(/(["'`])((?:https?:\/\/|\.{0,2}\/(?!\/))[^"'`\s]{1,500})\1/g)) {
      // A quote in a regular expression begins no string: `/"/g, "`.
      if (plain[found.index - 1] === '/') continue;
      if (data || !requested(plain, found)) hint(found[2], source);
    }
    const moved = /\b(?:location(?:\.href)?\s*=(?!=)|location\.(?:assign|replace)\(|window\.open\(|(?:pushState|replaceState|navigate)\((?:[^"'`();]*,)?)\s*(["'`])([^"'`\s]{1,500})\1/g;
    for (const found of plain.matchAll(moved)) hint(found[2], source);
  };
  const shownLinks = (root, source) => {
    for (const anchor of all(root, 'a, area')) {
      const href = attribute(anchor, 'href') !== null ? attribute(anchor, 'href') : attribute(anchor, 'xlink:href');
      if (!href) continue;
      if (/^\s*javascript:/i.test(href)) targets(attempt(() => decodeURIComponent(href), href), 'script');
      else link(href, source || (tagOf(anchor) === 'a' ? 'anchor' : 'area'), attribute(anchor, 'rel'));
    }
    // Also those that wait until they are scrolled to.
    for (const frame of all(root, 'iframe[src], frame[src], embed[src]')) link(attribute(frame, 'src'), source || 'frame', '');
    for (const object of all(root, 'object[data]')) link(attribute(object, 'data'), source || 'frame', '');
  };
  const parsed = (markup) => attempt(() => new DOMParser().parseFromString(text(markup, 100000), 'text/html'), null);
  const hidden = (root) => {
    for (const element of all(root, 'noscript').slice(0, 100)) {
      const inner = parsed(element.textContent);
      if (inner) shownLinks(inner, 'hint');
    }
    for (const template of all(root, 'template').slice(0, 100)) {
      const inner = attempt(() => getter(HTMLTemplateElement.prototype, 'content')(template), null);
      if (inner) shownLinks(inner, 'hint');
    }
    const walker = attempt(() => Document.prototype.createTreeWalker.call(document, root, NodeFilter.SHOW_COMMENT), null);
    for (let count = 0; walker && count < 500 && walker.nextNode(); count += 1) {
      const comment = text(walker.currentNode.data, 100000);
      if (!/<(?:a|area|iframe|frame)\s/i.test(comment)) continue;
      const inner = parsed(comment);
      if (inner) shownLinks(inner, 'hint');
    }
    for (const element of all(root, '[data-href], [data-url], [data-link], [data-target-url], [cite], [longdesc]').slice(0, 500)) {
      for (const name of ['data-href', 'data-url', 'data-link', 'data-target-url', 'cite', 'longdesc']) hint(attribute(element, name), 'hint');
    }
    for (const option of all(root, 'option[value]').slice(0, 500)) {
      const value = attribute(option, 'value');
      if (/^(?:https?:\/\/|\.{0,2}\/[^/])/.test(value)) hint(value, 'hint');
    }
    for (const element of all(root, '[onclick], [ondblclick], [onmousedown], [onmouseup], [onchange], [onsubmit], [onkeydown]').slice(0, 1000)) {
      for (const name of ['onclick', 'ondblclick', 'onmousedown', 'onmouseup', 'onchange', 'onsubmit', 'onkeydown']) {
        if (has(element, name)) targets(attribute(element, name), 'script');
      }
    }
  };
  const speculated = (rules) => {
    for (const rule of [].concat(rules.prefetch || [], rules.prerender || [])) {
      for (const url of [].concat(rule.urls || [])) hint(text(url, 4000), 'link-element');
    }
  };
  for (const root of roots) {
    for (const form of first(200, all(root, 'form'))) attempt(() => forms.push(formOf(form, root)), null);
    shownLinks(root, '');
    attempt(() => hidden(root), null);
    for (const element of all(root, 'link[href]')) {
      const rel = text(attribute(element, 'rel'), 100).toLowerCase();
      // What says of itself that it is a feed or a description of a search is no page.
      const type = text(attribute(element, 'type'), 100);
      const page = (type === '' || /html/i.test(type)) && !/\bstylesheet\b/.test(rel);
      const kind = attribute(element, 'as');
      const leads = /\b(next|prev|first|last|up|alternate|canonical|amphtml|help|search|author|license|privacy-policy|terms-of-service|prerender)\b/.test(rel) ||
        (/\b(prefetch|preload)\b/.test(rel) && (kind === 'document' || (kind === null && !/\bpreload\b/.test(rel))));
      if (/\bmanifest\b/.test(rel) && manifests.length < 5) manifests.push(absolute(attribute(element, 'href')).slice(0, 2000));
      if (page && leads) link(attribute(element, 'href'), 'link-element', rel);
    }
    for (const script of first(500, all(root, 'script'))) {
      const kind = text(attribute(script, 'type'), 100).toLowerCase();
      const src = attribute(script, 'src');
      const entry = { kind, snippet: snippet(script), integrity: attribute(script, 'integrity') };
      if (src !== null) entry.url = absolute(src);
      else {
        const body = attempt(() => getter(Node.prototype, 'textContent')(script), '') || '';
        entry.length = body.length;
        if (inlineBytes < 1000000) {
          entry.text = body.slice(0, 300000);
          attempt(() => targets(entry.text, 'script', /json/.test(kind)), null);
          if (kind === 'speculationrules') attempt(() => speculated(JSON.parse(entry.text)), null);
        }
        inlineBytes += body.length;
      }
      scripts.push(entry);
    }
    for (const meta of first(300, all(root, 'meta'))) {
      const name = text(attribute(meta, 'name') || attribute(meta, 'http-equiv') || attribute(meta, 'property'), 200).toLowerCase();
      if (!name) continue;
      const content = text(attribute(meta, 'content'), 4000);
      metas.push({ name, content });
      const refresh = name === 'refresh' && /^[\d.\s]*[;,]?\s*(?:url\s*=\s*)?['"]?([^'"]+)/i.exec(content);
      if (refresh && refresh[1] && !/^[\d.]+$/.test(refresh[1].trim())) link(refresh[1].trim(), 'refresh', '');
    }
  }

  const storage = [];
  for (const area of ['localStorage', 'sessionStorage']) {
    attempt(() => {
      const store = window[area];
      for (let index = 0; index < Math.min(store.length, 200); index += 1) {
        const key = Storage.prototype.key.call(store, index);
        const value = text(Storage.prototype.getItem.call(store, key), 4000);
        storage.push({ area, key: text(key, 200), value });
        if (/^(?:https?:\/\/|\/[^/])/.test(value)) hint(value, 'hint');
        else targets(value, 'hint', true);
      }
    }, null);
  }

  // What the document is made of, so that it can be compared with others: which elements stand in which, and its text.
  const paths = new Set();
  let words = '';
  const wordy = (element) => {
    const found = /^[a-z][a-z-]{2,30}(?=\s|$)/i.exec(attribute(element, 'class') || '');
    return tagOf(element) + (found ? '.' + found[0] : '');
  };
  const silent = new Set(['script', 'style', 'noscript', 'template', 'title']);
  const lookAt = (root) => {
    for (const element of all(root, '*').slice(0, 1500)) {
      if (paths.size >= 400) break;
      const outer = parentOf(element);
      paths.add((outer && outer.nodeType === 1 ? wordy(outer) : '') + '>' + wordy(element));
    }
    const walker = Document.prototype.createTreeWalker.call(document, root, NodeFilter.SHOW_TEXT);
    for (let count = 0; count < 3000 && words.length < 20000 && walker.nextNode(); count += 1) {
      const outer = parentOf(walker.currentNode);
      if (!outer || !silent.has(tagOf(outer))) words += ' ' + text(walker.currentNode.data, 2000);
    }
  };
  if (!only && window.top === window) for (const root of roots) attempt(() => lookAt(root), null);

  const answers = {};
  const before = attempt(() => performance.now(), 0);
  for (const id of Object.keys(probes)) {
    answers[id] = attempt(() => { const json = JSON.stringify(probes[id]()); return json === undefined || json.length > 200000 ? null : json; }, null);
  }
  const probesMs = attempt(() => performance.now(), 0) - before;

  return JSON.stringify({
    url: text(location.href, 4000), origin: text(self.origin, 400), title: tidy(document.title, 300),
    elements, forms, links, scripts, metas, storage, probes: answers, probes_ms: probesMs, left_out: leftOut, manifests,
    look: only || window.top !== window ? null : { paths: Array.from(paths), text: tidy(words, 20000) },
    changed: window.__phantomChanged ? window.__phantomChanged() : '',
  });
})
