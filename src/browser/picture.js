// Marks what a picture is to show, masks all else, and says where it stands. Runs in a world of our own while the
// page's scripts sleep, on a page that is left afterwards. Nothing is called by a name that an element could bear.
((selector, token) => {
  const find = (wanted) => Document.prototype.querySelector.call(document, wanted);
  const findAll = (wanted) => Array.from(Document.prototype.querySelectorAll.call(document, wanted));
  const mark = (element, name) => Element.prototype.setAttribute.call(element, name, '');
  const unmark = (element, name) => Element.prototype.removeAttribute.call(element, name);
  const setter = (prototype, name) => Object.getOwnPropertyDescriptor(prototype, name).set;
  const [flawMark, secretMark] = [token + '-flaw', token + '-secret'];

  for (const name of [flawMark, secretMark]) {
    for (const element of findAll('[' + name + ']')) unmark(element, name);
  }
  const flaw = selector === null ? null : find(selector);
  if (selector !== null && flaw === null) return null;

  if (flaw) {
    // Long runs of digits, anything that may be a token, and addresses stay masked within the flaw, too.
    const telling = /[^\s]{20,}|\d[\d \-./]{4,}\d|[^\s]+@[^\s]+/;
    const texts = Document.prototype.createTreeWalker.call(document, flaw, NodeFilter.SHOW_TEXT);
    let left = 2000;
    for (let node = texts.nextNode(); node; node = texts.nextNode()) {
      left -= 1;
      if (left < 0) return null;
      if (node.parentElement && telling.test(node.data.slice(0, 10000))) mark(node.parentElement, secretMark);
    }
    mark(flaw, flawMark);
  }

  // What was typed or chosen is replaced and not only masked: a style cannot bring it back.
  for (const input of findAll('input').slice(0, 2000)) {
    const type = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'type').get.call(input);
    if (['submit', 'button', 'reset', 'image', 'file', 'hidden', 'checkbox', 'radio'].includes(type)) continue;
    const typed = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').get.call(input) !== '';
    const words = ['text', 'search', 'tel', 'password', 'email', 'url'].includes(type);
    setter(HTMLInputElement.prototype, 'value').call(input, typed && words ? '••••••••' : '');
  }
  for (const area of findAll('textarea').slice(0, 2000)) setter(HTMLTextAreaElement.prototype, 'value').call(area, '');
  for (const option of findAll('option').slice(0, 5000)) setter(Node.prototype, 'textContent').call(option, '••••••••');

  // No rule of the page is as specific as ours.
  const strong = ':not(' + ('#' + token).repeat(6) + ')';
  const hidden = ':is(img, picture, video, audio, canvas, svg, iframe, frame, object, embed, input[type=image i])';
  const masked = ':is(select, option, output, textarea, input:not([type=submit i], [type=button i], [type=reset i]), ' +
    '[contenteditable]:not([contenteditable=false i]), [contenteditable]:not([contenteditable=false i]) *, [' + secretMark + '])';
  const style = [
    `*${strong}, *${strong}::before, *${strong}::after, *${strong}::marker { -webkit-text-security: disc !important; ` +
      'text-shadow: none !important; background-image: none !important; list-style-image: none !important; ' +
      'border-image: none !important; mask-image: none !important; transition: none !important; ' +
      'caret-color: transparent !important; }',
    `*${strong}::before, *${strong}::after { content: none !important; }`,
    `${hidden}${strong} { visibility: hidden !important; }`,
    `[${flawMark}]${strong}, [${flawMark}] *${strong} { -webkit-text-security: none !important; }`,
    `[${flawMark}]${masked}${strong}, [${flawMark}] ${masked}${strong} { -webkit-text-security: disc !important; }`,
  ].join('\n');
  // Not a style element: the page's own policy may forbid those.
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(style);
  const adopted = Object.getOwnPropertyDescriptor(Document.prototype, 'adoptedStyleSheets');
  adopted.set.call(document, [...Array.from(adopted.get.call(document)), sheet]);

  const place = (box, beyond) => JSON.stringify({
    url: location.href,
    x: box.x,
    y: box.y,
    width: Math.ceil(Math.min(box.width, 1280)),
    height: Math.ceil(Math.min(box.height, 1024)),
    beyond,
  });
  if (!flaw) return place({ x: scrollX, y: scrollY, width: innerWidth, height: innerHeight }, false);
  if (!Element.prototype.checkVisibility.call(flaw, { visibilityProperty: true, opacityProperty: true })) return null;
  Element.prototype.scrollIntoView.call(flaw, { block: 'nearest', inline: 'nearest', behavior: 'instant' });
  const around = 24;
  const rect = Element.prototype.getBoundingClientRect.call(flaw);
  if (rect.width < 1 || rect.height < 1) return null;
  const [left, top] = [Math.max(0, rect.left + scrollX - around), Math.max(0, rect.top + scrollY - around)];
  return place({
    x: left,
    y: top,
    width: rect.right + scrollX + around - left,
    height: rect.bottom + scrollY + around - top,
  }, rect.left < 0 || rect.top < 0 || rect.right > innerWidth || rect.bottom > innerHeight);
})
