window.jQuery = function () {};
window.jQuery.fn = {};
window.jQuery.fn.jquery = ['1', '12', '4'].join('.');
