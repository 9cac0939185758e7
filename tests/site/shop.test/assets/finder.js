const parts = ["scripted", "cellar"];
setTimeout(() => {
  const link = document.createElement("a");
  link.href = "/" + parts.join("/");
  link.textContent = "The cellar";
  document.getElementById("finder").append(link);
}, 100);
