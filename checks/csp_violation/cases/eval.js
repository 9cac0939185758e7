try { new Function('return 1')(); } catch (stopped) { document.documentElement.dataset.stopped = 'yes'; }
