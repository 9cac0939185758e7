// Answers with the libraries that show a version at run time: [{name, version}], at most 50. It only reads. Whatever a
// hostile page puts in its way, a getter that throws, a proxy, a changed prototype, costs one entry and no more.
() => {
  const MOST = 50;
  const found = [];
  const seen = {};
  const add = (name, version) => {
    if (typeof version === 'number') version = '' + version;
    if (typeof version !== 'string' || !version || version.length > 64 || found.length >= MOST) return;
    const key = name + '@' + version;
    if (seen[key] === true) return;
    seen[key] = true;
    found[found.length] = { name: name, version: version };
  };
  const attempt = (name, read) => {
    try {
      add(name, read());
    } catch (error) {}
  };
  const w = window;

  // Everything that hangs on one copy of jQuery.
  const jQueries = [];
  const jQueryCopy = (candidate) => {
    try {
      if (typeof candidate !== 'function' || !candidate.fn || typeof candidate.fn.jquery !== 'string') return;
      for (let i = 0; i < jQueries.length; i++) if (jQueries[i] === candidate) return;
      if (jQueries.length >= 10) return;
      jQueries[jQueries.length] = candidate;
      const $ = candidate;
      attempt('jquery', () => $.fn.jquery);
      attempt('jquery-migrate', () => $.migrateVersion);
      attempt('jquery-ui', () => $.ui.version);
      attempt('jquery-ui-dialog', () => $.ui.dialog.version || $.ui.dialog.prototype.version);
      attempt('jquery-ui-autocomplete', () => $.ui.autocomplete.version || $.ui.autocomplete.prototype.version);
      attempt('jquery-ui-tooltip', () => $.ui.tooltip.version || $.ui.tooltip.prototype.version);
      attempt('jquery-mobile', () => $.mobile.version);
      attempt('jquery-validation', () => $.validation.version);
      attempt('jquery.prettyPhoto', () => $.prettyPhoto.version);
      attempt('jquery.datatables', () => $.fn.dataTable.version);
      attempt('jquery.terminal', () => $.terminal.version);
      attempt('jPlayer', () => $.jPlayer.prototype.version.script);
      attempt('bootstrap', () => $.fn.tooltip.Constructor.VERSION);
      attempt('bootstrap', () => $.fn.modal.Constructor.VERSION);
      attempt('bootstrap', () => $.fn.alert.Constructor.VERSION);
      attempt('bootstrap-select', () => $.fn.selectpicker.Constructor.VERSION);
      attempt('ua-parser-js', () => $.ua.version);
    } catch (error) {}
  };
  const jQueryAt = (holder, name) => {
    try {
      jQueryCopy(holder[name]);
    } catch (error) {}
  };
  ['jQuery', '$', '$jq', '$j', 'jq', '$jQuery'].forEach((name) => jQueryAt(w, name));
  // Frames answer for themselves.
  const isWindow = (value) => {
    const own = Object.getOwnPropertyDescriptor(value, 'window');
    return own !== undefined && !own.configurable;
  };
  // Copies that noConflict gave another name: only plain values are looked at, so that no getter of the page runs. What
  // scripts add can be enumerated; the browser's own thousand interfaces cannot, and looking at one would build it.
  try {
    const names = Object.keys(w);
    for (let i = 0; i < names.length && i < 3000; i++) {
      try {
        if (/^on[a-z]+$/.test(names[i])) continue;
        const property = Object.getOwnPropertyDescriptor(w, names[i]);
        if (!property || !('value' in property)) continue;
        const value = property.value;
        if (typeof value === 'function') jQueryCopy(value);
        else if (value && typeof value === 'object' && !isWindow(value) && property.configurable) {
          const inner = Object.getOwnPropertyDescriptor(value, 'jQuery') || Object.getOwnPropertyDescriptor(value, '$');
          if (inner && 'value' in inner) jQueryCopy(inner.value);
        }
      } catch (error) {}
    }
  } catch (error) {}

  attempt('bootstrap', () => w.bootstrap.Tooltip.VERSION);
  attempt('bootstrap', () => w.bootstrap.Modal.VERSION);
  attempt('angularjs', () => w.angular.version.full);
  attempt('@angular/core', () => w.document.querySelector('[ng-version]').getAttribute('ng-version'));
  attempt('lodash', () => (typeof w._.runInContext === 'function' ? w._.VERSION : undefined));
  attempt('lodash', () => w.lodash.VERSION);
  attempt('underscore.js', () => (typeof w._.runInContext === 'function' ? undefined : w._.VERSION));
  attempt('moment.js', () => w.moment.version);
  attempt('handlebars', () => w.Handlebars.VERSION);
  attempt('mustache.js', () => w.Mustache.version);
  attempt('knockout', () => w.ko.version);
  attempt('ember', () => w.Ember.VERSION);
  attempt('backbone.js', () => w.Backbone.VERSION);
  attempt('react', () => w.React.version);
  attempt('react-dom', () => w.ReactDOM.version);
  attempt('vue', () => w.Vue.version);
  attempt('vue', () => w.document.querySelector('[data-v-app]').__vue_app__.version);
  attempt('nextjs', () => w.next.version);
  attempt('svelte', () => w.svelte.VERSION);
  attempt('DOMPurify', () => w.DOMPurify.version);
  attempt('tinyMCE', () => {
    const editor = w.tinymce || w.tinyMCE;
    return editor.majorVersion + '.' + editor.minorVersion;
  });
  attempt('ckeditor', () => w.CKEDITOR.version);
  attempt('ckeditor5', () => w.CKEDITOR_VERSION);
  attempt('froala', () => w.FroalaEditor.VERSION);
  attempt('quill', () => w.Quill.version);
  attempt('dojo', () => {
    const version = w.dojo.version;
    return version.major + '.' + version.minor + '.' + version.patch;
  });
  attempt('prototypejs', () => w.Prototype.Version);
  attempt('mootools', () => w.MooTools.version);
  attempt('YUI', () => w.YUI.version || w.YUI.Version);
  attempt('YUI', () => w.YAHOO.VERSION);
  attempt('ExtJS', () => w.Ext.versions.extjs.version);
  attempt('ExtJS', () => w.Ext.version);
  attempt('axios', () => w.axios.VERSION);
  attempt('jquery.datatables', () => w.DataTable.version);
  attempt('plupload', () => w.plupload.VERSION);
  attempt('easyXDM', () => w.easyXDM.version);
  attempt('DWR', () => w.dwr.version);
  attempt('jszip', () => w.JSZip.version);
  attempt('AlaSQL', () => w.alasql.version);
  attempt('ua-parser-js', () => w.UAParser.VERSION);
  attempt('mathjax', () => w.MathJax.version);
  attempt('pdf.js', () => w.pdfjsLib.version || w.PDFJS.version);
  attempt('threejs', () => (/^\d+/.test(w.THREE.REVISION) ? '0.' + parseInt(w.THREE.REVISION, 10) + '.0' : undefined));
  attempt('highcharts', () => w.Highcharts.version);
  attempt('chart.js', () => w.Chart.version);
  attempt('c3', () => w.c3.version);
  attempt('echarts', () => w.echarts.version);
  attempt('zrender', () => w.zrender.version);
  attempt('highlightjs', () => w.hljs.versionString);
  attempt('video.js', () => w.videojs.VERSION);
  return found;
}
