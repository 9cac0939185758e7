// Put into a frame when its exploration begins. It says what can be done there, does what real input cannot, and notes
// what becomes of it. It runs in the page's own world, where frameworks keep what their elements listen to; so all that
// it says may be forged.
(() => {
  'use strict';
  if (window.__phantomExplore) return;
  const attempt = (action, fallback) => { try { return action(); } catch (_) { return fallback; } };
  const getter = (proto, name) => {
    const found = Object.getOwnPropertyDescriptor(proto, name);
    return found && found.get ? (object) => found.get.call(object) : () => undefined;
  };
  const attribute = (element, name) => attempt(() => Element.prototype.getAttribute.call(element, name), null);
  const tagOf = getter(Element.prototype, 'localName');
  const formActionOf = getter(HTMLFormElement.prototype, 'action');
  const formMethodOf = getter(HTMLFormElement.prototype, 'method');
  const formElementsOf = getter(HTMLFormElement.prototype, 'elements');
  const tidy = (value, most) => (typeof value === 'string' ? value : '').slice(0, most * 4).replace(/\s+/g, ' ').trim().slice(0, most);
  const plain = (value) => String(value || '').replace(/[0-9]+/g, '0');
  const MOST_ELEMENTS = 4000, MOST_CANDIDATES = 600;

  // What moved since the last look, and what is new there.
  let moves = 0;
  let fresh = new Set();
  const watched = new WeakSet();
  const leads = new Set(['href', 'src', 'action', 'formaction', 'data', 'data-href', 'data-url', 'onclick']);
  const shadowOf = (element) => attempt(() => element.shadowRoot || (window.__phantomClosed && window.__phantomClosed.get(element)) || null, null);
  const note = (records) => {
    for (const record of records) {
      moves += 1;
      if (record.type === 'attributes') {
        if (leads.has(record.attributeName)) fresh.add(record.target);
        continue;
      }
      for (const node of record.addedNodes) {
        if (node.nodeType === 1) { fresh.add(node); watchInside(node); } else if (node.nodeType === 8 || node.nodeType === 3) fresh.add(record.target);
      }
    }
    if (fresh.size > 2000) fresh = new Set([document]);
  };
  const observer = new MutationObserver(note);
  const watch = (root) => {
    if (watched.has(root)) return;
    watched.add(root);
    attempt(() => observer.observe(root, { subtree: true, childList: true, attributes: true }), null);
  };
  const watchInside = (element) => {
    const own = shadowOf(element);
    if (own) { watch(own); for (const inner of own.querySelectorAll('*')) watchInside(inner); }
    for (const inner of attempt(() => element.querySelectorAll('*'), [])) {
      const root = shadowOf(inner);
      if (root && !watched.has(root)) { watch(root); fresh.add(inner); }
    }
  };
  watch(document);
  // A frame's first, empty document may give its window on to the next one.
  let current = document;
  const renew = () => {
    if (document === current) return;
    current = document;
    watch(document);
    moves += 1;
    fresh = new Set([document]);
  };
  const connected = (node) => node.nodeType === 9 || node.isConnected;
  const take = () => {
    renew();
    note(observer.takeRecords());
    const roots = [];
    for (const node of fresh) {
      if (!connected(node)) continue;
      roots.push(node.nodeType === 1 && !/^(?:form|script|a)$/.test(tagOf(node)) ? node.closest('form') || node : node);
    }
    fresh = new Set();
    const kept = new Set(roots);
    if (kept.size > 300) return [document];
    return Array.from(kept).filter((node) => {
      for (let at = node.parentNode; at; at = at.parentNode) if (kept.has(at)) return false;
      return true;
    });
  };

  // A path that finds an element again: ids and positions, and ` >>> ` into a shadow root.
  const pathOf = (element) => {
    const hops = [];
    for (let hop = element; hop; ) {
      const parts = [];
      let at = hop;
      for (; at && at.nodeType === 1 && parts.length < 12; at = at.parentNode) {
        const id = attribute(at, 'id');
        if (id && /^[A-Za-z][\w-]{0,60}$/.test(id) && at.getRootNode().querySelectorAll('#' + id).length === 1) { parts.unshift('#' + id); break; }
        let index = 1;
        for (let other = at.previousElementSibling; other; other = other.previousElementSibling) if (tagOf(other) === tagOf(at)) index += 1;
        parts.unshift(CSS.escape(tagOf(at)) + ':nth-of-type(' + index + ')');
      }
      hops.unshift(parts.join(' > '));
      const root = hop.getRootNode();
      hop = root.nodeType === 11 ? root.host : null;
    }
    return hops.join(' >>> ').slice(0, 600);
  };
  const find = (path) => {
    if (path === 'window' || path === 'document') return document.documentElement;
    let root = document, element = null;
    for (const hop of path.split(' >>> ')) {
      if (!root) return null;
      element = attempt(() => root.querySelector(hop), null);
      if (!element) return null;
      root = shadowOf(element);
    }
    return element;
  };

  const visible = (element) => attempt(() => element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && element.getClientRects().length > 0, false);
  const classes = (element) => plain(tidy(attribute(element, 'class'), 100)).split(' ').sort().slice(0, 3).join('.');
  // What alike elements share: their kind and that of what they stand in, without numbers and places.
  const shape = (element) => {
    const parts = [];
    for (let at = element; at && at.nodeType === 1 && parts.length < 4; at = at.parentNode) {
      parts.push(tagOf(at) + '[' + (attribute(at, 'role') || attribute(at, 'type') || '') + '].' + (parts.length < 2 ? classes(at) : ''));
    }
    return parts.join('<');
  };
  const labelOf = (element) => {
    const own = attribute(element, 'aria-label') || tidy(element.innerText || element.textContent, 80) || attribute(element, 'value') ||
      attribute(element, 'title') || attribute(element, 'alt') || attribute(element, 'placeholder') || attribute(element, 'name') || '';
    return tidy(own, 80);
  };
  // All that may say that it ends or removes something.
  const wordsOf = (element) => {
    const parts = [tidy(element.innerText || element.textContent, 120)];
    const add = (value) => { if (value) parts.push(tidy(value, 200)); };
    for (const name of ['aria-label', 'title', 'value', 'alt', 'id', 'name', 'class', 'href', 'formaction', 'onclick', 'data-action', 'data-method', 'data-url', 'data-href', 'data-confirm', 'data-testid', 'hx-delete', 'hx-get', 'wire:click', 'ng-click']) {
      if (!/^(?:input|textarea)$/.test(tagOf(element)) || name !== 'value' || /^(?:submit|button|image|reset)$/.test(element.type)) add(attribute(element, name));
    }
    for (const inner of Array.from(element.querySelectorAll('[class], use, img, title')).slice(0, 4)) {
      add(attribute(inner, 'class')); add(attribute(inner, 'href')); add(attribute(inner, 'alt')); add(attribute(inner, 'aria-label'));
    }
    const owner = element.form || (element.closest && element.closest('form'));
    if (owner && /^(?:submit|image)$/.test(element.type)) { add(attribute(owner, 'action')); add(attribute(owner, 'id')); }
    const asked = element.closest && element.closest('dialog, [role=dialog], [role=alertdialog]');
    if (asked && asked !== element) add(tidy(asked.innerText, 60));
    return parts.slice(0, 24);
  };

  let elements = [];
  const KINDS = new Map(Object.entries({
    click: 'click', mousedown: 'click', mouseup: 'click', pointerdown: 'click', pointerup: 'click', dblclick: 'double-click',
    contextmenu: 'context-menu', auxclick: 'context-menu', mouseenter: 'hover', mouseover: 'hover', mousemove: 'hover', pointerenter: 'hover',
    pointerover: 'hover', pointermove: 'hover', mouseleave: 'leave', mouseout: 'leave', pointerleave: 'leave', pointerout: 'leave',
    focus: 'focus', focusin: 'focus', blur: 'blur', focusout: 'blur', keydown: 'keys', keyup: 'keys', keypress: 'keys', input: 'fill',
    change: 'fill', beforeinput: 'fill', search: 'fill', submit: 'submit', formdata: 'submit', reset: 'reset', touchstart: 'touch',
    touchend: 'touch', drop: 'drop', dragover: 'drop', dragenter: 'drop', dragstart: 'drag', dragend: 'drag', scroll: 'scroll', scrollend: 'scroll', wheel: 'scroll',
    toggle: 'toggle', play: 'play', playing: 'play', pause: 'play', ended: 'play', timeupdate: 'play', canplay: 'play',
    loadeddata: 'play', loadedmetadata: 'play', seeked: 'play', volumechange: 'play', animationend: 'finish', animationstart: 'finish', animationiteration: 'finish',
    transitionend: 'finish', transitionrun: 'finish', transitionstart: 'finish', resize: 'resize', paste: 'paste', copy: 'copy', cut: 'copy', select: 'mark', selectionchange: 'mark', selectstart: 'mark',
    invalid: 'invalid', visibilitychange: 'return', online: 'return', offline: 'return',
  }));
  const DELEGATED = new Set(['click', 'double-click', 'context-menu', 'hover', 'leave', 'focus', 'blur', 'keys', 'fill', 'touch', 'submit', 'drag', 'toggle']);
  const INTERACTIVE = 'button, [role=button], [role=tab], [role=menuitem], [role=menuitemcheckbox], [role=menuitemradio], [role=option], [role=link], [role=switch], [role=treeitem], ' +
    '[role=checkbox], [role=radio], [role=gridcell], [role=combobox], [aria-haspopup], [aria-expanded], [aria-controls], [tabindex], [data-action], [data-toggle], ' +
    '[data-bs-toggle], [data-target], [data-click], [data-href], a:not([href]), a[href="#"], a[href=""], a[href^="javascript:"], summary, input[type=button], [draggable=true]';
  const FIELD = 'input:not([type=hidden]):not([type=button]):not([type=submit]):not([type=image]):not([type=reset]):not([type=file]):not([type=password]), select, textarea, [contenteditable=""], [contenteditable=true]';
  const isField = (element) => attempt(() => element.matches(FIELD), false);
  const pickable = (element) => tagOf(element) === 'input' && /^(?:checkbox|radio)$/.test(element.type);

  // Everything in the document and in its shadow roots, in order, within bounds.
  const everything = () => {
    const found = [];
    const visit = (root) => {
      for (const element of root.querySelectorAll('*')) {
        if (found.length >= MOST_ELEMENTS) return;
        found.push(element);
        const inner = shadowOf(element);
        if (inner) { watch(inner); visit(inner); }
      }
    };
    visit(document);
    return found;
  };

  const hash = (text) => {
    let value = 2166136261;
    for (let index = 0; index < text.length; index += 1) value = Math.imul(value ^ text.charCodeAt(index), 16777619);
    return (value >>> 0).toString(36);
  };

  const stateOf = (all) => {
    const parts = [];
    for (const element of all) {
      const tag = tagOf(element);
      const flags = (element.hidden ? 'h' : '') + (element.open === true ? 'o' : '') + (attribute(element, 'aria-expanded') || '') + (attribute(element, 'aria-selected') || '');
      const style = attribute(element, 'style');
      const said = /^(?:h[1-6]|legend|label|button|summary)$/.test(tag) ? plain(tidy(element.textContent, 40)) : '';
      parts.push(tag, classes(element), flags, style && /display|visibility/.test(style) ? plain(style) : '', said);
    }
    return hash(parts.join('|'));
  };

  // What frameworks keep on the elements themselves: handlers that one listener at the root calls.
  const frameworkListeners = (all) => {
    const found = [];
    let react = null;
    for (const element of all.slice(0, 300)) {
      react = Object.keys(element).find((key) => key.startsWith('__reactProps$') || key.startsWith('__reactEventHandlers$'));
      if (react) break;
    }
    const types = { doubleclick: 'dblclick', change: 'input', mousedown: 'mousedown' };
    for (const element of all) {
      if (react && element[react]) {
        for (const name of Object.keys(element[react]).slice(0, 60)) {
          const handler = element[react][name];
          if (/^on[A-Z]/.test(name) && typeof handler === 'function') {
            const type = name.slice(2).replace(/Capture$/, '').toLowerCase();
            found.push([element, types[type] || type, hash(plain(Function.prototype.toString.call(handler).slice(0, 400)))]);
          }
        }
      }
      for (const prefix of ['$$', '__']) {
        for (const type of ['click', 'dblclick', 'input', 'change', 'keydown', 'pointerdown', 'mouseover', 'focusin']) {
          const handler = element[prefix + type];
          if (typeof handler === 'function' || (Array.isArray(handler) && typeof handler[0] === 'function')) found.push([element, type, hash(prefix + type)]);
        }
      }
    }
    return found;
  };
  const jqueryDelegates = (node) => attempt(() => {
    const found = [];
    const kept = window.jQuery._data(node, 'events') || {};
    for (const type of Object.keys(kept)) {
      for (const handler of Array.from(kept[type]).slice(0, 50)) {
        if (handler.selector) found.push([type, handler.selector, hash(plain(String(handler.handler).slice(0, 400)))]);
      }
    }
    return found;
  }, []);

  const look = (full, listened, ...nodes) => {
    note(observer.takeRecords());
    moves = 0;
    elements = [];
    const all = everything();
    const inOrder = new Map(all.map((element, index) => [element, index]));
    const indexes = new Map();
    const candidates = [];
    const seen = new Set();
    const add = (element, kind, about, value) => {
      if (candidates.length >= MOST_CANDIDATES || !element || element.nodeType !== 1) return;
      if (/^(?:html|body|head|script|style|option)$/.test(tagOf(element)) && !about.whole) return;
      if (tagOf(element) === 'input' && /^(?:password|hidden)$/.test(element.type)) return;
      if (isFile(element) && kind !== 'fill') return;
      if (attempt(() => element.matches(':disabled'), false)) return;
      if (!indexes.has(element)) { indexes.set(element, elements.length); elements.push(element); }
      const key = indexes.get(element) + kind + (value || '');
      if (seen.has(key)) return;
      seen.add(key);
      const named = about.whole || '';
      candidates.push({
        element: indexes.get(element), kind, value: value || '', path: named || pathOf(element), label: named || labelOf(element),
        words: named ? [] : wordsOf(element), group: [kind, about.hash, named ? plain(location.pathname) : shape(element), plain(value)].join('|'),
        visible: !!named || visible(element), order: inOrder.get(element) || 0,
      });
    };
    const addAll = (element, kind, about) => {
      if (kind === 'fill') {
        if (tagOf(element) === 'select') {
          const options = Array.from(element.options).slice(0, 60).filter((option) => !option.disabled && !option.selected && option.value !== '');
          for (const option of options.slice(0, 5)) add(element, 'choose', about, option.value.slice(0, 200));
        } else if (pickable(element)) add(element, 'click', about);
        else if (isField(element) || isFile(element)) add(element, 'fill', about);
      } else if (kind === 'submit') {
        const form = tagOf(element) === 'form' ? element : element.closest('form');
        if (form) addForm(form, about);
      } else if (kind === 'toggle') {
        add(tagOf(element) === 'details' ? element.querySelector('summary') : element, 'click', about);
      } else if (kind === 'reset') {
        add(element.querySelector('button[type=reset], input[type=reset]'), 'click', about);
      } else if (kind === 'invalid') {
        if (element.form) add(element.form, 'submit', about, 'empty');
      } else if (kind === 'keys') {
        for (const key of ['Enter', 'Space', 'Arrows', 'Escape'].concat(about.keys || [])) add(element, 'keys', about, key);
      } else {
        add(element, kind, about);
        // What is painted cannot be seen: the corners are tried, where buttons mostly are.
        if (kind === 'click' && tagOf(element) === 'canvas') for (const corner of CORNERS.keys()) add(element, kind, about, corner);
        if (about.type === 'pointerdown' || about.type === 'mousedown' || about.type === 'touchstart') {
          add(element, 'long-press', about);
          add(element, 'slide', about);
        }
      }
    };
    const addForm = (form, about) => {
      const controls = attempt(() => Array.from(formElementsOf(form)), []);
      const inputs = controls.concat(Array.from(form.querySelectorAll('input[type=image]')));
      if (inputs.some((input) => input.type === 'password' || (input.type === 'file' && input.required))) return;
      const submitters = inputs.filter((input) => /^(?:submit|image)$/.test(input.type) && /^(?:button|input)$/.test(tagOf(input)));
      const means = (submitter) => (submitter && attribute(submitter, 'formmethod')) || formMethodOf(form) || 'get';
      const where = (submitter) => plain((submitter && attribute(submitter, 'formaction')) || formActionOf(form));
      const listens = about.hash !== '';
      const may = (submitter) => full || listens || /^(?:get|dialog)$/i.test(means(submitter));
      const mine = (submitter) => ({ hash: about.hash + where(submitter) });
      const choices = submitters.slice(0, 4).filter(may);
      for (const submitter of choices) add(submitter, 'submit', mine(submitter));
      if (submitters.length === 0 && may(null)) add(form, 'submit', mine(null));
    };

    const spread = new Set();
    const listen = (node, type, about) => {
      const kind = KINDS.get(type);
      if (!kind) return;
      about.type = type;
      if (kind === 'resize' || kind === 'return') { add(document.documentElement, kind, { ...about, whole: 'window' }); return; }
      if (kind === 'finish') { add(document.documentElement, 'finish', { ...about, whole: 'document' }); return; }
      const whole = node === window || node.nodeType === 9 || /^(?:html|body)$/.test(tagOf(node) || '');
      if (whole) {
        if (kind === 'keys') for (const key of ['Escape', 'Enter', 'Arrows', '/', '?'].concat(about.keys || [])) add(document.documentElement, 'keys', { ...about, whole: 'document' }, key);
        else if (['scroll', 'paste', 'copy', 'mark', 'leave', 'double-click', 'context-menu', 'click', 'hover', 'drop', 'touch'].includes(kind)) add(document.documentElement, kind, { ...about, whole: 'document' });
      }
      const scope = node === window ? document : node;
      const many = whole || attempt(() => scope.querySelectorAll('*').length > 6, false);
      if (!whole) addAll(node, kind, about);
      if (!DELEGATED.has(kind) || (!whole && scope.firstElementChild === null)) return;
      for (const selector of about.selectors || []) {
        for (const element of attempt(() => Array.from(scope.querySelectorAll(selector)), []).slice(0, 40)) addAll(element, kind, about);
      }
      if (!whole && !many && /^(?:button|a|summary|label)$/.test(tagOf(node))) return;
      const key = kind + (whole ? '' : pathOf(node));
      if (spread.has(key)) return;
      spread.add(key);
      if (kind === 'fill') { for (const field of Array.from(scope.querySelectorAll(FIELD)).slice(0, 100)) addAll(field, kind, about); return; }
      if (kind === 'submit') { for (const form of Array.from(scope.querySelectorAll('form')).slice(0, 20)) addForm(form, about); return; }
      if (kind === 'focus' || kind === 'blur') { for (const field of Array.from(scope.querySelectorAll(FIELD + ', [tabindex]')).slice(0, 20)) addAll(field, kind, about); return; }
      let inner = Array.from(scope.querySelectorAll(INTERACTIVE)).slice(0, 200);
      if (kind === 'click') {
        const pointed = Array.from(scope.querySelectorAll('*')).slice(0, 1500).filter((element) => {
          const style = getComputedStyle(element);
          return style.cursor === 'pointer' && element.parentElement && getComputedStyle(element.parentElement).cursor !== 'pointer' && !(tagOf(element) === 'a' && element.href);
        });
        inner = Array.from(new Set(inner.concat(pointed.slice(0, 200))));
      }
      if (inner.length === 0 && !whole) inner = Array.from(scope.children).slice(0, 60);
      if (kind === 'hover' || kind === 'leave') inner = inner.slice(0, 40);
      for (const element of inner) addAll(element, kind, about);
    };

    for (const [at, type, fingerprint, keys, selectors] of listened) {
      const node = at < 0 ? window : nodes[at];
      if (!node || (node !== window && node !== document && attempt(() => node.ownerDocument !== document, true))) continue;
      attempt(() => listen(node, type, { hash: fingerprint, keys, selectors }), null);
    }
    for (const [element, type, fingerprint] of attempt(() => frameworkListeners(all), [])) {
      const kind = KINDS.get(type);
      if (kind) attempt(() => addAll(element, kind, { hash: fingerprint, type }), null);
    }
    if (window.jQuery) {
      for (const node of new Set(nodes.concat([document, document.body]))) {
        for (const [type, selector, fingerprint] of jqueryDelegates(node)) {
          const kind = KINDS.get(type);
          const scope = node.querySelectorAll ? node : document;
          if (kind) for (const element of attempt(() => Array.from(scope.querySelectorAll(selector)), []).slice(0, 60)) addAll(element, kind, { hash: fingerprint, type });
        }
      }
    }
    const none = { hash: '' };
    for (const element of all) {
      const tag = tagOf(element);
      const opens = attribute(element, 'popovertarget') || attribute(element, 'commandfor');
      if (tag === 'summary') add(element, 'click', { hash: 'summary' });
      else if (opens !== null) add(element, 'click', { hash: 'opens ' + plain(opens) });
      else if (tag === 'a' && /^\s*javascript:(?!\s*(?:;|void\b|$))/i.test(attribute(element, 'href') || '')) add(element, 'click', none);
      else if (tag === 'form') attempt(() => addForm(element, none), null);
      if (element.scrollHeight > element.clientHeight + 20 && element.clientHeight > 30 && !/^(?:html|body|select|textarea)$/.test(tag) && /auto|scroll/.test(getComputedStyle(element).overflowY)) add(element, 'scroll', none);
      else if (element.scrollWidth > element.clientWidth + 20 && element.clientWidth > 60 && !/^(?:html|body|select|textarea|input)$/.test(tag) && /auto|scroll/.test(getComputedStyle(element).overflowX)) add(element, 'scroll', none);
    }
    const root = document.scrollingElement || document.documentElement;
    if (root && root.scrollHeight > innerHeight + 40) add(document.documentElement, 'scroll', { hash: '', whole: 'document' });
    return JSON.stringify({ url: location.href.slice(0, 4000), state: stateOf(all), candidates });
  };

  // Values for fields: harmless, recognisable, and what the field asks for.
  const within = (text, field) => {
    const most = field.maxLength > 0 ? field.maxLength : 200;
    let value = text;
    while (field.minLength > 0 && value.length < field.minLength) value += text || 'x';
    return value.slice(0, most);
  };
  const patterned = (pattern) => {
    let at = 0;
    const peek = () => pattern[at];
    const klass = () => {
      let negated = false;
      const options = [];
      if (peek() === '^') { negated = true; at += 1; }
      while (at < pattern.length && peek() !== ']') {
        let one = pattern[at]; at += 1;
        if (one === '\\') { const c = pattern[at]; at += 1; one = c === 'd' ? '7' : c === 'w' ? 'p' : c === 's' ? ' ' : c; }
        options.push(one);
        if (peek() === '-' && pattern[at + 1] !== ']') at += 2;
      }
      at += 1;
      return negated ? ['p', '7', '-', ' '].find((c) => !options.includes(c)) || 'p' : options[0] || '';
    };
    const alternatives = () => {
      let out = sequence();
      while (peek() === '|') { at += 1; sequence(); }
      return out;
    };
    const sequence = () => {
      let out = '';
      while (at < pattern.length && peek() !== '|' && peek() !== ')') {
        let one = '';
        const c = pattern[at]; at += 1;
        if (c === '[') one = klass();
        else if (c === '(') { if (pattern.startsWith('?:', at)) at += 2; else if (pattern.startsWith('?=', at) || pattern.startsWith('?!', at)) { at += 2; alternatives(); at += 1; continue; } one = alternatives(); at += 1; }
        else if (c === '\\') { const e = pattern[at]; at += 1; one = e === 'd' ? '7' : e === 'w' ? 'p' : e === 's' ? ' ' : /[bB]/.test(e) ? '' : e; }
        else if (c === '.') one = 'p';
        else if (c === '^' || c === '$') one = '';
        else one = c;
        const counted = /^\{(\d+)(?:,(\d*))?\}/.exec(pattern.slice(at));
        if (counted) { at += counted[0].length; one = one.repeat(Math.min(Number(counted[1]), 100)); if (peek() === '?') at += 1; } else if (peek() === '*' || peek() === '?') { at += 1; one = ''; } else if (peek() === '+') at += 1;
        out += one;
      }
      return out;
    };
    return alternatives().slice(0, 200);
  };
  const matches = (pattern, value) => attempt(() => new RegExp('^(?:' + pattern + ')$', 'u').test(value), false);
  const two = (number) => String(number).padStart(2, '0');
  const stepped = (field) => {
    const low = field.min === '' ? NaN : Number(field.min), high = field.max === '' ? NaN : Number(field.max);
    let value = Number.isNaN(low) ? (Number.isNaN(high) ? 1 : Math.min(1, high)) : low;
    if (!Number.isNaN(low) && !Number.isNaN(high)) {
      const step = Number(field.step) > 0 ? Number(field.step) : 1;
      value = low + Math.floor((high - low) / step / 2) * step;
    }
    return String(value);
  };
  const dated = (type, field) => {
    const values = { date: '2030-01-15', 'datetime-local': '2030-01-15T12:00', month: '2030-01', week: '2030-W03', time: '12:00' };
    let value = values[type];
    if (field.min && value < field.min) value = field.min;
    if (field.max && value > field.max) value = field.max;
    return value;
  };
  const valueFor = (field) => {
    const type = tagOf(field) === 'input' ? field.type : 'text';
    const about = [field.name, field.id, attribute(field, 'autocomplete'), attribute(field, 'placeholder'), attribute(field, 'aria-label'),
      field.labels && field.labels[0] && field.labels[0].textContent].join(' ').toLowerCase();
    const guesses = () => {
      if (/e-?mail/.test(about)) return 'phantom@scanner.example';
      if (/phone|mobile|telefon|\btel\b/.test(about)) return '+15550100';
      if (/zip|postal|postcode|plz/.test(about)) return '10115';
      if (/date|datum|birth/.test(about)) return '2030-01-15';
      if (/url|website|homepage/.test(about)) return 'https://scanner.example/';
      if (/\b(?:age|year|number|quantity|amount|count|anzahl|qty)\b/.test(about)) return '30';
      if (/city|town|stadt|\bort\b/.test(about)) return 'Berlin';
      if (/country|land\b/.test(about)) return 'Germany';
      return 'phantom';
    };
    if (type === 'email') return within('phantom@scanner.example', { maxLength: field.maxLength });
    if (type === 'url') return 'https://scanner.example/';
    if (type === 'tel' && !field.pattern) return '+15550100';
    if (type === 'number' || type === 'range') return stepped(field);
    if (type === 'color') return '#336699';
    if (/^(?:date|datetime-local|month|week|time)$/.test(type)) return dated(type, field);
    const guess = within(guesses(), field);
    const pattern = field.pattern;
    if (!pattern || matches(pattern, guess)) return guess;
    for (const one of ['phantom', 'PHANTOM', 'Phantom', '1', '12', '123', '1234', '12345', '123456', '1234567890', 'AB12', '2030-01-15', '15.01.2030', '+15550100', '12:00', 'phantom1']) if (matches(pattern, one)) return one;
    const made = attempt(() => patterned(pattern), guess);
    return made || guess;
  };
  const setter = (proto, name) => Object.getOwnPropertyDescriptor(proto, name).set;
  const isFile = (element) => tagOf(element) === 'input' && element.type === 'file';
  const offerTo = (field) => {
    setter(HTMLInputElement.prototype, 'files').call(field, offer().files);
    field.dispatchEvent(new Event('input', { bubbles: true, composed: true }));
    field.dispatchEvent(new Event('change', { bubbles: true }));
  };
  const put = (field, value) => {
    if (field.isContentEditable) { field.textContent = value; } else {
      const proto = tagOf(field) === 'textarea' ? HTMLTextAreaElement.prototype : tagOf(field) === 'select' ? HTMLSelectElement.prototype : HTMLInputElement.prototype;
      setter(proto, 'value').call(field, value);
    }
    field.dispatchEvent(new InputEvent('input', { bubbles: true, composed: true, data: value, inputType: 'insertText' }));
    field.dispatchEvent(new Event('change', { bubbles: true }));
  };
  // What was written into a field before does not count: whenever a form is sent, it sends the same.
  const written = new WeakSet();
  const fillAgain = (field) => {
    if (field.readOnly || !(field.value === '' || written.has(field))) return;
    written.add(field);
    const value = valueFor(field);
    if (field.value !== value) put(field, value);
  };
  const fillOne = (field) => {
    if (!visible(field) && tagOf(field) !== 'select' && !pickable(field)) return;
    if (pickable(field)) {
      const others = field.type === 'radio' && field.name ? Array.from(field.getRootNode().querySelectorAll('input[type=radio]')).filter((one) => one.name === field.name && one.form === field.form) : [field];
      if (!others.some((one) => one.checked) && visible(others[0])) others[0].click();
    } else if (tagOf(field) === 'select') {
      if (field.value === '') { const option = Array.from(field.options).find((one) => one.value !== '' && !one.disabled); if (option) put(field, option.value); }
    } else if (!field.isContentEditable) fillAgain(field);
  };
  const fillAround = (element) => {
    let around = element.form || element.closest('form');
    for (let at = element.parentElement, steps = 0; !around && at && steps < 4 && at !== document.body; at = at.parentElement, steps += 1) if (at.querySelector(FIELD)) around = at;
    if (!around) return;
    const fields = tagOf(around) === 'form' ? Array.from(formElementsOf(around)) : Array.from(around.querySelectorAll(FIELD));
    for (const field of fields.slice(0, 80)) if (isField(field) && !field.disabled && field !== element) attempt(() => fillOne(field), null);
  };

  const CORNERS = new Map([['top right', [0.98, 0.04]], ['top left', [0.02, 0.04]], ['bottom left', [0.02, 0.96]], ['bottom right', [0.98, 0.96]]]);
  const point = (element, corner) => {
    attempt(() => element.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' }), null);
    const inside = element.getClientRects();
    if (!inside.length) return null;
    for (const rect of Array.from(inside).slice(0, 3)) {
      for (const [across, down] of CORNERS.has(corner) ? [CORNERS.get(corner)] : [[0.5, 0.5], [0.15, 0.5], [0.5, 0.15], [0.9, 0.9]]) {
        const x = Math.min(Math.max(rect.left + rect.width * across, 0), innerWidth - 1), y = Math.min(Math.max(rect.top + rect.height * down, 0), innerHeight - 1);
        let hit = element.getRootNode().elementFromPoint(x, y);
        if (hit && (hit === element || element.contains(hit) || (hit.shadowRoot && hit === element.getRootNode().host))) return { x, y };
      }
    }
    return null;
  };
  // Where a point of this frame lies in the main frame, if the frames between are ours to ask.
  const outward = (at) => {
    let x = at.x, y = at.y;
    for (let view = window; view !== view.top; view = view.parent) {
      const frame = attempt(() => view.frameElement, null);
      if (!frame) return null;
      const box = frame.getBoundingClientRect();
      x += box.left + frame.clientLeft; y += box.top + frame.clientTop;
      const above = frame.ownerDocument.elementFromPoint(x, y);
      if (above !== frame) return null;
    }
    return { x, y };
  };
  const begin = () => { if (window.__phantomRestart) window.__phantomRestart(); };
  const REAL = new Set(['click', 'double-click', 'context-menu', 'hover', 'leave', 'long-press', 'slide', 'submit']);
  const of = (which) => (typeof which === 'number' ? elements[which] : find(which));
  // Makes an element ready for an action and says where real input finds it.
  const prepare = (which, kind, value) => {
    begin();
    const element = of(which);
    if (!element || !element.isConnected) return JSON.stringify({ gone: true });
    scripted = attempt(() => element.closest('a[href^="javascript:" i], area[href^="javascript:" i]') !== null, false);
    if (element === document.documentElement) return JSON.stringify({ gone: false, point: kind === 'click' || kind === 'double-click' || kind === 'context-menu' || kind === 'hover' ? { x: 5, y: 5 } : null });
    if ((kind === 'click' && !pickable(element) && !isField(element)) || (kind === 'submit' && value !== 'empty')) attempt(() => fillAround(element), null);
    if (kind === 'keys' || kind === 'fill' || kind === 'focus') {
      attempt(() => element.scrollIntoView({ block: 'center', behavior: 'instant' }), null);
      attempt(() => { if (document.activeElement === element) element.blur(); if (element.tabIndex < 0 && kind === 'keys') element.setAttribute('tabindex', '-1'); element.focus({ preventScroll: true }); }, null);
      const root = element.getRootNode();
      if (kind === 'fill') { written.add(element); if (element.select) attempt(() => element.select(), null); }
      // A key may send the form.
      if (kind === 'keys' && /^(?:text|search|url|tel|email)$/.test(tagOf(element) === 'input' ? element.type : '')) attempt(() => fillAgain(element), null);
      const typed = kind === 'keys' || element.isContentEditable || /^(?:text|search|url|tel|email|textarea)$/.test(tagOf(element) === 'input' ? element.type : tagOf(element));
      const focused = kind !== 'focus' && typed && root.activeElement === element && window === window.top;
      return JSON.stringify({ gone: false, focused, value: kind === 'fill' && !element.isContentEditable ? valueFor(element) : 'phantom' });
    }
    if (!REAL.has(kind) || (kind === 'submit' && tagOf(element) === 'form')) return JSON.stringify({ gone: false });
    const at = visible(element) ? point(element, value) : null;
    return JSON.stringify({ gone: false, point: (at && outward(at)) || null });
  };

  const mouse = (element, type, more) => {
    const box = attempt(() => element.getBoundingClientRect(), { left: 0, top: 0, width: 0, height: 0 });
    const init = { bubbles: !/enter$|leave$/.test(type), cancelable: true, composed: true, view: window, clientX: box.left + box.width / 2, clientY: box.top + box.height / 2, ...more };
    element.dispatchEvent(/^pointer/.test(type) ? new PointerEvent(type, { pointerId: 1, isPrimary: true, pointerType: 'mouse', ...init }) : new MouseEvent(type, init));
  };
  const press = (element) => { for (const type of ['pointerover', 'pointerenter', 'mouseover', 'mouseenter', 'pointermove', 'mousemove', 'pointerdown', 'mousedown']) mouse(element, type, { buttons: 1 }); attempt(() => element.focus({ preventScroll: true }), null); };
  const release = (element) => { mouse(element, 'pointerup'); mouse(element, 'mouseup'); };
  const touch = (element, type) => {
    const box = element.getBoundingClientRect();
    const one = new Touch({ identifier: 1, target: element, clientX: box.left + 1, clientY: box.top + 1 });
    const on = type === 'touchend' ? [] : [one];
    element.dispatchEvent(new TouchEvent(type, { bubbles: true, cancelable: true, composed: true, touches: on, targetTouches: on, changedTouches: [one] }));
  };
  const KEYS = { Enter: 13, Escape: 27, ' ': 32, ArrowLeft: 37, ArrowUp: 38, ArrowRight: 39, ArrowDown: 40 };
  const key = (element, name) => {
    const init = { key: name, code: name.length === 1 && name !== ' ' ? 'Key' + name.toUpperCase() : name === ' ' ? 'Space' : name, keyCode: KEYS[name] || name.toUpperCase().charCodeAt(0), which: KEYS[name] || name.toUpperCase().charCodeAt(0), bubbles: true, cancelable: true, composed: true };
    for (const type of ['keydown', 'keypress', 'keyup']) element.dispatchEvent(new KeyboardEvent(type, init));
  };
  // The next frame is drawn. A busy machine draws late, and what nobody sees is never drawn.
  let undrawn = 0;
  const frame = () => new Promise((resolve) => {
    let over = false;
    const end = (drawn) => { if (over) return; over = true; undrawn = drawn ? 0 : undrawn + 1; resolve(); };
    requestAnimationFrame(() => end(true));
    AbortSignal.timeout(undrawn > 1 ? 60 : 500).addEventListener('abort', () => end(false));
  });
  const pause = (ms) => new Promise((resolve) => { AbortSignal.timeout(ms).addEventListener('abort', () => resolve()); });
  const scrollThrough = async (element) => {
    const whole = element === document.documentElement;
    const box = whole ? document.scrollingElement || element : element;
    const view = whole ? innerHeight : box.clientHeight;
    const aside = box.scrollWidth - box.clientWidth > box.scrollHeight - (whole ? innerHeight : box.clientHeight);
    element.dispatchEvent(new WheelEvent('wheel', { bubbles: true, cancelable: true, composed: true, deltaY: 100 }));
    const long = () => (aside ? box.scrollWidth : box.scrollHeight);
    const enough = performance.now() + 2500;
    for (let step = 0; step < 30 && performance.now() < enough; step += 1) {
      const [before, length] = [aside ? box.scrollLeft : box.scrollTop, long()];
      box.scrollBy({ left: aside ? box.clientWidth * 0.9 : 0, top: aside ? 0 : Math.max(view * 0.9, (box.scrollHeight - before) / 30), behavior: 'instant' });
      await frame();
      if ((aside ? box.scrollLeft : box.scrollTop) !== before) continue;
      // It is at its end. Who watches for that is told after the frame is drawn, and may bring more.
      await frame();
      if (long() === length) break;
    }
    box.scrollTo({ left: aside ? box.scrollWidth : 0, top: aside ? 0 : box.scrollHeight, behavior: 'instant' });
    await frame();
  };
  const play = async (element) => {
    element.muted = true;
    await Promise.race([attempt(() => element.play(), null), pause(500)]).catch(() => null);
    if (Number.isFinite(element.duration) && element.duration > 0) {
      element.currentTime = Math.max(0, element.duration - 0.05);
      for (let waited = 0; waited < 10 && !element.ended; waited += 1) await pause(60);
    }
    attempt(() => element.pause(), null);
  };
  const finish = async () => {
    for (let round = 0; round < 3; round += 1) {
      const running = document.getAnimations().filter((one) => one.playState === 'running').slice(0, 200);
      for (const animation of running) attempt(() => animation.finish(), null);
      await frame();
    }
  };
  const transfer = () => { const data = new DataTransfer(); data.setData('text/plain', 'phantom'); return data; };
  // What a page does with a file is seen; where it would send it, the request is stopped like any other.
  const offer = () => { const data = new DataTransfer(); data.items.add(new File(['phantom\n'], 'phantom.txt', { type: 'text/plain' })); return data; };
  const drag = async (from, to, data) => {
    const send = (element, type) => element && element.dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, composed: true, dataTransfer: data }));
    send(from, 'dragstart'); send(from, 'drag'); send(to, 'dragenter'); send(to, 'dragover'); send(to, 'drop'); send(from, 'dragend');
  };
  const submitted = (element) => {
    const form = tagOf(element) === 'form' ? element : element.form || element.closest('form');
    if (form) HTMLFormElement.prototype.requestSubmit.call(form, element === form ? undefined : element);
  };
  // Does with events of its own what real input cannot do here.
  const act = async (which, kind, value) => {
    const element = of(which);
    if (!element) return;
    switch (kind) {
      case 'click': press(element); release(element); HTMLElement.prototype.click.call(element); break;
      case 'double-click': mouse(element, 'dblclick', { detail: 2 }); break;
      case 'context-menu': mouse(element, 'pointerdown', { button: 2 }); mouse(element, 'mousedown', { button: 2 }); mouse(element, 'contextmenu', { button: 2 }); mouse(element, 'auxclick', { button: 2 }); break;
      case 'hover': for (const type of ['pointerover', 'pointerenter', 'mouseover', 'mouseenter', 'pointermove', 'mousemove']) mouse(element, type); break;
      case 'leave': for (const type of ['mouseover', 'mouseenter', 'pointerout', 'pointerleave', 'mouseout', 'mouseleave']) mouse(element, type, { relatedTarget: null, clientX: 10, clientY: -1 }); break;
      case 'focus': break;
      case 'blur': attempt(() => element.focus(), null); attempt(() => element.blur(), null); break;
      case 'keys': for (const name of value === 'Arrows' ? ['ArrowDown', 'ArrowRight', 'ArrowUp', 'ArrowLeft'] : [value === 'Space' ? ' ' : value]) key(element === document.documentElement ? document.activeElement || document.body : element, name); break;
      case 'fill': if (isFile(element)) offerTo(element); else { put(element, valueFor(element)); key(element, 'Enter'); } break;
      case 'choose': put(element, value); break;
      case 'submit': if (value !== 'empty') fillAround(element); submitted(element); break;
      case 'touch': touch(element, 'touchstart'); touch(element, 'touchend'); break;
      case 'long-press': press(element); attempt(() => touch(element, 'touchstart'), null); await pause(1050); attempt(() => touch(element, 'touchend'), null); release(element); break;
      case 'slide': press(element); for (const where of [element, document, window]) for (const type of ['pointermove', 'mousemove']) where.dispatchEvent(/^pointer/.test(type) ? new PointerEvent(type, { bubbles: true, clientX: 300, clientY: 20, buttons: 1, pointerId: 1 }) : new MouseEvent(type, { bubbles: true, clientX: 300, clientY: 20, buttons: 1 })); release(element); break;
      case 'drag': await drag(element, Array.from(document.querySelectorAll('[dropzone], .dropzone, .drop')).find(visible) || element, transfer()); break;
      case 'drop': await drag(Array.from(document.querySelectorAll('[draggable=true]')).find(visible), element, transfer()); await frame(); await drag(null, element, offer()); break;
      case 'scroll': await scrollThrough(element); break;
      case 'play': await play(element); break;
      case 'finish': await finish(); break;
      case 'paste': { const data = transfer(); (element === document.documentElement ? document.body : element).dispatchEvent(new ClipboardEvent('paste', { bubbles: true, cancelable: true, composed: true, clipboardData: data })); break; }
      case 'copy': { const data = new DataTransfer(); for (const type of ['copy', 'cut']) (element === document.documentElement ? document.body : element).dispatchEvent(new ClipboardEvent(type, { bubbles: true, cancelable: true, composed: true, clipboardData: data })); break; }
      case 'mark': attempt(() => { if (element.select) { element.focus(); element.select(); } else getSelection().selectAllChildren(element === document.documentElement ? document.body : element); element.dispatchEvent(new Event('selectstart', { bubbles: true })); }, null); await frame(); break;
      case 'return': for (const type of ['offline', 'online', 'blur', 'focus']) window.dispatchEvent(new Event(type)); document.dispatchEvent(new Event('visibilitychange', { bubbles: true })); break;
      default: break;
    }
  };
  // A link with a script is followed in a task of its own. Links are followed in turn: when one of ours has been, the
  // page's has been too. A policy that forbids such scripts forbids both.
  let scripted = false;
  let followed = () => {};
  const scriptedLink = () => Promise.race([pause(250), new Promise((resolve) => {
    followed = resolve;
    const link = document.createElement('a');
    link.href = 'javascript:void window.__phantomExplore.arrived()';
    HTMLElement.prototype.click.call(link);
  })]);
  const arrived = () => followed();
  // What an action has moved, once the next frame is drawn.
  const after = async () => {
    if (scripted) { scripted = false; await scriptedLink(); }
    await frame();
    // What fades in is there at once; what never ends cannot be ended.
    const running = attempt(() => document.getAnimations().filter((one) => one.playState === 'running'), []);
    if (running.length) {
      for (const animation of running.slice(0, 200)) attempt(() => animation.finish(), null);
      await frame();
    }
    renew();
    note(observer.takeRecords());
    return JSON.stringify({ moves, due: window.__phantomDue ? window.__phantomDue() : 0, url: location.href.slice(0, 4000) });
  };
  const close = () => {
    for (const dialog of document.querySelectorAll('dialog[open]')) attempt(() => dialog.close(), null);
    for (const popover of document.querySelectorAll('[popover]:popover-open')) attempt(() => popover.hidePopover(), null);
    key(document.activeElement || document.body, 'Escape');
    attempt(() => document.activeElement && document.activeElement.blur(), null);
  };
  const rooted = (host, root) => { moves += 1; fresh.add(host); watch(root); };
  Object.defineProperty(window, '__phantomRooted', { value: rooted, enumerable: false });
  Object.defineProperty(window, '__phantomExplore', { value: Object.freeze({ look, take, prepare, act, after, arrived, close, frame }), enumerable: false });
})();
