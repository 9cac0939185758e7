// Works with jquery-1.7.1.js and without.
window.slides = { count: window.slideCount ? window.slideCount() : 0 };
