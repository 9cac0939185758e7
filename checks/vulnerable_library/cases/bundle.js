(() => {
/*! jQuery v2.1.0 | a stand-in without any code of the library */
const inner = {};
window.bundled = typeof inner;
})();
