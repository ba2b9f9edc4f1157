// Before the first paint: the theme that was chosen, if any.
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem('barograph_theme'); } catch { /* storage is switched off */ }
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
})();
