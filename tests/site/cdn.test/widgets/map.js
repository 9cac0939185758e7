document.getElementById("map").textContent = "Map";
