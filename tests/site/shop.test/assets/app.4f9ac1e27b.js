/* app, 2 modules */
(function () {
  // A stand-in for a template library: names and version only.
  function Environment() { this.helpers = {}; this.partials = {}; }
  var Handlebars = new Environment();
  Handlebars.VERSION = "4.0.11";
  Handlebars.COMPILER_REVISION = 7;
  Handlebars.HandlebarsEnvironment = Environment;
  Handlebars.SafeString = function (text) { this.string = text; };
  Handlebars.Utils = { escapeExpression: function (text) { return text; } };
  Handlebars.compile = function (text) { return function () { return text; }; };
  Handlebars.registerHelper = function (name, call) { this.helpers[name] = call; };
  window.Handlebars = Handlebars;
})();
(function () {
  document.getElementById("lead").title = window.Handlebars.compile("Good tea")();
})();
