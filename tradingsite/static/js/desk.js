// The frame: theme toggle, confirmation dialogs, forms that are sent once.
(() => {
  "use strict";
  const root = document.documentElement;

  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

  function toggleTheme() {
    const theme = isDark() ? "light" : "dark";
    root.dataset.theme = theme;
    try {
      localStorage.setItem("desk-theme", theme);
    } catch {
      // It then lasts until the next page.
    }
    document.dispatchEvent(new CustomEvent("desk:theme"));
  }

  // A link to a confirmation page opens the same form as a dialog, where the page carries one.
  function openDialog(event, link) {
    const dialog = document.getElementById(link.dataset.dialog);
    if (!dialog || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    dialog.showModal();
  }

  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    if (!target) return;
    if (target.closest("[data-theme-toggle]")) toggleTheme();
    const link = target.closest("[data-dialog]");
    if (link) openDialog(event, link);
    if (target.closest("[data-dialog-close]")) target.closest("dialog").close();
    // The backdrop is the dialog element itself; its content is not.
    if (target instanceof HTMLDialogElement) target.close();
  });

  document.addEventListener("submit", (event) => {
    if (event.target.method !== "post") return;
    // After the browser has read the form, so that the pressed button's value is still sent.
    setTimeout(() => {
      for (const button of event.target.querySelectorAll("button")) button.disabled = true;
    });
  });
  // A page that comes back from the browser's memory must be usable again.
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    for (const button of document.querySelectorAll("form button[disabled]")) button.disabled = false;
  });

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    document.dispatchEvent(new CustomEvent("desk:theme"));
  });
})();
