var shop = 1;
//# sourceMappingURL=app.js.map
