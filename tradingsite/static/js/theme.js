// Runs before the first paint, so that a chosen theme never flashes the other one.
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("js");
  try {
    const theme = localStorage.getItem("desk-theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  } catch {
    // Storage may be refused; the system's theme then holds.
  }
})();
