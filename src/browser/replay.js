// Reads, fills and sends a form, in a world of our own. What a form names its fields hides its own properties, so all is
// asked of the prototypes.
((act, selector, marker) => {
  'use strict';
  const MOST_FIELDS = 200;
  const MOST_LENGTH = 65536;
  const get = (holder, name, of) => Object.getOwnPropertyDescriptor(holder, name).get.call(of);
  const text = (value) => JSON.stringify(value);
  const attribute = (element, name) => Element.prototype.getAttribute.call(element, name);
  const listen = (element) => {
    for (const kind of ['input', 'change']) element.dispatchEvent(new Event(kind, { bubbles: true }));
  };
  if (act === 'shows') return text({ found: document.documentElement.outerHTML.includes(marker) });
  const found = document.querySelectorAll(selector);
  const form = found.length === 1 && found[0] instanceof HTMLFormElement ? found[0] : null;
  if (!form) return text({});
  const elements = [...get(HTMLFormElement.prototype, 'elements', form)];
  const submitter = elements.find((element) => element.matches('button:not([type=button], [type=reset]), input[type=submit]') && !element.disabled);
  const open = elements.filter((element) => !element.disabled && !element.readOnly && attribute(element, 'name'));
  const words = open.filter((element) => element.matches('textarea, input[type=text], input:not([type])')
    && !element.pattern && (element.maxLength < 0 || element.maxLength >= marker.length) && element.offsetParent !== null);
  const empty = words.filter((element) => !element.value);
  const marked = empty.length > 0 ? empty : words.slice(0, 1);
  if (marked.length === 0) return text({});
  const plausible = {
    email: 'visitor@example.com', number: '1', tel: '0123456789', url: 'https://example.com/', date: '2030-01-02', time: '12:00',
  };
  for (const element of open) {
    const value = marked.includes(element) ? marker : plausible[element.type];
    if (value !== undefined && (marked.includes(element) || !element.value)) {
      element.value = value;
      listen(element);
    }
  }
  if (act === 'send') {
    HTMLFormElement.prototype.requestSubmit.call(form, submitter);
    return text({ found: true });
  }
  const data = new FormData(form, submitter);
  const fields = [];
  let length = 0;
  for (const [name, value] of data) {
    if (typeof value !== 'string') return text({});
    length += name.length + value.length;
    fields.push([name, value]);
  }
  if (fields.length > MOST_FIELDS || length > MOST_LENGTH) return text({});
  const own = submitter && attribute(submitter, 'formaction') ? submitter.formAction : null;
  return text({
    found: true,
    method: (submitter && attribute(submitter, 'formmethod')) || get(HTMLFormElement.prototype, 'method', form),
    action: own || get(HTMLFormElement.prototype, 'action', form),
    enctype: get(HTMLFormElement.prototype, 'enctype', form),
    fields,
  });
})
