// The slides of 2012. The name is a joke that nobody remembers: there is no library in here.
window.slideCount = function () { return document.querySelectorAll(".slide").length; };
