document.body.dataset.badge = "1";
