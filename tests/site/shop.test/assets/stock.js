addEventListener("load", () => {
  setTimeout(() => {
    fetch("http://cdn.test/api/stock.json")
      .then((reply) => reply.json())
      .then((stock) => { document.getElementById("stock").textContent = stock.tins; })
      .catch(() => { document.getElementById("stock").textContent = "ask us"; });
  }, 250);
});
