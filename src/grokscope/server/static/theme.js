// Before the first paint: the colours that the reader chose last.
try {
  const saved = localStorage.getItem("grokscope-theme");
  if (saved) document.documentElement.dataset.theme = saved;
} catch { /* a private window remembers nothing */ }
