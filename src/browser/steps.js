// Finds an element for a step and prepares it. Runs in a world of our own, so that the page's scripts are not in it.
(function (by, wanted, act, value) {
  'use strict';
  const roots = [];
  const visit = (root) => {
    roots.push(root);
    for (const element of root.querySelectorAll('*')) if (element.shadowRoot && roots.length < 500) visit(element.shadowRoot);
  };
  visit(document);
  const all = (selector) => roots.flatMap((root) => Array.from(root.querySelectorAll(selector)));
  const tidy = (text) => (text || '').replace(/\s+/g, ' ').trim().toLowerCase();
  const aim = tidy(wanted);
  const shown = (element) => {
    const box = element.getBoundingClientRect();
    return box.width > 0 && box.height > 0 && getComputedStyle(element).visibility !== 'hidden';
  };
  const said = (element) => tidy(/^(submit|button|reset)$/i.test(element.type) && element.tagName === 'INPUT'
    ? element.value : element.innerText || element.getAttribute('aria-label'));
  const ways = {
    css: () => { try { return all(wanted); } catch (_) { return null; } },
    text: () => {
      const exact = all('*').filter((element) => said(element) === aim);
      const inner = exact.filter((element) => !exact.some((other) => other !== element && element.contains(other)));
      return inner.length ? inner
        : all('a, button, input, label, summary, [role=button], [role=link]').filter((element) => said(element).includes(aim));
    },
    label: () => {
      const names = (field) => [...Array.from(field.labels || [], (label) => label.innerText), field.getAttribute('aria-label'),
        field.getAttribute('placeholder'), field.getAttribute('title')].map(tidy).filter(Boolean);
      const fields = all('input:not([type=hidden]), select, textarea, [contenteditable]');
      const exact = fields.filter((field) => names(field).includes(aim));
      return exact.length ? exact : fields.filter((field) => names(field).some((name) => name.startsWith(aim)));
    },
  };
  const found = ways[by]();
  if (found === null) return JSON.stringify({ wrong: true });
  if (act === 'there') return JSON.stringify({ found: found.length > 0 });
  const element = found.find((one) => shown(one) && !one.disabled);
  if (!element) return JSON.stringify({ found: false, hidden: found.length > 0 });
  element.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' });
  if (act === 'fill') {
    if (element.tagName === 'SELECT') {
      const option = Array.from(element.options).find((one) => one.value === value || tidy(one.text) === tidy(value));
      if (!option) return JSON.stringify({ found: false, hidden: true });
      element.value = option.value;
      for (const name of ['input', 'change']) element.dispatchEvent(new Event(name, { bubbles: true }));
      return JSON.stringify({ found: true, done: true });
    }
    element.focus();
    if (element.select) element.select();
    else if (element.isContentEditable) getSelection().selectAllChildren(element);
  }
  if (act === 'press') element.click();
  const box = element.getBoundingClientRect();
  return JSON.stringify({ found: true, x: box.x + box.width / 2, y: box.y + box.height / 2, select: element.tagName === 'SELECT' });
})
