var text = '//# sourceMappingURL=app.js.map';
var shop = text.length;
