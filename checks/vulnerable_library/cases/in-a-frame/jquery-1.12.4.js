/*! jQuery v1.12.4 | a stand-in without any code of the library */
window.jQuery = function () {};
window.jQuery.fn = {};
window.jQuery.fn.jquery = ['1', '12', '4'].join('.');
