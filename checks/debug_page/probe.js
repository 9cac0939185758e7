// Whether this document is, or holds, what software shows to its developers. Only reads; answers a list of
// {kind, place}. Text of the page is looked at in its first 200,000 characters.
function () {
  const found = [];
  const say = (kind, place) => { if (found.length < 20) found.push({ kind, place: String(place || '').replace(/\s+/g, ' ').trim().slice(0, 200) }); };
  const one = (selector) => document.querySelector(selector);
  const textOf = (node) => (node && node.textContent || '').slice(0, 2000);
  const title = document.title || '';
  const body = document.body;
  if (!body) return found;

  // Pages that are nothing else.
  if (one('div.debugger') && /Werkzeug Debugger\s*$/.test(title)) say('werkzeug', textOf(one('h1')));
  if (one('#summary') && one('#traceback') && /\bDEBUG = True\b/.test(textOf(one('#explanation')))) say('django', textOf(one('#summary h1')));
  if (one('#info #urlconf-error, #info ol') && one('#summary') && /\bDEBUG = True\b/.test(textOf(one('#explanation')))) say('django', textOf(one('#summary h1')));
  if (/^Action Controller: Exception caught$/.test(title) && one('#container, main')) say('rails', textOf(one('h1')));
  if (one('.Whoops.container .exception, .Whoops.container .stack-container')) say('whoops', textOf(one('.exc-title')));
  if (one('.exception-summary .exception-message') && one('#traces-text, .trace')) say('symfony', textOf(one('.exception-message')));
  if (one('#stackpage') && /^Internal Server Error$/.test(title)) say('aspnet-core', textOf(one('.titleerror')));
  const heading = textOf(one('h1'));
  if (/^\s*Server Error in '.*' Application\./.test(heading) && /Stack Trace:/.test(body.textContent.slice(0, 200000))) say('aspnet', textOf(one('h2')));
  if (/phpinfo\(\)$/.test(title) && /^\s*PHP Version \d/.test(textOf(one('h1.p')))) say('phpinfo', textOf(one('h1.p')));
  if (/^\s*HTTP Status \d{3}/.test(heading) && Array.from(document.querySelectorAll('pre')).slice(0, 20).some((pre) => /\n\s*at? ?(?:org\.apache|java|javax|jakarta)\.|\n\t?(?:org\.apache|java|javax|jakarta)\.[\w.$]+\([\w]+\.java:\d+\)/.test(textOf(pre)))) say('tomcat', heading);
  const only = body.children.length === 1 && body.firstElementChild;
  if (only && only.localName === 'pre' && title === 'Error' && /^\s*\w*Error: [\s\S]*\bat .+\.js:\d+:\d+/.test(textOf(only))) say('express', textOf(only).split('\n')[0].slice(0, 120));

  // Bars that development tools put on pages.
  if (one('#djDebug')) say('django-toolbar', '');
  if (one('div.sf-toolbar[id^="sfwdt"]')) say('symfony-toolbar', '');
  if (one('div.phpdebugbar')) say('php-debugbar', '');

  // PHP writes its errors into the page with its own markup: <b>Warning</b>: … in <b>FILE</b> on line <b>LINE</b>.
  const bold = Array.from(document.getElementsByTagName('b')).slice(0, 2000);
  for (const word of bold) {
    if (!/^(?:Fatal error|Parse error|Warning|Notice|Deprecated|Recoverable fatal error|Strict Standards)$/.test(word.textContent)) continue;
    const colon = word.nextSibling;
    if (!colon || colon.nodeType !== 3 || !/^:\s/.test(colon.data)) continue;
    let file = word.nextElementSibling;
    for (let steps = 0; file && steps < 12 && !(file.localName === 'b' && /[\/\\]/.test(file.textContent)); steps += 1) file = file.nextElementSibling;
    const middle = file && file.nextSibling;
    const line = file && file.nextElementSibling;
    if (!middle || middle.nodeType !== 3 || middle.data !== ' on line ' || !line || line.localName !== 'b' || !/^\d+$/.test(line.textContent)) continue;
    if (/[\/\\]/.test(file.textContent) && file.textContent.length < 300) say('php-error', file.textContent);
  }
  return found;
}
