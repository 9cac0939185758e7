/*! jQuery v3.7.1 | a stand-in without any code of the library */
window.jQuery = function () {};
window.jQuery.fn = {};
window.jQuery.fn.jquery = ['3', '7', '1'].join('.');
