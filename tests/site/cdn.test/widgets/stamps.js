document.getElementById("stamps").textContent = "Three of ten";
